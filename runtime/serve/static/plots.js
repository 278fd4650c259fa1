// Line plots in SVG, drawn anew in the width there is, so that their words keep their size.
import { svg } from "./dom.js";
import { number, t } from "./words.js";

const HEIGHT = 150;
const MARGIN = { left: 46, right: 8, top: 10, bottom: 22 };

/**
 * Draw lines into an element, in place of what was there.
 *
 * @param {HTMLElement} place  as wide as the plot becomes
 * @param {object} plot
 * @param {{name: string, values: (number|null)[]}[]} plot.lines  null leaves a gap
 * @param {string} plot.label  key of the text that says what is shown
 * @param {object} [plot.values]  what the label is filled with
 * @param {number} [plot.floor]  where the axis begins; the least value without
 * @param {[string, string]} [plot.ends]  what stands at the ends of the axis of time
 */
export function drawPlot(place, { lines, label, values = {}, floor = null, ends = null }) {
  const width = Math.max(place.clientWidth, 200);
  const shown = lines.flatMap((line) => line.values).filter((value) => value !== null);
  const low = floor ?? Math.min(0, ...shown);
  const step = niceStep((Math.max(low, ...shown) - low) / 2);
  const high = low + step * Math.max(1, Math.ceil((Math.max(low, ...shown) - low) / step));
  const x = (index, count) => MARGIN.left + (index / Math.max(1, count - 1)) * (width - MARGIN.left - MARGIN.right);
  const y = (value) => HEIGHT - MARGIN.bottom - ((value - low) / (high - low)) * (HEIGHT - MARGIN.top - MARGIN.bottom);

  const ticks = [];
  for (let value = low; value <= high + step / 2; value += step) ticks.push(tick(value, y(value), width, step));
  const drawn = lines.flatMap((line, index) => [
    [pathOf(line.values, x, y), "line"], [dotsOf(line.values, x, y), "line dot"],
  ].filter(([d]) => d).map(([d, kind]) => svg("path", { d, class: `${kind} line-${index % 4}` })));
  const picture = svg("svg", {
    viewBox: `0 0 ${width} ${HEIGHT}`, width, height: HEIGHT, role: "img", "aria-label": t(label, values),
  }, ...ticks, ...drawn, ...(ends ? endsOf(ends, width) : []));
  place.replaceChildren(picture);
}

function tick(value, at, width, step) {
  const digits = Math.max(0, -Math.floor(Math.log10(step)));
  return svg("g", { class: "tick" },
    svg("line", { x1: MARGIN.left, x2: width - MARGIN.right, y1: at, y2: at }),
    svg("text", { x: MARGIN.left - 6, y: at + 4, "text-anchor": "end" }, number(value, digits)));
}

function endsOf([first, last], width) {
  const text = (x, anchor, word) => svg("text", { x, y: HEIGHT - 4, "text-anchor": anchor, class: "end" }, word);
  return [text(MARGIN.left, "start", first), text(width - MARGIN.right, "end", last)];
}

/** A path through the values; where one is missing, it begins anew. */
function pathOf(values, x, y) {
  const parts = [];
  let isOpen = false;
  values.forEach((value, index) => {
    if (value !== null) {
      const at = `${x(index, values.length).toFixed(1)} ${y(value).toFixed(1)}`;
      parts.push(`${isOpen ? "L" : "M"}${at}`);
    }
    isOpen = value !== null;
  });
  return parts.join("");
}

/** A path of no length, which is a dot, at each value that has no neighbour. */
function dotsOf(values, x, y) {
  const isMissing = (index) => (values[index] ?? null) === null;
  return values.map((value, index) => (value === null || !isMissing(index - 1) || !isMissing(index + 1) ? ""
    : `M${x(index, values.length).toFixed(1)} ${y(value).toFixed(1)}h0.01`)).join("");
}

/** One, two or five times a power of ten, at least as large as what is asked for. */
function niceStep(wanted) {
  if (!(wanted > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(wanted));
  return [1, 2, 5, 10].map((factor) => factor * power).find((one) => one >= wanted * 0.999);
}

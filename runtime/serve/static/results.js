// What came back, for people: labels with bars, numbers with units, pictures, arrays, and where the time went.
import { h } from "./dom.js";
import { drawPlot } from "./plots.js";
import { number, percent } from "./words.js";

const MOST_NUMBERS = 2000; // of an array that is shown
const PHASES = ["queue", "pre", "infer", "post"];
const KINDS = { labels: scores, decision: scores, number: numbers, picture };

/** What `/predict` answered: one block for each output. */
export function predicted(answer, metadata) {
  const result = answer.results[0];
  const isNamed = metadata.outputs.length > 1;
  return metadata.outputs.map((output) => {
    const value = isNamed ? result[output.name] : result;
    return block(output, shown(metadata.results[output.name], value));
  });
}

/** What `/infer` answered: labels where there is a score for each, else the numbers. */
export function inferred(answer, metadata) {
  return answer.outputs.map((output) => {
    const told = metadata.outputs.find((one) => one.name === output.name);
    const fits = told.labels.length > 2 && told.labels.length === output.data.length;
    if (!fits) return block(told, array({ shape: output.shape, data: output.data }));
    const best = told.labels.map((label, index) => ({ label, score: output.data[index] }));
    return block(told, scores(best.sort((one, other) => other.score - one.score)));
  });
}

/** Where the time of a request went. */
export function timing(milliseconds, roundTripMs) {
  const parts = PHASES.filter((phase) => typeof milliseconds?.[phase] === "number")
    .map((phase) => [phase, milliseconds[phase]]);
  const total = parts.reduce((sum, [, spent]) => sum + spent, 0);
  const bar = h("div", { class: "phases", "aria-hidden": "true" }, parts.map(([phase, spent]) => {
    const part = h("span", { class: `phase phase-${phase}` });
    part.style.flexGrow = String(total ? spent / total : 0);
    return part;
  }));
  const facts = [...parts, ["roundTrip", roundTripMs]].map(([phase, spent]) => h("div", {},
    h("dt", {}, h("span", { class: `swatch phase-${phase}`, "aria-hidden": "true" }), h("span", { say: phase })),
    h("dd", {}, `${number(spent, 2)} ms`)));
  return h("div", { class: "timing" }, h("h4", { say: "timing" }), total ? bar : null, h("dl", { class: "facts" }, facts));
}

function block(output, content) {
  return h("div", { class: "output" }, h("h4", { lang: "" }, output.name), content,
    output.meaning ? h("p", { class: "hint", lang: "" }, output.meaning) : null);
}

function shown(kind, value) {
  return (KINDS[kind] ?? array)(value);
}

function scores(all) {
  return h("ol", { class: "scores" }, all.map(({ label, score }) => {
    const bar = h("span", { class: "bar" });
    bar.style.inlineSize = `${100 * Math.max(0, Math.min(1, score))}%`;
    return h("li", {}, h("span", { class: "name", lang: "" }, label), h("span", { class: "value" }, percent(score)),
      h("span", { class: "track", "aria-hidden": "true" }, bar));
  }));
}

function numbers(value) {
  if (!Array.isArray(value)) return h("p", { class: "large" }, quantity(value));
  const table = h("table", {}, h("tbody", {}, value.map((one) => h("tr", {},
    h("th", { scope: "row", lang: "" }, one.name), h("td", { class: "number" }, quantity({ ...one, name: "" }))))));
  if (value.length < 4) return table;
  const plot = h("div", { class: "plot" });
  requestAnimationFrame(() => drawPlot(plot, { // it has no width before it stands in the page
    lines: [{ name: "", values: value.map((one) => one.number) }], label: "numbersPlot",
  }));
  return h("div", {}, plot, table);
}

function quantity({ name, number: found, unit }) {
  return [name, number(found, 6), unit].filter(Boolean).join(" ");
}

function picture(value) {
  const [height, width] = value.shape;
  return h("img", {
    class: "picture", src: `data:image/png;base64,${value.png_base64}`, sayLabel: ["pictureTold", { width, height }],
    alt: `${width} × ${height}`,
  });
}

function array(value) {
  const data = value?.data ?? value;
  const flat = Array.isArray(data) ? data.flat(Infinity) : [data];
  const text = flat.slice(0, MOST_NUMBERS).map((one) => (typeof one === "number" ? number(one, 6) : String(one)));
  const more = flat.length > MOST_NUMBERS ? " …" : "";
  return h("div", {}, h("p", { class: "hint", say: ["arrayShape", { shape: (value?.shape ?? shapeOf(data)).join(" × ") || "1" }] }),
    h("pre", { class: "numbers", tabindex: 0, role: "region", sayLabel: "numbersLabel" }, text.join("  ") + more));
}

function shapeOf(data) {
  return Array.isArray(data) ? [data.length, ...shapeOf(data[0])] : [];
}

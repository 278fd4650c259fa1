// How a model does: requests a second and latency of the last minute, and its counts since the server began.
import { h } from "./dom.js";
import { drawPlot } from "./plots.js";
import { number, say, t } from "./words.js";

const COUNTS = [
  ["requests", (all) => number(sum(all, "requests"))],
  ["failures", (all) => number(sum(all, "failures"))],
  ["p50", (all) => milliseconds(all, "p50_us")],
  ["p90", (all) => milliseconds(all, "p90_us")],
  ["p99", (all) => milliseconds(all, "p99_us")],
];
const MOST_LINES = 4;

/** The figures of one model, in an element; `show` takes what /v2/statistics says. */
export class Figures {
  constructor(place) {
    this.counts = COUNTS.map(([key]) => h("dd", {}, "–"));
    this.plots = ["plotRate", "plotLatency"].map((key) => {
      const plot = h("div", { class: "plot" });
      return { plot, legend: h("p", { class: "legend" }), figure: h("figure", {}, h("figcaption", { say: key }), plot) };
    });
    this.plots.forEach(({ figure, legend }) => figure.append(legend));
    this.problem = h("p", { class: "hint", role: "status" });
    place.replaceChildren(
      h("dl", { class: "facts" }, COUNTS.map(([key], index) => h("div", {}, h("dt", { say: key }), this.counts[index]))),
      h("div", { class: "pair" }, this.plots.map(({ figure }) => figure)), this.problem,
    );
  }

  /** Say why there are no figures, in words; null where there are. */
  tell(problem) {
    this.problem.textContent = problem ?? "";
  }

  /** Show the figures of a model, one line for each of its newest versions. */
  show(statistics, model) {
    const own = statistics.filter((one) => one.model === model)
      .sort((one, other) => other.version.localeCompare(one.version, undefined, { numeric: true }));
    COUNTS.forEach(([, told], index) => { this.counts[index].textContent = own.length ? told(own) : "–"; });
    const shown = own.slice(0, MOST_LINES);
    const latest = own[0];
    const rates = shown.map((one) => ({ name: one.version, values: one.per_second }));
    const times = shown.map((one) => ({
      name: one.version, values: one.latency_p50_us.map((us) => (us === null ? null : us / 1000)),
    }));
    const now = own.reduce((total, one) => total + (one.per_second.at(-1) ?? 0), 0);
    this.draw(0, rates, "plotRateTold", { now: number(now, 1) });
    this.draw(1, times, "plotLatencyTold", { p50: latest ? milliseconds(own, "p50_us") : "–" });
  }

  draw(index, lines, label, values) {
    const { plot, legend } = this.plots[index];
    const shown = lines.length ? lines : [{ name: "", values: [] }];
    drawPlot(plot, { lines: shown, label, values, floor: 0, ends: [t("minuteAgo"), t("now")] });
    legend.replaceChildren(...(lines.length > 1 ? lines.map(legendOf) : []));
  }
}

function legendOf(line, index) {
  const name = h("span", {});
  say(name, "text", "versionNumber", { version: line.name });
  return h("span", { class: "key" }, h("span", { class: `swatch swatch-${index % 4}`, "aria-hidden": "true" }), name);
}

function sum(all, name) {
  return all.reduce((total, one) => total + one[name], 0);
}

/** A percentile of the version that answered most. */
function milliseconds(all, name) {
  const busiest = all.reduce((most, one) => (one.requests > most.requests ? one : most));
  return busiest[name] === null || busiest.requests === 0 ? "–" : `${number(busiest[name] / 1000, 2)} ms`;
}

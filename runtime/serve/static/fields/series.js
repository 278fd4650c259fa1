// Numbers over time, pasted or dropped as CSV.
import { freshId, h, labelled } from "../dom.js";
import { drawPlot } from "../plots.js";
import { say } from "../words.js";
import { FieldError, csvCells, fileChooser, isNumber, pythonArray } from "./base.js";

const MOST_SHOWN = 500;

/** The field of a series: a line for each step in time, a number for each channel. */
export function seriesField(raw, changed) {
  const { length = null, channels = 1 } = raw.options;
  const told = h("p", { class: "hint", role: "status" });
  const picture = h("div", { class: "plot", hidden: true });
  const area = h("textarea", {
    id: freshId("series"), rows: 6, spellcheck: "false", class: "code", oninput: () => { show(); changed(false); },
  });
  if (channels > 1) say(area, "hint", "seriesHint", { channels });

  function show() {
    const steps = read(area.value, channels);
    picture.hidden = steps.rows.length < 2 || steps.bad > 0;
    if (steps.bad) say(told, "text", "seriesBad", { line: steps.bad, channels });
    else say(told, "text", "seriesCount", { count: steps.rows.length, channels });
    if (!picture.hidden) drawPlot(picture, { lines: linesOf(steps.rows), label: "seriesPlot" });
  }

  const label = length === null ? "seriesLabel" : "seriesLabelCut";
  const element = h("div", {},
    labelled(h("label", { say: [label, { name: raw.name, channels, length }] }), area, told),
    fileChooser("seriesFile", ".csv,text/csv", async (file) => { area.value = await file.text(); show(); changed(true); }),
    picture);

  return {
    element,
    part() {
      const { rows, bad } = read(area.value, channels);
      if (bad) throw new FieldError("seriesBad", { line: bad, channels }, area);
      if (!rows.length) throw new FieldError("seriesMissing", {}, area);
      return { json: rows, python: pythonArray(rows) };
    },
  };
}

/** The numbers of CSV text, and the line that does not fit, counted from 1; a first line without numbers is a header. */
function read(text, channels) {
  const lines = csvCells(text);
  const header = lines.length && !lines[0].some(isNumber) ? 1 : 0;
  const rows = lines.slice(header);
  const bad = rows.findIndex((cells) => cells.length !== channels || !cells.every(isNumber));
  return { rows: bad < 0 ? rows.map((cells) => cells.map(Number)) : [], bad: bad < 0 ? 0 : bad + header + 1 };
}

function linesOf(rows) {
  const shown = rows.slice(0, MOST_SHOWN);
  return rows[0].slice(0, 4).map((_, channel) => ({ name: String(channel + 1), values: shown.map((row) => row[channel]) }));
}

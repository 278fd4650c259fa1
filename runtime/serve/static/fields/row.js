// A row of a table: a field for each column, or a line of CSV that fills them.
import { freshId, h, labelled } from "../dom.js";
import { say } from "../words.js";
import { FieldError, csvCells, fileChooser, isNumber, python } from "./base.js";

/** The field of a row; the columns are those the pack names. */
export function rowField(raw, changed) {
  const columns = raw.options.columns;
  const inputs = columns.map(() => h("input", {
    type: "number", step: "any", autocomplete: "off", oninput: () => changed(false),
  }));
  const told = h("p", { class: "hint", role: "status" });

  function fill(text, mayComplain) {
    const lines = csvCells(text);
    if (!lines.length) return;
    const places = placesOf(lines[0], columns);
    const cells = places && lines.length > 1 ? places.map((place) => lines[1][place] ?? "") : lines[0];
    const fits = cells.length === columns.length && cells.every(isNumber);
    if (fits) cells.forEach((cell, index) => { inputs[index].value = cell; });
    if (fits) say(told, "text", "rowFilled", { count: cells.length });
    else if (mayComplain) say(told, "text", "rowUnfit", { wanted: columns.length, got: cells.length });
    if (fits) changed(true);
  }

  const line = h("input", {
    type: "text", spellcheck: "false", autocomplete: "off", id: freshId("line"),
    oninput: () => fill(line.value, false), onchange: () => fill(line.value, true),
  });
  const element = h("fieldset", { class: "plain" },
    h("legend", { say: ["rowLegend", { name: raw.name, count: columns.length }] }),
    labelled(h("label", { say: "rowLine" }), line, told),
    fileChooser("rowFile", ".csv,text/csv", async (file) => fill(await file.text(), true)),
    h("div", { class: "grid" }, columns.map((name, index) => labelled(h("label", { lang: "" }, name), inputs[index]))));

  return { element, part: () => partOf(columns, inputs) };
}

function partOf(columns, inputs) {
  const empty = inputs.findIndex((input) => !isNumber(input.value));
  if (empty >= 0) throw new FieldError("numberMissing", { name: columns[empty] }, inputs[empty]);
  const row = Object.fromEntries(columns.map((name, index) => [name, Number(inputs[index].value)]));
  return { json: row, python: python(row) };
}

/** Where a header line has each column; null where the line is no header. */
function placesOf(cells, columns) {
  const places = columns.map((name) => cells.indexOf(name.trim()));
  return places.includes(-1) ? null : places;
}

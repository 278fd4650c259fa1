// What several fields have in common.
import { freshId, h } from "../dom.js";
import { t } from "../words.js";

/** What stands in a field cannot be sent; the message says what is missing, `element` is where. */
export class FieldError extends Error {
  constructor(key, values = {}, element = null) {
    super(t(key, values));
    this.element = element;
  }
}

/** A place where a file is dropped or chosen; the input is an ordinary one, reached by keyboard. */
export function fileChooser(key, accept, took) {
  const input = h("input", {
    type: "file", class: "unseen", id: freshId("file"), accept, // its own words follow the browser, not the page
    onchange: () => { if (input.files.length) took(input.files[0]); },
  });
  const zone = h("div", { class: "drop" }, input, h("label", { for: input.id, say: key }));
  zone.addEventListener("dragover", (event) => { event.preventDefault(); zone.classList.add("over"); });
  zone.addEventListener("dragleave", () => zone.classList.remove("over"));
  zone.addEventListener("drop", (event) => {
    event.preventDefault();
    zone.classList.remove("over");
    if (event.dataTransfer.files.length) took(event.dataTransfer.files[0]);
  });
  return zone;
}

/** The bytes of a blob as JSON of the server takes them. */
export function base64(blob) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve({ base64: reader.result.slice(reader.result.indexOf(",") + 1) });
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(blob);
  });
}

/** A value of JSON as Python writes it. */
export function python(value) {
  if (value === null) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (Array.isArray(value)) return `[${value.map(python).join(", ")}]`;
  if (typeof value !== "object") return JSON.stringify(value);
  return `{${Object.entries(value).map(([name, one]) => `${JSON.stringify(name)}: ${python(one)}`).join(", ")}}`;
}

/** Numbers as an array of numpy: a list would be several samples. Text and what is ragged stays as it is. */
export function pythonArray(value) {
  const flat = Array.isArray(value) ? value.flat(Infinity) : [];
  const isPlain = flat.length > 0 && flat.every((one) => typeof one === "number" || typeof one === "boolean");
  return isPlain ? `np.array(${python(value)})` : python(value);
}

/** The cells of CSV text, one list a line; quotes hold commas together, and empty lines are passed over. */
export function csvCells(text) {
  const lines = text.replace(/^\uFEFF/, "").split(/\r\n|\r|\n/).filter((line) => line.trim());
  return lines.map((line) => {
    const cells = line.match(/("([^"]|"")*"|[^,])+|(?<=,|^)(?=,|$)/g) ?? [];
    return cells.map((cell) => cell.trim().replace(/^"([\s\S]*)"$/, "$1").replaceAll('""', '"'));
  });
}

/** Whether a cell is a number. */
export function isNumber(cell) {
  return cell !== "" && Number.isFinite(Number(cell));
}

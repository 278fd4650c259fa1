// What is numbers in Python alone: a value of JSON.
import { freshId, h, labelled } from "../dom.js";
import { FieldError, pythonArray } from "./base.js";

/** The field of an array; text stays text where the pack says that it takes text. */
export function arrayField(raw, changed) {
  const isText = raw.options.dtype === "string";
  const area = h("textarea", {
    id: freshId("array"), rows: 3, spellcheck: "false", class: "code", oninput: () => changed(false),
    placeholder: isText ? '["…", "…"]' : "[0, 0, 0]",
  });
  return {
    element: labelled(
      h("label", { say: ["arrayLabel", { name: raw.name }] }), area, h("p", { class: "hint", lang: "en" }, raw.told),
    ),
    part() {
      const json = parsed(area);
      return { json, python: pythonArray(json) };
    },
  };
}

/** The JSON that stands in a field. */
export function parsed(area) {
  if (!area.value.trim()) throw new FieldError("jsonMissing", {}, area);
  try {
    return JSON.parse(area.value);
  } catch (error) {
    throw new FieldError("jsonBad", { error: error.message }, area);
  }
}

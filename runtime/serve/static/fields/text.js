// A sentence.
import { freshId, h, labelled } from "../dom.js";
import { FieldError } from "./base.js";

/** The field of a text. */
export function textField(raw, changed) {
  const area = h("textarea", {
    id: freshId("text"), rows: 4, sayHint: "textHint", lang: "", dir: "auto", oninput: () => changed(false),
  });
  return {
    element: labelled(h("label", { say: ["textLabel", { name: raw.name }] }), area),
    part() {
      if (!area.value.trim()) throw new FieldError("textMissing", {}, area);
      return { json: area.value, python: JSON.stringify(area.value) };
    },
  };
}

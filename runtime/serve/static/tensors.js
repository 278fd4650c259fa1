// Tensors as JSON, for models without steps and for whoever wants to give the numbers themselves.
import { button, freshId, h, labelled } from "./dom.js";
import { parsed } from "./fields/array.js";
import { FieldError } from "./fields/base.js";

const MOST_FILLED = 200_000; // numbers that a button writes into a field
const RANDOM = { FP16: Math.random, FP32: Math.random, FP64: Math.random, BOOL: () => Math.random() < 0.5 };

/** A field for the tensor of one input, with its datatype and shape. */
export function tensorField(input, changed) {
  const { name, datatype } = input;
  const shape = input.shape.map((size) => (size < 0 ? 1 : size));
  const area = h("textarea", {
    id: freshId("tensor"), rows: 4, spellcheck: "false", class: "code", oninput: () => changed(false),
  });
  const fill = (make) => { area.value = JSON.stringify(filled(shape, make)); changed(false); };
  const zero = datatype === "BYTES" ? "" : datatype === "BOOL" ? false : 0;
  const random = RANDOM[datatype];
  const count = shape.reduce((product, size) => product * size, 1);
  const tools = count > MOST_FILLED ? null : h("div", { class: "row" }, button("tensorZeros", () => fill(() => zero)),
    random ? button("tensorRandom", () => fill(() => (datatype === "BOOL" ? random() : Number(random().toFixed(3))))) : null);
  const label = h("label", { say: ["tensorLabel", { name, datatype, shape: input.shape.join(", ") }] });
  return {
    element: labelled(label, area, tools, input.meaning ? h("p", { class: "hint", lang: "" }, input.meaning) : null),
    part() {
      const nested = parsed(area);
      const found = shapeOf(nested);
      if (!isEven(nested, found)) throw new FieldError("tensorRagged", { name }, area);
      return { name, datatype, shape: found, nested };
    },
  };
}

function filled(shape, make) {
  return shape.length ? Array.from({ length: shape[0] }, () => filled(shape.slice(1), make)) : make();
}

function shapeOf(nested) {
  return Array.isArray(nested) ? [nested.length, ...(nested.length ? shapeOf(nested[0]) : [])] : [];
}

function isEven(nested, shape) {
  if (!shape.length) return !Array.isArray(nested);
  return Array.isArray(nested) && nested.length === shape[0] && nested.every((one) => isEven(one, shape.slice(1)));
}

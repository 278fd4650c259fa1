// A field for each kind of raw value. A field is an object with `element` and `part()`, which gives what stands in it:
//   json    the value as /predict takes it in JSON (a promise where a file must be read for it)
//   file    the value as a File, where it is one
//   python  the value as an expression of Python
// or throws FieldError. It calls `changed` when what stands in it is another; with true where that was the end of a
// stroke or the choice of a file, so that it may be sent at once.
import { arrayField } from "./array.js";
import { imageField } from "./image.js";
import { rowField } from "./row.js";
import { seriesField } from "./series.js";
import { soundField } from "./sound.js";
import { textField } from "./text.js";

const FIELDS = {
  image: imageField, row: rowField, series: seriesField, sound: soundField, text: textField, array: arrayField,
};

/** The field for one raw value of a sample. */
export function fieldFor(raw, changed) {
  return (FIELDS[raw.kind] ?? arrayField)(raw, changed);
}

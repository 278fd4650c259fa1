// An image: a file, or a drawing where the model takes shades of grey.
import { h, labelled } from "../dom.js";
import { Pad } from "../pad.js";
import { say } from "../words.js";
import { FieldError, base64, fileChooser } from "./base.js";

/** The field of an image. */
export function imageField(raw, changed) {
  const preview = h("img", { class: "preview", hidden: true, alt: "" });
  const told = h("p", { class: "hint", role: "status" });
  const padTold = h("p", { class: "unseen", role: "status" }); // a drawing is seen; whoever cannot see it is told
  const swap = h("input", { type: "checkbox", onchange: () => changed(true) });
  let chosen = null;

  function take(file) {
    chosen = file;
    pad?.clear();
    URL.revokeObjectURL(preview.src);
    preview.src = URL.createObjectURL(file);
    preview.hidden = false;
    say(told, "text", "imageChosen", { name: file.name });
    changed(true);
  }

  function drawn(isWhole) {
    chosen = null;
    preview.hidden = true;
    told.replaceChildren();
    delete told.dataset.spoken;
    say(padTold, "text", pad.isEmpty ? "padEmpty" : "padDrawn");
    changed(isWhole);
  }

  const pad = raw.options.mode === "grayscale" ? new Pad(drawn) : null;
  const element = h("fieldset", { class: "plain" },
    h("legend", { say: ["imageLabel", { name: raw.name }] }),
    pad?.element, pad && padTold,
    fileChooser("imageFile", "image/*", take), preview, told,
    pad && h("div", { class: "check" }, labelled(h("label", { say: "imageSwap" }), swap)));

  async function part() {
    if (!chosen && (!pad || pad.isEmpty)) throw new FieldError(pad ? "drawingMissing" : "imageMissing", {}, pad?.canvas);
    const file = chosen ? await swapped(chosen, swap.checked) : await pad.file(swap.checked);
    return { json: base64(file), file, python: JSON.stringify(file.name) };
  }
  return { element, part };
}

/** An image with dark and light swapped, or as it is. */
async function swapped(file, isSwapped) {
  if (!isSwapped) return file;
  const picture = await createImageBitmap(file).catch(() => { throw new FieldError("imageUnread", { name: file.name }); });
  const canvas = new OffscreenCanvas(picture.width, picture.height);
  const pen = canvas.getContext("2d");
  pen.filter = "invert(1)";
  pen.drawImage(picture, 0, 0);
  return new File([await canvas.convertToBlob({ type: "image/png" })], "swapped.png", { type: "image/png" });
}

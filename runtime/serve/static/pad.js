// Where a digit is drawn: with a mouse, a finger, or the keys.
import { button, h } from "./dom.js";

const SIZE = 280; // pixels of the drawing: ten times those of a digit of MNIST
const STROKE = 22; // width of the pen; those of MNIST are two to three pixels of 28 wide
const LONGEST = 200; // a digit of MNIST fills 20 pixels of 28 with its longer side, and its mass is in the middle
const LARGEST_SCALE = 3; // a dot stays a dot
const STEP = 14; // how far a key moves the pen
const MOVES = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/** A canvas that remembers strokes, not pixels: what is sent is drawn anew, in the size and place of MNIST's digits. */
export class Pad {
  /** `changed` is called with true when a stroke ends. */
  constructor(changed) {
    this.changed = changed;
    this.strokes = [];
    this.pen = [SIZE / 2, SIZE / 2];
    this.isDown = false;
    this.canvas = h("canvas", {
      width: SIZE, height: SIZE, class: "pad", tabindex: 0, role: "application", sayLabel: "padLabel",
      onpointerdown: (event) => this.begin(event), onpointermove: (event) => this.move(event),
      onpointerup: () => this.end(), onpointercancel: () => this.end(), onkeydown: (event) => this.key(event),
      onblur: () => this.lift(),
    });
    this.element = h("div", { class: "padding" }, this.canvas, h("p", { class: "hint", say: "padHint" }),
      h("div", { class: "row" }, button("padUndo", () => this.undo()), button("padClear", () => this.undo(true))));
    this.paint();
  }

  get isEmpty() {
    return this.strokes.length === 0;
  }

  /** Take every stroke back, and tell nobody. */
  clear() {
    this.strokes = [];
    this.paint();
  }

  undo(all = false) {
    this.strokes = all ? [] : this.strokes.slice(0, -1);
    this.isDown = false;
    this.paint();
    this.changed(!this.isEmpty);
  }

  begin(event) {
    event.preventDefault();
    this.canvas.focus({ preventScroll: true });
    this.canvas.setPointerCapture(event.pointerId);
    this.isDrawing = true;
    this.strokes.push([this.place(event)]);
    this.paint();
    this.changed(false);
  }

  move(event) {
    if (!this.isDrawing) return;
    const all = event.getCoalescedEvents?.() ?? [];
    this.strokes.at(-1).push(...(all.length ? all : [event]).map((one) => this.place(one)));
    this.paint();
  }

  end() {
    if (!this.isDrawing) return;
    this.isDrawing = false;
    this.changed(true);
  }

  place(event) {
    const box = this.canvas.getBoundingClientRect();
    return [(SIZE * (event.clientX - box.left)) / box.width, (SIZE * (event.clientY - box.top)) / box.height];
  }

  key(event) {
    const move = MOVES[event.key];
    if (move) {
      this.pen = this.pen.map((at, axis) => Math.max(0, Math.min(SIZE, at + STEP * move[axis])));
      if (this.isDown) this.strokes.at(-1).push([...this.pen]);
    } else if (event.key === " ") {
      if (this.isDown) this.lift();
      else { this.isDown = true; this.strokes.push([[...this.pen]]); this.changed(false); }
    } else if (event.key === "Backspace") this.undo();
    else return;
    event.preventDefault();
    this.usesKeys = true;
    this.paint();
  }

  lift() {
    if (this.isDown) this.changed(true);
    this.isDown = this.usesKeys = false;
    this.paint();
  }

  paint() {
    const pen = this.canvas.getContext("2d");
    drawStrokes(pen, this.strokes);
    if (!this.usesKeys) return;
    pen.strokeStyle = this.isDown ? "#ffb000" : "#6aa5ff";
    pen.lineWidth = 3;
    pen.beginPath();
    pen.arc(...this.pen, STROKE / 2 + 2, 0, 2 * Math.PI);
    pen.stroke();
  }

  /** The drawing as a PNG file, white on black, or black on white. */
  async file(isSwapped) {
    const canvas = new OffscreenCanvas(SIZE, SIZE);
    const pen = canvas.getContext("2d", { willReadFrequently: true });
    const fitted = fit(this.strokes);
    drawStrokes(pen, fitted);
    const [x, y] = middleOfMass(pen);
    drawStrokes(pen, moved(fitted, 1, SIZE / 2 - x, SIZE / 2 - y), isSwapped);
    return new File([await canvas.convertToBlob({ type: "image/png" })], "drawing.png", { type: "image/png" });
  }
}

/** Strokes in the size of MNIST's digits, in the middle by their edges. */
function fit(strokes) {
  const [xs, ys] = [0, 1].map((axis) => strokes.flat().map((point) => point[axis]));
  const [left, right, top, bottom] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
  const longest = Math.max(right - left, bottom - top, 1);
  const scale = Math.min((LONGEST - STROKE) / longest, LARGEST_SCALE);
  return moved(strokes, scale, SIZE / 2 - (scale * (left + right)) / 2, SIZE / 2 - (scale * (top + bottom)) / 2);
}

function moved(strokes, scale, right, down) {
  return strokes.map((stroke) => stroke.map(([x, y]) => [x * scale + right, y * scale + down]));
}

function drawStrokes(pen, strokes, isSwapped = false) {
  pen.fillStyle = isSwapped ? "#fff" : "#000";
  pen.fillRect(0, 0, SIZE, SIZE);
  pen.strokeStyle = isSwapped ? "#000" : "#fff";
  pen.lineWidth = STROKE;
  pen.lineCap = pen.lineJoin = "round";
  for (const stroke of strokes) {
    pen.beginPath();
    pen.moveTo(...stroke[0]);
    for (const point of stroke.length > 1 ? stroke.slice(1) : stroke) pen.lineTo(...point);
    pen.stroke();
  }
}

function middleOfMass(pen) {
  const { data } = pen.getImageData(0, 0, SIZE, SIZE);
  let [mass, x, y] = [0, 0, 0];
  for (let index = 0; index < data.length; index += 4) {
    const pixel = index / 4;
    mass += data[index];
    x += data[index] * (pixel % SIZE);
    y += data[index] * Math.floor(pixel / SIZE);
  }
  return mass ? [x / mass, y / mass] : [SIZE / 2, SIZE / 2];
}

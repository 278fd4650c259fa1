// Elements made in a line. Text goes in as text, never as markup: what a pack or a server says cannot become an element.
import { say } from "./words.js";

const SVG = "http://www.w3.org/2000/svg";
const SPOKEN = { say: "text", sayLabel: "label", sayHint: "hint" };

/**
 * An element with properties and children.
 * `say`, `sayLabel` and `sayHint` are keys of texts, or [key, values]; `onclick` and the like are listeners; all
 * else are attributes, left out where they are null or false.
 */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) give(element, name, value);
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

/** An element of SVG. */
export function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  element.append(...children);
  return element;
}

/** The element of the page with that id. */
export function at(id) {
  return document.getElementById(id);
}

let made = 0;

/** An id that no other element has. */
export function freshId(stem) {
  made += 1;
  return `${stem}-${made}`;
}

/** A label and what it is for, in one block. */
export function labelled(label, control, ...rest) {
  control.id ||= freshId("field");
  label.htmlFor = control.id;
  return h("div", { class: "field" }, label, control, ...rest);
}

/** A button. */
export function button(key, onclick, kind = "quiet") {
  return h("button", { type: "button", class: kind, say: key, onclick });
}

function give(element, name, value) {
  if (value === null || value === undefined || value === false) return;
  if (name in SPOKEN) say(element, SPOKEN[name], ...(Array.isArray(value) ? value : [value]));
  else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
  else element.setAttribute(name, value === true ? "" : String(value));
}

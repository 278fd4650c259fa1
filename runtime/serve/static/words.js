// Which language the page speaks: texts of elements are remembered by key, and follow when the language changes.
import { STRINGS } from "./strings.js";

const TAGS = { en: "en", zh: "zh-CN" };
const LEAST = 0.001; // of a share, that its number shows
const STORE = "edgepack-language";
const spoken = new WeakMap(); // element -> { place: [key, values] }
// place -> how a text is put there
const PLACES = {
  text: (element, text) => { element.textContent = text; },
  label: (element, text) => element.setAttribute("aria-label", text),
  hint: (element, text) => element.setAttribute("placeholder", text),
};

let language = (localStorage.getItem(STORE) ?? navigator.language).startsWith("zh") ? "zh" : "en";

/** The text of a key in the language spoken, with `{name}` filled in. */
export function t(key, values = {}) {
  const found = STRINGS[language][key];
  if (found === undefined) throw new Error(`no text ${key} in ${language}`);
  return found.replace(/\{(\w+)\}/g, (_, name) => String(values[name]));
}

/** Put the text of a key into a place of an element (`text`, `label` or `hint`), now and in every later language. */
export function say(element, place, key, values = {}) {
  element.dataset.spoken = "";
  spoken.set(element, { ...spoken.get(element), [place]: [key, values] });
  PLACES[place](element, t(key, values));
}

/** A number as people of the language write it. */
export function number(value, digits = 0) {
  return new Intl.NumberFormat(TAGS[language], { maximumFractionDigits: digits }).format(value);
}

/** A share from 0 to 1 in percent; one that is not zero is never told as zero. */
export function percent(share) {
  const told = (one) => new Intl.NumberFormat(TAGS[language], { style: "percent", maximumFractionDigits: 1 }).format(one);
  return share > 0 && share < LEAST ? `< ${told(LEAST)}` : told(share);
}

/** Speak the other language, everywhere at once. */
export function switchLanguage() {
  language = language === "en" ? "zh" : "en";
  localStorage.setItem(STORE, language);
  speak();
}

/** Write every text of the page in the language spoken. */
export function speak() {
  document.documentElement.lang = TAGS[language];
  for (const element of document.querySelectorAll("[data-text]")) {
    say(element, "text", element.dataset.text);
    delete element.dataset.text;
  }
  for (const element of document.querySelectorAll("[data-spoken]")) {
    for (const [place, [key, values]] of Object.entries(spoken.get(element))) PLACES[place](element, t(key, values));
  }
}

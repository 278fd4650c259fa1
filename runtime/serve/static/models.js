// The list of models, and what is told of the one that is looked at.
import { h } from "./dom.js";
import { stateMark, stateOf } from "./versions.js";

const BEST_FIRST = ["READY", "LOADING", "AVAILABLE", "UNLOADING", "OUT", "UNAVAILABLE"];

/** Models by name, in order, each with its entries of the index. */
export function byName(index) {
  const found = new Map();
  for (const entry of [...index].sort((one, other) => one.name.localeCompare(other.name))) {
    found.set(entry.name, [...(found.get(entry.name) ?? []), entry]);
  }
  return found;
}

/** Write the list of models; the one that is looked at is marked. */
export function showModels(list, models, current) {
  const shown = JSON.stringify([[...models], current]);
  if (list.dataset.shown === shown) return;
  list.dataset.shown = shown;
  const held = list.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
  list.replaceChildren(...[...models].map(([name, entries]) => h("li", {}, item(name, entries, name === current))));
  if (!models.size) list.append(h("li", { class: "hint", say: "noModels" }));
  if (held) [...list.querySelectorAll("a")].find((link) => link.getAttribute("href") === held)?.focus();
}

function item(name, entries, isCurrent) {
  const states = entries.map(stateOf);
  const best = BEST_FIRST.find((state) => states.includes(state)) ?? states[0];
  const failed = states.filter((state) => state === "UNAVAILABLE").length;
  return h("a", { href: `#/${encodeURIComponent(name)}`, "aria-current": isCurrent ? "page" : null },
    h("span", { class: "name", lang: "" }, name), stateMark(best),
    failed && best !== "UNAVAILABLE" ? h("span", { class: "mark bad", say: ["failedCount", { count: failed }] }) : null);
}

/** What is told of a model beside its name. */
export function showFacts(place, metadata) {
  const facts = [
    ["version", metadata.version], ["provider", metadata.provider.toUpperCase()], ["engine", metadata.engine],
    ["variant", metadata.variant], ["labels", metadata.labels.join(", ")],
  ].filter(([, told]) => told);
  place.replaceChildren(...facts.map(([key, told]) => h("div", {}, h("dt", { say: key }), h("dd", { lang: "" }, told))));
}

/** One line on what a model does: its own summary, else what it takes and gives. */
export function toldOf(metadata) {
  if (metadata.summary) return metadata.summary;
  const meaning = (all) => all.map((one) => one.meaning).filter(Boolean).join("; ");
  return [meaning(metadata.inputs), meaning(metadata.outputs)].filter(Boolean).join(" → ");
}

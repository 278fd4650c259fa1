// Every version of a model with its state, and what may be done to it.
import { ServerError, repository } from "./api.js";
import { h } from "./dom.js";
import { say } from "./words.js";

const COLUMNS = ["version", "state", "labels", "actions"];
const LABELS = ["stable", "canary"];
const TONES = { READY: "good", UNAVAILABLE: "bad" };
const STATES = new Set(["READY", "LOADING", "UNLOADING", "UNAVAILABLE", "AVAILABLE", "OUT"]);
// The protocol has one state for what failed and for what is left out on purpose; the server's word beside it tells which.
const CAUSES = { "not loaded yet": "AVAILABLE", "not served": "OUT", "rolled back": "OUT", unloaded: "OUT" };

/** What to show of an entry of the index: its state, `AVAILABLE` where it loads when it is asked for, `OUT` where it is not wanted. */
export function stateOf({ state, cause = "" }) {
  return CAUSES[cause] ?? state;
}

/** A state as a mark in words and colour. */
export function stateMark(state) {
  const mark = h("span", { class: `mark ${TONES[state] ?? ""}` });
  if (STATES.has(state)) say(mark, "text", `state${state}`);
  else mark.textContent = state;
  return mark;
}

/** The table of versions. `needsToken` is called where the server refuses for want of a right, `done` after a change. */
export class Versions {
  constructor(place, { needsToken, done }) {
    this.needsToken = needsToken;
    this.done = done;
    this.told = h("p", { class: "hint", role: "status" });
    this.wide = h("div", { class: "wide", role: "group", tabindex: 0, "aria-labelledby": "versions-title" });
    place.replaceChildren(this.wide, this.told);
  }

  /** Show the entries of one model; the newest version comes first. Nothing moves while nothing is new. */
  show(entries, answering) {
    const shown = JSON.stringify([entries, answering]);
    if (shown === this.shown) return;
    this.shown = shown;
    const held = this.wide.contains(document.activeElement) ? document.activeElement.dataset.act : null;
    const newest = [...entries].sort((one, other) => other.version.localeCompare(one.version, undefined, { numeric: true }));
    const columns = COLUMNS.map((key) => h("th", { scope: "col", say: key }));
    this.wide.replaceChildren(h("table", {}, h("thead", {}, h("tr", {}, columns)),
      h("tbody", {}, newest.flatMap((entry) => this.rows(entry, answering, newest.length)))));
    if (held) this.wide.querySelector(`[data-act="${CSS.escape(held)}"]`)?.focus();
  }

  /** The row of a version, and one below for the reason of its state, as wide as the table. */
  rows(entry, answering, count) {
    const { version, reason = "", labels = [] } = entry;
    const state = stateOf(entry);
    const isAnswering = version === answering;
    const row = h("tr", {},
      h("th", { scope: "row" }, version, isAnswering ? h("span", { class: "mark good", say: "answering" }) : null),
      h("td", {}, stateMark(state)),
      h("td", {}, labels.map((label) => h("span", { class: "mark" }, label))),
      h("td", {}, h("div", { class: "actions" }, this.actions(entry, isAnswering && count > 1))));
    const kind = state === "UNAVAILABLE" ? "reason bad" : "reason";
    return reason ? [row, h("tr", {}, h("td", { class: kind, colspan: COLUMNS.length, lang: "en" }, reason))] : [row];
  }

  actions({ name, version, state, labels = [] }, mayRollBack) {
    const acts = [];
    const add = (key, values, call) => acts.push(h("button", {
      type: "button", class: "quiet", "data-act": `${key} ${version} ${values.label ?? ""}`, say: [key, values],
      sayLabel: [`${key}Label`, { version, ...values }], onclick: () => this.act(call),
    }));
    if (state === "READY") {
      add("unload", {}, () => repository.unload(name, version));
      for (const label of LABELS) {
        if (!labels.includes(label)) add("moveLabel", { label }, () => repository.label(name, label, version));
      }
      if (mayRollBack) add("rollback", {}, () => repository.rollback(name));
    } else if (state !== "LOADING" && state !== "UNLOADING") add("load", {}, () => repository.load(name, version));
    return acts;
  }

  async act(call) {
    say(this.told, "text", "acting");
    try {
      await call();
      say(this.told, "text", "acted");
      this.done();
    } catch (error) {
      if (!(error instanceof ServerError)) throw error;
      this.told.textContent = error.words;
      if (error.status === 401 || error.status === 403) this.needsToken("tokenAdmin");
    }
  }
}

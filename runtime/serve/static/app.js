// The page: which model is looked at, what the server tells of it every second or two, and the tools at the top.
import { ServerError, ask, modelPath } from "./api.js";
import { at } from "./dom.js";
import { Figures } from "./figures.js";
import { byName, showFacts, showModels, toldOf } from "./models.js";
import { Playground } from "./playground.js";
import { TokenQuestion } from "./token.js";
import { Versions } from "./versions.js";
import { say, speak, switchLanguage } from "./words.js";

const INDEX_MS = 1500;
const FIGURES_MS = 1000;
const THEMES = ["auto", "light", "dark"];

let models = new Map();
let chosen = ""; // the model that is looked at
let known = ""; // what the index said of it last
let metadata = null;
let playground = null;
let statistics = [];
const problems = { server: null, model: null }; // in words, where something is wrong
let hasAsked = false; // for a token; a person who closed the question is not asked again and again

const tokens = new TokenQuestion(() => { hasAsked = false; restart(); });
const needsToken = (why) => tokens.ask(why);
const figures = new Figures(at("figures"));
const versions = new Versions(at("versions-table"), { needsToken, done: () => refresh().catch(failed) });

/** Look at what models there are, and at the chosen one where something about it is new. */
async function refresh() {
  const index = await ask("/v2/repository/index", { method: "POST", body: "{}" });
  connected("connected", "good");
  notice("server", null);
  models = byName(index);
  if (!models.has(chosen)) chosen = firstReady() ?? "";
  showModels(at("models"), models, chosen);
  const entries = models.get(chosen) ?? [];
  if (JSON.stringify(entries) !== known) await look(entries);
  versions.show(entries, metadata?.version);
}

function firstReady() {
  const all = [...models];
  return (all.find(([, entries]) => entries.some((entry) => entry.state === "READY")) ?? all[0])?.[0];
}

/** Ask what the chosen model is, and show it. */
async function look(entries) {
  const name = chosen;
  const before = metadata?.name === name ? metadata.version : null;
  const said = JSON.stringify(entries);
  for (const part of ["try", "live", "versions"]) at(part).hidden = !entries.length;
  heading(name);
  let found = null;
  try {
    found = name ? await ask(modelPath(name)) : null;
    notice("model", null);
  } catch (error) {
    if (!isRefusal(error)) throw error;
    notice("model", error.words);
  }
  if (name !== chosen) return;
  known = said;
  metadata = found;
  show(entries, before);
}

function show(entries, before) {
  at("try").hidden = metadata === null;
  at("model-facts").hidden = metadata === null;
  at("model-told").textContent = metadata ? toldOf(metadata) : "";
  if (!metadata) return;
  showFacts(at("model-facts"), metadata);
  if (!playground?.fits(metadata)) playground = new Playground(at("playground"), metadata, needsToken);
  const labels = entries.flatMap((entry) => entry.labels ?? []);
  playground.update(metadata, [...metadata.versions.toReversed(), ...new Set(labels)]);
  if (before !== null && before !== metadata.version) {
    say(at("news"), "text", "versionNews", { name: metadata.name, version: metadata.version });
  }
}

function heading(name) {
  if (name) at("model-name").textContent = name;
  else say(at("model-name"), "text", "noModels");
  if (name) delete at("model-name").dataset.spoken;
  document.title = name ? `${name} · edgepack` : "edgepack";
}

/** Whether the server understood, and said no to this alone. */
function isRefusal(error) {
  return error instanceof ServerError && error.status !== 0 && error.status !== 401;
}

function notice(about, words) {
  problems[about] = words;
  const told = problems.server ?? problems.model;
  at("notice").hidden = told === null;
  if (at("notice").textContent !== (told ?? "")) at("notice").textContent = told ?? "";
}

function connected(key, tone) {
  const mark = at("connection");
  mark.className = `mark ${tone}`;
  say(mark, "text", key);
}

async function measure() {
  try {
    statistics = await ask("/v2/statistics");
    figures.tell(null);
  } catch (error) {
    if (!isRefusal(error)) throw error;
    figures.tell(error.words);
  }
  if (chosen) figures.show(statistics, chosen);
}

/** Do something again and again while the page is seen; a server that is gone is asked until it is back. */
async function every(pauseMs, work) {
  for (;;) {
    if (!document.hidden && !tokens.dialog.open) await work().catch(failed);
    await new Promise((resolve) => { setTimeout(resolve, pauseMs); });
  }
}

function failed(error) {
  if (!(error instanceof ServerError)) throw error;
  if (error.status === 0) connected("disconnected", "bad");
  else if (error.status === 401) {
    connected("locked", "bad");
    if (!hasAsked) needsToken();
    hasAsked = true;
  } else notice("server", error.words);
}

function restart() {
  known = "";
  serverVersion().then(refresh).catch(failed);
}

async function serverVersion() {
  const server = await ask("/v2");
  at("server-version").textContent = server.version;
}

function route() {
  const name = named(location.hash.match(/^#\/(.+)$/)?.[1]);
  if (!name || name === chosen) return;
  chosen = name;
  known = "";
  refresh().then(() => { if (statistics.length) figures.show(statistics, chosen); }).catch(failed);
}

/** The name that an address holds; nothing where it is no address that this page made. */
function named(encoded) {
  try {
    return encoded && decodeURIComponent(encoded);
  } catch {
    return "";
  }
}

function showTools() {
  const theme = document.documentElement.dataset.theme ?? "auto";
  say(at("theme"), "text", `theme_${theme}`);
  const language = at("language");
  say(language, "text", "otherLanguage");
  language.lang = document.documentElement.lang === "en" ? "zh-CN" : "en";
}

function nextTheme() {
  const root = document.documentElement;
  const next = THEMES[(THEMES.indexOf(root.dataset.theme ?? "auto") + 1) % THEMES.length];
  if (next === "auto") delete root.dataset.theme;
  else root.dataset.theme = next;
  localStorage.setItem("edgepack-theme", next);
  showTools();
}

at("theme").addEventListener("click", nextTheme);
at("language").addEventListener("click", () => {
  switchLanguage();
  showTools();
  figures.show(statistics, chosen);
});
window.addEventListener("hashchange", route);
speak();
showTools();
route();
serverVersion().catch(failed);
every(INDEX_MS, refresh);
every(FIGURES_MS, measure);

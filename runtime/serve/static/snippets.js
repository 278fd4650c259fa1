// The request in other words: curl and Python, each with a button that copies it.
import { h } from "./dom.js";
import { curl, filesOf } from "./request.js";
import { say } from "./words.js";

let links = [];

/** Show a request as commands, with the files they name. */
export function showSnippets(place, request) {
  links.forEach((link) => URL.revokeObjectURL(link));
  const files = filesOf(request);
  links = files.map((file) => URL.createObjectURL(file));
  const saved = files.map((file, index) => h("a", {
    href: links[index], download: file.name, say: ["saveFile", { name: file.name }],
  }));
  const blocks = [["curl", curl(request)], ["Python", request.python]].map(([name, text]) => snippet(name, text));
  place.replaceChildren(...blocks, ...(saved.length ? [h("p", { class: "hint whole" }, saved)] : []));
}

function snippet(name, text) {
  const copy = h("button", {
    type: "button", class: "quiet", say: "copy", sayLabel: ["copyLabel", { name }], onclick: () => copyText(copy, text),
  });
  return h("div", { class: "snippet" }, h("div", { class: "row" }, h("h4", {}, name), copy),
    h("pre", { tabindex: 0, role: "region", "aria-label": name }, h("code", {}, text)));
}

async function copyText(copy, text) {
  try {
    await navigator.clipboard.writeText(text);
    say(copy, "text", "copied");
  } catch {
    say(copy, "text", "copyFailed"); // not over HTTPS, or not allowed: the text can be marked by hand
  }
  setTimeout(() => say(copy, "text", "copy"), 2000);
}

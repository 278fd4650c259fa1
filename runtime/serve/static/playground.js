// Where a model is tried: fields made from its signature, its answer, and the same request in other words.
import { ServerError, ask } from "./api.js";
import { button, freshId, h, labelled } from "./dom.js";
import { FieldError } from "./fields/base.js";
import { fieldFor } from "./fields/index.js";
import { inferRequest, predictRequest } from "./request.js";
import { inferred, predicted, timing } from "./results.js";
import { showSnippets } from "./snippets.js";
import { tensorField } from "./tensors.js";
import { say } from "./words.js";

const PAUSE_MS = 350; // after a stroke, before it is sent

/** The playground of one model. `update` may be called with newer metadata; what stands in the fields stays. */
export class Playground {
  /** `needsToken` is called where the server asks for a token. */
  constructor(place, metadata, needsToken) {
    this.metadata = metadata;
    this.needsToken = needsToken;
    this.isRaw = takesSamples(metadata);
    this.version = h("select", { id: freshId("version"), onchange: () => this.changed(false) });
    this.atOnce = h("input", { type: "checkbox", checked: true });
    this.fields = h("div", { class: "fields" });
    this.send = h("button", { type: "submit", class: "main", say: "send" });
    this.problem = h("p", { class: "problem", role: "alert", hidden: true, id: freshId("problem") });
    this.answer = h("div", { class: "answer", "aria-live": "polite" }, h("p", { class: "hint", say: "answerHint" }));
    this.snippets = h("div", { class: "pair" });
    place.replaceChildren(
      h("div", { class: "pair" }, this.form(), h("div", { class: "panel" }, h("h3", { say: "answer" }), this.answer)),
      h("details", { class: "same", open: true }, h("summary", { say: "sameRequest" }), this.snippets),
    );
    this.build();
    this.update(metadata);
  }

  /** Whether a model with that metadata is tried with the same fields. */
  fits(metadata) {
    const signature = ({ name, raw, inputs }) => JSON.stringify([name, raw, inputs]);
    return signature(metadata) === signature(this.metadata);
  }

  /** Take newer metadata of the same model: other versions, other labels. */
  update(metadata, names = metadata.versions) {
    this.metadata = metadata;
    const chosen = this.version.value;
    const latest = h("option", { value: "", say: ["versionDefault", { version: metadata.version }] });
    this.version.replaceChildren(latest, ...names.map((name) => h("option", { value: name }, name)));
    this.version.value = names.includes(chosen) ? chosen : "";
  }

  form() {
    const both = this.isRaw ? this.modes() : null;
    const form = h("form", { class: "panel", novalidate: true }, both, this.fields, this.problem,
      h("div", { class: "row" }, this.send, labelled(h("label", { say: "version" }), this.version),
        h("div", { class: "check" }, labelled(h("label", { say: "atOnce" }), this.atOnce))));
    form.addEventListener("submit", (event) => { event.preventDefault(); this.run(); });
    form.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.run();
    });
    return form;
  }

  modes() {
    const group = freshId("mode");
    const mode = (key, isRaw) => h("div", { class: "check" }, labelled(h("label", { say: key }), h("input", {
      type: "radio", name: group, checked: isRaw, onchange: () => { this.isRaw = isRaw; this.build(); },
    })));
    return h("fieldset", { class: "modes" }, h("legend", { say: "mode" }), mode("modeSample", true), mode("modeTensors", false));
  }

  build() {
    const changed = (isWhole) => this.changed(isWhole);
    this.parts = this.isRaw
      ? this.metadata.raw.map((raw) => ({ name: raw.name, field: fieldFor(raw, changed) }))
      : this.metadata.inputs.map((input) => ({ name: input.name, field: tensorField(input, changed) }));
    this.fields.replaceChildren(...this.parts.map(({ field }) => field.element));
    this.snippets.replaceChildren(h("p", { class: "hint", say: "sameHint" }));
    this.tell(null);
  }

  /** Something else stands in the fields: the commands follow, and what is whole is sent at once where that is wanted. */
  changed(isWhole) {
    clearTimeout(this.timer);
    const isSent = isWhole && this.atOnce.checked;
    this.timer = setTimeout(() => (isSent ? this.run({ isAsked: false }) : this.retell()), PAUSE_MS);
  }

  async request() {
    const { name } = this.metadata;
    const parts = await Promise.all(this.parts.map(async (one) => ({ name: one.name, ...(await one.field.part()) })));
    return this.isRaw ? predictRequest(name, this.version.value, parts) : inferRequest(name, this.version.value, parts);
  }

  async retell() {
    try {
      showSnippets(this.snippets, await this.request());
    } catch (error) {
      if (!(error instanceof FieldError)) throw error; // half of a sample is nothing to complain about yet
    }
  }

  /** Send what stands in the fields; the newest request wins. */
  async run({ isAsked = true } = {}) {
    clearTimeout(this.timer);
    this.running?.abort();
    const running = new AbortController();
    this.running = running;
    this.answer.setAttribute("aria-busy", "true");
    try {
      const request = await this.request();
      showSnippets(this.snippets, request);
      const start = performance.now();
      const answer = await ask(request.path, { method: "POST", body: request.body, type: request.type, signal: running.signal });
      this.show(answer, performance.now() - start);
    } catch (error) {
      this.failed(error, isAsked);
    } finally {
      if (this.running === running) this.answer.removeAttribute("aria-busy");
    }
  }

  show(answer, roundTripMs) {
    this.tell(null);
    const blocks = answer.results ? predicted(answer, this.metadata) : inferred(answer, this.metadata);
    const by = h("p", { class: "hint", say: ["answeredBy", { version: answer.model_version }] });
    this.answer.replaceChildren(...blocks, timing(answer.milliseconds, roundTripMs), by);
  }

  failed(error, isAsked) {
    if (error.name === "AbortError") return;
    if (error instanceof FieldError) {
      this.tell(error.message);
      if (isAsked) error.element?.focus();
    } else if (error instanceof ServerError) {
      this.tell(error.words);
      if (error.status === 401) this.needsToken();
    } else throw error;
  }

  tell(problem) {
    this.problem.hidden = problem === null;
    this.problem.textContent = problem ?? "";
  }
}

/** Whether a raw sample is anything else than the model's tensors. */
function takesSamples({ raw, inputs }) {
  const tensors = new Set(inputs.map((input) => input.name));
  return raw.some((one) => one.kind !== "array" || Object.keys(one.options).length > 0 || !tensors.has(one.name));
}

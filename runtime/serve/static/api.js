// What the page asks of the server, and how a refusal is told.
import { t } from "./words.js";

const STORE = "edgepack-token";
// status -> the text that says it; {error} is what the server says itself
const WORDS = {
  401: "error401", 403: "error403", 404: "error404", 409: "error409", 413: "error413", 422: "error422",
  429: "error429", 503: "error503", 504: "error504",
};

/** The server refused or failed; `status` is 0 where it did not answer at all. */
export class ServerError extends Error {
  constructor(status, error, retryAfter = null) {
    super(error);
    this.status = status;
    this.retryAfter = retryAfter;
  }

  /** What happened, in the language spoken. */
  get words() {
    const key = this.status === 0 ? "errorGone" : (WORDS[this.status] ?? (this.status >= 500 ? "error500" : "error400"));
    return t(key, { error: this.message, seconds: this.retryAfter ?? 1, status: this.status });
  }
}

/** The token of this tab; null where none was given. */
export function token() {
  return sessionStorage.getItem(STORE);
}

/** Use a token from now on, in this tab alone; an empty one forgets it. */
export function useToken(value) {
  if (value) sessionStorage.setItem(STORE, value);
  else sessionStorage.removeItem(STORE);
}

/** Ask the server; gives its JSON, or null where it answered with none. Throws `ServerError`. */
export async function ask(path, { method = "GET", body = undefined, type = "application/json", signal } = {}) {
  const headers = new Headers();
  if (body !== undefined) headers.set("Content-Type", type);
  if (token()) headers.set("Authorization", `Bearer ${token()}`);
  let response;
  try {
    response = await fetch(path, { method, body, headers, signal, cache: "no-store" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ServerError(0, String(error.message));
  }
  const answer = await response.json().catch(() => null);
  if (response.ok) return answer;
  const told = typeof answer?.error === "string" ? answer.error : response.statusText;
  throw new ServerError(response.status, told, response.headers.get("Retry-After"));
}

/** The path of a model, or of one version or label of it. */
export function modelPath(name, version = "") {
  const own = `/v2/models/${encodeURIComponent(name)}`;
  return version ? `${own}/versions/${encodeURIComponent(version)}` : own;
}

/** What is asked of the repository; each needs the right to change it. */
export const repository = {
  load: (name, version) => change(name, "load", { parameters: { version } }),
  unload: (name, version) => change(name, "unload", { parameters: { version } }),
  rollback: (name) => change(name, "rollback", {}),
  label: (name, label, version) => ask(
    `/v2/repository/models/${encodeURIComponent(name)}/labels/${encodeURIComponent(label)}`,
    { method: "PUT", body: JSON.stringify({ version }) },
  ),
};

function change(name, verb, body) {
  const path = `/v2/repository/models/${encodeURIComponent(name)}/${verb}`;
  return ask(path, { method: "POST", body: JSON.stringify(body) });
}

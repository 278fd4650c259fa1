// A request to a model, and the same as curl and as Python.
import { modelPath, token } from "./api.js";
import { python } from "./fields/base.js";

const MOST_INLINE = 1500; // characters of a body that stands in the command itself

/**
 * The request that takes one raw sample.
 *
 * @param {string} model
 * @param {string} version  a version, a label, or empty for the one that answers by default
 * @param {{name: string, json: any, file?: File, python: string}[]} parts  of the sample, one or more
 */
export async function predictRequest(model, version, parts) {
  const path = `${modelPath(model, version)}/predict`;
  const [only] = parts;
  const sample = parts.length === 1 ? only.python
    : `{${parts.map((part) => `${JSON.stringify(part.name)}: ${part.python}`).join(", ")}}`;
  const files = parts.flatMap((part) => (part.file ? [part.file] : []));
  const call = clientCall("predict", model, version, sample);
  if (parts.length === 1 && only.file) {
    return { path, body: only.file, type: only.file.type || "application/octet-stream", files, python: call };
  }
  const named = await Promise.all(parts.map(async (part) => [part.name, await part.json]));
  const json = { sample: parts.length === 1 ? named[0][1] : Object.fromEntries(named) };
  return { path, body: JSON.stringify(json), type: "application/json", files, python: call };
}

/** The request that takes tensors. */
export function inferRequest(model, version, tensors) {
  const arrays = tensors.map(({ name, datatype, nested }) => `${JSON.stringify(name)}: np.array(${python(nested)}, ${DTYPES[datatype] ?? "object"})`);
  const inputs = tensors.map(({ name, datatype, shape, nested }) => ({
    name, datatype, shape, data: Array.isArray(nested) ? nested.flat(Infinity) : [nested],
  }));
  const call = clientCall("run", model, version, `{${arrays.join(", ")}}`);
  return {
    path: `${modelPath(model, version)}/infer`, body: JSON.stringify({ inputs }), type: "application/json", files: [],
    python: call,
  };
}

const DTYPES = {
  BOOL: '"bool"', UINT8: '"uint8"', UINT16: '"uint16"', UINT32: '"uint32"', UINT64: '"uint64"', INT8: '"int8"',
  INT16: '"int16"', INT32: '"int32"', INT64: '"int64"', FP16: '"float16"', FP32: '"float32"', FP64: '"float64"',
};

/** The files that the commands name: those that were given, and the body where it is too long for a line. */
export function filesOf(request) {
  const own = typeof request.body === "string" ? [] : [request.body];
  if (own.length || !isLong(request)) return [...new Set([...own, ...request.files])];
  return [...request.files, new File([request.body], "request.json", { type: request.type })];
}

/** The request as a command. A token is never written out: the shell's own variable holds it. */
export function curl(request) {
  const parts = [`curl ${location.origin}${request.path}`];
  if (token()) parts.push('-H "Authorization: Bearer $EDGEPACK_TOKEN"');
  parts.push(`-H ${quoted(`Content-Type: ${request.type}`)}`);
  if (typeof request.body !== "string") parts.push(`--data-binary ${quoted(`@${request.body.name}`)}`);
  else parts.push(isLong(request) ? "--data-binary @request.json" : `-d ${quoted(request.body)}`);
  return parts.join(" \\\n  ");
}

function isLong(request) {
  return request.body.length > MOST_INLINE;
}

function clientCall(verb, model, version, given) {
  const own = token() ? ', token=os.environ["EDGEPACK_TOKEN"]' : "";
  const at = version ? `, version=${JSON.stringify(version)}` : "";
  const lines = [
    ...(token() ? ["import os", ""] : []),
    ...(given.includes("np.array(") ? ["import numpy as np"] : []),
    "from edgepack.client import Client",
    "",
    `client = Client(${JSON.stringify(location.origin)}${own})`,
    `print(client.${verb}(${JSON.stringify(model)}, ${given}${at}))`,
  ];
  return lines.join("\n");
}

function quoted(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

/**
 * The exception of a line as the text of a traceback. Exceptions as objects are those of our formatter and of
 * structlog. The rules are those of eventlog/tracebacks.py; a test compares the texts.
 */

import { elements, text } from "./json.js";

const CAUSE = "The above exception was the direct cause of the following exception:";
const CONTEXT = "During handling of the above exception, another exception occurred:";

/** How many exceptions within exceptions are shown. */
const DEEPEST = 50;

/** @typedef {Record<string, any>} Fields */

/**
 * What a JSON text says about an exception, as text; an empty one if it says nothing. It is a string, an array
 * of lines, or an exception as an object.
 * @param {string} raw
 * @returns {string}
 */
export function tracebackOf(raw) {
  if (raw[0] === '"') return text(raw).trim() && text(raw);
  if (raw[0] === "[" && elements(raw).every((line) => line[0] === '"')) {
    const lines = elements(raw).map((line) => text(line).replace(/\n+$/, "")).join("\n");
    return lines.trim() && lines;
  }
  let value;
  try {
    value = JSON.parse(raw);
  } catch {
    return "";
  }
  if (isOurs(value)) return ours(value, DEEPEST).join("\n");
  return isStructlogs(value) ? structlogs(value, DEEPEST).join("\n") : "";
}

/** @param {any} value */
const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);

/** @param {any} value */
const isOurs = (value) => isObject(value) && typeof value.type === "string";

/** @param {any} value */
function isStructlogs(value) {
  return Array.isArray(value) && value.every((each) => isObject(each) && typeof each.exc_type === "string");
}

/** @param {Fields} error @param {number} deepest @returns {string[]} */
function ours(error, deepest) {
  const lines = [];
  for (const [before, between] of [[error.cause, CAUSE], [error.context, CONTEXT]]) {
    if (isOurs(before) && deepest) lines.push(...ours(before, deepest - 1), "", between, "");
  }
  lines.push(...stack(error.stack, ["file", "line", "function"], "code", error.frames_omitted));
  lines.push(...end(error.type, error.message, error.notes));
  if (Array.isArray(error.exceptions) && deepest) {
    for (const each of error.exceptions) if (isOurs(each)) lines.push(...member(ours(each, deepest - 1)));
  }
  return lines;
}

/** @param {Fields[]} errors @param {number} deepest @returns {string[]} */
function structlogs(errors, deepest) {
  const lines = [];
  for (const [number, error] of [...errors.entries()].reverse()) {
    lines.push(...stack(error.frames, ["filename", "lineno", "name"], "line", undefined));
    lines.push(...end(error.exc_type, error.exc_value, error.exc_notes));
    if (Array.isArray(error.exceptions) && deepest) {
      for (const each of error.exceptions) {
        if (isStructlogs(each)) lines.push(...member(structlogs(each, deepest - 1)));
      }
    }
    if (number) lines.push("", error.is_cause ? CAUSE : CONTEXT, "");
  }
  return lines;
}

/** @param {any} frames @param {string[]} names @param {string} code @param {any} omitted */
function stack(frames, [file, line, name], code, omitted) {
  /** @type {Fields[]} */
  const known = Array.isArray(frames) ? frames.filter(isObject) : [];
  const lines = known.length ? ["Traceback (most recent call last):"] : [];
  for (const [number, frame] of known.entries()) {
    if (Number.isInteger(omitted) && number === Math.floor(known.length / 2)) {
      lines.push(`  … ${omitted} more frames`);
    }
    const at = Number.isInteger(frame[line]) ? `, line ${frame[line]}` : "";
    const where = typeof frame[name] === "string" ? `, in ${frame[name]}` : "";
    lines.push(`  File "${typeof frame[file] === "string" ? frame[file] : "?"}"${at}${where}`);
    if (typeof frame[code] === "string" && frame[code]) lines.push(`    ${frame[code]}`);
  }
  return lines;
}

/** @param {string} kind @param {any} message @param {any} notes */
function end(kind, message, notes) {
  const last = typeof message === "string" && message ? `${kind}: ${message}` : kind;
  return [last, ...(Array.isArray(notes) ? notes.filter((note) => typeof note === "string") : [])];
}

/** @param {string[]} lines */
const member = (lines) => ["  +----------------", ...lines.map((line) => `  | ${line}`)];

/** One event of a log: its JSON as it was sent, and the values that the page shows. */

import { fields, members, text } from "./json.js";
import { USUAL } from "./meaning.js";

/** An event of a log. */
export class LogEvent {
  /**
   * @param {string} raw one JSON object
   * @param {number} id its rank in the list: a later event has a greater one
   * @param {import("./meaning.js").Meaning} meaning the meaning of its fields
   * @param {string} log the name of its log
   * @param {string} cursor its place there
   */
  constructor(raw, id = 0, meaning = USUAL, log = "", cursor = "") {
    const found = fields(raw);
    this.raw = raw;
    this.id = id;
    this.meaning = meaning;
    this.log = log;
    this.cursor = cursor;
    this.level = meaning.levelOf(found);
    this.isError = meaning.isError(found);
    this.traceId = meaning.traceOf(found);
    this.time = meaning.timeOf(found);
  }

  /** Its name; empty for a plain log message. */
  get name() {
    return this.meaning.eventOf(fields(this.raw));
  }

  /** Its message; empty if that only repeats its name. */
  get message() {
    return this.meaning.messageOf(fields(this.raw));
  }

  /** Its duration in milliseconds; null if it has none. */
  get duration() {
    return this.meaning.durationOf(fields(this.raw));
  }

  /**
   * Whether it contains a text, ignoring case.
   * @param {RegExp} expression
   */
  holds(expression) {
    if (expression.test(this.raw)) return true;
    // Characters written as escapes match too.
    return this.raw.includes("\\") && members(this.raw).some(([, written]) => expression.test(text(written)));
  }
}

/**
 * The value of a field as text; empty if it is absent or null.
 * @param {Map<string, string>} found
 * @param {string} key
 */
export function value(found, key) {
  const raw = found.get(key);
  return raw === undefined || raw === "null" ? "" : text(raw);
}

/**
 * The value of a field as JSON, and the names that lead to it; null if there is none.
 * @param {Map<string, string>} found
 * @param {string} name a key, or a path into objects
 * @returns {import("./values.js").Value | null}
 */
export function valueAt(found, name) {
  const raw = found.get(name);
  const dot = name.indexOf(".");
  if (raw !== undefined || dot < 0) return raw === undefined ? null : { path: [name], raw };
  const outer = name.slice(0, dot);
  const inner = found.get(outer);
  const value = inner?.[0] === "{" ? valueAt(fields(inner), name.slice(dot + 1)) : null;
  return value && { path: [outer, ...value.path], raw: value.raw };
}

/**
 * A span of time for people: 12 µs, 3.4 ms, 1.25 s, 2 min 5 s.
 * @param {number} milliseconds
 */
export function span(milliseconds) {
  const size = Math.abs(milliseconds);
  if (size === 0) return "0 ms";
  if (size < 0.9995) return `${Math.round(milliseconds * 1000)} µs`;
  if (size < 999.5) return `${Number(milliseconds.toPrecision(3))} ms`;
  if (size < 59_950) return `${Number((milliseconds / 1000).toPrecision(3))} s`;
  const seconds = Math.round(milliseconds / 1000);
  if (size < 3_600_000) return `${Math.trunc(seconds / 60)} min ${Math.abs(seconds % 60)} s`;
  return `${Math.trunc(seconds / 3600)} h ${Math.abs(Math.trunc(seconds / 60) % 60)} min`;
}

/**
 * A time after the start of a trace: +12.3 ms, +1.234 s.
 * @param {number} milliseconds
 * @param {number} whole the length of the trace in milliseconds, which decides the unit
 */
export function offset(milliseconds, whole) {
  return whole < 10_000 ? `+${milliseconds.toFixed(1)} ms` : `+${(milliseconds / 1000).toFixed(3)} s`;
}

/** One event of a log: its JSON as it was sent, and what the page needs of it. */

import { fields, members, text } from "./json.js";

const FAILED = new Set(["error", "failed", "failure", "fatal"]);
const SEVERE = new Set(["ERROR", "CRITICAL", "FATAL"]);
const FRACTION = /\.\d{3}(\d{1,6})/;
const NUMBER = /^-?\d+(\.\d+)?$/;

/** What an event is in its log. */
export class LogEvent {
  /**
   * @param {string} raw one JSON object
   * @param {number} id its place in the list: a later event has a greater one
   */
  constructor(raw, id = 0) {
    const found = fields(raw);
    this.raw = raw;
    this.id = id;
    this.level = value(found, "level").toUpperCase();
    this.traceId = value(found, "trace_id");
    this.time = timeOf(value(found, "timestamp"));
    this.isError =
      SEVERE.has(this.level) ||
      FAILED.has(value(found, "status").toLowerCase()) ||
      value(found, "error_message") !== "";
  }

  /** What happened, by name; empty for a plain log message. */
  get name() {
    const found = fields(this.raw);
    return value(found, "event") || value(found, "event_type");
  }

  get message() {
    return value(fields(this.raw), "message");
  }

  /** How long it took, in milliseconds; null if it does not say so. */
  get duration() {
    const milliseconds = value(fields(this.raw), "duration_ms");
    return NUMBER.test(milliseconds) ? Number(milliseconds) : null;
  }

  /**
   * Whether a text is in it, in any case.
   * @param {RegExp} expression
   */
  holds(expression) {
    if (expression.test(this.raw)) return true;
    // Characters that are written as escapes are found as themselves too.
    return this.raw.includes("\\") && members(this.raw).some(([, written]) => expression.test(text(written)));
  }
}

/**
 * What a field says as text; empty if it is absent or null.
 * @param {Map<string, string>} found
 * @param {string} key
 */
export function value(found, key) {
  const raw = found.get(key);
  return raw === undefined || raw === "null" ? "" : text(raw);
}

/**
 * A time in milliseconds since 1970, with its microseconds as a fraction; NaN if it is none.
 * @param {string} stamp
 */
export function timeOf(stamp) {
  if (NUMBER.test(stamp)) return Number(stamp) * 1000;
  const below = FRACTION.exec(stamp);
  return Date.parse(stamp) + (below ? Number(`0.${below[1]}`) : 0);
}

/** @param {number} part @param {number} width */
function digits(part, width) {
  return String(part).padStart(width, "0");
}

/**
 * The time of day where the reader is, to the millisecond.
 * @param {number} time
 */
export function timeOfDay(time) {
  const at = new Date(time);
  const clock = [at.getHours(), at.getMinutes(), at.getSeconds()].map((part) => digits(part, 2)).join(":");
  return `${clock}.${digits(at.getMilliseconds(), 3)}`;
}

/**
 * The day where the reader is: 2025-10-17; as text, later days come later.
 * @param {number} time
 */
export function dateOf(time) {
  const at = new Date(time);
  return `${digits(at.getFullYear(), 4)}-${digits(at.getMonth() + 1, 2)}-${digits(at.getDate(), 2)}`;
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
 * A time after a beginning, all of one whole in one form: +12.3 ms, +1.234 s.
 * @param {number} milliseconds
 * @param {number} whole
 */
export function offset(milliseconds, whole) {
  return whole < 10_000 ? `+${milliseconds.toFixed(1)} ms` : `+${(milliseconds / 1000).toFixed(3)} s`;
}

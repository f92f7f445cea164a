/** One event of a log: its JSON as it was sent, and the values that the page shows. */

import { fields, members, text } from "./json.js";

// Interprets the fields as eventlog/meaning.py does; a test compares the results.

/** @type {[number, string][]} */
const LEVELS = [[50, "CRITICAL"], [40, "ERROR"], [30, "WARNING"], [20, "INFO"], [-Infinity, "DEBUG"]];
const OTHER_NAMES = new Map([["WARN", "WARNING"], ["FATAL", "CRITICAL"]]);
const ERROR_LEVELS = new Set(["ERROR", "CRITICAL"]);
const FAILED_STATUSES = new Set(["error", "failed", "failure", "fatal"]);
const EMPTY_ERRORS = new Set(["", "false", "0", "[]", "{}"]);
const WHOLE = /^-?\d+$/;
const TIME = /^(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d)?)(?:[.,](\d+))?(Z|[+-]\d\d:?\d\d)?)?$/i;
/** The years 2 to 9998, in milliseconds since 1970. */
const EARLIEST_MS = -62104060800_000;
const LATEST_MS = 253370764800_000;
const LONGEST_DURATION_MS = 1e15;

/** An event of a log. */
export class LogEvent {
  /**
   * @param {string} raw one JSON object
   * @param {number} id its rank in the list: a later event has a greater one
   */
  constructor(raw, id = 0) {
    const found = fields(raw);
    this.raw = raw;
    this.id = id;
    const level = levelOf(found.get("level") ?? "null");
    const hasFailed =
      FAILED_STATUSES.has(value(found, "status").toLowerCase()) ||
      (value(found, "event_type") !== "" && !EMPTY_ERRORS.has(value(found, "error_message")));
    this.level = level || (hasFailed ? "ERROR" : "");
    this.isError = ERROR_LEVELS.has(level) || hasFailed;
    this.traceId = value(found, "trace_id");
    this.time = timeOf(found.get("timestamp") ?? "null");
  }

  /** Its name; empty for a plain log message. */
  get name() {
    const found = fields(this.raw);
    return value(found, "event") || value(found, "event_type");
  }

  /** Its message; empty if that only repeats its name. */
  get message() {
    const message = value(fields(this.raw), "message");
    return this.name && message === `Event: ${this.name}` ? "" : message;
  }

  /** Its duration in milliseconds; null if it has none. */
  get duration() {
    const milliseconds = numberOf(fields(this.raw).get("duration_ms") ?? "null");
    return milliseconds >= 0 && milliseconds < LONGEST_DURATION_MS ? milliseconds : null;
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
 * The name of a level; empty if it is neither text nor a whole number.
 * @param {string} raw
 */
function levelOf(raw) {
  if (WHOLE.test(raw)) return LEVELS.find(([least]) => Number(raw) >= least)?.[1] ?? "";
  const name = raw[0] === '"' ? text(raw).toUpperCase() : "";
  return OTHER_NAMES.get(name) ?? name;
}

/**
 * A time in milliseconds since 1970, with its microseconds as a fraction; NaN if it is none.
 * @param {string} raw
 */
function timeOf(raw) {
  // Seconds are rounded to microseconds, because a double may not hold the intended value exactly.
  const time = raw[0] === '"' ? parseTime(text(raw)) : Math.round(numberOf(raw) * 1e6) / 1000;
  return time >= EARLIEST_MS && time < LATEST_MS ? time : NaN;
}

/** @param {string} iso */
function parseTime(iso) {
  const [, day = "", clock = "00:00", fraction = "", zone = ""] = TIME.exec(iso) ?? [];
  // Browsers read 31 September as 1 October.
  if (new Date(`${day}T00:00Z`).getUTCDate() !== Number(day.slice(8))) return NaN;
  return Date.parse(`${day}T${clock}${zone.toUpperCase()}`) + 1000 * Number(`0.${fraction.slice(0, 6)}`);
}

/** @param {string} raw */
function numberOf(raw) {
  return /^[-\d]/.test(raw) ? Number(raw) : NaN;
}

/** @param {number} part @param {number} width */
function digits(part, width) {
  return String(part).padStart(width, "0");
}

/**
 * The local time of day, to the millisecond.
 * @param {number} time
 */
export function timeOfDay(time) {
  const at = new Date(time);
  const clock = [at.getHours(), at.getMinutes(), at.getSeconds()].map((part) => digits(part, 2)).join(":");
  return `${clock}.${digits(at.getMilliseconds(), 3)}`;
}

/**
 * The local day, such as 2025-10-17; as text, days sort by time.
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
 * A time after the start of a trace: +12.3 ms, +1.234 s.
 * @param {number} milliseconds
 * @param {number} whole the length of the trace in milliseconds, which decides the unit
 */
export function offset(milliseconds, whole) {
  return whole < 10_000 ? `+${milliseconds.toFixed(1)} ms` : `+${(milliseconds / 1000).toFixed(3)} s`;
}

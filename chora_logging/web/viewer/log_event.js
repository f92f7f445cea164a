/** One event of a log: its JSON as it was sent, and what the page needs of it. */

import { fields, members, text } from "./json.js";

// What fields mean is said in eventlog/meaning.py; a test compares the answers.

/** @type {[number, string][]} */
const LEVELS = [[50, "CRITICAL"], [40, "ERROR"], [30, "WARNING"], [20, "INFO"], [-Infinity, "DEBUG"]];
const OTHER_NAMES = new Map([["WARN", "WARNING"], ["FATAL", "CRITICAL"]]);
const SEVERE = new Set(["ERROR", "CRITICAL"]);
const FAILED = new Set(["error", "failed", "failure", "fatal"]);
const NO_ERROR = new Set(["", "false", "0", "[]", "{}"]);
const WHOLE = /^-?\d+$/;
const TIME = /^(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d)?)(?:[.,](\d+))?(Z|[+-]\d\d:?\d\d)?)?$/i;
/** The years 2 to 9998, in milliseconds since 1970. */
const EARLIEST = -62104060800_000;
const LATEST = 253370764800_000;
const LONGEST_DURATION = 1e15;

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
    const level = levelOf(found.get("level") ?? "null");
    const saysFailed =
      FAILED.has(value(found, "status").toLowerCase()) ||
      (value(found, "event_type") !== "" && !NO_ERROR.has(value(found, "error_message")));
    this.level = level || (saysFailed ? "ERROR" : "");
    this.isError = SEVERE.has(level) || saysFailed;
    this.traceId = value(found, "trace_id");
    this.time = timeOf(found.get("timestamp") ?? "null");
  }

  /** What happened, by name; empty for a plain log message. */
  get name() {
    const found = fields(this.raw);
    return value(found, "event") || value(found, "event_type");
  }

  /** What it says beside its name; empty if that only says the name again. */
  get message() {
    const message = value(fields(this.raw), "message");
    return this.name && message === `Event: ${this.name}` ? "" : message;
  }

  /** How long it took, in milliseconds; null if it does not say so. */
  get duration() {
    const milliseconds = numberOf(fields(this.raw).get("duration_ms") ?? "null");
    return milliseconds >= 0 && milliseconds < LONGEST_DURATION ? milliseconds : null;
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
  // Seconds are rounded to microseconds, as there may be no closer number to those that were meant.
  const time = raw[0] === '"' ? parseTime(text(raw)) : Math.round(numberOf(raw) * 1e6) / 1000;
  return time >= EARLIEST && time < LATEST ? time : NaN;
}

/** @param {string} iso */
function parseTime(iso) {
  const [, day = "", clock = "00:00", fraction = "", zone = ""] = TIME.exec(iso) ?? [];
  // To browsers 31 September is 1 October.
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

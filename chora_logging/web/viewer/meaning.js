/** Interprets the fields of an event as eventlog/meaning.py does, with its table; a test compares the answers. */

import { fields, text } from "./json.js";
import { TABLE } from "./table.js";
import { tracebackOf } from "./traceback.js";

/** @typedef {Map<string, string>} Found the members of an event: each key, and its value as JSON text */

const WHOLE = /^-?\d+$/;
const NUMBERED = /^(?:LEVEL )?(\d{1,9})$/i;
const BETWEEN = /^(\w+)[+-]\d+$/;
const TIME = /^(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d)?)(?:[.,](\d+))? ?(Z|[+-]\d\d:?\d\d)?)?$/i;
const PART = /(\d+(?:\.\d*)?|\.\d+) ?(h|min|ms|m|s|us|µs|μs|ns)/g;
const DURATION = new RegExp(`^(?:${PART.source} ?)+$`);
const FAILED = new Set(TABLE.failed);
const EMPTY_ERRORS = new Set(["", "null", '""', "false", "0", "[]", "{}"]);
const { ERROR } = TABLE.levels;

/** The names and severities of levels, the highest first. */
const LEVELS = Object.entries(TABLE.levels).reverse();

/** What the fields of the events of a log mean. */
export class Meaning {
  /** @param {Record<string, string>} [own] by meaning, the name of a field that comes before those of the table */
  constructor(own = {}) {
    /** @type {Record<string, string[]>} */
    this.names = {};
    for (const [meaning, names] of Object.entries(TABLE.names)) {
      this.names[meaning] = own[meaning] ? [own[meaning], ...names] : [...names];
    }
  }

  /**
   * The names of a meaning that have a value, with it.
   * @param {string} meaning
   * @param {Found} event
   * @returns {Generator<[string, string]>}
   */
  *found(meaning, event) {
    for (const name of this.names[meaning]) {
      const raw = at(event, name);
      if (raw !== undefined && raw !== "null" && raw !== '""') yield [name, raw];
    }
  }

  /**
   * The field that has a meaning; undefined if there is none.
   * @param {string} meaning
   * @param {Found} event
   */
  fieldOf(meaning, event) {
    for (const [name] of this.found(meaning, event)) if (event.has(name)) return name;
    return undefined;
  }

  /**
   * The time in milliseconds since 1970, with its microseconds as a fraction; NaN if there is none.
   * @param {Found} event
   */
  timeOf(event) {
    const [first] = this.names.time;
    for (const [name, raw] of this.found("time", event)) {
      const time = readTime(raw);
      const isLikely = name === first || raw[0] === '"' || time >= 1000 * TABLE.leastNumberSeconds;
      if (!Number.isNaN(time) && isLikely) return time;
    }
    return NaN;
  }

  /**
   * The name of the level; empty if there is none.
   * @param {Found} event
   */
  levelOf(event) {
    const level = this.#level(event);
    if (level === undefined) return hasFailed(event, this.names.error[0]) ? "ERROR" : "";
    return levelName(level);
  }

  /**
   * Whether the event reports a failure.
   * @param {Found} event
   */
  isError(event) {
    const level = this.#level(event);
    return (level !== undefined && severity(level) >= ERROR) || hasFailed(event, this.names.error[0]);
  }

  /**
   * The name; empty for a plain log message.
   * @param {Found} event
   */
  eventOf(event) {
    for (const [, raw] of this.found("event", event)) if (raw[0] !== "{") return text(raw);
    return "";
  }

  /**
   * The message; empty if there is none, or if it only repeats the name.
   * @param {Found} event
   */
  messageOf(event) {
    for (const [, raw] of this.found("message", event)) {
      const name = this.eventOf(event);
      return name && text(raw) === `Event: ${name}` ? "" : text(raw);
    }
    return "";
  }

  /**
   * The id of the trace; empty if there is none.
   * @param {Found} event
   */
  traceOf(event) {
    const [first] = this.names.trace;
    for (const [name, raw] of this.found("trace", event)) {
      if (name === first) return text(raw);
      if (raw[0] !== '"' && !WHOLE.test(raw)) continue;
      const id = TABLE.paths.includes(name) ? text(raw).slice(text(raw).lastIndexOf("/") + 1) : text(raw);
      if (/[^0]/.test(id)) return id;
    }
    return "";
  }

  /**
   * The id of the span, and that of the span around it; empty if there is none.
   * @param {Found} event
   * @returns {[string, string]}
   */
  spansOf(event) {
    const [span, parent] = ["span", "parent"].map((meaning) => {
      const [found] = this.found(meaning, event);
      return found ? text(found[1]) : "";
    });
    return [span, parent];
  }

  /**
   * The duration in milliseconds; null if there is none.
   * @param {Found} event
   */
  durationOf(event) {
    for (const [name, raw] of this.found("duration", event)) {
      const duration = readDuration(raw, TABLE.units[name] ?? 1);
      if (!Number.isNaN(duration)) return duration;
    }
    return null;
  }

  /**
   * The traceback; empty if there is none.
   * @param {Found} event
   */
  exceptionOf(event) {
    for (const [, raw] of this.found("exception", event)) {
      const traceback = tracebackOf(raw);
      if (traceback) return traceback;
    }
    return "";
  }

  /** @param {Found} event @returns {string | number | undefined} */
  #level(event) {
    for (const [name, raw] of this.found("level", event)) {
      if (raw[0] === '"') return text(raw);
      if (WHOLE.test(raw)) return standardNumber(Number(raw), name, event);
    }
    // CLEF leaves out Information.
    return event.has("@t") && (event.has("@mt") || event.has("@m")) ? "INFO" : undefined;
  }
}

/** The meanings without names of one's own. */
export const USUAL = new Meaning();

/** @type {Map<string, Meaning>} */
const byLog = new Map();

/**
 * Set the fields that the server names for its logs.
 * @param {Record<string, Record<string, string>>} given by log
 */
export function setFields(given) {
  byLog.clear();
  for (const [log, own] of Object.entries(given)) byLog.set(log, new Meaning(own));
}

/** @param {string} log */
export function meaningOf(log) {
  return byLog.get(log) ?? USUAL;
}

/**
 * The value at a name, a key or a path into objects.
 * @param {Found} event
 * @param {string} name
 * @returns {string | undefined}
 */
function at(event, name) {
  const raw = event.get(name);
  const dot = name.indexOf(".");
  if ((raw !== undefined && raw !== "null") || dot < 0) return raw;
  const inner = event.get(name.slice(0, dot));
  return inner?.[0] === "{" ? at(fields(inner), name.slice(dot + 1)) : undefined;
}

/** @param {Found} event @param {string} error the first name of an error */
function hasFailed(event, error) {
  const states = TABLE.outcomes.map((name) => event.get(name) ?? "");
  if (states.some((raw) => raw[0] === '"' && FAILED.has(text(raw).toLowerCase()))) return true;
  const isTyped = !EMPTY_ERRORS.has(event.get(TABLE.type) ?? "");
  return isTyped && ["error_message", error].some((name) => !EMPTY_ERRORS.has(event.get(name) ?? ""));
}

/** @param {string | number} level */
function levelName(level) {
  const name = typeof level === "string" ? level.toUpperCase() : "";
  const number = typeof level === "number" ? level : Number(NUMBERED.exec(name)?.[1] ?? NaN);
  if (Number.isNaN(number)) return TABLE.synonyms[name] ?? name;
  return LEVELS.find(([, least]) => number >= least)?.[0] ?? "DEBUG";
}

/**
 * The number of a level; NaN if its name is unknown.
 * @param {string | number} level
 * @returns {number}
 */
function severity(level) {
  if (typeof level === "number") return level;
  const name = level.toUpperCase();
  const numbered = NUMBERED.exec(name);
  return numbered ? Number(numbered[1]) : TABLE.severities[name] ?? TABLE.severities[BETWEEN.exec(name)?.[1] ?? ""] ?? NaN;
}

/**
 * A number of a level as one of Python's.
 * @param {number} number
 * @param {string} field
 * @param {Found} event
 */
function standardNumber(number, field, event) {
  const { pino, syslog, nextcloud, opentelemetry } = TABLE;
  const has = (/** @type {string[]} */ ...keys) => keys.every((key) => event.has(key));
  if (field === "severity_number") {
    return opentelemetry[Math.min(Math.floor(Math.max(number - 1, 0) / 4), opentelemetry.length - 1)];
  }
  const isLate = numberOf(event.get("time") ?? "") >= 1e11;
  if (has("pid", "hostname", "v") || (pino.includes(number) && has("msg") && isLate)) {
    return Math.max(number - 10, Math.floor(TABLE.levels.DEBUG / 2));
  }
  const isGelf = has("short_message") || (has("host") && text(event.get("version") ?? "") === "1.1");
  if (isGelf && number in syslog) return syslog[number];
  return number in nextcloud && has("reqId", "remoteAddr") ? nextcloud[number] : number;
}

/**
 * A time in milliseconds; NaN if it is none.
 * @param {string} raw
 */
function readTime(raw) {
  const time = raw[0] === '"' ? parseTime(text(raw)) : fromNumber(numberOf(raw));
  return time >= 1000 * TABLE.earliestSeconds && time < 1000 * TABLE.latestSeconds ? time : NaN;
}

/** @param {number} number in a unit that its size shows */
function fromNumber(number) {
  const parts = TABLE.timeUnits.find(([least]) => number >= least)?.[1] ?? 1;
  // Rounded to microseconds, because a double may not hold the intended value exactly.
  return Math.round((number / parts) * 1e6) / 1000;
}

/** @param {string} iso */
function parseTime(iso) {
  const [, day = "", clock = "00:00", fraction = "", zone = ""] = TIME.exec(iso) ?? [];
  // Browsers read 31 September as 1 October.
  if (new Date(`${day}T00:00Z`).getUTCDate() !== Number(day.slice(8))) return NaN;
  const offset = zone.toUpperCase().replace(/^([+-]\d\d)(\d\d)$/, "$1:$2");
  return Date.parse(`${day}T${clock}${offset}`) + 1000 * Number(`0.${fraction.slice(0, 6)}`);
}

/**
 * A duration in milliseconds; NaN if it is none.
 * @param {string} raw
 * @param {number} unit of a number
 */
function readDuration(raw, unit) {
  let duration = numberOf(raw) * unit;
  if (raw[0] === '"' && DURATION.test(text(raw))) {
    duration = [...text(raw).matchAll(PART)].reduce((sum, [, n, name]) => sum + Number(n) * TABLE.durationUnits[name], 0);
  }
  return duration >= 0 && duration < TABLE.longestDuration ? duration : NaN;
}

/** @param {string} raw */
function numberOf(raw) {
  return /^[-\d]/.test(raw) ? Number(raw) : NaN;
}

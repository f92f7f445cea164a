/** Numbers of events by time: what the server counted of the stored ones, and each that came since. */

import { TABLE } from "./table.js";

const SECOND = 1000;
/** Lengths of intervals that people use, in seconds. */
const STEPS = [
  ...[1, 2, 5, 10, 15, 30],
  ...[1, 2, 5, 10, 15, 30].map((minutes) => 60 * minutes),
  ...[1, 2, 3, 6, 12].map((hours) => 3600 * hours),
  ...[1, 2, 7, 14, 28, 91, 364].map((days) => 86_400 * days),
];
const LONGEST_STEP_DAYS = 999;
/** The most intervals in memory. */
const MOST_INTERVALS = 4000;

/**
 * @typedef {object} Interval
 * @property {Record<string, number>} counts by level
 * @property {number} errors
 *
 * @typedef {object} Bar
 * @property {number} start milliseconds since 1970
 * @property {number} events
 * @property {number} errors
 * @property {number} warnings
 * @property {Record<string, number>} counts by level
 *
 * @typedef {object} Page the answer of the server
 * @property {number} step seconds
 * @property {(Interval & {time: string})[]} intervals
 * @property {number} events
 * @property {number} errors
 * @property {number} without_time
 * @property {boolean} more
 * @property {string | null} next
 * @property {Record<string, string | null>} [read_to]
 *
 * @typedef {[number, number]} Span from and to, in milliseconds since 1970
 */

/** The counts of one selection. */
export class Counts {
  /** @type {Map<number, Interval>} by the start in milliseconds */ #intervals = new Map();
  /** @type {import("./log_event.js").LogEvent[]} events that came before the first answer */ #early = [];
  /** The length of the intervals in seconds; 0 before the first answer. */
  step = 0;
  events = 0;
  errors = 0;
  timeless = 0;
  /** What is missing in the logs, as JSON. @type {Set<string>} */ gaps = new Set();
  /** Whether the logs were read to their beginning. */
  isWhole = false;
  /** The time back to which all is counted; NaN if it is unknown. */
  readTo = NaN;

  /** @param {Page} page */
  addPage(page) {
    if (!this.step) this.step = page.step;
    this.events += page.events;
    this.errors += page.errors;
    this.timeless += page.without_time;
    for (const { time, counts, errors } of page.intervals) this.#add(Date.parse(time), counts, errors);
    this.isWhole = !page.more;
    // Of several logs, the one that was read the least far.
    const reached = Object.values(page.read_to ?? {}).map((time) => (time === null ? NaN : Date.parse(time)));
    this.readTo = reached.length ? Math.max(...reached) : NaN;
    const early = this.#early;
    this.#early = [];
    for (const event of early) this.#addTime(event);
  }

  /** @param {import("./log_event.js").LogEvent} event */
  add(event) {
    this.events += 1;
    if (event.isError) this.errors += 1;
    if (Number.isNaN(event.time)) this.timeless += 1;
    else if (this.step) this.#addTime(event);
    else this.#early.push(event);
  }

  /** @param {import("./log_event.js").LogEvent} event */
  #addTime(event) {
    this.#add(event.time, { [Object.hasOwn(TABLE.levels, event.level) ? event.level : "other"]: 1 }, event.isError ? 1 : 0);
  }

  /** @param {number} time @param {Record<string, number>} counts @param {number} errors */
  #add(time, counts, errors) {
    const length = this.step * SECOND;
    const start = Math.floor(time / length) * length;
    const interval = this.#intervals.get(start) ?? { counts: {}, errors: 0 };
    for (const [level, number] of Object.entries(counts)) interval.counts[level] = (interval.counts[level] ?? 0) + number;
    interval.errors += errors;
    this.#intervals.set(start, interval);
    if (this.#intervals.size > MOST_INTERVALS) this.#coarsen();
  }

  /** Combine the intervals to fewer ones: a page that follows for days has no more of them. */
  #coarsen() {
    const [first, last] = this.span ?? [0, 0];
    const step = stepFor(last - first, MOST_INTERVALS / 4, this.step);
    // A few that are far from each other cannot be combined.
    this.step = step > this.step ? step : 2 * this.step;
    const before = this.#intervals;
    this.#intervals = new Map();
    for (const [start, { counts, errors }] of before) this.#add(start, counts, errors);
  }

  /** Whether all events are counted that there were. */
  get isAll() {
    return this.isWhole && !this.gaps.size;
  }

  /**
   * The times in which there may have been events that are not counted.
   * @returns {Span[]}
   */
  get unknown() {
    const spans = [...this.gaps].map((gap) => this.#spanOf(gap));
    if (!this.isWhole) spans.push([-Infinity, Number.isNaN(this.readTo) ? this.span?.[0] ?? Infinity : this.readTo]);
    return spans;
  }

  /** @param {string} gap @returns {Span} as far as it is known, between intervals with events */
  #spanOf(gap) {
    const { since, until } = JSON.parse(gap);
    const [from, to] = [Date.parse(since), Date.parse(until)];
    if (Number.isNaN(to)) return Number.isNaN(from) ? [Infinity, Infinity] : [from, Math.min(...this.#starts((start) => start > from))];
    // The time of a file can be that of its copy, and later.
    return [from < to ? from : Math.max(...this.#starts((start) => start < to - this.step * SECOND)) + this.step * SECOND, to];
  }

  /** @param {(start: number) => boolean} isWanted */
  #starts(isWanted) {
    return [...this.#intervals.keys()].filter(isWanted);
  }

  /**
   * The first and the last time with an event, or null.
   * @returns {Span | null}
   */
  get span() {
    let [first, last] = [Infinity, -Infinity];
    for (const start of this.#intervals.keys()) {
      first = Math.min(first, start);
      last = Math.max(last, start);
    }
    return first > last ? null : [first, last + this.step * SECOND];
  }

  /**
   * The intervals of a range with events, combined to a length that is a multiple of theirs.
   * @param {number} from @param {number} to @param {number} step seconds
   * @returns {Map<number, Bar>} by start
   */
  bars(from, to, step) {
    /** @type {Map<number, Bar>} */
    const bars = new Map();
    const length = step * SECOND;
    for (const [at, { counts, errors }] of this.#intervals) {
      if (at + this.step * SECOND <= from || at >= to) continue;
      const start = Math.floor(at / length) * length;
      const bar = bars.get(start) ?? { start, events: 0, errors: 0, warnings: 0, counts: {} };
      for (const [level, number] of Object.entries(counts)) {
        bar.events += number;
        bar.counts[level] = (bar.counts[level] ?? 0) + number;
      }
      bar.errors += errors;
      bar.warnings = Math.min(bar.counts.WARNING ?? 0, bar.events - bar.errors);
      bars.set(start, bar);
    }
    return bars;
  }
}

/**
 * The shortest length, in seconds, at which at most so many intervals cover a range.
 * @param {number} length milliseconds
 * @param {number} most
 * @param {number} [multiple] what it must be a multiple of
 */
export function stepFor(length, most, multiple = 1) {
  const least = length / SECOND / most;
  const years = [2, 4, 8, 16, 32, 64].map((number) => number * 364 * 86_400);
  return [...STEPS, ...years].find((step) => step >= least && step % multiple === 0) ?? multiple;
}

/**
 * A length as the server reads it.
 * @param {number} step seconds
 */
export function asInterval(step) {
  for (const [unit, seconds] of /** @type {[string, number][]} */ ([["d", 86_400], ["h", 3600], ["m", 60]])) {
    if (step % seconds === 0 && step / seconds <= LONGEST_STEP_DAYS) return `${step / seconds}${unit}`;
  }
  return step <= 999 ? `${step}s` : `${Math.max(1, Math.min(LONGEST_STEP_DAYS, Math.round(step / 86_400)))}d`;
}

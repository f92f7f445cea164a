/** The tree of a trace: each step with those within it, and the steps that decided how long all of it took. */

import { fields } from "./json.js";
import { value } from "./log_event.js";

/** Names such as task_started and task_completed. */
const BEGIN = /^(.+?)[ ._:-]?(?:started|starting|start|begun|began|begin)$/i;
const END = /^(.+?)[ ._:-]?(?:completed?|finish(?:ed)?|succe(?:eded|ss)|fail(?:ed|ure)|cancell?ed|aborted|stopped|ended|end|done)$/i;
/** A duration is rounded to milliseconds: a step may seem to begin so much before the one around it. */
const ROUNDING_MS = 1;
/** The shortest time in which nothing runs that is shown, as a part of the whole. */
const LEAST_GAP = 0.05;

/** @typedef {import("./log_event.js").LogEvent} LogEvent */
/** @typedef {{start: number, end: number}} Extent milliseconds since 1970 */
/** @typedef {{step: Step, own: number}} Slowest a step, and the milliseconds of its own */

/** A step of a trace: an event, which is written at the end of an operation, or two that begin and end one. */
export class Step {
  /** @type {Step[]} in the order of their beginnings */ children = [];
  /** @type {Step | null} */ parent = null;
  /** Whether nothing could have ended earlier without it. */
  isCritical = false;
  /** Whether a step within it failed. */
  holdsError = false;

  /**
   * @param {LogEvent} event
   * @param {LogEvent | null} [began] the event of its beginning, if that is another one
   */
  constructor(event, began = null) {
    this.event = event;
    this.began = began;
    const own = event.duration;
    /** @type {number | null} milliseconds */
    this.duration = began ? event.time - began.time : own;
    /** Milliseconds since 1970; NaN if it has no time. */
    this.start = began ? began.time : event.time - (own ?? 0);
  }

  get end() {
    return this.start + (this.duration ?? 0);
  }

  get isTimed() {
    return !Number.isNaN(this.start);
  }

  /** @param {LogEvent} event whether it ends or begins the step */
  isOf({ log, cursor }) {
    return [this.event, this.began].some((own) => own?.log === log && own.cursor === cursor);
  }

  /** Whether it takes time, and is no mere moment. */
  get isBar() {
    return this.isTimed && (this.duration ?? 0) > 0;
  }
}

/**
 * The outermost steps, those without a time last.
 * @param {LogEvent[]} events
 */
export function treeOf(events) {
  const steps = inOrder(joined(events));
  const around = parentsBySpan(steps);
  const containers = parentsByTime(steps);
  for (const step of steps) {
    const parents = step.isTimed ? [around.get(step), containers.get(step)] : [];
    step.parent = parents.find((parent) => parent && !isWithin(parent, step)) ?? null;
  }
  for (const step of steps) {
    step.parent?.children.push(step);
    if (!step.event.isError) continue;
    for (let { parent } = step; parent && !parent.holdsError; { parent } = parent) parent.holdsError = true;
  }
  const roots = steps.filter((step) => !step.parent);
  markCritical(roots);
  return roots;
}

/**
 * The steps from top to bottom, each with its depth, without those within a folded one.
 * @param {Step[]} roots
 * @param {(step: Step) => boolean} isFolded
 * @returns {[Step, number][]}
 */
export function rowsOf(roots, isFolded) {
  /** @type {[Step, number][]} */
  const rows = [];
  /** @type {[Step, number][]} */
  const left = roots.map((step) => /** @type {[Step, number]} */ ([step, 0])).reverse();
  for (let next = left.pop(); next; next = left.pop()) {
    const [step, depth] = next;
    rows.push(next);
    if (isFolded(step)) continue;
    for (const child of [...step.children].reverse()) left.push([child, depth + 1]);
  }
  return rows;
}

/**
 * The steps from top to bottom, also those that are folded away.
 * @param {Step[]} roots
 */
export function stepsOf(roots) {
  return rowsOf(roots, () => false).map(([step]) => step);
}

/**
 * The first beginning and the last end; null without a time.
 * @param {Step[]} steps
 * @returns {Extent | null}
 */
export function extentOf(steps) {
  let [start, end] = [Infinity, -Infinity];
  for (const step of steps) {
    if (!step.isTimed) continue;
    start = Math.min(start, step.start);
    end = Math.max(end, step.end);
  }
  return start <= end ? { start, end } : null;
}

/**
 * The step with the most time of its own, which none within it took. The one around all of a trace is not meant.
 * @param {Step[]} steps
 * @returns {Slowest | null} null if there are not several that take time
 */
export function slowestOf(steps) {
  const outermost = steps.filter((step) => step.isTimed && !step.parent);
  const bars = steps.filter((step) => step.isBar);
  const inner = outermost.length === 1 ? bars.filter((step) => step.parent) : bars;
  if (bars.length < 2 || !inner.length) return null;
  const found = inner.map((step) => ({ step, own: ownTime(step) }));
  return found.reduce((best, each) => (each.own > best.own ? each : best));
}

/** @param {Step} step @returns {number} milliseconds that are of no step within it */
function ownTime(step) {
  const within = inOrder(step.children.filter((child) => child.isBar));
  let [taken, until] = [0, step.start];
  for (const { start, end } of within) {
    taken += Math.max(0, Math.min(end, step.end) - Math.max(start, until));
    until = Math.max(until, end);
  }
  return (step.duration ?? 0) - taken;
}

/**
 * The times in which nothing ran or was written.
 * @param {Step[]} steps
 * @param {Extent | null} part the time that is looked at
 * @returns {[number, number][]}
 */
export function gapsOf(steps, part) {
  if (!part) return [];
  /** @type {[number, number][]} */
  const gaps = [];
  const least = (part.end - part.start) * LEAST_GAP;
  let from = part.start;
  for (const { start, end } of [...inOrder(steps.filter((step) => step.isTimed)), { start: part.end, end: part.end }]) {
    const to = Math.min(start, part.end);
    if (to - from > least) gaps.push([from, to]);
    from = Math.max(from, end);
  }
  return gaps;
}

/** @param {Step[]} steps @returns {Step[]} in the order of their beginnings, the longest first; those without a time last */
function inOrder(steps) {
  const timed = steps.filter((step) => step.isTimed);
  timed.sort((a, b) => a.start - b.start || (b.duration ?? 0) - (a.duration ?? 0));
  return [...timed, ...steps.filter((step) => !step.isTimed)];
}

/**
 * Steps of events, two of which are one step where one begins what the other ends.
 * @param {LogEvent[]} events
 */
function joined(events) {
  /** @type {Map<string, LogEvent[]>} */
  const begun = new Map();
  /** @type {Map<LogEvent, LogEvent>} */
  const beginnings = new Map();
  for (const event of [...events].sort((a, b) => a.time - b.time)) {
    if (Number.isNaN(event.time)) continue;
    const begins = event.duration === null && BEGIN.exec(event.name);
    if (begins) {
      const key = keyOf(event, begins[1]);
      begun.set(key, [...(begun.get(key) ?? []), event]);
      continue;
    }
    const ends = END.exec(event.name);
    const began = ends && begun.get(keyOf(event, ends[1]))?.pop();
    if (began) beginnings.set(event, began);
  }
  const taken = new Set(beginnings.values());
  return events.filter((event) => !taken.has(event)).map((event) => new Step(event, beginnings.get(event)));
}

/** @param {LogEvent} event @param {string} name */
function keyOf(event, name) {
  const found = fields(event.raw);
  const [span] = event.meaning.spansOf(found);
  return JSON.stringify([event.log, name.toLowerCase(), value(found, "task_id"), value(found, "run_id"), span]);
}

/**
 * The steps around others as their spans say: of several events of a span, the longest stands for it.
 * @param {Step[]} steps
 */
function parentsBySpan(steps) {
  const ids = new Map(steps.map((step) => [step, step.event.meaning.spansOf(fields(step.event.raw))]));
  /** @type {Map<string, Step>} */
  const spans = new Map();
  /** @type {Map<string, string>} */
  const outer = new Map();
  for (const [step, [span, parent]] of ids) {
    if (!span) continue;
    const known = spans.get(span);
    if (!known || (step.duration ?? 0) > (known.duration ?? 0)) spans.set(span, step);
    if (parent) outer.set(span, parent);
  }
  /** @type {Map<Step, Step | undefined>} */
  const around = new Map();
  for (const [step, [span, parent]] of ids) {
    const own = spans.get(span);
    around.set(step, own && own !== step ? own : spans.get(parent || outer.get(span) || ""));
  }
  return around;
}

/**
 * The shortest step around each, by time.
 * @param {Step[]} steps in order
 */
function parentsByTime(steps) {
  const places = new Map(steps.map((step, index) => [step, index]));
  const bars = steps.filter((step) => step.isBar);
  /** @type {Map<Step, Step | undefined>} */
  const around = new Map();
  /** @type {Step[]} */
  let open = [];
  let next = 0;
  for (const step of steps) {
    for (; next < bars.length && bars[next].start <= step.start + ROUNDING_MS; next += 1) open.push(bars[next]);
    open = open.filter((bar) => bar.end >= step.start);
    const longer = (/** @type {Step} */ bar) => {
      const more = (bar.duration ?? 0) - (step.duration ?? 0);
      return more > 0 || (more === 0 && Number(places.get(bar)) < Number(places.get(step)));
    };
    const holding = open.filter((bar) => bar !== step && bar.end >= step.end && longer(bar));
    around.set(step, holding.reduce((best, bar) => (bar.duration ?? 0) <= (best.duration ?? 0) ? bar : best, holding[0]));
  }
  return around;
}

/**
 * Whether a step is another one, or within it.
 * @param {Step} step
 * @param {Step} outer
 */
function isWithin(step, outer) {
  for (let each = /** @type {Step | null} */ (step); each; each = each.parent) if (each === outer) return true;
  return false;
}

/**
 * Mark the step that ended last, the one that ended last before it began, and so on; and so within each.
 * @param {Step[]} roots
 */
function markCritical(roots) {
  /** @type {[Step[], number][]} */
  const left = [[roots, Infinity]];
  for (let next = left.pop(); next; next = left.pop()) {
    const [steps, last] = next;
    let until = last;
    for (const step of steps.filter((each) => each.isBar).sort((a, b) => b.end - a.end)) {
      const end = Math.min(step.end, last);
      // What ran beside a critical step did not delay it.
      if (end > until || step.start >= end) continue;
      step.isCritical = true;
      left.push([step.children, end]);
      until = step.start;
    }
  }
}

/** What a timeline shows of a trace: the rows that are not folded away, and the part that is zoomed into. */

import { extentOf, gapsOf, rowsOf, slowestOf, stepsOf } from "./trace_tree.js";

/** The shortest time that can be zoomed into, as a part of the whole. */
const LEAST_PART = 1 / 5000;

/**
 * @typedef {import("./trace_tree.js").Step} Step
 * @typedef {import("./trace_tree.js").Extent} Extent
 * @typedef {object} Axis milliseconds
 * @property {number} start the time at its left end
 * @property {number} whole its length
 * @property {number} origin the time from which it counts
 */

/** The view of one trace, run or task. */
export class TraceView {
  /** @type {Step[]} the outermost steps */ #tree = [];
  /** @type {Step[]} all of them, from top to bottom */ steps = [];
  /** @type {Extent | null} of all of them */ extent = null;
  /** @type {import("./trace_tree.js").Slowest | null} */ slowest = null;
  /** @type {Set<string>} the steps that are folded, by the places of their events */ #folded = new Set();
  /** @type {string} the step that is zoomed into, by the place of its event; empty for none */ #zoomed = "";
  /** @type {Extent | null} the time that is zoomed into */ #part = null;

  /** Show nothing. */
  clear() {
    this.#folded.clear();
    this.zoomOut();
    this.show([]);
  }

  /** @param {Step[]} tree what has been read so far; what is folded and zoomed into stays */
  show(tree) {
    this.#tree = tree;
    this.steps = stepsOf(tree);
    this.extent = extentOf(this.steps);
    this.slowest = slowestOf(this.steps);
    if (!this.steps.some((step) => placeOf(step) === this.#zoomed)) this.#zoomed = "";
    if (!this.extent) this.#part = null;
  }

  get isZoomed() {
    return this.#zoomed !== "" || this.#part !== null;
  }

  /** @returns {Axis} */
  get axis() {
    const { start, end } = this.part ?? { start: 0, end: 0 };
    return { start, whole: Math.max(end - start, 0.001), origin: this.#part && this.extent ? this.extent.start : start };
  }

  /** The time that is shown; null if no step has a time. */
  get part() {
    return this.#part ?? extentOf(this.#inner);
  }

  /** The times in which nothing ran. */
  get gaps() {
    return gapsOf(this.#inner, this.part);
  }

  /** @returns {Step[]} those that are zoomed into, or all */
  get #inner() {
    const zoomed = this.#zoomed && this.steps.find((step) => placeOf(step) === this.#zoomed);
    return zoomed ? stepsOf([zoomed]) : this.steps;
  }

  /**
   * The steps that have a row, each with its depth.
   * @returns {[Step, number][]}
   */
  get rows() {
    const [zoomed] = this.#zoomed ? this.#inner : [];
    const rows = rowsOf(zoomed ? [zoomed] : this.#tree, (step) => this.isFolded(step));
    const part = this.#part;
    if (!part) return rows;
    /** @type {Set<Step>} */
    const within = new Set();
    for (const step of this.steps) {
      if (!step.isTimed || step.start > part.end || step.end < part.start) continue;
      for (let each = /** @type {Step | null} */ (step); each && !within.has(each); each = each.parent) within.add(each);
    }
    return rows.filter(([step]) => within.has(step));
  }

  /** @param {Step} step */
  isFolded(step) {
    return this.#folded.has(placeOf(step));
  }

  /** @param {Step} step @param {boolean} isFolded */
  fold(step, isFolded) {
    if (isFolded) this.#folded.add(placeOf(step));
    else this.#folded.delete(placeOf(step));
  }

  /**
   * Unfold what a step is within, and zoom out if it is not in the part that is shown.
   * @param {Step} step
   */
  reveal(step) {
    for (let outer = step.parent; outer; outer = outer.parent) this.fold(outer, false);
    if (!this.rows.some(([each]) => each === step)) this.zoomOut();
  }

  /** @param {Step} step which is shown alone, with those within it */
  zoomInto(step) {
    [this.#zoomed, this.#part] = [placeOf(step), null];
  }

  /**
   * Show the steps of a part of the time.
   * @param {Extent} part as much of it as there is
   */
  zoomTo({ start, end }) {
    if (!this.extent) return;
    const whole = this.extent.end - this.extent.start;
    const length = Math.max(whole * LEAST_PART, Math.min(whole, end - start));
    const from = Math.max(this.extent.start, Math.min(this.extent.end - length, start));
    this.#zoomed = "";
    this.#part = length < whole ? { start: from, end: from + length } : null;
  }

  zoomOut() {
    [this.#zoomed, this.#part] = ["", null];
  }
}

/**
 * The place of the event of a step, which stays when it is read again.
 * @param {Step} step
 */
export function placeOf({ event }) {
  return `${event.log} ${event.cursor}`;
}

/** The axis of a trace: round times after its beginning, and the times in which nothing ran. */

import { span } from "./log_event.js";
import { byId, element } from "./text.js";

const MOST_TICKS = 5;
const TICK_STEPS = [1, 2, 5, 10];
/** The steps between the ticks of a long trace, in units of clocks. */
const CLOCK_STEPS_SECONDS = [10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21_600, 43_200, 86_400];
/** The shortest trace with ticks: times have microseconds, so a shorter one has nothing to mark. */
const SHORTEST_AXIS_MS = 0.01;

/** @typedef {import("./trace_view.js").Axis} Axis */

/**
 * Draw the axis above the rows, and lines from its ticks down through them.
 * @param {Axis} axis
 * @param {[number, number][]} gaps
 * @param {HTMLElement} rows
 */
export function drawAxis(axis, gaps, rows) {
  const { distance, first } = grid(axis);
  byId("timeline-axis").replaceChildren(...idle(gaps, axis), ...ticks(axis));
  rows.style.setProperty("--tick", `${distance}%`);
  // A place in per cent is one of the space that a tick leaves.
  rows.style.setProperty("--first-tick", `${distance < 100 ? (100 * first) / (100 - distance) : 0}%`);
}

/**
 * The ticks of an axis.
 * @param {Axis} axis
 */
function ticks({ start, whole, origin }) {
  const made = [];
  if (whole < SHORTEST_AXIS_MS) return [];
  const step = stepOf(whole);
  const before = start - origin;
  // A tick near the end would have no space for its label.
  for (let number = Math.ceil(before / step); number * step <= before + whole * 0.85; number += 1) {
    const at = number * step;
    const tick = element("span", "tick", at ? span(Number(at.toPrecision(9))).replace(/ 0 (s|min)$/, "") : "0");
    tick.style.left = `${(100 * (at - before)) / whole}%`;
    tick.style.width = `${(100 * step) / whole}%`;
    made.push(tick);
  }
  return made;
}

/**
 * The distance of the ticks, and the place of the first one, in per cent of the length.
 * @param {Axis} axis
 */
function grid({ start, whole, origin }) {
  if (whole < SHORTEST_AXIS_MS) return { distance: 100, first: 0 };
  const step = stepOf(whole);
  const before = start - origin;
  return { distance: (100 * step) / whole, first: (100 * (Math.ceil(before / step) * step - before)) / whole };
}

/**
 * The times in which nothing ran.
 * @param {[number, number][]} gaps
 * @param {Axis} axis
 */
function idle(gaps, { start, whole }) {
  return gaps.map(([from, to]) => {
    const made = element("span", "idle");
    made.title = `Nothing for ${span(to - from)}`;
    made.style.left = `${(100 * (from - start)) / whole}%`;
    made.style.width = `${(100 * (to - from)) / whole}%`;
    return made;
  });
}

/**
 * The step between the ticks on the axis.
 * @param {number} whole milliseconds
 */
function stepOf(whole) {
  const clock = CLOCK_STEPS_SECONDS.find((seconds) => seconds * 1000 * MOST_TICKS >= whole);
  if (clock && whole > CLOCK_STEPS_SECONDS[0] * 1000 * TICK_STEPS[1]) return clock * 1000;
  const power = 10 ** Math.floor(Math.log10(whole / MOST_TICKS));
  return power * (TICK_STEPS.find((step) => whole / (step * power) <= MOST_TICKS) ?? 10);
}

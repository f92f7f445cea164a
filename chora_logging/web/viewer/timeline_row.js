/** A row of a timeline: a step with its bar, its place in the tree, and its result. */

import { timeOfDay } from "./clock.js";
import { offset, span } from "./log_event.js";
import { element, visible } from "./text.js";

/**
 * The name of a step, or what stands for it.
 * @param {import("./trace_tree.js").Step} step
 */
export function nameOf({ event }) {
  return visible(event.name || event.message || "(no name)", 120);
}

/**
 * @param {import("./trace_tree.js").Step} step
 * @param {number} depth
 * @param {boolean} isFolded whether the steps within it are not shown
 * @param {import("./trace_view.js").Axis} axis
 */
export function rowOf(step, depth, isFolded, { start, whole, origin }) {
  const { event } = step;
  const began = element("div", "offset", step.isTimed ? offset(step.start - origin, start - origin + whole) : "no time");
  if (step.isTimed) began.title = timeOfDay(step.start);
  const track = element("div", "track", step.isTimed ? [barOf(step, start, whole)] : "");
  const took = element("div", "took", step.duration === null ? "" : span(step.duration));
  const hasHiddenError = isFolded && step.holdsError;
  const state = element("div", "state", event.isError ? "error" : hasHiddenError ? "within" : "");
  if (hasHiddenError) state.title = "A step within it failed";
  const parts = [began, element("div", "log", visible(event.log, 40)), nameCell(step, depth, isFolded), track, took, state];
  const row = element("div", "row", parts);
  for (const part of parts) part.setAttribute("role", "gridcell");
  row.classList.toggle("is-error", event.isError);
  row.classList.toggle("is-timeless", !step.isTimed);
  row.classList.toggle("is-critical", step.isCritical);
  row.setAttribute("role", "row");
  row.setAttribute("aria-level", String(depth + 1));
  row.setAttribute("aria-selected", "false");
  if (step.children.length) row.ariaExpanded = String(!isFolded);
  row.tabIndex = -1;
  return row;
}

/** @param {import("./trace_tree.js").Step} step @param {number} depth @param {boolean} isFolded */
function nameCell(step, depth, isFolded) {
  const { began } = step;
  const fold = element("span", `fold${step.children.length ? " has-steps" : ""}${isFolded ? " is-folded" : ""}`);
  fold.ariaHidden = "true";
  const words = nameOf(step);
  const parts = began ? [element("bdi", "began", visible(began.name, 120)), new Text(" → ")] : [];
  const name = element("div", "name", [fold, ...parts, element("bdi", "", words)]);
  name.style.setProperty("--depth", String(Math.min(depth, 20)));
  name.title = began ? `${visible(began.name, 120)} → ${words}` : words;
  return name;
}

/** @param {import("./trace_tree.js").Step} step @param {number} start @param {number} whole */
function barOf(step, start, whole) {
  const bar = element("div", step.duration ? "bar" : "bar is-moment");
  bar.style.left = `${(100 * (step.start - start)) / whole}%`;
  bar.style.width = `${(100 * (step.duration ?? 0)) / whole}%`;
  if (step.isCritical) bar.title = "On the critical path: nothing could end earlier without it";
  return bar;
}

/** Marks the text that the reader searches for, wherever it is shown. */

import { element } from "./text.js";

/** @type {RegExp | null} */
let searched = null;

/**
 * Mark this text from now on; an empty one marks nothing.
 * @param {string} text
 */
export function mark(text) {
  searched = text ? new RegExp(text.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&"), "giu") : null;
}

/**
 * A text as nodes, with what is searched for in elements of its own.
 * @param {string} shown
 * @returns {Node[]}
 */
export function marked(shown) {
  if (!searched) return [new Text(shown)];
  searched.lastIndex = 0;
  const nodes = [];
  let at = 0;
  for (const { 0: found, index = 0 } of shown.matchAll(searched)) {
    if (index > at) nodes.push(new Text(shown.slice(at, index)));
    nodes.push(element("mark", "", found));
    at = index + found.length;
  }
  return at < shown.length || !nodes.length ? [...nodes, new Text(shown.slice(at))] : nodes;
}

/**
 * Whether an event has the text; any event without one.
 * @param {import("./log_event.js").LogEvent} event
 */
export function isMatch(event) {
  if (!searched) return true;
  searched.lastIndex = 0;
  return event.holds(searched);
}

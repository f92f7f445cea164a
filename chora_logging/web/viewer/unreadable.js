/** What the server has read and could not understand: counted, and said. */

import { plural } from "./text.js";

/**
 * @typedef {object} Unreadable
 * @property {number} level events without a level that can be read, which the filter by level passed over
 * @property {number} lines lines that are no events
 */

/** @type {Unreadable} */
export const NONE = { level: 0, lines: 0 };

/** @param {Unreadable} one @param {Unreadable} other @returns {Unreadable} */
export function sum(one, other) {
  return { level: one.level + other.level, lines: one.lines + other.lines };
}

/** @param {Unreadable} now @param {Unreadable} before @returns {Unreadable} */
export function difference(now, before) {
  return { level: now.level - before.level, lines: now.lines - before.lines };
}

/** A sentence; empty if everything was understood. @param {Unreadable} counts */
export function words({ level, lines }) {
  const parts = [];
  if (level) parts.push(`${plural(level, "event")} without a level that can be read`);
  if (lines) parts.push(plural(lines, "line that is no event", "lines that are no events"));
  return parts.join(", ");
}

/** What the server has read and could not understand, or does not have: counted, and said. */

import { plural, visible } from "./text.js";

/**
 * @typedef {object} Unreadable
 * @property {Record<string, number>} passed events that filters passed over, by what was asked of them
 * @property {number} lines lines that are no events
 * @property {string[] | null} missing the fields in conditions that no line has, of those read; null before any
 */

/** @type {Unreadable} */
export const NONE = { passed: {}, lines: 0, missing: null };

/** @param {Unreadable} one @param {Unreadable} other @returns {Unreadable} */
export function sum(one, other) {
  /** @type {Map<string, number>} */
  const passed = new Map(Object.entries(one.passed));
  for (const [name, number] of Object.entries(other.passed)) passed.set(name, (passed.get(name) ?? 0) + number);
  const { missing } = other;
  const both = one.missing && missing ? one.missing.filter((name) => missing.includes(name)) : one.missing ?? missing;
  return { passed: Object.fromEntries(passed), lines: one.lines + other.lines, missing: both };
}

/** @param {Unreadable} now @param {Unreadable} before @returns {Unreadable} */
export function difference(now, before) {
  const passed = Object.entries(now.passed).map(([name, number]) => [name, number - (before.passed[name] ?? 0)]);
  return { passed: Object.fromEntries(passed), lines: now.lines - before.lines, missing: null };
}

/**
 * A sentence; empty if everything was understood.
 * @param {Unreadable} counts
 */
export function words({ passed, lines, missing }) {
  const parts = Object.entries(passed).filter(([, number]) => number).map(([name, number]) => {
    const field = name.startsWith("where ") ? `${visible(name.slice(6), 60)} that can be compared` : `${name} that can be read`;
    return `${plural(number, "event")} without a ${field}`;
  });
  if (lines) parts.push(plural(lines, "line that is no event", "lines that are no events"));
  for (const name of missing ?? []) parts.push(`no event that was read has the field ${visible(name, 60)}`);
  return parts.join(", ");
}

/** What the server has read and could not understand, or does not have: counted, and said. */

import { fields } from "./json.js";
import { value } from "./log_event.js";
import { plural, visible } from "./text.js";

/**
 * @typedef {object} Unreadable
 * @property {Record<string, number>} passed events that filters passed over, by what was asked of them
 * @property {number} lines lines that are no events
 * @property {number} unended bytes at the end that are no line yet
 * @property {string[] | null} missing the fields in conditions that no line has, of those read; null before any
 */

/** @type {Unreadable} */
export const NONE = { passed: {}, lines: 0, unended: 0, missing: null };

/**
 * What two parts of the logs have together; their end, which both may have, counts once.
 * @param {Unreadable} one
 * @param {Unreadable} other
 * @returns {Unreadable}
 */
export function sum(one, other) {
  return combined(one, other, (number, more) => number + more);
}

/**
 * What two readings of the same logs have: one may have read more than the other.
 * @param {Unreadable} one
 * @param {Unreadable} other
 */
export function most(one, other) {
  return combined(one, other, Math.max);
}

/**
 * @param {Unreadable} one
 * @param {Unreadable} other
 * @param {(number: number, other: number) => number} join
 * @returns {Unreadable}
 */
function combined(one, other, join) {
  /** @type {Map<string, number>} */
  const passed = new Map(Object.entries(one.passed));
  for (const [name, number] of Object.entries(other.passed)) passed.set(name, join(passed.get(name) ?? 0, number));
  const { missing } = other;
  const both = one.missing && missing ? one.missing.filter((name) => missing.includes(name)) : one.missing ?? missing;
  const unended = Math.max(one.unended, other.unended);
  return { passed: Object.fromEntries(passed), lines: join(one.lines, other.lines), unended, missing: both };
}

/** @param {Unreadable} now @param {Unreadable} before @returns {Unreadable} */
export function difference(now, before) {
  const passed = Object.entries(now.passed).map(([name, number]) => [name, number - (before.passed[name] ?? 0)]);
  return { passed: Object.fromEntries(passed), lines: now.lines - before.lines, unended: 0, missing: null };
}

/**
 * A sentence; empty if everything was understood.
 * @param {Unreadable} counts
 */
export function words({ passed, lines, unended, missing }) {
  const parts = Object.entries(passed).filter(([, number]) => number).map(([name, number]) => {
    const field = name.startsWith("where ") ? `${visible(name.slice(6), 60)} that can be compared` : `${name} that can be read`;
    return `${plural(number, "event")} without a ${field}`;
  });
  if (lines) parts.push(plural(lines, "line that is no event", "lines that are no events"));
  if (unended) parts.push(`${plural(unended, "byte")} at the end that were no whole line when read`);
  for (const name of missing ?? []) parts.push(`no event that was read has the field ${visible(name, 60)}`);
  return parts.join(", ");
}

/**
 * Why events are missing; empty if none are.
 * @param {Iterable<string>} gaps as JSON
 */
export function wordsOfGaps(gaps) {
  const reasons = new Set([...gaps].map((raw) => value(fields(raw), "reason") || "the log no longer has them"));
  return reasons.size ? `events are missing: ${[...reasons].map((reason) => visible(reason, 200)).join(", ")}` : "";
}

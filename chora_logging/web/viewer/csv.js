/** Events as CSV (RFC 4180), safe to open in a spreadsheet whoever wrote the log. */

import { fields, text } from "./json.js";

const SPECIAL = /[",\r\n]/;
// A spreadsheet skips white space and controls, and takes full-width signs for their usual ones.
const FORMULA = /^[\s\u0000-\u001f\u007f-\u009f\u200b\ufeff]*[=+\-@\uff1d\uff0b\uff0d\uff20\u2212]|^[\t\r\n]/;
const NUMBER = /^[-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?$/i;
/** The fields that stand first. */
const FIRST = ["timestamp", "level", "logger", "event", "task_id", "run_id", "trace_id", "message"];

/**
 * @param {import("./api.js").Entry[]} entries
 * @param {boolean} withLog whether there is a column with the log
 * @returns {string[]} the lines, the first with the names of the fields
 */
export function csvOf(entries, withLog) {
  /** @type {Set<string>} */
  const found = new Set();
  for (const { raw } of entries) for (const name of fields(raw).keys()) found.add(name);
  const names = [...FIRST.filter((name) => found.has(name)), ...[...found].filter((name) => !FIRST.includes(name))];
  const line = (/** @type {string[]} */ cells) => `${cells.map(cell).join(",")}\r\n`;
  const lines = entries.map(({ log, raw }) => {
    const values = fields(raw);
    const cells = names.map((name) => {
      const value = values.get(name) ?? "null";
      return value === "null" ? "" : text(value);
    });
    return line(withLog ? [log, ...cells] : cells);
  });
  return [line(withLog ? ["log", ...names] : names), ...lines];
}

/**
 * A text as a cell; one that a spreadsheet would run as a formula gets an apostrophe before it.
 * @param {string} value
 */
export function cell(value) {
  const safe = FORMULA.test(value) && !NUMBER.test(value) ? `'${value}` : value;
  return SPECIAL.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

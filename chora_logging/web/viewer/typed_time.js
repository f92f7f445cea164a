/** Times that are typed into the search field: 14:00 is gone to, 14:00-14:05 is a range. */

import { dateOf, endOfDay, fromInput, wholeTime } from "./clock.js";
import { between, goTo } from "./range.js";

const TIME = String.raw`(?:(\d{4}-\d\d-\d\d)[T ])?(\d\d:\d\d(?::\d\d)?)`;
const TIMES = new RegExp(String.raw`^\s*${TIME}(?:\s*(?:-|–|to)\s*${TIME})?\s*$`);
const BEGINNING = /^\s*(?:\d{4}-\d\d-\d\d[T ])?\d{1,2}:/;

/**
 * @typedef {object} Asked
 * @property {Record<string, string>} changes the parameters of the place
 * @property {string} words the times with their days
 */

/**
 * Read a time or a range; without a day, the last such time that has been is meant.
 * @param {string} typed
 * @returns {Asked | null} null if it is none
 */
export function readTimes(typed) {
  const [, day, clock, lastDay, lastClock] = TIMES.exec(typed) ?? [];
  if (!clock) return null;
  const since = day ? fromInput(`${day}T${clock}`) : latest(clock);
  if (Number.isNaN(since)) return null;
  if (!lastClock) return { changes: goTo(since), words: `go to ${wholeTime(since)}` };
  let until = fromInput(`${lastDay ?? dateOf(since)}T${lastClock}`);
  // From 23:50 to 00:10 is a range, too.
  if (!lastDay && until < since) until = fromInput(`${dateOf(endOfDay(since))}T${lastClock}`);
  return until >= since ? { changes: between(since, until), words: `${wholeTime(since)} – ${wholeTime(until)}` } : null;
}

/**
 * Whether a time is being typed, and not a condition on a field whose name is a number.
 * @param {string} typed
 */
export function beginsTime(typed) {
  return BEGINNING.test(typed);
}

/** @param {string} clock @returns {number} today, or yesterday if that is still to come */
function latest(clock) {
  const today = dateOf(Date.now());
  const time = fromInput(`${today}T${clock}`);
  return time > Date.now() ? fromInput(`${dateOf(fromInput(`${today}T00:00`) - 1)}T${clock}`) : time;
}

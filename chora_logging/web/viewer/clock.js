/** Times for people, in local time or in UTC, as the reader chose. */

import { stored, store } from "./memory.js";

const KEY = "zone";
let isUtc = stored(KEY) === "utc";

/** Whether times are shown in UTC. */
export function isInUtc() {
  return isUtc;
}

/**
 * Show times in UTC, or in local time.
 * @param {boolean} wanted
 */
export function showUtc(wanted) {
  isUtc = wanted;
  store(KEY, wanted ? "utc" : "local");
}

/** @param {number} part @param {number} width */
function digits(part, width) {
  return String(part).padStart(width, "0");
}

/**
 * A date whose UTC parts are those to show.
 * @param {number} time milliseconds since 1970
 */
function shifted(time) {
  return new Date(isUtc ? time : time - new Date(time).getTimezoneOffset() * 60_000);
}

/**
 * The time of day, to the millisecond.
 * @param {number} time
 */
export function timeOfDay(time) {
  const at = shifted(time);
  const clock = [at.getUTCHours(), at.getUTCMinutes(), at.getUTCSeconds()].map((part) => digits(part, 2)).join(":");
  return `${clock}.${digits(at.getUTCMilliseconds(), 3)}`;
}

/**
 * The day, such as 2025-10-17; as text, days sort by time.
 * @param {number} time
 */
export function dateOf(time) {
  const at = shifted(time);
  return `${digits(at.getUTCFullYear(), 4)}-${digits(at.getUTCMonth() + 1, 2)}-${digits(at.getUTCDate(), 2)}`;
}

/**
 * The end of the day of a time, in milliseconds since 1970.
 * @param {number} time
 */
export function endOfDay(time) {
  const at = new Date(time);
  return isUtc ? at.setUTCHours(24, 0, 0, 0) : at.setHours(24, 0, 0, 0);
}

/**
 * The day in words.
 * @param {number} time
 */
export function dayInWords(time) {
  return new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeZone: "UTC" }).format(shifted(time));
}

/**
 * The name of the zone at a time: UTC, or UTC+02:00.
 * @param {number} [time]
 */
export function zoneName(time = Date.now()) {
  const minutes = isUtc || Number.isNaN(time) ? 0 : -new Date(time).getTimezoneOffset();
  if (!minutes) return "UTC";
  const size = Math.abs(minutes);
  return `UTC${minutes < 0 ? "−" : "+"}${digits(Math.trunc(size / 60), 2)}:${digits(size % 60, 2)}`;
}

/**
 * The whole time, to the microsecond, with its zone.
 * @param {number} time
 */
export function wholeTime(time) {
  const micros = Math.round((time - Math.floor(time)) * 1000);
  return `${dateOf(time)} ${timeOfDay(Math.floor(time))}${micros ? digits(micros, 3) : ""} ${zoneName(time)}`;
}

/**
 * The day and time as a field for times has it.
 * @param {number} time
 */
export function asInput(time) {
  return `${dateOf(time)}T${timeOfDay(time).slice(0, 8)}`;
}

/**
 * The time that a field for times has; NaN if it is none.
 * @param {string} written
 */
export function fromInput(written) {
  return Date.parse(isUtc ? `${written}Z` : written);
}

/** The fields of the newest events of the logs, and their most frequent values. */

import { fieldsOf } from "./api.js";

/** @typedef {{events: number, values: Map<string, number>}} Known how many events have a field, and each value as JSON */

/**
 * Ask for them; a log whose fields cannot be had has none.
 * @param {import("./place.js").Place} place
 * @param {AbortSignal} signal
 * @returns {Promise<Map<string, Known>>} by the path of the field
 */
export async function knownFields(place, signal) {
  /** @type {Map<string, Known>} */
  const fields = new Map();
  // What is wrong is said where the events are asked for.
  const found = await Promise.allSettled(place.logs.map((log) => fieldsOf(log, [], signal)));
  for (const answer of found) {
    if (answer.status === "rejected") continue;
    for (const { name, events, values } of answer.value) {
      const field = fields.get(name) ?? { events: 0, values: new Map() };
      field.events += events;
      for (const [value, number] of values) field.values.set(value, (field.values.get(value) ?? 0) + number);
      fields.set(name, field);
    }
  }
  return fields;
}

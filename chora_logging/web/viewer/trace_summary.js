/** What the page says of a trace in one line, and the buttons beside it. */

import { span } from "./log_event.js";
import { byId, plural } from "./text.js";
import { nameOf } from "./timeline_row.js";
import { words, wordsOfGaps } from "./unreadable.js";

/**
 * @param {import("./trace_view.js").TraceView} view
 * @param {import("./log_event.js").LogEvent[]} events
 * @param {boolean} isWhole whether all logs were searched
 * @param {import("./api.js").Lacks} lacks what was not read of the logs
 * @param {string} subject what it is called: a trace, a run or a task
 */
export function summaryOf({ steps, extent }, events, isWhole, { gaps, unreadable }, subject) {
  const timeless = steps.filter((step) => !step.isTimed).length;
  const others = timeless ? [`${plural(timeless, "event")} without a time that can be read`] : [];
  if (!isWhole) others.push("searching for older ones");
  if (gaps.length) others.push(wordsOfGaps(gaps));
  if (!steps.length) {
    const unread = words(unreadable);
    if (unread) others.push(unread);
    if (!isWhole) return others.join(" · ");
    return others.length ? [`No event of this ${subject} was read`, ...others].join(" · ") : `No log has an event of this ${subject}`;
  }
  const errors = events.filter((event) => event.isError).length;
  const logs = new Set(events.map((event) => event.log)).size;
  const parts = [plural(events.length, "event"), plural(logs, "log"), extent ? span(extent.end - extent.start) : ""];
  return [...parts, plural(errors, "error"), ...others].filter(Boolean).join(" · ");
}

/**
 * Show the buttons that lead to a step, or back to all of them.
 * @param {import("./trace_view.js").TraceView} view
 */
export function offerSteps({ isZoomed, slowest, steps }) {
  byId("timeline-whole").hidden = !isZoomed;
  byId("timeline-error").hidden = !steps.some((step) => step.event.isError);
  byId("timeline-slowest").hidden = !slowest;
  byId("timeline-slowest").textContent = slowest ? `Slowest: ${nameOf(slowest.step)}, ${span(slowest.own)}` : "";
}

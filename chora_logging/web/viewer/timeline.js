/** A trace across all logs as a waterfall: start, duration and result of each event. */

import { trace } from "./api.js";
import { timeOfDay } from "./clock.js";
import { LogEvent, offset, span } from "./log_event.js";
import { meaningOf } from "./meaning.js";
import { byId, element, plural, visible } from "./text.js";

const MOST_TICKS = 5;
const TICK_STEPS = [1, 2, 5, 10];
/** The steps between the ticks of a long trace, in units of clocks. */
const CLOCK_STEPS_SECONDS = [10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21_600, 43_200, 86_400];
/** The shortest trace with ticks: times have microseconds, so a shorter one has nothing to mark. */
const SHORTEST_AXIS_MS = 0.01;

/**
 * @typedef {object} Entry
 * @property {LogEvent} event
 * @property {string} log
 * @property {number} start milliseconds since 1970; NaN if it has no time, so that it has no place on the axis
 * @property {number | null} duration milliseconds; an event is written at the end of its operation
 */

/** The view of one trace. Dispatches "open" with the chosen event, and "login" if the token is needed. */
export class Timeline extends EventTarget {
  #root = byId("timeline");
  /** @type {HTMLElement} */ #rows = byId("timeline-rows");
  /** @type {Entry[]} */ #entries = [];
  #asking = new AbortController();
  #refreshing = 0;
  #isLoading = false;
  /** The id of the shown trace; empty if none is shown. */
  traceId = "";
  /** @type {string[]} the names of all logs */ #logs = [];

  constructor() {
    super();
    this.#rows.addEventListener("click", (click) => this.#clicked(click));
    byId("timeline-refresh").addEventListener("click", () => this.#load());
  }

  /** @param {string[]} logs the names of all logs @param {string} traceId */
  show(logs, traceId) {
    const isOther = traceId !== this.traceId;
    this.#logs = logs;
    this.traceId = traceId;
    this.#root.hidden = false;
    byId("timeline-id").textContent = visible(traceId, 200);
    if (isOther) {
      this.#entries = [];
      this.#rows.replaceChildren();
      byId("timeline-axis").replaceChildren();
      this.#announce("Loading");
      byId("timeline-title").focus();
    }
    this.#load();
  }

  hide() {
    this.traceId = "";
    this.#asking.abort();
    this.#root.hidden = true;
  }

  /** Reload the trace shortly. */
  refreshSoon() {
    this.#refreshing ||= setTimeout(() => {
      this.#refreshing = 0;
      if (!this.traceId) return;
      if (this.#isLoading) this.refreshSoon();
      else this.#load();
    }, 500);
  }

  async #load() {
    this.#asking.abort();
    this.#asking = new AbortController();
    const { signal } = this.#asking;
    /** @type {import("./api.js").Entry[]} */
    const found = [];
    this.#isLoading = true;
    try {
      for await (const { events, isLast } of trace(this.#logs, this.traceId, signal)) {
        if (signal.aborted) return;
        found.unshift(...events);
        const entries = inOrder(found);
        // What is shown stays until as much has been found again.
        if (!isLast && entries.length < this.#entries.length) continue;
        this.#entries = entries;
        this.#draw(isLast);
      }
    } catch (failure) {
      if (signal.aborted) return;
      if (failure.status === 401) this.dispatchEvent(new Event("login"));
      this.#announce(`The trace cannot be shown: ${failure.message}`);
    } finally {
      if (!signal.aborted) this.#isLoading = false;
    }
  }

  /** @param {boolean} isWhole */
  #draw(isWhole) {
    const timed = this.#entries.filter((entry) => !Number.isNaN(entry.start));
    const start = Math.min(...timed.map((entry) => entry.start));
    const end = Math.max(...timed.map((entry) => entry.start + (entry.duration ?? 0)));
    const whole = timed.length ? Math.max(end - start, 0.001) : 0;
    const ticks = whole < SHORTEST_AXIS_MS ? [] : axis(whole);
    byId("timeline-axis").replaceChildren(...ticks);
    this.#rows.style.setProperty("--tick", ticks.length ? `${(100 * stepOf(whole)) / whole}%` : "100%");
    const focused = this.#rows.contains(document.activeElement) ? this.#focusedIndex() : -1;
    this.#rows.replaceChildren(...this.#entries.map((entry, index) => rowOf(entry, index, start, whole)));
    this.#step(Math.max(0, focused), focused >= 0);
    this.#announce(summary(this.#entries, end - start, isWhole));
  }

  /** @param {string} words */
  #announce(words) {
    byId("timeline-summary").textContent = words;
  }

  /** @param {MouseEvent} click */
  #clicked(click) {
    const row = /** @type {Element} */ (click.target).closest("[role=row]");
    const index = row ? [...this.#rows.children].indexOf(row) : -1;
    if (index < 0) return;
    this.#step(index, true);
    this.#open(index);
  }

  /**
   * Move the focus down by some rows.
   * @param {number} step
   */
  move(step) {
    const isInside = this.#rows.contains(document.activeElement);
    const target = isInside || Math.abs(step) > 1 ? this.#focusedIndex() + step : this.#focusedIndex();
    this.#step(Math.max(0, Math.min(this.#entries.length - 1, target)), true);
  }

  /** Open the event of the row that has the focus. */
  open() {
    if (this.#rows.contains(document.activeElement)) this.#open(this.#focusedIndex());
  }

  get #children() {
    return /** @type {HTMLElement[]} */ ([...this.#rows.children]);
  }

  #focusedIndex() {
    return this.#children.findIndex((row) => row.tabIndex === 0);
  }

  /**
   * Make one row the only one in the tab order.
   * @param {number} index
   * @param {boolean} isFocused
   */
  #step(index, isFocused) {
    for (const row of this.#children) row.tabIndex = -1;
    const row = this.#children[index];
    if (!row) return;
    row.tabIndex = 0;
    if (isFocused) row.focus();
  }

  /** @param {number} index */
  #open(index) {
    for (const row of this.#rows.children) row.setAttribute("aria-selected", "false");
    this.#rows.children[index].setAttribute("aria-selected", "true");
    this.dispatchEvent(new CustomEvent("open", { detail: this.#entries[index] }));
  }

  focus() {
    this.#step(Math.max(0, this.#focusedIndex()), true);
  }
}

/**
 * The events in the order of their beginnings, then those without a time.
 * @param {import("./api.js").Entry[]} events
 * @returns {Entry[]}
 */
function inOrder(events) {
  const entries = events.map(({ log, cursor, raw }) => {
    const event = new LogEvent(raw, 0, meaningOf(log), log, cursor);
    const { duration } = event;
    const isLong = duration !== null && duration > 0;
    return { event, log, duration, start: isLong ? event.time - duration : event.time };
  });
  const timeless = entries.filter((entry) => Number.isNaN(entry.start));
  return [...entries.filter((entry) => !Number.isNaN(entry.start)).sort((a, b) => a.start - b.start), ...timeless];
}

/** @param {Entry} entry @param {number} index @param {number} start @param {number} whole */
function rowOf(entry, index, start, whole) {
  const { event } = entry;
  const isTimed = !Number.isNaN(entry.start);
  const began = element("div", "offset", isTimed ? offset(entry.start - start, whole) : "no time");
  if (isTimed) began.title = timeOfDay(entry.start);
  const log = element("div", "log", visible(entry.log, 40));
  const name = element("div", "name", [element("bdi", "", visible(event.name || event.message || "(no name)", 120))]);
  const bar = element("div", entry.duration ? "bar" : "bar is-moment");
  bar.style.left = `${(100 * (entry.start - start)) / whole}%`;
  bar.style.width = `${(100 * (entry.duration ?? 0)) / whole}%`;
  const track = element("div", "track", isTimed ? [bar] : "");
  const took = element("div", "took", entry.duration === null ? "" : span(entry.duration));
  const state = element("div", "state", event.isError ? "error" : "");
  const row = element("div", `row${event.isError ? " is-error" : ""}${isTimed ? "" : " is-timeless"}`, [began, log, name, track, took, state]);
  for (const part of row.children) part.setAttribute("role", "gridcell");
  row.setAttribute("role", "row");
  row.setAttribute("aria-selected", "false");
  row.setAttribute("aria-rowindex", String(index + 2));
  row.tabIndex = -1;
  return row;
}

/**
 * The step between the ticks on the axis.
 * @param {number} whole milliseconds
 */
function stepOf(whole) {
  const clock = CLOCK_STEPS_SECONDS.find((seconds) => seconds * 1000 * MOST_TICKS >= whole);
  if (clock && whole > CLOCK_STEPS_SECONDS[0] * 1000 * TICK_STEPS[1]) return clock * 1000;
  const power = 10 ** Math.floor(Math.log10(whole / MOST_TICKS));
  return power * (TICK_STEPS.find((step) => whole / (step * power) <= MOST_TICKS) ?? 10);
}

/** @param {number} whole milliseconds */
function axis(whole) {
  const ticks = [];
  // A tick near the end would have no space for its label.
  for (let at = 0; at <= whole * 0.85; at += stepOf(whole)) {
    const tick = element("span", "tick", at ? span(Number(at.toPrecision(6))).replace(/ 0 (s|min)$/, "") : "0");
    tick.style.left = `${(100 * at) / whole}%`;
    tick.style.width = `${(100 * stepOf(whole)) / whole}%`;
    ticks.push(tick);
  }
  return ticks;
}

/** @param {Entry[]} entries @param {number} whole milliseconds @param {boolean} isWhole whether all logs were searched */
function summary(entries, whole, isWhole) {
  const timeless = entries.filter((entry) => Number.isNaN(entry.start)).length;
  const others = timeless ? [`${plural(timeless, "event")} without a time that can be read`] : [];
  if (!isWhole) others.push("searching for older ones");
  if (!entries.length) return others.join(" · ") || "No log has an event of this trace";
  const errors = entries.filter((entry) => entry.event.isError).length;
  const logs = new Set(entries.map((entry) => entry.log)).size;
  const parts = [plural(entries.length, "event"), plural(logs, "log"), timeless < entries.length ? span(whole) : ""];
  return [...parts, plural(errors, "error"), ...others].filter(Boolean).join(" · ");
}

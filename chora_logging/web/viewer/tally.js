/** The numbers of events of a place: asked of the server, back from the end of the logs, and kept up to date. */

import { histogram } from "./api.js";
import { asInterval, Counts, stepFor } from "./counts.js";
import { reason } from "./feed.js";
import { Place } from "./place.js";
import { limits } from "./range.js";
import { NONE, sum } from "./unreadable.js";

/** So many answers are asked for; each reads a part of the logs. */
const PATIENT_PAGES = 16;
/** About as many intervals as a wide window has bars. */
const INTERVALS = 240;

/** Counts a place. Dispatches "changed", and "login" if the token is needed. */
export class Tally extends EventTarget {
  counts = new Counts();
  unreadable = NONE;
  #asking = new AbortController();
  #place = new Place(new URLSearchParams());
  #to = "";
  /** @type {string | null} */ #next = null;
  isCounting = false;
  /** Why not all could be counted; empty if nothing failed. */
  failure = "";

  clear() {
    this.#asking.abort();
    this.counts = new Counts();
    this.unreadable = NONE;
    this.#place = new Place(new URLSearchParams());
    this.#next = null;
    this.isCounting = false;
    this.failure = "";
  }

  /** Whether a part of the logs is not counted, and nothing is under way. */
  get hasMore() {
    return !this.isCounting && (this.#next !== null || this.failure !== "");
  }

  /** The first and last time of the range; null where it has no limit, so that the events decide. */
  get range() {
    return limits(this.#place);
  }

  /**
   * Count the events of a place.
   * @param {import("./place.js").Place} place
   * @param {string | null} to the cursor up to which, if others are added one by one; null for all
   */
  count(place, to) {
    this.#asking = new AbortController();
    this.#place = place;
    this.#to = to ?? "";
    this.#countOn();
  }

  /**
   * Begin with none: the logs were empty.
   * @param {import("./place.js").Place} place
   */
  begin(place) {
    this.#place = place;
    this.counts.addPage({ step: this.#step || 1, intervals: [], events: 0, errors: 0, without_time: 0, more: false, next: null });
    this.dispatchEvent(new Event("changed"));
  }

  /** The length of the intervals that fits the range, in seconds; 0 if the events decide. */
  get #step() {
    const { since, until } = this.range;
    return since === null ? 0 : stepFor((until ?? Date.now()) - since, INTERVALS);
  }

  /** Count further if there is more. */
  countOn() {
    if (this.hasMore) this.#countOn();
  }

  async #countOn() {
    const { signal } = this.#asking;
    this.isCounting = true;
    this.failure = "";
    try {
      for (let left = PATIENT_PAGES; left; left -= 1) {
        const step = this.counts.step || this.#step;
        const part = { after: this.#next, to: this.#to, step: step ? asInterval(step) : "" };
        const found = await histogram(this.#place.logs, this.#place.filters, part, signal);
        if (signal.aborted) return;
        this.counts.addPage(found);
        found.gaps.forEach((gap) => this.miss(gap));
        this.notice(found.unreadable);
        this.#next = found.more ? found.next : null;
        this.dispatchEvent(new Event("changed"));
        if (!this.#next) break;
      }
    } catch (failure) {
      if (signal.aborted) return;
      if (/** @type {any} */ (failure).status === 401) this.dispatchEvent(new Event("login"));
      this.failure = reason(failure);
    }
    this.isCounting = false;
    this.dispatchEvent(new Event("changed"));
  }

  /** @param {import("./log_event.js").LogEvent} event */
  add(event) {
    this.counts.add(event);
  }

  /** @param {string} raw what is missing from now on, as JSON */
  miss(raw) {
    this.counts.gaps.add(raw);
  }

  /** @param {import("./unreadable.js").Unreadable} more */
  notice(more) {
    this.unreadable = sum(this.unreadable, more);
  }
}

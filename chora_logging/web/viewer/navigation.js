/** Where the reader is: the place of the page, and the way back. */

import { Place } from "./place.js";

/** Owns the place. Dispatches "arrive" with the place before it, null at first. */
export class Navigation extends EventTarget {
  place = Place.now;

  constructor() {
    super();
    addEventListener("popstate", () => this.#goBack());
  }

  /**
   * Begin at the address of the page, with a log and with columns if it names none.
   * @param {string} log
   * @param {readonly string[]} columns
   */
  begin(log, columns) {
    if (!this.place.get("log")) this.place = this.place.with({ log });
    if (!this.place.columns.length) this.place = this.place.with({ column: [...columns] });
    history.replaceState(null, "", this.place.address);
    this.dispatchEvent(new CustomEvent("arrive", { detail: null }));
  }

  /**
   * Go to the same place with some parameters changed.
   * @param {Record<string, string | string[]>} changes
   * @param {boolean} [isReplacing] without a new entry in the history
   */
  go(changes, isReplacing = false) {
    this.goTo(this.place.with(changes), isReplacing);
  }

  /** @param {Place} next @param {boolean} [isReplacing] */
  goTo(next, isReplacing = false) {
    if (next.address === this.place.address) return;
    if (isReplacing) history.replaceState(null, "", next.address);
    else history.pushState(null, "", next.address);
    this.#arrive(next);
  }

  /** Columns are how the reader looks at events, and so stay. */
  #goBack() {
    const next = Place.now.with({ column: this.place.columns });
    history.replaceState(null, "", next.address);
    this.#arrive(next);
  }

  /** @param {Place} next */
  #arrive(next) {
    const before = this.place;
    this.place = next;
    this.dispatchEvent(new CustomEvent("arrive", { detail: before }));
  }
}

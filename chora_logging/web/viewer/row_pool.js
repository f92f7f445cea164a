/** The rows that exist: those on screen and a few beside them, each used again for other events. */

import { LogEvent } from "./log_event.js";
import { fadeRepeats } from "./repeats.js";
import { Row } from "./row.js";

const EXTRA_ROWS = 6;

/** Owns the rows in an element. */
export class RowPool {
  /** @type {Row[]} */ #rows = [];

  /**
   * @param {HTMLElement} grid the element that scrolls
   * @param {HTMLElement} space the element with the height of all rows together
   * @param {(traceId: string) => string} addressOf the address of a trace's timeline
   */
  constructor(grid, space, addressOf) {
    this.grid = grid;
    this.space = space;
    this.addressOf = addressOf;
  }

  /** Fill all rows anew with the next draw. */
  forget() {
    for (const row of this.#rows) row.item = null;
  }

  /** @param {Element} target @returns {Row | undefined} */
  rowOf(target) {
    return this.#rows.find(({ root }) => root.contains(target));
  }

  /**
   * Show the items that are in sight.
   * @param {import("./store.js").Store} store
   * @param {number} height of a row
   * @param {number | null} selected the id of an event
   * @param {import("./row.js").Layout} layout
   * @returns {Row[]} the rows of events
   */
  draw({ view, forgotten }, height, selected, layout) {
    const first = Math.max(0, Math.floor((this.grid.scrollTop - this.space.offsetTop) / height) - EXTRA_ROWS);
    const number = Math.min(view.length - first, Math.ceil(this.grid.clientHeight / height) + 2 * EXTRA_ROWS);
    while (this.#rows.length < number) this.#grow();
    /** @type {Set<Row>} */
    const used = new Set();
    for (let index = first; index < first + number; index += 1) {
      // A row keeps its event while the list moves on, so that only rows with new events are filled.
      const size = this.#rows.length;
      const row = this.#rows[(((forgotten + index) % size) + size) % size];
      used.add(row);
      row.fill(view[index], this.addressOf, layout);
      row.root.hidden = false;
      row.root.style.transform = `translateY(${index * height}px)`;
      row.root.setAttribute("aria-rowindex", String(index + 2));
      row.root.setAttribute("aria-selected", String(view[index].id === selected));
    }
    for (const row of this.#rows) if (!used.has(row)) row.root.hidden = true;
    this.#pointAtSelection(used, selected);
    const events = [...used].filter(({ item }) => item instanceof LogEvent);
    fadeRepeats(events);
    return events;
  }

  /** @param {Set<Row>} used @param {number | null} selected */
  #pointAtSelection(used, selected) {
    const isDrawn = [...used].some((row) => row.item?.id === selected);
    if (isDrawn) this.grid.setAttribute("aria-activedescendant", `row-${selected}`);
    else this.grid.removeAttribute("aria-activedescendant");
  }

  #grow() {
    const row = new Row();
    this.#rows.push(row);
    this.space.append(row.root);
  }
}

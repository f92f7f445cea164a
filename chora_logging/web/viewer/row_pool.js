/** The rows that exist: those on screen and a few beside them, each used again for other events. */

import { LogEvent } from "./log_event.js";
import { fadeRepeats } from "./repeats.js";
import { Row } from "./row.js";

const EXTRA_ROWS = 4;
/** The most rows that are filled at a time, so that the page answers between: the others follow with the next draw. */
const MOST_FILLED = 12;

/** Owns the rows in an element. */
export class RowPool {
  /** @type {Row[]} */ #rows = [];
  /** @type {Row[]} those in sight that are filled */ drawn = [];

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
    for (const row of this.#rows) row.isStale = true;
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
   * @returns {boolean} whether all of them are shown
   */
  draw({ view, forgotten }, height, selected, layout) {
    const seen = Math.max(0, Math.floor((this.grid.scrollTop - this.space.offsetTop) / height));
    const first = Math.max(0, seen - EXTRA_ROWS);
    const number = Math.min(view.length - first, Math.ceil(this.grid.clientHeight / height) + 2 * EXTRA_ROWS);
    while (this.#rows.length < number) this.#grow();
    this.drawn = [];
    /** @type {Set<Row>} */
    const used = new Set();
    let left = MOST_FILLED;
    for (let place = 0; place < number; place += 1) {
      // Those before the first one in sight come last.
      const index = first + ((place + seen - first) % number);
      // A row keeps its event while the list moves on, so that only rows with new events are filled.
      const size = this.#rows.length;
      const row = this.#rows[(((forgotten + index) % size) + size) % size];
      used.add(row);
      if (!row.isOf(view[index], layout) && --left >= 0) row.fill(view[index], this.addressOf, layout);
      row.root.hidden = row.item !== view[index];
      if (row.root.hidden) continue;
      this.drawn.push(row);
      row.root.style.transform = `translateY(${index * height}px)`;
      row.root.setAttribute("aria-rowindex", String(index + 2));
      row.root.setAttribute("aria-selected", String(view[index].id === selected));
    }
    for (const row of this.#rows) if (!used.has(row)) row.root.hidden = true;
    this.#pointAtSelection(selected);
    if (left >= 0) fadeRepeats(this.events);
    return left >= 0;
  }

  /** The rows in sight that show events. */
  get events() {
    return this.drawn.filter(({ item }) => item instanceof LogEvent);
  }

  /** @param {number | null} selected */
  #pointAtSelection(selected) {
    const isDrawn = this.drawn.some((row) => row.item?.id === selected);
    if (isDrawn) this.grid.setAttribute("aria-activedescendant", `row-${selected}`);
    else this.grid.removeAttribute("aria-activedescendant");
  }

  #grow() {
    const row = new Row();
    this.#rows.push(row);
    this.space.append(row.root);
  }
}

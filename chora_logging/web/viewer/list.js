/** A virtual list of events: only the rows on screen exist, however many events there are. */

import { ColumnHeads } from "./column_heads.js";
import { LogEvent } from "./log_event.js";
import { RowPool } from "./row_pool.js";
import { Note } from "./store.js";
import { element } from "./text.js";

/** The shortest interval between two draws of a live list: nobody reads faster, and it is open all day. */
const DRAW_INTERVAL_MS = 100;
/** The height of the end of the list that the button with the number of waiting events covers. */
const COVERED_PX = 52;

/** Shows a store. Dispatches "select", "open", "trace", "columns", "scrollup", "scrollend" and "drawn". */
export class List extends EventTarget {
  #rows;
  #heads;
  #timer = 0;
  #frame = 0;
  #drawn = 0;
  #rowHeight = 0;
  #isSized = true;
  /** Whether no event of the store has been drawn yet. */
  #isOther = true;
  #lastTop = 0;
  #lastHeight = 0;
  /** Whether a pointer is pressed on the list, such as on its scroll bar. */
  #isPressed = false;
  #lastForgotten = 0;
  #lastLength = 0;
  /** @type {number | null} the id of the item that the next draw puts in the middle */ #centred = null;

  /** @type {number | null} the id of the selected event */
  selected = null;

  /**
   * @param {HTMLElement} grid the element that scrolls
   * @param {HTMLElement} space the element with the height of all rows together
   * @param {import("./store.js").Store} store
   * @param {(traceId: string) => string} addressOf the address of a trace's timeline
   * @param {import("./columns.js").Columns} columns
   */
  constructor(grid, space, store, addressOf, columns) {
    super();
    this.grid = grid;
    this.space = space;
    this.store = store;
    this.#rows = new RowPool(grid, space, addressOf);
    this.#heads = new ColumnHeads(grid, columns);
    this.#heads.addEventListener("choose", () => this.dispatchEvent(new Event("columns")));
    columns.addEventListener("shown", () => this.#resized());
    columns.addEventListener("sized", () => this.respond());
    grid.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    grid.addEventListener("wheel", (wheel) => wheel.deltaY < 0 && this.#scrollsUp(), { passive: true });
    grid.addEventListener("pointerdown", () => (this.#isPressed = true));
    addEventListener("pointerup", () => (this.#isPressed = false));
    grid.addEventListener("touchmove", () => this.#scrollsUp(), { passive: true });
    space.addEventListener("click", (click) => this.#clicked(click));
    new ResizeObserver(() => this.#resized()).observe(grid);
  }

  /** @param {import("./store.js").Store} store @param {boolean} isOfSeveral whether it has events of several logs */
  show(store, isOfSeveral) {
    this.store = store;
    this.selected = null;
    this.#lastForgotten = 0;
    this.grid.classList.toggle("has-logs", isOfSeveral);
    this.#isOther = true;
    this.#resized();
  }

  /** Fill all rows anew, because what they show of an event has changed. */
  refill() {
    this.#rows.forget();
    this.respond();
  }

  /** Draw soon, at most once per interval, because the store has changed. */
  changed() {
    this.#timer ||= setTimeout(() => this.respond(), Math.max(0, this.#drawn + DRAW_INTERVAL_MS - performance.now()));
  }

  /** Draw with the next frame, because the reader has done something. */
  respond() {
    clearTimeout(this.#timer);
    this.#timer = 0;
    this.#frame ||= requestAnimationFrame((now) => {
      this.#frame = 0;
      this.#drawn = now;
      if (this.#draw()) this.dispatchEvent(new Event("drawn"));
      else this.respond();
    });
  }

  /** @returns {LogEvent | null} */
  get selectedEvent() {
    if (this.selected === null) return null;
    const item = this.store.view[this.store.indexOf(this.selected)];
    return item instanceof LogEvent && item.id === this.selected ? item : null;
  }

  /**
   * Move the selection down by some rows, past notes.
   * @param {number} step
   */
  move(step) {
    const { view } = this.store;
    const here = this.selected === null ? this.#edge(step) : this.store.indexOf(this.selected) + step;
    const index = Math.max(0, Math.min(view.length - 1, here));
    const direction = step < 0 ? -1 : 1;
    const found = this.#eventFrom(index, direction) ?? this.#eventFrom(index, -direction);
    if (found) this.select(found.id);
  }

  /**
   * Select the next event that passes a test.
   * @param {number} direction
   * @param {(event: LogEvent) => boolean} test
   */
  find(direction, test) {
    const { view } = this.store;
    const start = this.selected === null ? this.#edge(direction) + 1 : this.store.indexOf(this.selected);
    for (let index = start + direction; index >= 0 && index < view.length; index += direction) {
      const item = view[index];
      if (!(item instanceof LogEvent) || !test(item)) continue;
      this.select(item.id);
      return;
    }
  }

  /**
   * The first event from a row on.
   * @param {number} index
   * @param {number} direction
   */
  #eventFrom(index, direction) {
    const { view } = this.store;
    while (view[index] instanceof Note) index += direction;
    return view[index];
  }

  /**
   * The row to begin with: the last one that is fully on screen.
   * @param {number} step
   */
  #edge(step) {
    if (Math.abs(step) > this.store.view.length) return step < 0 ? 0 : this.store.view.length - 1;
    const bottom = this.grid.scrollTop + this.grid.clientHeight - this.space.offsetTop;
    return Math.floor(bottom / this.#rowHeight) - 1;
  }

  /** @param {number} id @param {boolean} [atCentre] */
  select(id, atCentre = false) {
    this.selected = id;
    if (atCentre) this.#centred = id;
    else this.#reveal(this.store.indexOf(id));
    this.respond();
    this.dispatchEvent(new Event("select"));
  }

  /** @param {number} id */
  scrollTo(id) {
    this.#reveal(this.store.indexOf(id), true);
  }

  /** @param {number} index @param {boolean} [atCentre] */
  #reveal(index, atCentre = false) {
    const top = index * this.#rowHeight;
    const seen = this.grid.clientHeight - this.space.offsetTop - this.#rowHeight - COVERED_PX;
    if (atCentre) this.grid.scrollTop = top - seen / 2;
    else if (top < this.grid.scrollTop) this.grid.scrollTop = top;
    else if (top > this.grid.scrollTop + seen) this.grid.scrollTop = top - seen;
  }

  /** The number of rows on a page. */
  get page() {
    return Math.max(1, Math.floor(this.grid.clientHeight / this.#rowHeight) - 2);
  }

  get isAtEnd() {
    return this.grid.scrollTop + this.grid.clientHeight >= this.grid.scrollHeight - Math.max(4, this.#rowHeight / 2);
  }

  #scrolled() {
    // The browser scrolls a resized list by itself, also if it gets its old size back: keep the position.
    if (this.grid.clientHeight !== this.#lastHeight) {
      this.#resized();
      return;
    }
    const up = this.#lastTop - this.grid.scrollTop;
    this.#remember();
    const least = this.#isPressed ? 1 : this.grid.clientHeight / 4;
    if (up > least) this.dispatchEvent(new Event("scrollup"));
    // Without movement the event comes from a draw; the reader's own scrolling up may still follow.
    else if (up < 0 && this.isAtEnd) this.dispatchEvent(new Event("scrollend"));
    this.respond();
  }

  #remember() {
    this.#lastTop = this.grid.scrollTop;
    this.#lastHeight = this.grid.clientHeight;
  }

  /** Dispatch before the scroll takes effect; new rows would scroll down again with the next frame. */
  #scrollsUp() {
    if (this.grid.scrollTop > 0) this.dispatchEvent(new Event("scrollup"));
  }

  #resized() {
    this.#isSized = true;
    this.respond();
  }

  /** @param {MouseEvent} click */
  #clicked(click) {
    const target = /** @type {Element} */ (click.target);
    const row = this.#rows.rowOf(target);
    if (!(row?.item instanceof LogEvent)) return;
    if (target === row.link) {
      if (click.ctrlKey || click.metaKey || click.shiftKey || click.button !== 0) return;
      click.preventDefault();
      this.dispatchEvent(new CustomEvent("trace", { detail: row.item }));
      return;
    }
    // Selecting text to copy it does not choose the row.
    if (getSelection()?.isCollapsed === false) return;
    this.select(row.item.id);
    this.dispatchEvent(new Event("open"));
  }

  /** @returns {boolean} whether all rows in sight are shown */
  #draw() {
    const { store } = this;
    const centre = (this.#lastTop + this.#lastHeight / 2 - this.space.offsetTop) / this.#rowHeight;
    const isOtherLayout = this.#isSized && this.#measure();
    const moved = (this.#lastForgotten - store.forgotten) * this.#rowHeight;
    this.space.style.height = `${store.view.length * this.#rowHeight}px`;
    if (!store.isPaused) this.grid.scrollTop = this.grid.scrollHeight;
    else if (this.#centred !== null) this.#reveal(store.indexOf(this.#centred), true);
    else if (isOtherLayout) this.#centre(centre);
    else if (moved) this.grid.scrollTop += moved;
    this.#centred = null;
    this.#lastForgotten = store.forgotten;
    this.#remember();
    if (this.#lastLength !== store.view.length) {
      this.#lastLength = store.view.length;
      this.grid.setAttribute("aria-rowcount", String(store.view.length + 1));
    }
    const isWhole = this.#rows.draw(store, this.#rowHeight, this.selected, this.#heads.layout);
    this.#showColumns(this.#rows.events);
    return isWhole;
  }

  /**
   * Show the names and the traces from the first event on that has one.
   * @param {import("./row.js").Row[]} rows
   */
  #showColumns(rows) {
    if (!rows.length) return;
    const { classList } = this.grid;
    const needed = { "has-names": rows.some(({ name }) => name.textContent), "has-traces": rows.some(({ trace }) => trace.textContent) };
    for (const [each, isNeeded] of Object.entries(needed)) {
      // Until another list has its first events, it looks like the one before it.
      if (classList.contains(each) === isNeeded || !(isNeeded || this.#isOther)) continue;
      classList.toggle(each, isNeeded);
      this.#resized();
    }
    this.#isOther = false;
  }

  /**
   * Keep the middle row in the middle after the height of the rows has changed.
   * @param {number} row
   */
  #centre(row) {
    this.grid.scrollTop = this.space.offsetTop + row * this.#rowHeight - this.grid.clientHeight / 2;
  }

  /** @returns {boolean} whether the height of the rows has changed */
  #measure() {
    const before = this.#rowHeight;
    this.#heads.fit();
    const probe = element("div", "row");
    this.space.append(probe);
    this.#rowHeight = probe.getBoundingClientRect().height || 24;
    probe.remove();
    this.#isSized = false;
    return before > 0 && before !== this.#rowHeight;
  }
}

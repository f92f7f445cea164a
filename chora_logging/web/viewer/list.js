/** A virtual list of events: only the rows on screen exist, however many events there are. */

import { fields, text } from "./json.js";
import { LogEvent, timeOfDay, value } from "./log_event.js";
import { Note } from "./store.js";
import { count, element, plural, visible } from "./text.js";

/** Fields that have a column of their own, and the meanings of others that do. */
const COLUMNS = ["timestamp", "level", "event_type", "trace_id", "message"];
const MEANINGS = ["time", "level", "event", "trace", "message"];
const MOST_ROW_FIELDS = 16;
const LONGEST_MESSAGE_CHARS = 400;
const LONGEST_VALUE_CHARS = 120;
const EXTRA_ROWS = 6;
/** The shortest interval between two draws of a live list: nobody reads faster, and it is open all day. */
const DRAW_INTERVAL_MS = 100;
/** The height of the end of the list that the button with the number of waiting events covers. */
const COVERED_PX = 52;
const dayNames = new Intl.DateTimeFormat(undefined, { dateStyle: "full" });

/** One row, reused for different events. */
class Row {
  /** @type {import("./store.js").Item | null} */ item = null;

  constructor() {
    this.time = cell("time");
    this.level = cell("level");
    this.name = cell("name");
    this.content = cell("content");
    this.trace = cell("trace");
    this.link = element("a", "trace-link");
    this.link.tabIndex = -1;
    this.root = element("div", "row", [this.time, this.level, this.name, this.content, this.trace]);
    this.root.setAttribute("role", "row");
  }

  /** @param {import("./store.js").Item} item @param {(traceId: string) => string} addressOf */
  fill(item, addressOf) {
    if (this.item === item) return;
    this.item = item;
    this.root.id = `row-${item.id}`;
    if (item instanceof LogEvent) this.#fillEvent(item, addressOf);
    else this.#fillNote(item);
  }

  /** @param {LogEvent} event @param {(traceId: string) => string} addressOf */
  #fillEvent(event, addressOf) {
    const found = fields(event.raw);
    this.root.className = event.isError ? "row is-error" : "row";
    this.root.dataset.level = event.level;
    this.root.title = "";
    this.time.textContent = Number.isNaN(event.time)
      ? visible(value(found, event.meaning.fieldOf("time", found) ?? ""), 12)
      : timeOfDay(event.time);
    this.level.textContent = visible(event.level, 9);
    this.name.textContent = visible(event.name, 80);
    this.content.replaceChildren(...contentOf(event, found));
    this.#fillTrace(event.traceId, addressOf);
  }

  /** @param {string} traceId @param {(traceId: string) => string} addressOf */
  #fillTrace(traceId, addressOf) {
    if (!traceId) {
      this.trace.replaceChildren();
      return;
    }
    this.link.textContent = visible(traceId, 60);
    this.link.href = addressOf(traceId);
    this.link.title = "Timeline of this trace";
    this.trace.replaceChildren(this.link);
  }

  /** @param {Note} note */
  #fillNote(note) {
    this.root.className = `row note is-${note.kind}`;
    delete this.root.dataset.level;
    this.root.title = wordsOf(note);
    for (const empty of [this.time, this.level, this.name, this.trace]) empty.replaceChildren();
    this.content.textContent = wordsOf(note);
  }
}

/** @param {string} className */
function cell(className) {
  const made = element("div", className);
  made.setAttribute("role", "gridcell");
  return made;
}

/** @param {LogEvent} event @param {Map<string, string>} found @returns {Node[]} */
function contentOf(event, found) {
  const parts = [];
  const { message } = event;
  if (message) parts.push(element("bdi", "message", visible(message, LONGEST_MESSAGE_CHARS)));
  // The logger matters least, so it comes last.
  const columns = new Set([...COLUMNS, ...MEANINGS.map((meaning) => event.meaning.fieldOf(meaning, found))]);
  // An object has more than the name.
  if (found.get("event")?.[0] === "{") columns.delete("event");
  else columns.add("event");
  const others = [...found].filter(([key, written]) => !columns.has(key) && written !== "null");
  const logger = others.filter(([key]) => key === "logger");
  for (const [key, written] of [...others.filter(([key]) => key !== "logger"), ...logger].slice(0, MOST_ROW_FIELDS)) {
    const label = element("bdi", "key", visible(key, LONGEST_VALUE_CHARS) + "=");
    parts.push(element("span", "field", [label, element("bdi", "value", visible(text(written), LONGEST_VALUE_CHARS))]));
  }
  return parts.flatMap((part) => [part, new Text(" ")]);
}

/** @param {Note} note */
export function wordsOf(note) {
  if (note.kind === "day") return dayNames.format(Number(note.raw));
  const found = fields(note.raw);
  const parts = [`Events are missing here: ${value(found, "reason") || "the log no longer has them"}`];
  const files = Number(value(found, "files"));
  const bytes = Number(value(found, "bytes"));
  if (files) parts.push(`at most ${plural(files, "file")}`);
  if (bytes) parts.push(`${count(bytes)} bytes`);
  return visible(parts.join(" · "));
}

/** Shows a store. Dispatches "select", "open", "trace", "scrollup", "scrollend" and "drawn". */
export class List extends EventTarget {
  /** @type {Row[]} */ #pool = [];
  #timer = 0;
  #frame = 0;
  #drawn = 0;
  #rowHeight = 0;
  #isSized = true;
  #lastTop = 0;
  #lastHeight = 0;
  /** Whether a pointer is pressed on the list, such as on its scroll bar. */
  #isPressed = false;
  #lastForgotten = 0;
  #lastLength = 0;

  /** @type {number | null} the id of the selected event */
  selected = null;

  /**
   * @param {HTMLElement} grid the element that scrolls
   * @param {HTMLElement} space the element with the height of all rows together
   * @param {import("./store.js").Store} store
   * @param {(traceId: string) => string} addressOf the address of a trace's timeline
   */
  constructor(grid, space, store, addressOf) {
    super();
    this.grid = grid;
    this.space = space;
    this.store = store;
    this.addressOf = addressOf;
    grid.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    grid.addEventListener("wheel", (wheel) => wheel.deltaY < 0 && this.#scrollsUp(), { passive: true });
    grid.addEventListener("pointerdown", () => (this.#isPressed = true));
    addEventListener("pointerup", () => (this.#isPressed = false));
    grid.addEventListener("touchmove", () => this.#scrollsUp(), { passive: true });
    space.addEventListener("click", (click) => this.#clicked(click));
    new ResizeObserver(() => this.#resized()).observe(grid);
  }

  /** @param {import("./store.js").Store} store */
  show(store) {
    this.store = store;
    this.selected = null;
    this.#lastForgotten = 0;
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
      this.#draw();
      this.dispatchEvent(new Event("drawn"));
    });
  }

  /** @returns {LogEvent | null} */
  get selectedEvent() {
    if (this.selected === null) return null;
    const item = this.store.view[this.store.indexOf(this.selected)];
    return item instanceof LogEvent && item.id === this.selected ? item : null;
  }

  /** Move the selection down by some rows, past notes. @param {number} step */
  move(step) {
    const { view } = this.store;
    const here = this.selected === null ? this.#edge(step) : this.store.indexOf(this.selected) + step;
    const index = Math.max(0, Math.min(view.length - 1, here));
    const direction = step < 0 ? -1 : 1;
    const found = this.#eventFrom(index, direction) ?? this.#eventFrom(index, -direction);
    if (found) this.select(found.id);
  }

  /** The first event from a row on. @param {number} index @param {number} direction */
  #eventFrom(index, direction) {
    const { view } = this.store;
    while (view[index] instanceof Note) index += direction;
    return view[index];
  }

  /** The row to begin with: the last one that is fully on screen. @param {number} step */
  #edge(step) {
    if (Math.abs(step) > this.store.view.length) return step < 0 ? 0 : this.store.view.length - 1;
    const bottom = this.grid.scrollTop + this.grid.clientHeight - this.space.offsetTop;
    return Math.floor(bottom / this.#rowHeight) - 1;
  }

  /** @param {number} id */
  select(id) {
    this.selected = id;
    this.#reveal(this.store.indexOf(id));
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
    const row = this.#pool.find(({ root }) => root.contains(target));
    if (!(row?.item instanceof LogEvent)) return;
    if (target === row.link) {
      if (click.ctrlKey || click.metaKey || click.shiftKey || click.button !== 0) return;
      click.preventDefault();
      this.dispatchEvent(new CustomEvent("trace", { detail: row.item.traceId }));
      return;
    }
    // Selecting text to copy it does not choose the row.
    if (getSelection()?.isCollapsed === false) return;
    this.select(row.item.id);
    this.dispatchEvent(new Event("open"));
  }

  #draw() {
    const { store } = this;
    const centre = (this.#lastTop + this.#lastHeight / 2 - this.space.offsetTop) / this.#rowHeight;
    const isOtherLayout = this.#isSized && this.#measure();
    const moved = (this.#lastForgotten - store.forgotten) * this.#rowHeight;
    this.space.style.height = `${store.view.length * this.#rowHeight}px`;
    if (!store.isPaused) this.grid.scrollTop = this.grid.scrollHeight;
    else if (isOtherLayout) this.#centre(centre);
    else if (moved) this.grid.scrollTop += moved;
    this.#lastForgotten = store.forgotten;
    this.#remember();
    if (this.#lastLength !== store.view.length) {
      this.#lastLength = store.view.length;
      this.grid.setAttribute("aria-rowcount", String(store.view.length + 1));
    }
    this.#drawRows();
  }

  #drawRows() {
    const { view, forgotten } = this.store;
    const first = Math.max(0, Math.floor((this.grid.scrollTop - this.space.offsetTop) / this.#rowHeight) - EXTRA_ROWS);
    const number = Math.min(view.length - first, Math.ceil(this.grid.clientHeight / this.#rowHeight) + 2 * EXTRA_ROWS);
    while (this.#pool.length < number) this.#grow();
    const used = new Set();
    for (let index = first; index < first + number; index += 1) {
      // A row keeps its event while the list moves on, so that only rows with new events are filled.
      const size = this.#pool.length;
      const row = this.#pool[(((forgotten + index) % size) + size) % size];
      used.add(row);
      row.fill(view[index], this.addressOf);
      row.root.hidden = false;
      row.root.style.transform = `translateY(${index * this.#rowHeight}px)`;
      row.root.setAttribute("aria-rowindex", String(index + 2));
      row.root.setAttribute("aria-selected", String(view[index].id === this.selected));
    }
    for (const row of this.#pool) if (!used.has(row)) row.root.hidden = true;
    this.#pointAtSelection(used);
  }

  /** @param {Set<Row>} used */
  #pointAtSelection(used) {
    const isDrawn = [...used].some((row) => row.item?.id === this.selected);
    if (isDrawn) this.grid.setAttribute("aria-activedescendant", `row-${this.selected}`);
    else this.grid.removeAttribute("aria-activedescendant");
  }

  #grow() {
    const row = new Row();
    this.#pool.push(row);
    this.space.append(row.root);
  }

  /** Keep the middle row in the middle after the height of the rows has changed. @param {number} row */
  #centre(row) {
    this.grid.scrollTop = this.space.offsetTop + row * this.#rowHeight - this.grid.clientHeight / 2;
  }

  /** @returns {boolean} whether the height of the rows has changed */
  #measure() {
    const before = this.#rowHeight;
    const probe = element("div", "row");
    this.space.append(probe);
    this.#rowHeight = probe.getBoundingClientRect().height || 24;
    probe.remove();
    this.#isSized = false;
    return before > 0 && before !== this.#rowHeight;
  }
}

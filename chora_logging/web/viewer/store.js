/** The events of the page, shown or waiting while it is paused, in bounded memory. */

import { dateOf, LogEvent } from "./log_event.js";
import { USUAL } from "./meaning.js";

/** The most events, and the most characters of their JSON, that are shown; as many may wait. */
export const MOST_EVENTS = 10_000;
const MOST_CHARS = 32_000_000;
/** How far a limit is exceeded before trimming, so that it removes several events at a time. */
const TRIM_FACTOR = 1.1;

/** A row between events: a new day, or missing events. */
export class Note {
  /** @param {"day" | "gap"} kind @param {string} raw @param {number} id */
  constructor(kind, raw, id) {
    this.kind = kind;
    this.raw = raw;
    this.id = id;
  }
}

/** @typedef {LogEvent | Note} Item */

/** A sequence of items that drops the oldest. */
class Window {
  /** @type {Item[]} */ items = [];
  characters = 0;

  /** @param {Item[]} added */
  append(added) {
    for (const item of added) {
      this.items.push(item);
      this.characters += item.raw.length;
    }
  }

  get isOver() {
    return this.items.length > MOST_EVENTS * TRIM_FACTOR || this.characters > MOST_CHARS * TRIM_FACTOR;
  }

  /** Drop the oldest items beyond the limits. */
  trim() {
    let gone = 0;
    let left = this.characters;
    while (this.items.length - gone > MOST_EVENTS || (left > MOST_CHARS && gone < this.items.length - 1)) {
      left -= this.items[gone].raw.length;
      gone += 1;
    }
    this.items.splice(0, gone);
    this.characters = left;
  }
}

/** Holds the shown events, and buffers new ones while the list is paused. */
export class Store {
  #shown = new Window();
  #waiting = new Window();
  /** @type {RegExp | null} */ #text = null;
  #nextId = 0;
  #oldestId = 0;
  #day = "";
  #lastGap = "";
  #hasForgotten = false;
  #meaning;

  /** @param {import("./meaning.js").Meaning} [meaning] the meaning of the fields of its events */
  constructor(meaning = USUAL) {
    this.#meaning = meaning;
  }

  /** @type {Item[]} the shown items that match the text filter */
  view = [];
  /** The number of items removed from the start of the view, less those added there. */
  forgotten = 0;
  isPaused = false;
  /** Events since the filters were set, dropped ones included. */
  received = 0;
  errors = 0;
  /** Whether the oldest loaded event is still in the store. */
  isWhole = true;
  waiting = 0;

  /** The number of events in the list, without the text filter. */
  get held() {
    return countEvents(this.#shown.items);
  }

  /** The number of them that match the text filter. */
  get matching() {
    return countEvents(this.view);
  }

  get isFull() {
    return this.#shown.items.length >= MOST_EVENTS;
  }

  /** @param {string} raw @returns {LogEvent} */
  add(raw) {
    const event = new LogEvent(raw, this.#nextId++, this.#meaning);
    this.#count(event);
    this.#place([...this.#dayBefore(event), event]);
    this.#lastGap = "";
    if (this.isPaused) this.waiting += 1;
    return event;
  }

  /** @param {string} raw the gap as JSON; the server may repeat it after a reconnection */
  addGap(raw) {
    if (raw === this.#lastGap) return;
    this.#lastGap = raw;
    this.#place([new Note("gap", raw, this.#nextId++)]);
  }

  /**
   * Insert older events before all others.
   * @param {string[]} raws newest first
   * @returns {LogEvent[]} in the order of the list
   */
  prepend(raws) {
    const first = (this.#oldestId -= 2 * raws.length);
    const idOf = (/** @type {number} */ index) => first + 2 * (raws.length - index) - 1;
    const events = raws.map((raw, index) => new LogEvent(raw, idOf(index), this.#meaning)).reverse();
    const last = this.#day;
    this.#day = "";
    const items = events.flatMap((event) => {
      this.#count(event);
      return [...this.#dayBefore(event, event.id - 1), event];
    });
    this.#dropDayNote(this.#day);
    if (last > this.#day) this.#day = last;
    this.#shown.items = items.concat(this.#shown.items);
    this.#shown.characters += items.reduce((sum, item) => sum + item.raw.length, 0);
    const visible = items.filter((item) => this.#fits(item));
    this.view = visible.concat(this.view);
    this.forgotten -= visible.length;
    return events;
  }

  /**
   * Remove the note of the first day if the events inserted before it are of the same day.
   * @param {string} day
   */
  #dropDayNote(day) {
    const [first] = this.#shown.items;
    if (!(first instanceof Note) || first.kind !== "day" || dateOf(Number(first.raw)) !== day) return;
    this.#shown.items.shift();
    this.view.shift();
    this.forgotten += 1;
  }

  pause() {
    this.isPaused = true;
  }

  resume() {
    this.isPaused = false;
    const waited = this.#waiting;
    this.#waiting = new Window();
    this.waiting = 0;
    // If some waiting events were dropped, drop all older ones too, so that the list has no hole.
    if (this.#hasForgotten) this.#forgetAll();
    this.#hasForgotten = false;
    this.#place(waited.items);
  }

  /** @param {string} text the text that events in the view must contain; empty for all */
  filter(text) {
    // JSON escapes a quote with a backslash; `holds` matches both forms.
    this.#text = text ? new RegExp(text.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&"), "iu") : null;
    this.view = this.#shown.items.filter((item) => this.#fits(item));
    this.forgotten = 0;
  }

  /** The index in the view of an item, or of the next one after it. @param {number} id */
  indexOf(id) {
    let low = 0;
    let high = this.view.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.view[middle].id < id) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** @param {Item[]} items */
  #place(items) {
    if (this.isPaused) {
      this.#waiting.append(items);
      if (!this.#waiting.isOver) return;
      this.#waiting.trim();
      this.#hasForgotten = true;
      return;
    }
    this.#shown.append(items);
    for (const item of items) if (this.#fits(item)) this.view.push(item);
    if (this.#shown.isOver) this.#forget();
  }

  #forget() {
    this.#shown.trim();
    this.isWhole = false;
    const gone = this.indexOf(this.#shown.items[0].id);
    this.view.splice(0, gone);
    this.forgotten += gone;
  }

  #forgetAll() {
    this.#shown = new Window();
    this.isWhole = false;
    this.forgotten += this.view.length;
    this.view = [];
  }

  /** @param {LogEvent} event */
  #count(event) {
    this.received += 1;
    if (event.isError) this.errors += 1;
  }

  /** @param {LogEvent} event @param {number} [id] */
  #dayBefore(event, id) {
    if (Number.isNaN(event.time)) return [];
    const day = dateOf(event.time);
    // Events of several writers mix around midnight: only a later day gets a note.
    if (day <= this.#day) return [];
    this.#day = day;
    return [new Note("day", String(event.time), id ?? event.id - 0.5)];
  }

  /** @param {Item} item */
  #fits(item) {
    return this.#text === null || item instanceof Note || item.holds(this.#text);
  }
}

/** @param {Item[]} items */
function countEvents(items) {
  return items.reduce((sum, item) => sum + (item instanceof LogEvent ? 1 : 0), 0);
}

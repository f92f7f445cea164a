/** The events of the page, shown or waiting while it is paused, in bounded memory. */

import { dateOf, endOfDay } from "./clock.js";
import { LogEvent } from "./log_event.js";
import { meaningOf } from "./meaning.js";

/** The most events, and the most characters of their JSON, that are shown; as many may wait. */
const MOST_EVENTS = 100_000;
const MOST_CHARS = 64_000_000;
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
  /** The number of items that are events. */
  events = 0;

  /** @param {Item[]} added */
  append(added) {
    for (const item of added) {
      this.items.push(item);
      this.#count(item, 1);
    }
  }

  /** @param {Item[]} added */
  prepend(added) {
    this.items = added.concat(this.items);
    for (const item of added) this.#count(item, 1);
  }

  /** @param {Item} item @param {1 | -1} sign whether it comes or goes */
  #count(item, sign) {
    this.characters += sign * item.raw.length;
    if (item instanceof LogEvent) this.events += sign;
  }

  get isFull() {
    return this.items.length >= MOST_EVENTS || this.characters >= MOST_CHARS;
  }

  get isOver() {
    return this.items.length > MOST_EVENTS * TRIM_FACTOR || this.characters > MOST_CHARS * TRIM_FACTOR;
  }

  /** Drop the oldest items beyond the limits, and return their number. */
  trim() {
    let gone = 0;
    while (this.items.length - gone > MOST_EVENTS || (this.characters > MOST_CHARS && gone < this.items.length - 1)) {
      this.#count(this.items[gone], -1);
      gone += 1;
    }
    this.items.splice(0, gone);
    return gone;
  }
}

/** Holds the shown events, and buffers new ones while the list is paused. */
export class Store {
  #shown = new Window();
  #waiting = new Window();
  #nextId = 0;
  #oldestId = 0;
  /** The latest day of an event. */
  #day = "";
  /** The time at which it ends. */
  #dayEnd = -Infinity;
  #lastGap = "";
  #hasForgotten = false;

  /** The number of items removed from the start of the view, less those added there. */
  forgotten = 0;
  isPaused = false;
  /** Whether the oldest loaded event is still in the store. */
  isWhole = true;
  waiting = 0;

  /** @returns {Item[]} the shown items */
  get view() {
    return this.#shown.items;
  }

  /** The number of events in the list. */
  get held() {
    return this.#shown.events;
  }

  get isFull() {
    return this.#shown.isFull;
  }

  /** @param {import("./api.js").Entry} entry @returns {LogEvent} */
  add(entry) {
    const event = eventOf(entry, this.#nextId++);
    this.#place([...this.#dayBefore(event), event]);
    this.#lastGap = "";
    if (this.isPaused) this.waiting += 1;
    return event;
  }

  /**
   * Add newer events at the end, also while the list is paused.
   * @param {import("./api.js").Entry[]} entries oldest first
   */
  append(entries) {
    const events = entries.map((entry) => eventOf(entry, this.#nextId++));
    this.#shown.append(events.flatMap((event) => [...this.#dayBefore(event), event]));
    if (this.#shown.isOver) this.#forget();
    return events;
  }

  /** @param {string} raw the gap as JSON; the server may repeat it after a reconnection */
  addGap(raw) {
    if (raw === this.#lastGap) return;
    this.#lastGap = raw;
    this.#place([new Note("gap", raw, this.#nextId++)]);
  }

  /**
   * Insert older events before all others.
   * @param {import("./api.js").Entry[]} entries newest first
   * @param {string[]} gaps what is missing after them, as JSON
   */
  prepend(entries, gaps = []) {
    const first = (this.#oldestId -= 2 * entries.length + gaps.length);
    const [last, lastEnd] = [this.#day, this.#dayEnd];
    [this.#day, this.#dayEnd] = ["", -Infinity];
    /** @type {Item[]} */
    const items = [...entries].reverse().flatMap((entry, index) => {
      const event = eventOf(entry, first + 2 * index + 1);
      return [...this.#dayBefore(event), event];
    });
    items.push(...gaps.map((gap, index) => new Note("gap", gap, first + 2 * entries.length + index)));
    this.#dropDayNote(this.#day);
    if (last > this.#day) [this.#day, this.#dayEnd] = [last, lastEnd];
    this.#shown.prepend(items);
    this.forgotten -= items.length;
  }

  /**
   * Remove the note of the first day if the events inserted before it are of the same day.
   * @param {string} day
   */
  #dropDayNote(day) {
    const [first] = this.#shown.items;
    if (!(first instanceof Note) || first.kind !== "day" || dateOf(Number(first.raw)) !== day) return;
    this.#shown.items.shift();
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

  /**
   * The index in the view of an item, or of the next one after it.
   * @param {number} id
   */
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

  /**
   * The event at a place in a log, if it is in the list.
   * @param {string} log
   * @param {string} cursor
   */
  at(log, cursor) {
    const found = this.view.find((item) => item instanceof LogEvent && item.cursor === cursor && item.log === log);
    return found instanceof LogEvent ? found : null;
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
    if (this.#shown.isOver) this.#forget();
  }

  #forget() {
    this.isWhole = false;
    this.forgotten += this.#shown.trim();
  }

  #forgetAll() {
    this.isWhole = false;
    this.forgotten += this.view.length;
    this.#shown = new Window();
  }

  /** Find the beginnings of days anew: the zone is another one. */
  redate() {
    [this.#day, this.#dayEnd] = ["", -Infinity];
    for (const window of [this.#shown, this.#waiting]) {
      window.items = window.items.flatMap((item) => {
        if (item instanceof LogEvent) return [...this.#dayBefore(item), item];
        return item.kind === "day" ? [] : [item];
      });
    }
  }

  /** @param {LogEvent} event */
  #dayBefore(event) {
    // Events of several writers mix around midnight: only a later day gets a note.
    if (Number.isNaN(event.time) || event.time < this.#dayEnd) return [];
    const day = dateOf(event.time);
    if (day <= this.#day) return [];
    [this.#day, this.#dayEnd] = [day, endOfDay(event.time)];
    return [new Note("day", String(event.time), event.id - 0.5)];
  }
}

/** @param {import("./api.js").Entry} entry @param {number} id */
function eventOf({ log, cursor, raw }, id) {
  return new LogEvent(raw, id, meaningOf(log), log, cursor);
}

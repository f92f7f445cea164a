/** One row of the list: an event, or a note between events. */

import { dayInWords, timeOfDay } from "./clock.js";
import { fields, text } from "./json.js";
import { LogEvent, value, valueAt } from "./log_event.js";
import { marked } from "./marks.js";
import { Note } from "./store.js";
import { count, element, plural, visible } from "./text.js";
import { hold } from "./values.js";

/** Fields that always have a column of their own, and the meanings of others that do. */
export const COLUMNS = ["timestamp", "level", "event_type", "trace_id", "message"];
const MEANINGS = ["time", "level", "event", "trace", "message"];
const MOST_ROW_FIELDS = 16;
const LONGEST_MESSAGE_CHARS = 400;
const LONGEST_VALUE_CHARS = 120;

/** @typedef {import("./column_heads.js").Layout} Layout */

/** One row, reused for different events. */
export class Row {
  /** @type {import("./store.js").Item | null} */ item = null;
  /** Whether it is to be filled anew, because what is shown of an event has changed. */
  isStale = false;
  /** @type {Map<string, {raw: string, part: HTMLElement | null}>} what it shows of an event, by what that is */ shown = new Map();
  /** @type {Layout} */ #layout = { cells: [], texts: [], characters: 0 };
  /** @type {HTMLElement[]} the cells of the chosen columns */ #chosen = [];

  constructor() {
    this.time = cell("time");
    this.log = cell("log");
    this.level = cell("level");
    this.name = cell("name");
    this.content = cell("content");
    this.trace = cell("trace");
    this.link = element("a", "trace-link");
    this.link.tabIndex = -1;
    this.root = element("div", "row", [this.time, this.log, this.level, this.name, this.content, this.trace]);
    this.root.setAttribute("role", "row");
  }

  /**
   * Whether it shows an item, laid out like this.
   * @param {import("./store.js").Item} item
   * @param {Layout} layout
   */
  isOf(item, layout) {
    return this.item === item && this.#layout === layout && !this.isStale;
  }

  /**
   * @param {import("./store.js").Item} item
   * @param {(traceId: string) => string} addressOf
   * @param {Layout} layout
   */
  fill(item, addressOf, layout) {
    if (this.#layout !== layout) this.#lay(layout);
    [this.item, this.isStale] = [item, false];
    this.shown = new Map();
    this.root.id = `row-${item.id}`;
    if (item instanceof LogEvent) this.#fillEvent(item, addressOf);
    else this.#fillNote(item);
  }

  /** @param {Layout} layout */
  #lay(layout) {
    this.#layout = layout;
    for (const part of this.#chosen) part.remove();
    this.#chosen = layout.cells.map(() => cell("chosen"));
    this.trace.before(...this.#chosen);
  }

  /** @param {LogEvent} event @param {(traceId: string) => string} addressOf */
  #fillEvent(event, addressOf) {
    const found = fields(event.raw);
    const { meaning } = event;
    const [name, message] = [meaning.eventOf(found), meaning.messageOf(found)];
    this.root.className = event.isError ? "row is-error" : "row";
    this.root.classList.toggle("is-unsaid", !message);
    this.root.dataset.level = event.level;
    this.root.title = "";
    this.time.textContent = Number.isNaN(event.time)
      ? visible(value(found, meaning.fieldOf("time", found) ?? ""), 12)
      : timeOfDay(event.time);
    this.log.textContent = visible(event.log, 40);
    this.level.textContent = visible(event.level, 9);
    this.name.replaceChildren(...marked(visible(name, 80)));
    this.#fillContent(event, found, message);
    this.#fillTrace(event.traceId, addressOf);
    this.#holdValues(event, found);
    for (const [what, raw, part] of /** @type {[string, string, HTMLElement][]} */ ([["log", event.log, this.log], ["name", name, this.name], ["trace", event.traceId, this.trace]])) {
      if (raw) this.shown.set(`cell ${what}`, { raw, part });
    }
  }

  /** @param {LogEvent} event @param {Map<string, string>} found @param {string} message */
  #fillContent(event, found, message) {
    const { cells, texts, characters } = this.#layout;
    for (const [index, name] of cells.entries()) {
      const chosen = valueAt(found, name);
      const shown = chosen && chosen.raw !== "null" ? visible(text(chosen.raw), LONGEST_VALUE_CHARS) : "";
      this.#chosen[index].replaceChildren(...marked(shown));
      hold(this.#chosen[index], chosen);
      if (chosen) this.shown.set(`field ${name}`, { raw: chosen.raw, part: this.#chosen[index] });
    }
    const parts = message ? [element("bdi", "message", marked(visible(message, LONGEST_MESSAGE_CHARS)))] : [];
    let left = characters - message.length;
    for (const [name, each] of [...chosenTexts(found, texts), ...othersOf(event, found, [...cells, ...texts])]) {
      // One that has no space is compared with those of other rows all the same.
      const part = left > 0 || texts.includes(name) ? fieldOf(name, each) : null;
      this.shown.set(`field ${name}`, { raw: each.raw, part });
      if (!part) continue;
      parts.push(part);
      left -= String(part.textContent).length;
    }
    this.content.replaceChildren(...parts.flatMap((part) => [part, new Text(" ")]));
  }

  /** @param {LogEvent} event @param {Map<string, string>} found */
  #holdValues(event, found) {
    for (const [meaning, part] of /** @type {[string, HTMLElement][]} */ ([["level", this.level], ["event", this.name], ["trace", this.trace]])) {
      const field = event.meaning.fieldOf(meaning, found);
      hold(part, field === undefined ? null : { path: [field], raw: found.get(field) ?? "null" });
    }
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
    for (const empty of [this.time, this.log, this.level, this.name, this.trace, ...this.#chosen]) {
      empty.replaceChildren();
      hold(empty, null);
    }
    this.content.textContent = wordsOf(note);
  }
}

/** @param {string} className */
function cell(className) {
  const made = element("div", className);
  made.setAttribute("role", "gridcell");
  return made;
}

/** @param {string} name @param {import("./values.js").Value} value */
function fieldOf(name, value) {
  const label = element("bdi", "key", visible(name, LONGEST_VALUE_CHARS) + "=");
  const field = element("span", "field", [label, element("bdi", "value", marked(visible(text(value.raw), LONGEST_VALUE_CHARS)))]);
  hold(field, value);
  return field;
}

/**
 * The chosen columns without a cell that the event has.
 * @param {Map<string, string>} found
 * @param {readonly string[]} names
 */
function chosenTexts(found, names) {
  return names.flatMap((name) => {
    const chosen = valueAt(found, name);
    return chosen && chosen.raw !== "null" ? [/** @type {[string, import("./values.js").Value]} */ ([name, chosen])] : [];
  });
}

/**
 * The other fields, as many as a row may have.
 * @param {LogEvent} event
 * @param {Map<string, string>} found
 * @param {string[]} chosen the columns
 */
function othersOf(event, found, chosen) {
  const columns = new Set([...COLUMNS, ...MEANINGS.map((meaning) => event.meaning.fieldOf(meaning, found))]);
  // An object has more than the name.
  if (found.get("event")?.[0] === "{") columns.delete("event");
  else columns.add("event");
  for (const name of chosen) columns.add(name);
  const others = [...found].filter(([key, written]) => !columns.has(key) && written !== "null");
  // The logger matters least, so it comes last.
  const logger = others.filter(([key]) => key === "logger");
  const shown = [...others.filter(([key]) => key !== "logger"), ...logger].slice(0, MOST_ROW_FIELDS);
  return shown.map(([key, raw]) => /** @type {[string, import("./values.js").Value]} */ ([key, { path: [key], raw }]));
}

/** @param {Note} note */
export function wordsOf(note) {
  if (note.kind === "day") return dayInWords(Number(note.raw));
  const found = fields(note.raw);
  const parts = [`Events are missing here: ${value(found, "reason") || "the log no longer has them"}`];
  const files = Number(value(found, "files"));
  const bytes = Number(value(found, "bytes"));
  if (files) parts.push(`at most ${plural(files, "file")}`);
  if (bytes) parts.push(`${count(bytes)} bytes`);
  return visible(parts.join(" · "));
}

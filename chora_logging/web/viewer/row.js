/** One row of the list: an event, or a note between events. */

import { dayInWords, timeOfDay } from "./clock.js";
import { fields, text } from "./json.js";
import { LogEvent, value } from "./log_event.js";
import { marked } from "./marks.js";
import { Note } from "./store.js";
import { count, element, plural, visible } from "./text.js";
import { hold } from "./values.js";

/** Fields that have a column of their own, and the meanings of others that do. */
const COLUMNS = ["timestamp", "level", "event_type", "trace_id", "message"];
const MEANINGS = ["time", "level", "event", "trace", "message"];
const MOST_ROW_FIELDS = 16;
const LONGEST_MESSAGE_CHARS = 400;
const LONGEST_VALUE_CHARS = 120;

/** One row, reused for different events. */
export class Row {
  /** @type {import("./store.js").Item | null} */ item = null;

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
    const { meaning } = event;
    this.root.className = event.isError ? "row is-error" : "row";
    this.root.dataset.level = event.level;
    this.root.title = "";
    this.time.textContent = Number.isNaN(event.time)
      ? visible(value(found, meaning.fieldOf("time", found) ?? ""), 12)
      : timeOfDay(event.time);
    this.log.textContent = visible(event.log, 40);
    this.level.textContent = visible(event.level, 9);
    this.name.replaceChildren(...marked(visible(event.name, 80)));
    this.content.replaceChildren(...contentOf(event, found));
    this.#fillTrace(event.traceId, addressOf);
    this.#holdValues(event, found);
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
    for (const empty of [this.time, this.log, this.level, this.name, this.trace]) empty.replaceChildren();
    for (const part of [this.level, this.name, this.trace]) hold(part, null);
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
  if (message) parts.push(element("bdi", "message", marked(visible(message, LONGEST_MESSAGE_CHARS))));
  // The logger matters least, so it comes last.
  const columns = new Set([...COLUMNS, ...MEANINGS.map((meaning) => event.meaning.fieldOf(meaning, found))]);
  // An object has more than the name.
  if (found.get("event")?.[0] === "{") columns.delete("event");
  else columns.add("event");
  const others = [...found].filter(([key, written]) => !columns.has(key) && written !== "null");
  const logger = others.filter(([key]) => key === "logger");
  for (const [key, written] of [...others.filter(([key]) => key !== "logger"), ...logger].slice(0, MOST_ROW_FIELDS)) {
    const label = element("bdi", "key", visible(key, LONGEST_VALUE_CHARS) + "=");
    const shown = element("bdi", "value", marked(visible(text(written), LONGEST_VALUE_CHARS)));
    const field = element("span", "field", [label, shown]);
    hold(field, { path: [key], raw: written });
    parts.push(field);
  }
  return parts.flatMap((part) => [part, new Text(" ")]);
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

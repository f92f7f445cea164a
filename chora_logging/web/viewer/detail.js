/** Shows one event in full: formatted JSON, and its tracebacks as they were printed. */

import { pathOf } from "./api.js";
import { copied } from "./clipboard.js";
import { wholeTime } from "./clock.js";
import { linesOf, MOST_CHARS } from "./detail_json.js";
import { elements, fields, format, text } from "./json.js";
import { value } from "./log_event.js";
import { Place } from "./place.js";
import { byId, element, visible, visibleLines } from "./text.js";

/** A field that has the lines of a stack without an exception. */
const STACK_FIELD = "stack_info";
/** Fields to filter the list by, and the words on their buttons. */
const FILTER_FIELDS = [
  ["event", "event"],
  ["task_id", "task"],
  ["run_id", "run"],
  ["trace_id", "trace"],
];

/** Fields that a timeline may be of, too, and their words. */
const SUBJECTS = [["run_id", "run"], ["task_id", "task"]];

/** The pane with the event. Dispatches "filter", "narrow", "subject", "context", "around" and "close". */
export class Detail extends EventTarget {
  #root = byId("detail");
  /** @type {import("./log_event.js").LogEvent | null} */ event = null;

  /** @param {import("./columns.js").Columns} columns */
  constructor(columns) {
    super();
    this.columns = columns;
    byId("detail-close").addEventListener("click", () => this.close());
    byId("copy").addEventListener("click", () => this.copy());
    byId("copy-link").addEventListener("click", () => this.copyLink());
    byId("copy-curl").addEventListener("click", () => this.#copy(curlOf(this.event), "Copied as a command"));
  }

  get isOpen() {
    return !this.#root.hidden;
  }

  /** @param {import("./log_event.js").LogEvent} event @param {boolean} [isInList] and not chosen in a timeline */
  show(event, isInList = true) {
    const { event: before } = this;
    if (this.isOpen && before?.raw === event.raw && before.cursor === event.cursor) return;
    this.event = event;
    const found = fields(event.raw);
    byId("detail-title").textContent = visible(event.name || event.message || "Event", 120);
    byId("detail-facts").textContent = factsOf(event, found);
    byId("detail-actions").replaceChildren(...this.#actions(event, found, isInList));
    byId("detail-tracebacks").replaceChildren(...tracebacks(event, found));
    const acts = { narrow: (/** @type {string} */ chosen) => this.#dispatch("narrow", chosen), columns: this.columns };
    byId("json").replaceChildren(...linesOf(event.raw, acts));
    byId("copied").textContent = "";
    for (const name of ["copy-link", "copy-curl"]) byId(name).hidden = !event.cursor;
    this.#root.classList.toggle("is-error", event.isError);
    this.#root.hidden = false;
    byId("detail-body").scrollTop = 0;
  }

  focus() {
    byId("detail-close").focus();
  }

  hide() {
    this.#root.hidden = true;
  }

  close() {
    if (!this.isOpen) return;
    const hadFocus = this.#root.contains(document.activeElement);
    this.hide();
    this.dispatchEvent(new CustomEvent("close", { detail: { hadFocus } }));
  }

  copy() {
    return this.#copy(format(this.event?.raw ?? "").map(([, piece]) => piece).join(""), "Copied");
  }

  /** A link that opens the event among those around it. */
  copyLink() {
    const { event } = this;
    if (!event?.cursor) return;
    const place = new Place(new URLSearchParams()).with({ log: event.log, at: event.cursor, context: "20" });
    this.#copy(new URL(place.address, location.href).href, "Link copied");
  }

  /** @param {string} whole @param {string} words */
  async #copy(whole, words) {
    byId("copied").textContent = (await copied(whole)) ? words : "The browser refused to copy";
  }

  /**
   * @param {import("./log_event.js").LogEvent} event
   * @param {Map<string, string>} found
   * @param {boolean} isInList
   * @returns {Node[]}
   */
  #actions(event, found, isInList) {
    const { name, traceId } = event;
    /** @type {Record<string, string>} */
    const meant = { event: name, trace_id: traceId };
    const actions = [];
    if (traceId && isInList) actions.push(this.#button("Timeline", "Timeline of its trace", "subject", ["", traceId]));
    for (const [key, word] of isInList ? SUBJECTS : []) {
      const id = value(found, key);
      if (id) actions.push(this.#button(`${word} timeline`, `Timeline of its ${word}`, "subject", [key, id]));
    }
    if (event.cursor) actions.push(this.#button("In context", "The events around it, without filters", "context", event));
    if (!Number.isNaN(event.time)) actions.push(this.#button("± 1 min", "The minute before and after it", "around", event.time));
    const narrowing = FILTER_FIELDS.flatMap(([key, words]) => {
      const asked = meant[key] ?? value(found, key);
      return asked ? [this.#button(words, `Only this ${words}`, "filter", { [key]: asked })] : [];
    });
    return narrowing.length ? [...actions, new Text("Only this"), ...narrowing] : actions;
  }

  /** @param {string} type @param {unknown} detail */
  #dispatch(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }

  /** @param {string} words @param {string} name @param {string} type @param {unknown} detail */
  #button(words, name, type, detail) {
    const button = element("button", "", words);
    button.type = "button";
    button.ariaLabel = name;
    button.addEventListener("click", () => this.#dispatch(type, detail));
    return button;
  }
}

/**
 * The command that reads the event again.
 * @param {import("./log_event.js").LogEvent | null} event
 */
function curlOf(event) {
  if (!event) return "";
  const address = new URL(pathOf(event.log, event.cursor), location.href).href;
  // A server with a token has a button to log out.
  const token = byId("logout").hidden ? "" : ' -H "Authorization: Bearer $TOKEN"';
  return `curl -s${token} '${address.replaceAll("'", "%27")}'`;
}

/** @param {import("./log_event.js").LogEvent} event @param {Map<string, string>} found */
function factsOf(event, found) {
  const written = value(found, event.meaning.fieldOf("time", found) ?? "");
  const time = Number.isNaN(event.time) ? written : wholeTime(event.time);
  const facts = [event.log, event.level, time, value(found, "logger")];
  return facts.filter(Boolean).map((fact) => visible(fact, 80)).join(" · ");
}

/** @param {import("./log_event.js").LogEvent} event @param {Map<string, string>} found */
function tracebacks(event, found) {
  const stack = found.get(STACK_FIELD) ?? "";
  const blocks = [
    ["exception", event.meaning.exceptionOf(found)],
    [STACK_FIELD, stack[0] === "[" ? elements(stack).map(text).join("\n") : value(found, STACK_FIELD)],
  ];
  return blocks.filter(([, lines]) => lines).map(([name, lines]) => {
    const block = element("pre", "traceback", visibleLines(lines, MOST_CHARS));
    block.tabIndex = 0;
    block.setAttribute("aria-label", name);
    return block;
  });
}

/** Shows one event in full: formatted JSON, and its tracebacks as they were printed. */

import { elements, fields, format, text } from "./json.js";
import { dateOf, timeOfDay, value } from "./log_event.js";
import { byId, count, element, visible, visibleLines } from "./text.js";

/** Limits of the display, not of the copy, so that a large event does not freeze the page. */
const LONGEST_STRING_CHARS = 5_000;
const MOST_CHARS = 100_000;
const MOST_PIECES = 20_000;
/** A field that has the lines of a stack without an exception. */
const STACK_FIELD = "stack_info";
/** Fields to filter the list by, and the words on their buttons. */
const FILTER_FIELDS = [
  ["event", "event"],
  ["task_id", "task"],
  ["run_id", "run"],
  ["trace_id", "trace"],
];

/** The pane with the event. Dispatches "filter", "trace" and "close". */
export class Detail extends EventTarget {
  #root = byId("detail");
  #raw = "";

  constructor() {
    super();
    byId("detail-close").addEventListener("click", () => this.close());
    byId("copy").addEventListener("click", () => this.copy());
  }

  get isOpen() {
    return !this.#root.hidden;
  }

  /** @param {import("./log_event.js").LogEvent} event @param {string} [log] its log, if it was chosen in a timeline */
  show(event, log = "") {
    if (this.isOpen && this.#raw === event.raw) return;
    this.#raw = event.raw;
    const found = fields(event.raw);
    byId("detail-title").textContent = visible(event.name || event.message || "Event", 120);
    byId("detail-facts").textContent = factsOf(event, found, log);
    byId("detail-actions").replaceChildren(...this.#actions(event, found, log === ""));
    byId("detail-tracebacks").replaceChildren(...tracebacks(event, found));
    byId("json").replaceChildren(...shown(event.raw));
    byId("copied").textContent = "";
    this.#root.classList.toggle("is-error", event.isError);
    this.#root.hidden = false;
    byId("detail-body").scrollTop = 0;
  }

  focus() {
    byId("detail-close").focus();
  }

  close() {
    if (!this.isOpen) return;
    const hadFocus = this.#root.contains(document.activeElement);
    this.#root.hidden = true;
    this.dispatchEvent(new CustomEvent("close", { detail: { hadFocus } }));
  }

  async copy() {
    const whole = format(this.#raw).map(([, piece]) => piece).join("");
    byId("copied").textContent = (await copied(whole)) ? "Copied" : "The browser refused to copy";
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
    const timeline = traceId && isInList ? [this.#button("Timeline", "Timeline of its trace", "trace", traceId)] : [];
    const narrowing = FILTER_FIELDS.flatMap(([key, words]) => {
      const asked = meant[key] ?? value(found, key);
      return asked ? [this.#button(words, `Only this ${words}`, "filter", { [key]: asked })] : [];
    });
    return narrowing.length ? [...timeline, new Text("Only this"), ...narrowing] : timeline;
  }

  /** @param {string} words @param {string} name @param {string} type @param {unknown} detail */
  #button(words, name, type, detail) {
    const button = element("button", "", words);
    button.type = "button";
    button.ariaLabel = name;
    button.addEventListener("click", () => this.dispatchEvent(new CustomEvent(type, { detail })));
    return button;
  }
}

/** @param {import("./log_event.js").LogEvent} event @param {Map<string, string>} found @param {string} log */
function factsOf(event, found, log) {
  const written = value(found, event.meaning.fieldOf("time", found) ?? "");
  const time = Number.isNaN(event.time) ? written : `${dateOf(event.time)} ${timeOfDay(event.time)}`;
  return [log, event.level, time, value(found, "logger")].filter(Boolean).map((fact) => visible(fact, 80)).join(" · ");
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

/** @param {string} raw @returns {Node[]} its lines */
function shown(raw) {
  const lines = [line("")];
  let left = MOST_CHARS;
  const pieces = format(raw);
  for (const [kind, piece] of pieces.slice(0, MOST_PIECES)) {
    const cut = Math.min(left, LONGEST_STRING_CHARS);
    if (kind === "space") lines.push(line(piece.slice(1)));
    else lines[lines.length - 1].append(element("bdi", kind, visible(piece.slice(0, cut))));
    if (piece.length > cut) {
      lines[lines.length - 1].append(element("em", "cut", ` … ${count(piece.length - cut)} more characters`));
    }
    left -= Math.min(piece.length, cut);
    if (left <= 0) break;
  }
  if (left <= 0 || pieces.length > MOST_PIECES) lines.push(element("em", "cut", "… truncated; the copy is complete"));
  return lines;
}

/** @param {string} indent @returns {HTMLElement} */
function line(indent) {
  const made = element("span", "line", indent);
  made.style.setProperty("--hang", `${indent.length + 2}ch`);
  return made;
}

/** @param {string} whole @returns {Promise<boolean>} */
async function copied(whole) {
  try {
    await navigator.clipboard.writeText(whole);
    return true;
  } catch {
    return copiedByCommand(whole);
  }
}

/** For pages without HTTPS, which have no `navigator.clipboard`. @param {string} whole */
function copiedByCommand(whole) {
  const before = document.activeElement;
  const area = element("textarea", "off-screen");
  area.value = whole;
  document.body.append(area);
  area.select();
  const isCopied = document.execCommand("copy");
  area.remove();
  if (before instanceof HTMLElement) before.focus();
  return isCopied;
}

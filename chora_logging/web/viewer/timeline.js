/** A trace, a run or a task across all logs: the tree of its steps as a waterfall. */

import { subjectPages } from "./api.js";
import { distance, idle, ticks } from "./axis.js";
import { fields } from "./json.js";
import { LogEvent, span, value } from "./log_event.js";
import { meaningOf } from "./meaning.js";
import { Rows } from "./rows.js";
import { byId, plural, visible } from "./text.js";
import { rowOf } from "./timeline_row.js";
import { extentOf, gapsOf, rowsOf, stepsOf, treeOf } from "./trace_tree.js";

/** @typedef {import("./trace_tree.js").Step} Step */

/** What a timeline may show: the name of the field, and its word. */
const SUBJECTS = new Map([["", "Trace"], ["run_id", "Run"], ["task_id", "Task"]]);

/** The view of one trace, run or task. Dispatches "open" with the chosen event, and "login" if the token is needed. */
export class Timeline extends EventTarget {
  #root = byId("timeline");
  #rows = new Rows(byId("timeline-rows"));
  /** @type {LogEvent[]} */ #events = [];
  /** @type {Step[]} the outermost steps */ #tree = [];
  /** @type {Step[]} those of the rows */ #steps = [];
  /** @type {Set<string>} the steps that are folded, by the places of their events */ #folded = new Set();
  /** The step that is zoomed into, by the place of its event; empty for none. */
  #zoomed = "";
  #asking = new AbortController();
  #refreshing = 0;
  #isLoading = false;
  #id = "";
  #by = "";
  /** @type {string[]} the names of all logs */ #logs = [];

  constructor() {
    super();
    this.#rows.root.addEventListener("click", (click) => this.#clicked(click));
    this.#rows.root.addEventListener("keydown", (press) => {
      if (press.key === "ArrowLeft") this.fold();
      else if (press.key === "ArrowRight") this.unfold();
      else return;
      press.preventDefault();
    });
    this.#rows.root.addEventListener("dblclick", (click) => this.#zoomInto(this.#rows.indexOf(click)));
    byId("timeline-refresh").addEventListener("click", () => this.#load());
    byId("timeline-error").addEventListener("click", () => this.nextError());
    byId("timeline-whole").addEventListener("click", () => this.zoomOut());
  }

  get isShown() {
    return !this.#root.hidden;
  }

  get isZoomed() {
    return this.#zoomed !== "";
  }

  /**
   * @param {string[]} logs the names of all logs
   * @param {string} id
   * @param {string} by the field that has the id; empty for a trace
   */
  show(logs, id, by) {
    const isOther = id !== this.#id || by !== this.#by;
    if (this.isShown && !isOther) return;
    [this.#logs, this.#id, this.#by] = [logs, id, by];
    this.#root.hidden = false;
    byId("timeline-subject").textContent = SUBJECTS.get(by) ?? "Nothing";
    byId("timeline-id").textContent = visible(id, 200);
    if (isOther) {
      [this.#events, this.#tree, this.#zoomed] = [[], [], ""];
      this.#folded.clear();
      this.#draw();
      this.#announce("Loading");
      byId("timeline-title").focus();
    }
    this.#load();
  }

  get #subject() {
    return (SUBJECTS.get(this.#by) ?? "").toLowerCase();
  }

  hide() {
    [this.#id, this.#by] = ["", ""];
    this.#asking.abort();
    this.#root.hidden = true;
  }

  /**
   * Whether an event belongs to what is shown.
   * @param {LogEvent} event
   */
  holds(event) {
    if (!this.isShown) return false;
    return this.#id === (this.#by ? value(fields(event.raw), this.#by) : event.traceId);
  }

  /** Reload shortly. */
  refreshSoon() {
    this.#refreshing ||= setTimeout(() => {
      this.#refreshing = 0;
      if (!this.isShown) return;
      if (this.#isLoading) this.refreshSoon();
      else this.#load();
    }, 500);
  }

  async #load() {
    this.#asking.abort();
    this.#asking = new AbortController();
    const { signal } = this.#asking;
    if (!SUBJECTS.has(this.#by)) {
      this.#isLoading = false;
      this.#announce(`A timeline is by ${[...SUBJECTS.keys()].filter(Boolean).join(" or ")}, not by ${visible(this.#by, 40)}`);
      return;
    }
    /** @type {import("./api.js").Entry[]} */
    const found = [];
    this.#isLoading = true;
    try {
      for await (const { events, isLast } of subjectPages(this.#logs, this.#by, this.#id, signal)) {
        if (signal.aborted) return;
        found.unshift(...events);
        // What is shown stays until as much has been found again.
        if (!isLast && found.length < this.#events.length) continue;
        this.#events = found.map(({ log, cursor, raw }) => new LogEvent(raw, 0, meaningOf(log), log, cursor));
        this.#tree = treeOf(this.#events);
        this.#draw();
        this.#announce(this.#summary(isLast));
      }
    } catch (failure) {
      if (signal.aborted) return;
      if (failure.status === 401) this.dispatchEvent(new Event("login"));
      this.#announce(`The ${this.#subject} cannot be shown: ${failure.message}`);
    } finally {
      if (!signal.aborted) this.#isLoading = false;
    }
  }

  #draw() {
    const everything = stepsOf(this.#tree);
    const zoomed = everything.find((step) => placeOf(step) === this.#zoomed);
    if (!zoomed) this.#zoomed = "";
    const shown = zoomed ? stepsOf([zoomed]) : everything;
    const { start, end } = extentOf(shown) ?? { start: 0, end: 0 };
    const whole = Math.max(end - start, 0.001);
    byId("timeline-axis").replaceChildren(...ticks(whole), ...idle(gapsOf(shown), start, whole));
    this.#rows.root.style.setProperty("--tick", `${distance(whole)}%`);
    byId("timeline-whole").hidden = !zoomed;
    byId("timeline-error").hidden = !everything.some((step) => step.event.isError);

    const focused = this.#rows.hasFocus ? this.#steps[this.#rows.index] : null;
    const isFolded = (/** @type {Step} */ step) => this.#folded.has(placeOf(step));
    const rows = rowsOf(zoomed ? [zoomed] : this.#tree, isFolded);
    this.#steps = rows.map(([step]) => step);
    this.#rows.root.replaceChildren(...rows.map(([step, depth]) => rowOf(step, depth, isFolded(step), { start, whole })));
    this.#rows.all.forEach((row, index) => row.setAttribute("aria-rowindex", String(index + 2)));
    const index = this.#steps.findIndex((step) => focused && placeOf(step) === placeOf(focused));
    this.#rows.choose(Math.max(0, index), focused !== null);
  }

  /** @param {string} words */
  #announce(words) {
    byId("timeline-summary").textContent = words;
  }

  /** @param {MouseEvent} click */
  #clicked(click) {
    const index = this.#rows.indexOf(click);
    if (index < 0) return;
    const target = /** @type {Element} */ (click.target);
    this.#rows.choose(index, true);
    if (target.closest(".fold") && this.#steps[index].children.length) this.#fold(index, !this.#isFolded(index));
    else this.#open(index, target.closest(".began") !== null);
  }

  /** @param {number} index */
  #isFolded(index) {
    return this.#folded.has(placeOf(this.#steps[index]));
  }

  /** @param {number} index @param {boolean} isFolded */
  #fold(index, isFolded) {
    if (isFolded) this.#folded.add(placeOf(this.#steps[index]));
    else this.#folded.delete(placeOf(this.#steps[index]));
    this.#draw();
  }

  /** Hide the steps within the one that has the focus; else go to the step around it. */
  fold() {
    const index = this.#rows.index;
    const step = this.#steps[index];
    if (!step) return;
    if (step.children.length && !this.#isFolded(index)) this.#fold(index, true);
    else if (step.parent && this.#steps.includes(step.parent)) this.#rows.choose(this.#steps.indexOf(step.parent), true);
  }

  /** Show the steps within the one that has the focus; else go to the first of them. */
  unfold() {
    const index = this.#rows.index;
    if (!this.#steps[index]?.children.length) return;
    if (this.#isFolded(index)) this.#fold(index, false);
    else this.#rows.choose(index + 1, true);
  }

  /** Show the step that has the focus alone, with those within it. */
  zoomIn() {
    this.#zoomInto(this.#rows.index);
  }

  /** @param {number} index */
  #zoomInto(index) {
    if (!this.#steps[index]?.isBar) return;
    this.#zoomed = placeOf(this.#steps[index]);
    this.#draw();
    this.focus();
  }

  /** Show the whole again. */
  zoomOut() {
    this.#zoomed = "";
    this.#draw();
    this.focus();
  }

  /** Go to the next step that failed, also if it is folded away. */
  nextError() {
    const all = stepsOf(this.#tree);
    const failed = all.filter((step) => step.event.isError);
    if (!failed.length) return;
    const place = all.indexOf(this.#steps[this.#rows.index]);
    const isInside = this.#rows.hasFocus;
    const next = failed.find((step) => all.indexOf(step) > (isInside ? place : -1)) ?? failed[0];
    for (let outer = next.parent; outer; outer = outer.parent) this.#folded.delete(placeOf(outer));
    this.#draw();
    if (!this.#steps.includes(next)) this.zoomOut();
    this.#rows.choose(this.#steps.indexOf(next), true);
  }

  /**
   * Move the focus down by some rows.
   * @param {number} step
   */
  move(step) {
    this.#rows.move(step);
  }

  /** Open the event of the row that has the focus; of a step of two events, the other one if it is open. */
  open() {
    if (!this.#rows.hasFocus) return;
    const row = this.#rows.all[this.#rows.index];
    const isOpen = row.getAttribute("aria-selected") === "true" && !row.classList.contains("is-begun");
    this.#open(this.#rows.index, isOpen);
  }

  /** @param {number} index @param {boolean} isBeginning whether the event of its beginning is opened */
  #open(index, isBeginning) {
    const step = this.#steps[index];
    const isBegun = isBeginning && step.began !== null;
    this.#rows.select(index);
    this.#rows.all[index].classList.toggle("is-begun", isBegun);
    this.dispatchEvent(new CustomEvent("open", { detail: isBegun ? step.began : step.event }));
  }

  focus() {
    this.#rows.choose(Math.max(0, this.#rows.index), true);
  }

  /** The pane was closed. */
  closed() {
    this.#rows.select(-1);
  }

  /** @param {boolean} isWhole whether all logs were searched */
  #summary(isWhole) {
    const steps = stepsOf(this.#tree);
    const timeless = steps.filter((step) => !step.isTimed).length;
    const others = timeless ? [`${plural(timeless, "event")} without a time that can be read`] : [];
    if (!isWhole) others.push("searching for older ones");
    if (!steps.length) return others.join(" · ") || `No log has an event of this ${this.#subject}`;
    const extent = extentOf(steps);
    const errors = this.#events.filter((event) => event.isError).length;
    const logs = new Set(this.#events.map((event) => event.log)).size;
    const parts = [plural(this.#events.length, "event"), plural(logs, "log"), extent ? span(extent.end - extent.start) : ""];
    return [...parts, plural(errors, "error"), ...others].filter(Boolean).join(" · ");
  }
}

/** @param {Step} step */
function placeOf({ event }) {
  return `${event.log} ${event.cursor}`;
}

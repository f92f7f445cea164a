/** A trace, a run or a task across all logs: the tree of its steps as a waterfall. */

import { subjectPages } from "./api.js";
import { grid, idle, ticks } from "./axis.js";
import { fields } from "./json.js";
import { LogEvent, value } from "./log_event.js";
import { meaningOf } from "./meaning.js";
import { Minimap } from "./minimap.js";
import { Rows } from "./rows.js";
import { byId, visible } from "./text.js";
import { rowOf } from "./timeline_row.js";
import { summaryOf } from "./trace_summary.js";
import { treeOf } from "./trace_tree.js";
import { placeOf, TraceView } from "./trace_view.js";

/** @typedef {import("./trace_tree.js").Step} Step */

/** What a timeline may show: the name of the field, and its word. */
const SUBJECTS = new Map([["", "Trace"], ["run_id", "Run"], ["task_id", "Task"]]);

/** The view of one trace, run or task. Dispatches "open" with the chosen event, and "login" if the token is needed. */
export class Timeline extends EventTarget {
  #root = byId("timeline");
  #rows = new Rows(byId("timeline-rows"));
  /** @type {LogEvent[]} */ #events = [];
  #view = new TraceView();
  #minimap = new Minimap();
  /** @type {Step[]} those of the rows */ #steps = [];
  #drawing = 0;
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
    byId("timeline-table").addEventListener("scroll", () => this.#minimap.see(byId("timeline-table"), this.#steps), { passive: true });
    this.#minimap.addEventListener("zoom", (event) => this.#zoomTo(/** @type {CustomEvent} */ (event).detail));
    this.#minimap.addEventListener("go", (event) => this.#goTo(/** @type {CustomEvent} */ (event).detail));
  }

  get isShown() {
    return !this.#root.hidden;
  }

  get isZoomed() {
    return this.#view.isZoomed;
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
      this.#events = [];
      this.#view.clear();
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
        this.#view.show(treeOf(this.#events));
        this.#draw();
        this.#announce(summaryOf(this.#view, this.#events, isLast) || `No log has an event of this ${this.#subject}`);
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
    cancelAnimationFrame(this.#drawing);
    const { axis, gaps, isZoomed, rows, steps } = this.#view;
    const { distance, first } = grid(axis);
    byId("timeline-axis").replaceChildren(...ticks(axis), ...idle(gaps, axis));
    this.#rows.root.style.setProperty("--tick", `${distance}%`);
    // A place in per cent is one of the space that a tick leaves.
    this.#rows.root.style.setProperty("--first-tick", `${distance < 100 ? (100 * first) / (100 - distance) : 0}%`);
    byId("timeline-whole").hidden = !isZoomed;
    byId("timeline-error").hidden = !steps.some((step) => step.event.isError);

    const focused = this.#rows.hasFocus ? this.#steps[this.#rows.index] : null;
    this.#steps = rows.map(([step]) => step);
    this.#rows.root.replaceChildren(...rows.map(([step, depth]) => rowOf(step, depth, this.#view.isFolded(step), axis)));
    this.#rows.all.forEach((row, index) => row.setAttribute("aria-rowindex", String(index + 2)));
    const index = this.#steps.findIndex((step) => focused && placeOf(step) === placeOf(focused));
    this.#rows.choose(Math.max(0, index), focused !== null);
    const isInMap = document.activeElement?.id === "minimap";
    this.#minimap.show(this.#view);
    if (isInMap && byId("minimap").hidden) this.focus();
    this.#minimap.see(byId("timeline-table"), this.#steps);
  }

  /** @param {import("./trace_tree.js").Extent} part */
  #zoomTo(part) {
    this.#view.zoomTo(part);
    // The next drag of the pointer begins with it; one that goes, goes with the rows, and gives them the focus.
    if (this.#view.isZoomed) this.#minimap.show(this.#view);
    cancelAnimationFrame(this.#drawing);
    this.#drawing = requestAnimationFrame(() => this.#draw());
  }

  /**
   * Go to the step that began nearest to a time.
   * @param {number} time
   */
  #goTo(time) {
    const far = this.#steps.map(({ start }) => (Number.isNaN(start) ? Infinity : Math.abs(start - time)));
    this.#rows.choose(far.indexOf(Math.min(...far)), true);
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
    return this.#view.isFolded(this.#steps[index]);
  }

  /** @param {number} index @param {boolean} isFolded */
  #fold(index, isFolded) {
    this.#view.fold(this.#steps[index], isFolded);
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
    this.#view.zoomInto(this.#steps[index]);
    this.#draw();
    this.focus();
  }

  /** Show the whole again. */
  zoomOut() {
    this.#view.zoomOut();
    this.#draw();
    this.focus();
  }

  /** Go to the next step that failed, also if it is folded away. */
  nextError() {
    const all = this.#view.steps;
    const failed = all.filter((step) => step.event.isError);
    if (!failed.length) return;
    const place = all.indexOf(this.#steps[this.#rows.index]);
    const isInside = this.#rows.hasFocus;
    const next = failed.find((step) => all.indexOf(step) > (isInside ? place : -1)) ?? failed[0];
    this.#view.reveal(next);
    this.#draw();
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
}

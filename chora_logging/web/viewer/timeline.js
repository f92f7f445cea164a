/** A trace, a run or a task across all logs: the tree of its steps as a waterfall. */

import { subjectPages } from "./api.js";
import { drawAxis } from "./axis.js";
import { fields } from "./json.js";
import { LogEvent, value } from "./log_event.js";
import { meaningOf } from "./meaning.js";
import { Minimap } from "./minimap.js";
import { Rows } from "./rows.js";
import { byId, visible } from "./text.js";
import { rowOf } from "./timeline_row.js";
import { offerSteps, summaryOf } from "./trace_summary.js";
import { treeOf } from "./trace_tree.js";
import { placeOf, TraceView } from "./trace_view.js";
import { NONE, sum } from "./unreadable.js";

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
  /** @type {LogEvent | null} the event that the reader came from */ from = null;

  constructor() {
    super();
    this.#rows.root.addEventListener("click", (click) => this.#clicked(click));
    this.#rows.root.addEventListener("keydown", (press) => {
      if (press.key === "ArrowLeft") this.fold();
      else if (press.key === "ArrowRight") this.unfold();
      else return;
      press.preventDefault();
    });
    this.#rows.root.addEventListener("dblclick", (click) => this.zoomIn(this.#rows.indexOf(click)));
    byId("timeline-refresh").addEventListener("click", () => this.#load());
    byId("timeline-slowest").addEventListener("click", () => this.goToSlowest());
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
    let [gaps, unreadable] = [/** @type {string[]} */ ([]), NONE];
    this.#isLoading = true;
    try {
      for await (const page of subjectPages(this.#logs, this.#by, this.#id, signal)) {
        if (signal.aborted) return;
        found.unshift(...page.events);
        [gaps, unreadable] = [gaps.concat(page.gaps), sum(unreadable, page.unreadable)];
        // What is shown stays until as much has been found again.
        if (page.next && found.length < this.#events.length) continue;
        this.#events = found.map(({ log, cursor, raw }) => new LogEvent(raw, 0, meaningOf(log), log, cursor));
        this.#view.show(treeOf(this.#events));
        this.#draw();
        this.#announce(summaryOf(this.#view, this.#events, !page.next, { gaps, unreadable }, this.#subject));
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
    const { axis, gaps, rows, slowest } = this.#view;
    drawAxis(axis, gaps, this.#rows.root);
    offerSteps(this.#view);

    const focused = this.#rows.hasFocus ? this.#steps[this.#rows.index] : null;
    this.#steps = rows.map(([step]) => step);
    this.#rows.root.replaceChildren(...rows.map(([step, depth]) => rowOf(step, depth, this.#view.isFolded(step), axis)));
    this.#rows.all.forEach((row, index) => row.setAttribute("aria-rowindex", String(index + 2)));
    const came = this.#steps.findIndex((step) => this.from && step.isOf(this.from));
    if (slowest) this.#rows.all[this.#steps.indexOf(slowest.step)]?.classList.add("is-slowest");
    this.#rows.all[came]?.setAttribute("aria-current", "true");
    const index = focused ? this.#steps.findIndex((step) => placeOf(step) === placeOf(focused)) : came;
    this.#rows.choose(Math.max(0, index), focused !== null || (came >= 0 && document.activeElement?.id === "timeline-title"));
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
    const step = this.#steps[index];
    this.#rows.choose(index, true);
    if (target.closest(".fold") && step.children.length) this.#fold(step, !this.#view.isFolded(step));
    else this.#open(index, target.closest(".began") !== null);
  }

  /** @param {Step} step @param {boolean} isFolded */
  #fold(step, isFolded) {
    this.#view.fold(step, isFolded);
    this.#draw();
  }

  /** Hide the steps within the one that has the focus; else go to the step around it. */
  fold() {
    const step = this.#steps[this.#rows.index];
    if (!step) return;
    if (step.children.length && !this.#view.isFolded(step)) this.#fold(step, true);
    else if (step.parent && this.#steps.includes(step.parent)) this.#rows.choose(this.#steps.indexOf(step.parent), true);
  }

  /** Show the steps within the one that has the focus; else go to the first of them. */
  unfold() {
    const step = this.#steps[this.#rows.index];
    if (!step?.children.length) return;
    if (this.#view.isFolded(step)) this.#fold(step, false);
    else this.#rows.move(1);
  }

  /** Show a step alone, with those within it: the one that has the focus. */
  zoomIn(index = this.#rows.index) {
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
    this.#reveal(next);
  }

  /** Go to the step with the most time of its own, also if it is folded away. */
  goToSlowest() {
    if (this.#view.slowest) this.#reveal(this.#view.slowest.step);
  }

  /** @param {Step} step which gets the focus */
  #reveal(step) {
    this.#view.reveal(step);
    this.#draw();
    this.#rows.choose(this.#steps.indexOf(step), true);
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

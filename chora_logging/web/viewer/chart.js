/** The bars of events over time, as the server counted them; a part of them can be chosen to zoom in. */

import { cleared } from "./canvas.js";
import { dateOf, timeOfDay } from "./clock.js";
import { stepFor } from "./counts.js";
import { byId, count, element, plural } from "./text.js";

const BAR_PX = 5;
const GAP_PX = 1;
const DAY_MS = 86_400_000;
/** The shortest time that is drawn without being asked for. */
const SHORTEST_MS = 60_000;
/** The shortest interval between two draws. */
const DRAW_INTERVAL_MS = 200;
/** The part at the beginning that stands for what was not read, if nobody knows how long it is. */
const UNKNOWN_PART = 0.06;

/** Draws a tally. Dispatches "zoom" with the times of the chosen part. */
export class Chart extends EventTarget {
  #canvas = /** @type {HTMLCanvasElement} */ (byId("chart"));
  #words = byId("chart-words");
  #axis = byId("chart-axis");
  #tally;
  #timer = 0;
  #from = 0;
  #to = 0;
  #step = 1;
  /** @type {Map<number, import("./counts.js").Bar>} */ #bars = new Map();
  /** @type {number | null} the time under the pointer or the keyboard's cursor */ #pointed = null;
  /** @type {number | null} where the chosen part begins */ #begun = null;

  /** @param {import("./tally.js").Tally} tally */
  constructor(tally) {
    super();
    this.#tally = tally;
    const canvas = this.#canvas;
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#draw());
    new ResizeObserver(() => this.changed()).observe(canvas);
    document.addEventListener("visibilitychange", () => this.changed());
    setInterval(() => this.#tally.range.since !== null && this.#tally.range.until === null && this.changed(), 1000);
    canvas.addEventListener("pointermove", (move) => this.#point(this.#timeAt(move)));
    canvas.addEventListener("pointerleave", () => this.#begun === null && this.#point(null));
    canvas.addEventListener("pointerdown", (press) => this.#press(press));
    canvas.addEventListener("pointerup", (release) => this.#release(release));
    canvas.addEventListener("pointercancel", () => this.#letGo());
    canvas.addEventListener("keydown", (press) => this.#key(press));
    canvas.addEventListener("blur", () => this.#letGo());
  }

  /** Draw soon. */
  changed() {
    this.#timer ||= setTimeout(() => this.#draw(), DRAW_INTERVAL_MS);
  }

  /**
   * What is drawn, in milliseconds since 1970; null if nothing is.
   * @returns {[number, number] | null}
   */
  get shown() {
    return this.#to > this.#from ? [this.#from, this.#to] : null;
  }

  #draw() {
    clearTimeout(this.#timer);
    this.#timer = 0;
    if (document.hidden) return;
    const drawn = cleared(this.#canvas);
    if (!drawn) return;
    const { context, width, height } = drawn;
    this.#measure(width);
    this.#drawUnread(context, width, height);
    this.#drawBars(context, width, height);
    this.#drawChoice(context, width, height);
    this.#say();
  }

  /**
   * Choose the range and the length of the bars.
   * @param {number} width
   */
  #measure(width) {
    const { counts, range } = this.#tally;
    const found = counts.span;
    const now = Date.now();
    const to = range.until ?? (range.since === null ? found?.[1] ?? now : Math.max(now, found?.[1] ?? 0));
    let from = range.since ?? found?.[0] ?? to;
    if (range.since === null && found && counts.unknown.some(([start]) => start < from)) from -= (to - from) * UNKNOWN_PART;
    // Before the first event of all there is none.
    else if (range.since === null) from = Math.min(from, to - SHORTEST_MS);
    this.#step = stepFor(to - from, Math.max(2, Math.floor(width / (BAR_PX + GAP_PX))), counts.step || 1);
    const length = this.#step * 1000;
    this.#from = Math.floor(from / length) * length;
    this.#to = Math.max(this.#from + length, Math.ceil(to / length) * length);
    this.#bars = counts.bars(this.#from, this.#to, this.#step);
    if (this.#pointed !== null) this.#pointed = this.#inRange(this.#pointed);
    if (this.#begun !== null) this.#begun = this.#inRange(this.#begun);
  }

  /** @param {number} time */
  #inRange(time) {
    return Math.min(Math.max(this.#from, time), this.#to - this.#step * 1000);
  }

  /** @param {number} time @param {number} width */
  #x(time, width) {
    return ((time - this.#from) / (this.#to - this.#from)) * width;
  }

  /**
   * Hatch what was not read: it is not known, and so not drawn as nothing.
   * @param {CanvasRenderingContext2D} context
   * @param {number} width
   * @param {number} height
   */
  #drawUnread(context, width, height) {
    const inside = (/** @type {number} */ time) => Math.min(width, Math.max(0, this.#x(time, width)));
    const parts = this.#tally.counts.unknown.map((span) => span.map(inside));
    context.save();
    context.beginPath();
    for (const [left, right] of parts) context.rect(left, 0, right - left, height);
    context.clip();
    context.strokeStyle = getComputedStyle(this.#canvas).getPropertyValue("--edge");
    context.globalAlpha = 0.5;
    for (let x = -height; x < width; x += 6) {
      context.beginPath();
      context.moveTo(x, height);
      context.lineTo(x + height, 0);
      context.stroke();
    }
    context.restore();
  }

  /** @param {CanvasRenderingContext2D} context @param {number} width @param {number} height */
  #drawBars(context, width, height) {
    const style = getComputedStyle(this.#canvas);
    const [all, warning, error, line] = ["--bar", "--bar-warning", "--bar-error", "--line"].map((name) => style.getPropertyValue(name));
    context.fillStyle = line;
    context.fillRect(0, height - 1, width, 1);
    const most = Math.max(1, ...[...this.#bars.values()].map(({ events }) => events));
    const high = (/** @type {number} */ number) => (number ? Math.max(2, (number / most) * (height - 2)) : 0);
    for (const bar of this.#bars.values()) {
      const left = this.#x(bar.start, width);
      const wide = Math.max(1, this.#x(bar.start + this.#step * 1000, width) - left - GAP_PX);
      let bottom = height - 1;
      for (const [colour, number] of /** @type {[string, number][]} */ ([[error, bar.errors], [warning, bar.warnings], [all, bar.events - bar.errors - bar.warnings]])) {
        const size = Math.min(high(number), bottom);
        context.fillStyle = colour;
        context.fillRect(left, bottom - size, wide, size);
        bottom -= size;
      }
    }
  }

  /** @param {CanvasRenderingContext2D} context @param {number} width @param {number} height */
  #drawChoice(context, width, height) {
    if (this.#pointed === null) return;
    const [start, end] = this.#chosen();
    const [left, right] = [this.#x(start, width), this.#x(end, width)];
    const style = getComputedStyle(this.#canvas);
    context.fillStyle = style.getPropertyValue("--accent");
    context.globalAlpha = 0.18;
    context.fillRect(left, 0, Math.max(1, right - left), height);
    context.globalAlpha = 1;
    context.fillRect(left, 0, 1, height);
    context.fillRect(right - 1, 0, 1, height);
  }

  /**
   * The chosen part: whole bars.
   * @returns {[number, number]}
   */
  #chosen() {
    const length = this.#step * 1000;
    const at = this.#pointed ?? this.#from;
    const other = this.#begun ?? at;
    const barOf = (/** @type {number} */ time) => Math.floor(time / length) * length;
    return [barOf(Math.min(at, other)), barOf(Math.max(at, other)) + length];
  }

  #say() {
    const isLong = this.#to - this.#from > DAY_MS || dateOf(this.#from) !== dateOf(this.#to - 1);
    const words = (/** @type {number} */ time) => `${isLong ? `${dateOf(time)} ` : ""}${timeOfDay(time).slice(0, this.#step < 60 ? 8 : 5)}`;
    const isEmpty = !this.#tally.counts.span && this.#tally.range.since === null;
    this.#axis.replaceChildren(...(isEmpty ? [] : [this.#from, this.#to].map((time) => element("span", "", words(time)))));
    const [start, end] = this.#chosen();
    const levels = new Map();
    let [events, errors] = [0, 0];
    for (const bar of this.#bars.values()) {
      if (bar.start < start || bar.start >= end) continue;
      events += bar.events;
      errors += bar.errors;
      for (const [level, number] of Object.entries(bar.counts)) levels.set(level, (levels.get(level) ?? 0) + number);
    }
    const each = [...levels].map(([level, number]) => `${count(number)} ${level}`).join(", ");
    const said = `${words(start)} – ${words(end)}: ${plural(events, "event")}, ${plural(errors, "error")}${each ? ` (${each})` : ""}`;
    this.#words.textContent = this.#pointed === null ? "" : said;
    const bars = Math.max(1, Math.round((this.#to - this.#from) / (this.#step * 1000)));
    this.#canvas.setAttribute("aria-valuemax", String(bars));
    this.#canvas.setAttribute("aria-valuenow", String(this.#pointed === null ? bars : Math.round((start - this.#from) / (this.#step * 1000)) + 1));
    this.#canvas.setAttribute("aria-valuetext", this.#pointed === null ? `${words(this.#from)} – ${words(this.#to)}` : said);
  }

  /** @param {PointerEvent} event */
  #timeAt(event) {
    const { left, width } = this.#canvas.getBoundingClientRect();
    return this.#from + Math.min(Math.max(0, (event.clientX - left) / width), 0.9999) * (this.#to - this.#from);
  }

  /** @param {number | null} time */
  #point(time) {
    this.#pointed = time;
    this.changed();
  }

  /** @param {PointerEvent} press */
  #press(press) {
    if (press.button !== 0) return;
    this.#canvas.setPointerCapture(press.pointerId);
    this.#draw(); // there may be events that are not drawn yet
    this.#begun = this.#pointed = this.#timeAt(press);
    this.changed();
  }

  /** @param {PointerEvent} release */
  #release(release) {
    if (this.#begun === null) return;
    this.#pointed = this.#timeAt(release);
    this.#zoom();
  }

  #zoom() {
    const [since, until] = this.#chosen();
    this.#letGo();
    this.dispatchEvent(new CustomEvent("zoom", { detail: [since, until] }));
  }

  #letGo() {
    this.#begun = this.#pointed = null;
    this.changed();
  }

  /** @param {KeyboardEvent} press */
  #key(press) {
    if (press.ctrlKey || press.metaKey || press.altKey) return;
    const step = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10 }[press.key] ?? 0;
    const isEdge = press.key === "Home" || press.key === "End";
    if (step || isEdge) {
      this.#draw(); // there may be events that are not drawn yet
      const from = this.#pointed ?? this.#to - this.#step * 1000;
      if (!press.shiftKey) this.#begun = null;
      else this.#begun ??= from;
      const at = press.key === "Home" ? this.#from : press.key === "End" ? this.#to : from + step * this.#step * 1000;
      this.#point(this.#inRange(at));
    } else if (press.key === "Enter" && this.#pointed !== null) {
      this.#zoom();
    } else if (press.key === "Escape" && this.#pointed !== null) {
      this.#letGo();
    } else {
      return;
    }
    press.preventDefault();
    press.stopPropagation();
  }
}

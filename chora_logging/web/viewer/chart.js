/** A bar chart of events and errors per second over the last three minutes. */

import { byId, count, plural } from "./text.js";

const CHART_SECONDS = 180;
const BAR_PX = 2;
const BAR_GAP_PX = 1;
const LOWEST_TOP_EVENTS = 10;
const SCALE_STEPS = [1, 2, 5];

/** Counts events by second; redraws every second, and when asked. */
export class Chart {
  /** @type {Map<number, {events: number, errors: number}>} */ #seconds = new Map();
  #canvas = /** @type {HTMLCanvasElement} */ (byId("chart"));
  #words = byId("rate");
  /** @type {number | null} */ #pointed = null;
  #end = 0;

  constructor() {
    setInterval(() => this.draw(), 1000);
    document.addEventListener("visibilitychange", () => this.draw());
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
    new ResizeObserver(() => this.draw()).observe(this.#canvas);
    this.#canvas.addEventListener("pointermove", (move) => this.#point(move));
    this.#canvas.addEventListener("pointerleave", () => this.#point(null));
  }

  clear() {
    this.#seconds.clear();
    this.draw();
  }

  /** @param {import("./log_event.js").LogEvent} event */
  add(event) {
    const second = Math.floor((Number.isNaN(event.time) ? Date.now() : event.time) / 1000);
    if (second < Date.now() / 1000 - CHART_SECONDS) return;
    const counted = this.#seconds.get(second) ?? { events: 0, errors: 0 };
    counted.events += 1;
    if (event.isError) counted.errors += 1;
    this.#seconds.set(second, counted);
    if (this.#seconds.size > 2 * CHART_SECONDS) this.#forget();
  }

  #forget() {
    const oldest = Date.now() / 1000 - CHART_SECONDS;
    for (const second of this.#seconds.keys()) if (second < oldest) this.#seconds.delete(second);
    // Clocks ahead of ours: any surplus is from the future.
    for (const second of [...this.#seconds.keys()].slice(2 * CHART_SECONDS)) this.#seconds.delete(second);
  }

  draw() {
    if (document.hidden) return;
    const { width, height } = this.#canvas.getBoundingClientRect();
    if (!width || !height) return;
    const scale = devicePixelRatio || 1;
    const context = /** @type {CanvasRenderingContext2D} */ (this.#canvas.getContext("2d"));
    if (this.#canvas.width !== Math.round(width * scale)) this.#canvas.width = Math.round(width * scale);
    if (this.#canvas.height !== Math.round(height * scale)) this.#canvas.height = Math.round(height * scale);
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.clearRect(0, 0, width, height);
    // The current second is drawn when it is over.
    this.#end = Math.floor(Date.now() / 1000) - 1;
    const seconds = Math.floor(width / (BAR_PX + BAR_GAP_PX));
    this.#drawBars(context, width, height, this.#top(seconds));
    this.#showNumbers(seconds);
  }

  /** @param {CanvasRenderingContext2D} context @param {number} width @param {number} height @param {number} top */
  #drawBars(context, width, height, top) {
    const style = getComputedStyle(this.#canvas);
    const colours = { events: style.getPropertyValue("--bar"), errors: style.getPropertyValue("--bar-error") };
    context.fillStyle = style.getPropertyValue("--line");
    context.fillRect(0, height - 1, width, 1);
    const high = height - 2;
    for (let back = 0; back * (BAR_PX + BAR_GAP_PX) < width; back += 1) {
      const counted = this.#seconds.get(this.#end - back);
      if (!counted) continue;
      const left = width - (back + 1) * (BAR_PX + BAR_GAP_PX);
      const all = Math.max(1, (counted.events / top) * high);
      const errors = counted.errors && Math.max(2, (counted.errors / top) * high);
      context.fillStyle = colours.events;
      context.fillRect(left, height - 1 - all, BAR_PX, all);
      context.fillStyle = colours.errors;
      context.fillRect(left, height - 1 - errors, BAR_PX, errors);
    }
  }

  /** The top of the scale: a round number, so that the bars do not jump every second. @param {number} seconds */
  #top(seconds) {
    let most = LOWEST_TOP_EVENTS;
    for (let back = 0; back < seconds; back += 1) {
      most = Math.max(most, this.#seconds.get(this.#end - back)?.events ?? 0);
    }
    const power = 10 ** Math.floor(Math.log10(most));
    return power * ([...SCALE_STEPS, 10].find((step) => step * power >= most) ?? 10);
  }

  /** @param {number} seconds the number of seconds drawn */
  #showNumbers(seconds) {
    const second = this.#pointed === null ? this.#end : this.#end - this.#pointed;
    const { events, errors } = this.#seconds.get(second) ?? { events: 0, errors: 0 };
    const when = this.#pointed === null ? "" : `${new Date(second * 1000).toLocaleTimeString("en-GB")} · `;
    this.#words.textContent = `${when}${count(events)}/s${errors ? ` · ${plural(errors, "error")}` : ""}`;
    this.#words.classList.toggle("is-error", errors > 0);
    const drawn = [...this.#seconds].filter(([at]) => at > this.#end - seconds && at <= this.#end);
    const all = drawn.reduce((sum, [, counted]) => sum + counted.events, 0);
    const bad = drawn.reduce((sum, [, counted]) => sum + counted.errors, 0);
    const words = `Events per second: in the last ${seconds} seconds ${plural(all, "event")}, ${plural(bad, "error")}`;
    this.#canvas.setAttribute("aria-label", words);
  }

  /** @param {PointerEvent | null} move */
  #point(move) {
    const right = this.#canvas.getBoundingClientRect().right;
    this.#pointed = move && Math.max(0, Math.floor((right - move.clientX) / (BAR_PX + BAR_GAP_PX)));
    this.draw();
  }
}

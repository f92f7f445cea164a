/** The whole of a trace, small, with the part marked that is shown; the part is moved and sized there. */

import { cleared } from "./canvas.js";
import { span } from "./log_event.js";
import { byId } from "./text.js";

/** A trace with fewer steps is seen as a whole without it. */
const LEAST_STEPS = 40;
/** How near to an end of the part a press takes hold of it. */
const NEAR_PX = 6;
/** A press that moves less chooses no part. */
const LEAST_DRAG_PX = 5;
const LEAST_BAR_PX = 2;
/** How far a key moves the part, as a part of its length. */
const STEP = 0.1;

/** @typedef {import("./trace_tree.js").Extent} Extent */

/** Draws a view. Dispatches "zoom" with the part that the reader wants, and "go" with a time. */
export class Minimap extends EventTarget {
  #canvas = /** @type {HTMLCanvasElement} */ (byId("minimap"));
  #frame = 0;
  /** @type {import("./trace_tree.js").Step[]} */ #steps = [];
  /** @type {Extent} */ #whole = { start: 0, end: 0 };
  /** @type {Extent} */ #part = { start: 0, end: 0 };
  /** @type {[number, number]} the first and last step on screen */ #seen = [0, 0];
  /** @type {{from: number, part: Extent, hold: "move" | "start" | "end" | "choose"} | null} */ #drag = null;

  constructor() {
    super();
    const canvas = this.#canvas;
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#changed());
    new ResizeObserver(() => this.#changed()).observe(canvas);
    canvas.addEventListener("pointerdown", (press) => this.#press(press));
    canvas.addEventListener("pointermove", (move) => this.#move(move));
    canvas.addEventListener("pointerup", (release) => this.#release(release));
    canvas.addEventListener("lostpointercapture", () => this.#letGo());
    canvas.addEventListener("keydown", (press) => this.#key(press));
  }

  /** @param {import("./trace_view.js").TraceView} view */
  show({ steps, extent, part, isZoomed }) {
    this.#canvas.hidden = !extent || !part || extent.end <= extent.start || !(isZoomed || steps.length >= LEAST_STEPS);
    if (!extent || !part || this.#canvas.hidden) return;
    [this.#steps, this.#whole, this.#part] = [steps, extent, part];
    this.#say();
    this.#changed();
  }

  /**
   * Mark the rows on screen.
   * @param {HTMLElement} table which scrolls
   * @param {import("./trace_tree.js").Step[]} steps those of its rows
   */
  see({ scrollTop, clientHeight, scrollHeight }, steps) {
    const [first, last] = [scrollTop, scrollTop + clientHeight].map((top) => {
      const index = Math.floor((top / Math.max(1, scrollHeight)) * steps.length);
      return this.#steps.indexOf(steps[Math.min(steps.length - 1, index)]);
    });
    this.#seen = [first, last];
    this.#changed();
  }

  get #isZoomed() {
    return this.#part.start > this.#whole.start || this.#part.end < this.#whole.end;
  }

  #say() {
    const [start, end, whole] = [this.#part.start, this.#part.end, this.#whole.end].map((time) => time - this.#whole.start);
    const room = whole - (end - start);
    this.#canvas.setAttribute("aria-valuenow", String(room > 0 ? Math.round((100 * start) / room) : 0));
    this.#canvas.setAttribute("aria-valuetext", this.#isZoomed ? `${span(start)} to ${span(end)} of ${span(whole)}` : `all of ${span(whole)}`);
  }

  /** Draw with the next frame. */
  #changed() {
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      this.#draw();
    });
  }

  #draw() {
    const drawn = cleared(this.#canvas);
    if (!drawn) return;
    const { context, width, height } = drawn;
    const style = getComputedStyle(this.#canvas);
    const [bar, error, back, accent] = ["--bar", "--bar-error", "--back", "--accent"].map((name) => style.getPropertyValue(name));
    const row = height / Math.max(1, this.#steps.length);
    for (const [index, step] of this.#steps.entries()) {
      if (!step.isTimed) continue;
      const left = this.#x(step.start, width);
      const wide = Math.max(LEAST_BAR_PX, this.#x(step.end, width) - left);
      context.fillStyle = step.event.isError ? error : bar;
      context.fillRect(Math.min(left, width - LEAST_BAR_PX), index * row, wide, Math.min(4, Math.max(1.5, row - 0.5)));
    }
    context.fillStyle = accent;
    context.fillRect(0, this.#seen[0] * row, 2, Math.max(2, (this.#seen[1] + 1 - this.#seen[0]) * row));
    if (!this.#isZoomed) return;
    const [left, right] = [this.#x(this.#part.start, width), this.#x(this.#part.end, width)];
    context.globalAlpha = 0.6;
    context.fillStyle = back;
    context.fillRect(2, 0, Math.max(0, left - 2), height);
    context.fillRect(right, 0, width - right, height);
    context.globalAlpha = 0.12;
    context.fillStyle = accent;
    context.fillRect(left, 0, right - left, height);
    context.globalAlpha = 1;
    context.fillRect(Math.max(0, left - 1), 0, 2, height);
    context.fillRect(Math.min(width - 2, right - 1), 0, 2, height);
  }

  /** @param {number} time @param {number} width */
  #x(time, width) {
    return ((time - this.#whole.start) / (this.#whole.end - this.#whole.start)) * width;
  }

  /** @param {PointerEvent} event */
  #timeAt(event) {
    const { left, width } = this.#canvas.getBoundingClientRect();
    const part = Math.min(Math.max(0, (event.clientX - left) / width), 1);
    return this.#whole.start + part * (this.#whole.end - this.#whole.start);
  }

  /**
   * How long so many pixels are.
   * @param {number} pixels
   */
  #length(pixels) {
    return (pixels / this.#canvas.getBoundingClientRect().width) * (this.#whole.end - this.#whole.start);
  }

  /** @param {PointerEvent} press */
  #press(press) {
    if (press.button !== 0) return;
    this.#canvas.setPointerCapture(press.pointerId);
    const from = this.#timeAt(press);
    const near = this.#length(NEAR_PX);
    /** @type {"move" | "start" | "end" | "choose"} */
    let hold = "move";
    if (!this.#isZoomed) hold = "choose";
    else if (Math.abs(from - this.#part.start) < near) hold = "start";
    else if (Math.abs(from - this.#part.end) < near) hold = "end";
    else if (from < this.#part.start || from > this.#part.end) {
      const length = this.#part.end - this.#part.start;
      this.#zoom({ start: from - length / 2, end: from + length / 2 });
    }
    this.#drag = { from, part: this.#part, hold };
  }

  /** @param {PointerEvent} move */
  #move(move) {
    if (!this.#drag) return;
    const { from, part, hold } = this.#drag;
    const at = this.#timeAt(move);
    const moved = at - from;
    if (hold === "move") this.#zoom({ start: part.start + moved, end: part.end + moved });
    else if (hold === "choose" && Math.abs(moved) < this.#length(LEAST_DRAG_PX)) return;
    else {
      const fixed = hold === "choose" ? from : hold === "start" ? part.end : part.start;
      this.#zoom({ start: Math.min(at, fixed), end: Math.max(at, fixed) });
    }
  }

  /** @param {PointerEvent} release */
  #release(release) {
    if (this.#drag?.hold === "choose" && !this.#isZoomed) this.dispatchEvent(new CustomEvent("go", { detail: this.#timeAt(release) }));
  }

  #letGo() {
    this.#drag = null;
  }

  /** @param {Extent} part */
  #zoom(part) {
    this.dispatchEvent(new CustomEvent("zoom", { detail: part }));
  }

  /** @param {KeyboardEvent} press */
  #key(press) {
    if (press.ctrlKey || press.metaKey || press.altKey) return;
    const { start, end } = this.#part;
    const length = end - start;
    const step = { ArrowLeft: -STEP, ArrowRight: STEP, PageUp: -1, PageDown: 1 }[press.key] ?? 0;
    if (step) this.#zoom({ start: start + step * length, end: end + step * length });
    else if (press.key === "Home") this.#zoom({ start: this.#whole.start, end: this.#whole.start + length });
    else if (press.key === "End") this.#zoom({ start: this.#whole.end - length, end: this.#whole.end });
    else if (press.key === "+" || press.key === "=") this.#zoom({ start: start + length / 4, end: end - length / 4 });
    else if (press.key === "-") this.#zoom({ start: start - length / 2, end: end + length / 2 });
    else return;
    press.preventDefault();
    press.stopPropagation();
  }
}

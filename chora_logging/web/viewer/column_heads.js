/** The heads of the chosen columns: each is moved, sized and removed there, with the pointer or the keyboard. */

import { WIDTH } from "./columns.js";
import { element, visible } from "./text.js";

/** The width that the message keeps; columns that would leave it less are shown behind it as text. */
const LEAST_MESSAGE_PX = 200;
/** Few characters are narrower; text that would not be seen is not made, because making it takes longest. */
const NARROW_CHARACTER_PX = 4;
const CHARACTERS_STEP = 50;
/** A press that moves less is none that drags. */
const LEAST_DRAG_PX = 5;
const LONGEST_NAME_CHARS = 80;

/**
 * @typedef {object} Layout
 * @property {readonly string[]} cells the columns with a cell
 * @property {readonly string[]} texts those behind the message
 * @property {number} characters as many as the message and what is behind it may have
 */

/** Shows the heads, and decides which columns have space. Dispatches "choose" when a head is pressed. */
export class ColumnHeads extends EventTarget {
  /** @type {Layout} another object whenever it is another layout */ layout = { cells: [], texts: [], characters: 0 };
  /** @type {Map<string, HTMLElement>} */ #heads = new Map();
  /** What the message could give up, in pixels. */
  #spare = 0;
  #row;
  #trace;

  /**
   * @param {HTMLElement} grid
   * @param {import("./columns.js").Columns} columns
   */
  constructor(grid, columns) {
    super();
    this.grid = grid;
    this.columns = columns;
    this.#row = /** @type {HTMLElement} */ (grid.querySelector(".head"));
    this.#trace = this.#row.querySelector(".trace");
    columns.addEventListener("sized", () => this.fit());
  }

  /** Give as many columns a cell as leave the message its width. */
  fit() {
    // Behind a timeline the list has no width, and stays as it is.
    if (!this.grid.clientWidth) return;
    const { names } = this.columns;
    let number = 0;
    this.#spare = this.#space() - LEAST_MESSAGE_PX;
    while (number < names.length && this.#widthOf(names[number]) <= this.#spare) {
      this.#spare -= this.#widthOf(names[number]);
      number += 1;
    }
    const [cells, texts] = [names.slice(0, number), names.slice(number)];
    const tracks = cells.map((name) => `${this.columns.widthOf(name)}px`).join(" ");
    if (tracks !== this.grid.style.getPropertyValue("--columns")) this.grid.style.setProperty("--columns", tracks);
    for (const [name, head] of this.#heads) sayWidth(head, this.columns.widthOf(name));
    const width = this.#hasHeads ? this.#spare + LEAST_MESSAGE_PX : this.grid.clientWidth;
    const characters = Math.ceil(width / NARROW_CHARACTER_PX / CHARACTERS_STEP) * CHARACTERS_STEP;
    const isOther = !isSame(cells, this.layout.cells);
    if (!isOther && isSame(texts, this.layout.texts) && characters === this.layout.characters) return;
    this.layout = { cells, texts, characters };
    if (isOther) this.#show(cells);
  }

  get #hasHeads() {
    return this.#row.getClientRects().length > 0;
  }

  /** What the message and the columns share, in pixels; none where the list has no heads. */
  #space() {
    if (!this.#hasHeads) return 0;
    const content = /** @type {HTMLElement} */ (this.#row.querySelector(".content"));
    const { width } = content.getBoundingClientRect();
    if (width > 0) return this.layout.cells.reduce((sum, name) => sum + this.#drawnWidthOf(name), width);
    // The columns have too little space themselves. To set them costs a new layout of all rows.
    this.grid.style.removeProperty("--columns");
    for (const head of this.#heads.values()) head.hidden = true;
    const whole = content.getBoundingClientRect().width;
    for (const head of this.#heads.values()) head.hidden = false;
    return whole;
  }

  /** @param {string} name */
  #drawnWidthOf(name) {
    return Number(this.#heads.get(name)?.getBoundingClientRect().width) + this.#gap;
  }

  get #gap() {
    return parseFloat(getComputedStyle(this.#row).columnGap);
  }

  /** @param {string} name */
  #widthOf(name) {
    return this.columns.widthOf(name) + this.#gap;
  }

  /** @param {readonly string[]} names */
  #show(names) {
    const focused = this.#row.contains(document.activeElement) ? /** @type {HTMLElement} */ (document.activeElement) : null;
    for (const [name, head] of this.#heads) {
      if (names.includes(name)) continue;
      head.remove();
      this.#heads.delete(name);
    }
    for (const name of names) {
      const head = this.#heads.get(name) ?? this.#made(name);
      this.#heads.set(name, head);
      this.#row.insertBefore(head, this.#trace);
    }
    // An element that is moved loses the focus.
    if (focused) (this.#row.contains(focused) ? focused : this.grid).focus();
  }

  /** @param {string} name */
  #made(name) {
    const shown = visible(name, LONGEST_NAME_CHARS);
    const button = element("button", "column-name", [element("bdi", "", shown)]);
    button.type = "button";
    button.title = `${shown}: drag it to another place, or Shift and ← or →; Delete removes it`;
    const edge = element("span", "edge");
    edge.tabIndex = 0;
    edge.setAttribute("role", "separator");
    edge.setAttribute("aria-orientation", "vertical");
    edge.setAttribute("aria-valuemin", String(WIDTH.least));
    edge.setAttribute("aria-valuemax", String(WIDTH.most));
    edge.ariaLabel = `Width of the column ${shown}`;
    edge.title = "Drag to size, or ← and →";
    const head = element("div", "chosen", [button, edge]);
    head.setAttribute("role", "columnheader");
    sayWidth(head, this.columns.widthOf(name));
    button.addEventListener("keydown", (press) => this.#moveByKey(press, name));
    edge.addEventListener("keydown", (press) => this.#sizeByKey(press, name));
    this.#dragToMove(button, head, name);
    this.#dragToSize(edge, name);
    return head;
  }

  /** @param {KeyboardEvent} press @param {string} name */
  #moveByKey(press, name) {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[press.key] ?? 0;
    if (step && press.shiftKey) this.columns.move(name, this.columns.names.indexOf(name) + step);
    else if (press.key === "Delete" || press.key === "Backspace") this.columns.remove(name);
    else return;
    take(press);
  }

  /** @param {KeyboardEvent} press @param {string} name */
  #sizeByKey(press, name) {
    const step = { ArrowLeft: -WIDTH.step, ArrowRight: WIDTH.step }[press.key] ?? 0;
    if (step) this.#size(name, this.columns.widthOf(name) + step);
    else if (press.key === "Home") this.#size(name, WIDTH.least);
    else if (press.key === "End") this.#size(name, WIDTH.most);
    else return;
    take(press);
  }

  /**
   * Give a column another width, but not one that takes its head away from under the hand.
   * @param {string} name
   * @param {number} width
   */
  #size(name, width) {
    this.columns.resize(name, Math.min(width, Math.floor(this.columns.widthOf(name) + this.#spare)));
  }

  /** @param {HTMLElement} edge @param {string} name */
  #dragToSize(edge, name) {
    let [from, width] = [NaN, 0];
    edge.addEventListener("pointerdown", (press) => {
      if (press.button !== 0) return;
      edge.setPointerCapture(press.pointerId);
      [from, width] = [press.clientX, this.columns.widthOf(name)];
    });
    edge.addEventListener("pointermove", (move) => {
      // Columns stand at the right: a wider one moves its left edge.
      if (!Number.isNaN(from)) this.#size(name, width - (move.clientX - from));
    });
    edge.addEventListener("lostpointercapture", () => (from = NaN));
  }

  /** @param {HTMLElement} button @param {HTMLElement} head @param {string} name */
  #dragToMove(button, head, name) {
    let from = NaN;
    let isDragged = false;
    button.addEventListener("pointerdown", (press) => {
      if (press.button !== 0) return;
      button.setPointerCapture(press.pointerId);
      [from, isDragged] = [press.clientX, false];
    });
    button.addEventListener("pointermove", (move) => {
      if (Number.isNaN(from)) return;
      isDragged ||= Math.abs(move.clientX - from) >= LEAST_DRAG_PX;
      if (isDragged) head.style.translate = `${move.clientX - from}px`;
      head.classList.toggle("is-dragged", isDragged);
    });
    button.addEventListener("pointerup", (release) => isDragged && this.columns.move(name, this.#indexAt(release.clientX, name)));
    button.addEventListener("lostpointercapture", () => {
      from = NaN;
      head.style.translate = "";
      head.classList.remove("is-dragged");
    });
    button.addEventListener("click", () => {
      if (!isDragged) this.dispatchEvent(new Event("choose"));
      isDragged = false;
    });
  }

  /**
   * The place among the columns at a point of the screen.
   * @param {number} x
   * @param {string} name the column that is put there
   */
  #indexAt(x, name) {
    const others = this.layout.cells.filter((each) => each !== name);
    return others.filter((each) => {
      const { left, width } = /** @type {HTMLElement} */ (this.#heads.get(each)).getBoundingClientRect();
      return left + width / 2 < x;
    }).length;
  }
}

/** @param {HTMLElement} head @param {number} width */
function sayWidth(head, width) {
  head.lastElementChild?.setAttribute("aria-valuenow", String(width));
}

/** @param {KeyboardEvent} press */
function take(press) {
  press.preventDefault();
  press.stopPropagation();
}

/** @param {readonly string[]} one @param {readonly string[]} other */
function isSame(one, other) {
  return one.length === other.length && one.every((each, index) => each === other[index]);
}

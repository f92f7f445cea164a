/** The buttons at a value: only it, without it, copy it, its field as a column. */

import { copied } from "./clipboard.js";
import { columnOf } from "./columns.js";
import { condition } from "./expression.js";
import { text } from "./json.js";
import { byId, element, visible } from "./text.js";

/** @typedef {{path: string[], raw: string}} Value a value as JSON, and the names that lead to it */

/**
 * @typedef {object} Acts what the buttons do
 * @property {(condition: string) => void} narrow called with the condition that is chosen
 * @property {import("./columns.js").Columns} columns
 */

/** @type {WeakMap<Element, Value>} */
const held = new WeakMap();

/**
 * Let an element stand for a value.
 * @param {Element} shown
 * @param {Value | null} value null for none
 */
export function hold(shown, value) {
  if (value) held.set(shown, value);
  else held.delete(shown);
}

/**
 * The buttons for a value.
 * @param {Value} value
 * @param {Acts} acts
 * @returns {HTMLButtonElement[]}
 */
export function buttonsFor({ path, raw }, { narrow, columns }) {
  const shown = `${visible(path.join("."), 60)}=${visible(text(raw), 60)}`;
  const copy = button("copy-value", `Copy ${shown}`, async () => {
    copy.classList.add((await copied(text(raw))) ? "is-done" : "is-refused");
  });
  const [only, not] = [condition(path, raw), condition(path, raw, true)];
  const narrowing = only === null || not === null ? [] : [
    button("only-value", `Only ${shown}`, () => narrow(only)),
    button("not-value", `Without ${shown}`, () => narrow(not)),
  ];
  const column = columnOf(path);
  return [...narrowing, copy, ...(column === null ? [] : [columnButton(column, columns)])];
}

/** @param {string} name @param {import("./columns.js").Columns} columns */
function columnButton(name, columns) {
  const made = button("column-value", `Column ${visible(name, 60)}`, () => columns.toggle(name));
  made.value = name;
  made.ariaPressed = String(columns.has(name));
  return made;
}

/**
 * Press the buttons of the columns.
 * @param {import("./columns.js").Columns} columns
 */
export function pressColumns(columns) {
  for (const made of /** @type {NodeListOf<HTMLButtonElement>} */ (document.querySelectorAll(".column-value"))) {
    made.ariaPressed = String(columns.has(made.value));
  }
}

/**
 * A button whose sign is in its style, so that it is no part of the text around it.
 * @param {string} className
 * @param {string} name
 * @param {() => void} act
 */
function button(className, name, act) {
  const made = element("button", `on-value ${className}`);
  made.type = "button";
  made.title = made.ariaLabel = name;
  made.addEventListener("click", (click) => {
    click.stopPropagation();
    act();
  });
  return made;
}

/** Shows the buttons beside the values of a list. Dispatches "narrow" with a condition. */
export class ValueButtons extends EventTarget {
  #root = byId("value-buttons");
  /** @type {Element | null} */ #at = null;

  /** @param {import("./columns.js").Columns} columns */
  constructor(columns) {
    super();
    this.columns = columns;
    // Also below the last row, where no value is.
    byId("events").addEventListener("pointerover", (/** @type {PointerEvent} */ over) => this.#over(/** @type {Element} */ (over.target), over));
    byId("events").addEventListener("pointerleave", () => this.hide());
    byId("list").addEventListener("scroll", () => this.hide(), { passive: true });
  }

  hide() {
    this.#at = null;
    this.#root.hidden = true;
  }

  /** @param {Element} target @param {PointerEvent} over */
  #over(target, over) {
    // A finger opens the event; its values have the same buttons there.
    if (over.pointerType === "touch" || this.#root.contains(target)) return;
    const shown = target.closest(".field, .level, .name, .trace, .chosen");
    const value = shown && held.get(shown);
    if (!shown || !value) {
      this.hide();
      return;
    }
    if (shown === this.#at) return;
    this.#at = shown;
    const narrow = (/** @type {string} */ chosen) => {
      this.hide();
      this.dispatchEvent(new CustomEvent("narrow", { detail: chosen }));
    };
    this.#root.replaceChildren(...buttonsFor(value, { narrow, columns: this.columns }));
    this.#root.hidden = false;
    const [box, around] = [shown.getBoundingClientRect(), byId("events").getBoundingClientRect()];
    const left = Math.min(box.right, around.right - 24) - around.left - this.#root.offsetWidth;
    this.#root.style.left = `${Math.max(0, left)}px`;
    this.#root.style.top = `${Math.max(0, box.top - around.top - this.#root.offsetHeight + 3)}px`;
  }
}

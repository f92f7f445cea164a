/** The dialog in which the reader chooses, orders and sizes the columns of the list. */

import { columnOf, MOST_COLUMNS, WIDTH } from "./columns.js";
import { knownFields } from "./known_fields.js";
import { COLUMNS } from "./row.js";
import { byId, count, element, visible } from "./text.js";

/** Fields that the list shows anyway. */
const SHOWN = new Set([...COLUMNS, "event"]);
const MOST_OFFERED = 40;
const LONGEST_NAME_CHARS = 60;

/** The dialog. */
export class ColumnsDialog {
  #dialog = /** @type {HTMLDialogElement} */ (byId("columns"));
  #field = /** @type {HTMLInputElement} */ (byId("columns-field"));
  #asking = new AbortController();
  /** @type {Map<string, number>} the number of the newest events that have a field */ #known = new Map();

  /** @param {import("./columns.js").Columns} columns */
  constructor(columns) {
    this.columns = columns;
    columns.addEventListener("shown", () => this.#dialog.open && this.#fill());
    byId("columns-add").addEventListener("click", () => this.#addTyped());
    this.#field.addEventListener("input", () => this.#offer());
    this.#field.addEventListener("keydown", (press) => {
      if (press.key !== "Enter" || press.isComposing) return;
      press.preventDefault();
      this.#addTyped();
    });
    this.#dialog.addEventListener("close", () => this.#asking.abort());
  }

  /** @param {import("./place.js").Place} place whose fields are offered */
  open(place) {
    this.#known = new Map();
    this.#field.value = "";
    this.#fill();
    this.#dialog.showModal();
    this.#field.focus();
    this.#load(place);
  }

  /** @param {import("./place.js").Place} place */
  async #load(place) {
    this.#asking = new AbortController();
    const { signal } = this.#asking;
    const found = await knownFields(place, signal);
    if (signal.aborted) return;
    for (const [path, { events }] of found) {
      const name = columnOf([path]);
      if (name && !SHOWN.has(name)) this.#known.set(name, events);
    }
    this.#offer();
  }

  #addTyped() {
    const name = this.#field.value.trim();
    if (!name) return;
    this.#field.value = "";
    this.columns.add(name);
    this.#field.focus();
  }

  #fill() {
    const { names, isFull } = this.columns;
    const focused = /** @type {HTMLButtonElement | null} */ (document.activeElement?.closest("#columns [data-act]"));
    byId("columns-chosen").replaceChildren(...names.map((name) => this.#row(name)));
    byId("columns-none").hidden = names.length > 0;
    this.#field.disabled = byId("columns-add").disabled = isFull;
    byId("columns-says").textContent = isFull ? `No more than ${MOST_COLUMNS} columns` : "";
    this.#offer();
    if (!focused) return;
    // The button that was pressed may be another element now, or gone.
    const buttons = /** @type {HTMLButtonElement[]} */ ([...this.#dialog.querySelectorAll("[data-act]:enabled")]);
    const same = buttons.find(({ value, dataset }) => value === focused.value && dataset.act === focused.dataset.act);
    (same ?? this.#field).focus();
  }

  /** @param {string} name */
  #row(name) {
    const { columns } = this;
    const shown = visible(name, LONGEST_NAME_CHARS);
    const index = columns.names.indexOf(name);
    const width = element("input");
    width.type = "range";
    [width.min, width.max, width.step] = [WIDTH.least, WIDTH.most, WIDTH.step / 2].map(String);
    width.value = String(columns.widthOf(name));
    width.ariaLabel = `Width of ${shown}`;
    width.addEventListener("input", () => columns.resize(name, Number(width.value)));
    const left = this.#button("←", `Move ${shown} left`, name, () => columns.move(name, index - 1));
    const right = this.#button("→", `Move ${shown} right`, name, () => columns.move(name, index + 1));
    left.disabled = index === 0;
    right.disabled = index === columns.names.length - 1;
    const remove = this.#button("✕", `Remove ${shown}`, name, () => columns.remove(name));
    const title = element("bdi", "", shown);
    title.title = visible(name);
    return element("li", "", [title, width, left, right, remove]);
  }

  #offer() {
    const typed = this.#field.value.trim().toLowerCase();
    const fitting = [...this.#known].filter(([name]) => !this.columns.has(name) && name.toLowerCase().includes(typed));
    fitting.sort(([, one], [, other]) => other - one);
    const items = this.columns.isFull ? [] : fitting.slice(0, MOST_OFFERED).map(([name, events]) => {
      const shown = visible(name, LONGEST_NAME_CHARS);
      const add = this.#button("", `Add ${shown}`, name, () => this.columns.add(name));
      add.append(element("bdi", "", shown), element("span", "note", `in ${count(events)}`));
      return element("li", "", [add]);
    });
    byId("columns-offered").replaceChildren(...items);
    byId("columns-offer").hidden = !items.length;
  }

  /** @param {string} words @param {string} name @param {string} column @param {() => void} act */
  #button(words, name, column, act) {
    const button = element("button", "", words);
    button.type = "button";
    button.value = column;
    button.dataset.act = words;
    button.title = button.ariaLabel = name;
    button.addEventListener("click", act);
    return button;
  }
}

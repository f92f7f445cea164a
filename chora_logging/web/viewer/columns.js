/** The fields that the reader chose as columns of the list: which, in what order, and how wide. */

import { store, stored } from "./memory.js";

const KEY = "columns";
export const MOST_COLUMNS = 12;
/** Longer names do not fit into an address. */
const LONGEST_NAME_CHARS = 200;
/** The width of a column in pixels: the least, the usual and the greatest, and a step of the keyboard. */
export const WIDTH = { least: 48, usual: 136, most: 640, step: 16 };

/**
 * The column for the value at a path, of an array the one for all of it; null if no column can have it.
 * @param {string[]} path the names of the field, from the outermost; `[]` at the end of one stands for any member
 */
export function columnOf(path) {
  const end = path.findIndex((name) => name.endsWith("[]"));
  const names = end < 0 ? path : [...path.slice(0, end), path[end].replace(/(\[\])+$/, "")];
  const name = names.join(".");
  const isPath = names.slice(0, -1).every((each) => !each.includes("."));
  return isPath && isName(name) ? name : null;
}

/** @param {string} name */
function isName(name) {
  return name !== "" && name.length <= LONGEST_NAME_CHARS;
}

/**
 * Owns the columns: their names are in the address, their widths in the browser. Dispatches "change" with the
 * names that the reader wants, "shown" when others are shown, and "sized" when one has another width.
 */
export class Columns extends EventTarget {
  /** @type {readonly string[]} from left to right */ names = [];
  /** @type {readonly string[]} those that the reader chose last, maybe other ones than those of a link */ remembered;
  /** @type {Map<string, number>} */ #widths;

  constructor() {
    super();
    const known = read(stored(KEY));
    this.remembered = distinct(known.map(([name]) => name));
    this.#widths = new Map(known);
  }

  /** @param {import("./place.js").Place} place */
  fill(place) {
    const names = distinct(place.columns);
    if (names.length === this.names.length && names.every((name, index) => name === this.names[index])) return;
    this.names = names;
    this.dispatchEvent(new Event("shown"));
  }

  get isFull() {
    return this.names.length >= MOST_COLUMNS;
  }

  /** @param {string} name */
  has(name) {
    return this.names.includes(name);
  }

  /** @param {string} name */
  add(name) {
    if (!this.has(name) && !this.isFull && isName(name)) this.#want([...this.names, name]);
  }

  /** @param {string} name */
  remove(name) {
    this.#want(this.names.filter((each) => each !== name));
  }

  /** @param {string} name */
  toggle(name) {
    if (this.has(name)) this.remove(name);
    else this.add(name);
  }

  /**
   * Put a column at a place among the others.
   * @param {string} name
   * @param {number} index
   */
  move(name, index) {
    if (!this.has(name) || index < 0 || index >= this.names.length) return;
    const names = this.names.filter((each) => each !== name);
    this.#want([...names.slice(0, index), name, ...names.slice(index)]);
  }

  /** @param {string} name */
  widthOf(name) {
    return this.#widths.get(name) ?? WIDTH.usual;
  }

  /**
   * @param {string} name
   * @param {number} width pixels
   */
  resize(name, width) {
    this.#widths.set(name, within(width));
    this.#remember();
    this.dispatchEvent(new Event("sized"));
  }

  /** @param {string[]} names */
  #want(names) {
    this.remembered = names;
    this.#remember();
    this.dispatchEvent(new CustomEvent("change", { detail: names }));
  }

  #remember() {
    store(KEY, JSON.stringify(this.remembered.map((name) => [name, this.widthOf(name)])));
  }
}

/** @param {number} width */
function within(width) {
  return Math.round(Math.max(WIDTH.least, Math.min(WIDTH.most, width)));
}

/** @param {string[]} names */
function distinct(names) {
  return [...new Set(names.filter(isName))].slice(0, MOST_COLUMNS);
}

/**
 * What was remembered; whatever else the storage has is no column.
 * @param {string | null} written
 * @returns {[string, number][]}
 */
function read(written) {
  try {
    const found = /** @type {unknown} */ (JSON.parse(written ?? "[]"));
    const pairs = Array.isArray(found) ? found.filter(Array.isArray) : [];
    return pairs.filter(([name, width]) => typeof name === "string" && Number.isFinite(width)).map(([name, width]) => [name, within(width)]);
  } catch {
    return [];
  }
}

/** The JSON of an event as lines, each value with buttons to filter by it, to copy it, and to make its field a column. */

import { format, text } from "./json.js";
import { marked } from "./marks.js";
import { count, element, visible } from "./text.js";
import { buttonsFor } from "./values.js";

/** Limits of the display, not of the copy, so that a large event does not freeze the page. */
const LONGEST_STRING_CHARS = 5_000;
export const MOST_CHARS = 100_000;
const MOST_PIECES = 20_000;
const MOST_BUTTONS = 300;
const DEEPEST_PATH = 20;

/** The names that lead to the next value. */
class Path {
  /** @type {string[]} the name in each object that is open; an array has an empty one */ #names = [];

  /** @param {string} kind @param {string} piece */
  read(kind, piece) {
    if (kind === "key") this.#names[this.#names.length - 1] = text(piece);
    else if (piece === "{" || piece === "[") this.#names.push("");
    else if (piece === "}" || piece === "]") this.#names.pop();
  }

  /** The path; null if no condition can have it. */
  get names() {
    if (this.#names.length > DEEPEST_PATH) return null;
    /** @type {string[]} */
    const path = [];
    for (const [depth, name] of this.#names.entries()) {
      if (name || !depth) path.push(name);
      else path[path.length - 1] += "[]";
    }
    return path[0] ? path : null;
  }
}

/** @param {string} raw @param {import("./values.js").Acts} acts of the buttons @returns {Node[]} */
export function linesOf(raw, acts) {
  const lines = [line("")];
  const path = new Path();
  let left = MOST_CHARS;
  let buttons = MOST_BUTTONS;
  const pieces = format(raw);
  for (const [kind, piece] of pieces.slice(0, MOST_PIECES)) {
    const cut = Math.min(left, LONGEST_STRING_CHARS);
    const last = lines[lines.length - 1];
    path.read(kind, piece);
    if (kind === "space") lines.push(line(piece.slice(1)));
    else last.append(element("bdi", kind, marked(visible(piece.slice(0, cut)))));
    if (piece.length > cut) last.append(element("em", "cut", ` … ${count(piece.length - cut)} more characters`));
    const names = ["string", "number", "word"].includes(kind) ? path.names : null;
    if (names && buttons > 0) {
      buttons -= 1;
      last.append(element("span", "value-actions", buttonsFor({ path: names, raw: piece }, acts)));
    }
    left -= Math.min(piece.length, cut);
    if (left <= 0) break;
  }
  if (left <= 0 || pieces.length > MOST_PIECES) lines.push(element("em", "cut", "… truncated; the copy is complete"));
  return lines;
}

/** @param {string} indent @returns {HTMLElement} */
function line(indent) {
  const made = element("span", "line", indent);
  made.style.setProperty("--hang", `${indent.length + 2}ch`);
  return made;
}

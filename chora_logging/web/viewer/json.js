/**
 * Reads JSON without loss: numbers keep every digit, keys keep their order, duplicates stay.
 *
 * `JSON.parse` turns 9007199254740993 into …992; a viewer of logs must not. Text that is not JSON gives
 * an arbitrary result, but never an endless loop.
 */

const MARKS = /["{}[\]]/g;
const AFTER_SCALAR = /[\s,\]}]/g;
const NOT_SPACE = /\S/g;
const DEEPEST_INDENT_LEVELS = 50;

/**
 * Where the first match of a global expression begins at or after an index.
 * @param {RegExp} expression
 * @param {string} raw
 * @param {number} from
 */
function search(expression, raw, from) {
  expression.lastIndex = from;
  const found = expression.exec(raw);
  return found ? found.index : raw.length;
}

/** @param {string} raw @param {number} start where the opening quote is */
function endOfString(raw, start) {
  for (let at = raw.indexOf('"', start + 1); at !== -1; at = raw.indexOf('"', at + 1)) {
    let slashes = 0;
    while (raw[at - 1 - slashes] === "\\") slashes += 1;
    if (slashes % 2 === 0) return at + 1;
  }
  return raw.length;
}

/** @param {string} raw @param {number} start where the value begins */
function endOfValue(raw, start) {
  if (raw[start] === '"') return endOfString(raw, start);
  if (raw[start] !== "{" && raw[start] !== "[") return Math.max(search(AFTER_SCALAR, raw, start), start + 1);
  let depth = 0;
  let at = start;
  while (at < raw.length) {
    if (raw[at] === '"') {
      at = endOfString(raw, at);
    } else {
      depth += raw[at] === "{" || raw[at] === "[" ? 1 : -1;
      at += 1;
      if (depth === 0) return at;
    }
    at = search(MARKS, raw, at);
  }
  return raw.length;
}

/**
 * The members of an object: each key, and its value as JSON text.
 * @param {string} raw
 * @returns {[string, string][]}
 */
export function members(raw) {
  /** @type {[string, string][]} */
  const found = [];
  let at = search(NOT_SPACE, raw, raw.indexOf("{") + 1);
  while (raw[at] === '"') {
    const key = raw.slice(at, (at = endOfString(raw, at)));
    at = search(NOT_SPACE, raw, search(NOT_SPACE, raw, at) + 1);
    const value = raw.slice(at, (at = endOfValue(raw, at)));
    found.push([text(key), value]);
    at = search(NOT_SPACE, raw, search(NOT_SPACE, raw, at) + 1);
  }
  return found;
}

/**
 * The members by key; of several values of one key the last counts, as in `JSON.parse`.
 * @param {string} raw
 * @returns {Map<string, string>}
 */
export function fields(raw) {
  return new Map(members(raw));
}

/**
 * The elements of an array, as JSON texts.
 * @param {string} raw
 * @returns {string[]}
 */
export function elements(raw) {
  const found = [];
  let at = search(NOT_SPACE, raw, raw.indexOf("[") + 1);
  while (at < raw.length && raw[at] !== "]") {
    found.push(raw.slice(at, (at = endOfValue(raw, at))));
    at = search(NOT_SPACE, raw, at);
    if (raw[at] === ",") at = search(NOT_SPACE, raw, at + 1);
  }
  return found;
}

/**
 * The characters of a string; any other value as JSON text.
 * @param {string} raw
 * @returns {string}
 */
export function text(raw) {
  if (raw[0] !== '"') return raw;
  if (!raw.includes("\\")) return raw.slice(1, -1);
  try {
    return JSON.parse(raw);
  } catch {
    return raw;
  }
}

/**
 * The pieces of a formatted document; joined they are the same JSON, indented.
 * @param {string} raw
 * @returns {["space" | "mark" | "key" | "string" | "number" | "word", string][]}
 */
export function format(raw) {
  /** @type {["space" | "mark" | "key" | "string" | "number" | "word", string][]} */
  const pieces = [];
  let depth = 0;
  const newLine = () => pieces.push(["space", "\n" + "  ".repeat(Math.min(depth, DEEPEST_INDENT_LEVELS))]);
  let at = search(NOT_SPACE, raw, 0);
  while (at < raw.length) {
    const mark = raw[at];
    const next = search(NOT_SPACE, raw, at + 1);
    if (mark === "{" || mark === "[") {
      const empty = raw[next] === "}" || raw[next] === "]";
      pieces.push(["mark", empty ? mark + raw[next] : mark]);
      at = empty ? search(NOT_SPACE, raw, next + 1) : next;
      if (!empty) {
        depth += 1;
        newLine();
      }
    } else if (mark === "}" || mark === "]") {
      depth = Math.max(0, depth - 1);
      newLine();
      pieces.push(["mark", mark]);
      at = next;
    } else if (mark === ",") {
      pieces.push(["mark", mark]);
      newLine();
      at = next;
    } else if (mark === ":") {
      pieces.push(["mark", ": "]);
      at = next;
    } else {
      const end = endOfValue(raw, at);
      const following = search(NOT_SPACE, raw, end);
      pieces.push([kind(mark, raw[following]), raw.slice(at, end)]);
      at = following;
    }
  }
  return pieces;
}

/** @param {string} first @param {string | undefined} following @returns {"key" | "string" | "number" | "word"} */
function kind(first, following) {
  if (first === '"') return following === ":" ? "key" : "string";
  return /[-\d]/.test(first) ? "number" : "word";
}

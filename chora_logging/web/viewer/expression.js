/** The conditions of `--where`, as eventlog/conditions.py reads them: recognised, and made of values. */

const EXPRESSION = /^\s*(not\s+)?("(?:[^"\\]|\\.)*"|[^\s"=!<>~:]+)\s*(~=|!=|>=|<=|==|[=<>:])(.*)$/s;
const PLAIN_NAME = /^[\p{L}\p{N}_@$/-]+$/u;
const PLAIN_VALUE = /^[\p{L}_/][\p{L}\d_./@-]*$/u;
/** Longer values do not fit into an address. */
const LONGEST_VALUE_CHARS = 500;

/**
 * @typedef {object} Draft what the reader has typed
 * @property {string} where a condition; empty if it is none
 * @property {string} text a text to search; empty if it is a condition, or none yet
 */

/**
 * Tell a condition from a text to search. A text in quotes is a text, whatever it has.
 * @param {string} typed
 * @returns {Draft}
 */
export function read(typed) {
  const found = EXPRESSION.exec(typed);
  if (!found) return { where: "", text: unquoted(typed.trim()) };
  // Without a value it is being typed; an empty one is written as "".
  return { where: found[4].trim() ? typed.trim() : "", text: "" };
}

/**
 * The parts of a condition that is being typed: the field, and the value after an operator.
 * @param {string} typed
 * @returns {{before: string, field: string, operator: string, value: string}}
 */
export function parts(typed) {
  const found = EXPRESSION.exec(typed);
  if (found) return { before: found[1] ?? "", field: found[2], operator: found[3], value: found[4].trim() };
  const [, before = "", field = ""] = /^\s*(not\s+)?(.*?)\s*$/s.exec(typed) ?? [];
  return { before, field, operator: "", value: "" };
}

/**
 * The condition that a field has a value; null if there is none that says so.
 * @param {string[]} path the names of the field, from the outermost; `[]` at the end of one stands for any member
 * @param {string} raw the value as JSON
 * @param {boolean} [isNot] that it has not
 */
export function condition(path, raw, isNot = false) {
  const field = fieldOf(path);
  if (field === null || raw.length > LONGEST_VALUE_CHARS || raw[0] === "{" || raw[0] === "[") return null;
  return `${isNot ? "not " : ""}${field}=${valueOf(raw)}`;
}

/** @param {string[]} path */
function fieldOf(path) {
  const isPlain = path.every((name) => PLAIN_NAME.test(name.replace(/(\[\])+$/, "")));
  if (isPlain && path[0] !== "not") return path.join(".");
  // A name in quotes has no path.
  return path.length === 1 && path[0] && !path[0].endsWith("[]") ? JSON.stringify(path[0]) : null;
}

/** @param {string} raw */
export function valueOf(raw) {
  if (raw[0] !== '"') return raw;
  const text = unquoted(raw);
  const isWord = PLAIN_VALUE.test(text) && !["true", "false", "null"].includes(text);
  return isWord ? text : raw;
}

/** @param {string} text */
function unquoted(text) {
  if (text.length < 2 || text[0] !== '"' || text[text.length - 1] !== '"') return text;
  try {
    return String(JSON.parse(text));
  } catch {
    return text;
  }
}

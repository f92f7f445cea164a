/** Puts text of logs on the page as text only, with control and invisible characters escaped. */

// Controls, bidirectional controls, line separators, invisible and tag characters, lone surrogates.
// The joiners U+200C and U+200D stay: Persian and emoji need them.
const INVISIBLE = new RegExp(
  "[\\u0000-\\u001f\\u007f-\\u009f\\u00ad\\u061c\\u115f\\u1160\\u17b4\\u17b5\\u180b-\\u180e" +
    "\\u200b\\u200e\\u200f\\u2028-\\u202e\\u2060-\\u206f\\u3164\\ufeff\\uffa0\\ufff0-\\ufffb" +
    "\\u{e0000}-\\u{e0fff}]|\\p{Cs}",
  "gu",
);
const SHORT_ESCAPES = new Map([["\n", "\\n"], ["\r", "\\r"], ["\t", "\\t"], ["\b", "\\b"], ["\f", "\\f"]]);

/** @param {string} character */
function escape(character) {
  const short = SHORT_ESCAPES.get(character);
  if (short) return short;
  let escaped = "";
  for (let unit = 0; unit < character.length; unit += 1) {
    escaped += "\\u" + character.charCodeAt(unit).toString(16).padStart(4, "0");
  }
  return escaped;
}

/**
 * The text on one line, with control and invisible characters as JSON escapes.
 * @param {string} text
 * @param {number} [most] the length after which it is truncated
 */
export function visible(text, most = Infinity) {
  const shown = text.length > most ? text.slice(0, most) : text;
  const escaped = shown.replace(INVISIBLE, escape);
  return shown === text ? escaped : escaped + "…";
}

/**
 * Like `visible`, for text of several lines: line ends and tabs stay.
 * @param {string} text
 * @param {number} [most]
 */
export function visibleLines(text, most = Infinity) {
  const shown = text.length > most ? text.slice(0, most) : text;
  const escaped = shown.replace(/\r\n/g, "\n").replace(INVISIBLE, (c) => (c === "\n" || c === "\t" ? c : escape(c)));
  return shown === text ? escaped : escaped + "…";
}

/**
 * A new element.
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {string} [className]
 * @param {string | Node[]} [content]
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function element(tag, className = "", content = "") {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (typeof content === "string") made.textContent = content;
  else made.append(...content);
  return made;
}

/**
 * The element of the page with an id.
 * @param {string} id
 * @returns {any}
 */
export function byId(id) {
  return document.getElementById(id);
}

const grouped = new Intl.NumberFormat("en");

/** @param {number} number */
export function count(number) {
  return grouped.format(number);
}

/** @param {number} number @param {string} one @param {string} [many] */
export function plural(number, one, many = one + "s") {
  return `${count(number)} ${number === 1 ? one : many}`;
}

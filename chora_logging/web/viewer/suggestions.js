/** Suggests fields, and the values of one, from the newest events of the logs; says which time a typed one is. */

import { parts, valueOf } from "./expression.js";
import { text } from "./json.js";
import { knownFields } from "./known_fields.js";
import { byId, count, element, visible } from "./text.js";
import { beginsTime, readTimes } from "./typed_time.js";

const MOST_SHOWN = 12;
const PLAIN_FIELD = /^[^\s"=!<>~:]+$/;

/**
 * @typedef {object} Suggestion
 * @property {string} typed what the field has then
 * @property {string} note
 * @property {boolean} isWhole whether it is a whole condition
 */

/** The list under a text field. Dispatches "chosen" with the suggestion. */
export class Suggestions extends EventTarget {
  #field;
  #list = byId("suggestions");
  /** @type {Suggestion[]} */ #shown = [];
  #active = -1;
  #asking = new AbortController();
  #isWanted = false;
  /** @type {Map<string, import("./known_fields.js").Known> | null} */ #fields = null;

  /** @param {HTMLInputElement} field */
  constructor(field) {
    super();
    this.#field = field;
    this.#list.addEventListener("pointerdown", (/** @type {PointerEvent} */ press) => {
      const row = /** @type {Element} */ (press.target).closest("[role=option]");
      // The field keeps the focus.
      press.preventDefault();
      if (row) this.#choose([...this.#list.children].indexOf(row));
    });
  }

  get isOpen() {
    return !this.#list.hidden;
  }

  /** Forget the fields: those of another place may differ. */
  forget() {
    this.#asking.abort();
    this.#fields = null;
  }

  /**
   * Show what fits to what is typed.
   * @param {import("./place.js").Place} place
   */
  async show(place) {
    this.#isWanted = true;
    if (!this.#fields) await this.#load(place);
    // The answer may come after what was typed became a filter, or the reader went elsewhere.
    if (this.#isWanted && this.#fields && document.activeElement === this.#field) this.#fill(this.#fitting());
  }

  close() {
    this.#isWanted = false;
    this.#fill([]);
  }

  /**
   * Move to another suggestion.
   * @param {number} step
   */
  move(step) {
    const number = this.#shown.length;
    if (!number) return;
    this.#active = this.#active < 0 && step < 0 ? number - 1 : (this.#active + step + number) % number;
    [...this.#list.children].forEach((row, index) => row.setAttribute("aria-selected", String(index === this.#active)));
    this.#list.children[this.#active].scrollIntoView({ block: "nearest" });
    this.#field.setAttribute("aria-activedescendant", `suggestion-${this.#active}`);
  }

  /**
   * Take the one that is selected.
   * @returns {boolean} whether one is
   */
  take() {
    if (!this.isOpen || this.#active < 0) return false;
    this.#choose(this.#active);
    return true;
  }

  /** @param {number} index */
  #choose(index) {
    const chosen = this.#shown[index];
    this.close();
    this.dispatchEvent(new CustomEvent("chosen", { detail: chosen }));
  }

  /** @param {import("./place.js").Place} place */
  async #load(place) {
    this.forget();
    this.#asking = new AbortController();
    const { signal } = this.#asking;
    const fields = await knownFields(place, signal);
    if (!signal.aborted) this.#fields = fields;
  }

  /** @returns {Suggestion[]} */
  #fitting() {
    const times = readTimes(this.#field.value);
    if (times) return [{ typed: this.#field.value, note: times.words, isWhole: true }];
    if (beginsTime(this.#field.value)) return [];
    const { before, field, operator, value } = parts(this.#field.value);
    const name = field.replace(/^"|"$/g, "").toLowerCase();
    const has = (/** @type {string} */ found, /** @type {string} */ asked) => found.toLowerCase().includes(asked);
    if (!operator) {
      const fitting = [.../** @type {Map<string, {events: number}>} */ (this.#fields)].filter(([found]) => has(found, name));
      fitting.sort(([one, a], [other, b]) => rank(one, name) - rank(other, name) || b.events - a.events);
      return fitting.slice(0, MOST_SHOWN).map(([found, { events }]) => {
        const written = PLAIN_FIELD.test(found) ? found : JSON.stringify(found);
        return { typed: `${before}${written}=`, note: `in ${count(events)} of the newest events`, isWhole: false };
      });
    }
    const known = this.#fields?.get(field) ?? this.#fields?.get(text(field));
    const values = [...(known?.values ?? [])].filter(([raw]) => has(text(raw), value.replace(/^"|"$/g, "").toLowerCase()));
    values.sort(([, one], [, other]) => other - one);
    return values.slice(0, MOST_SHOWN).map(([raw, number]) => {
      return { typed: `${before}${field}${operator}${valueOf(raw)}`, note: `${count(number)} of the newest`, isWhole: true };
    });
  }

  /** @param {Suggestion[]} suggestions */
  #fill(suggestions) {
    this.#shown = suggestions;
    this.#active = -1;
    this.#list.replaceChildren(...suggestions.map(({ typed, note }, index) => {
      const row = element("li", "", [element("bdi", "", visible(typed, 80)), element("span", "note", note)]);
      row.id = `suggestion-${index}`;
      row.setAttribute("role", "option");
      row.setAttribute("aria-selected", "false");
      return row;
    }));
    this.#list.hidden = !suggestions.length;
    this.#field.setAttribute("aria-expanded", String(suggestions.length > 0));
    this.#field.removeAttribute("aria-activedescendant");
  }
}

/**
 * Names that begin with it come first.
 * @param {string} found
 * @param {string} typed
 */
function rank(found, typed) {
  return found.toLowerCase().startsWith(typed) ? 0 : 1;
}

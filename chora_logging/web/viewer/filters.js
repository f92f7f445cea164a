/** The form with the filters: the logs, the level, and one field for conditions, text and times. */

import { Chips } from "./chips.js";
import { read } from "./expression.js";
import { Place } from "./place.js";
import { Suggestions } from "./suggestions.js";
import { byId, plural } from "./text.js";
import { beginsTime, readTimes } from "./typed_time.js";

const TYPING_PAUSE_MS = 250;
const NOTHING = { where: "", text: "" };
/** The most logs that the server reads together. */
const MOST_LOGS = 16;

/** Dispatches "change" with the changes of the place, and whether the reader is still typing. */
export class Filters extends EventTarget {
  #form = /** @type {HTMLFormElement} */ (byId("filters"));
  #log = /** @type {HTMLSelectElement} */ (byId("log"));
  #level = /** @type {HTMLSelectElement} */ (byId("level"));
  #ask = /** @type {HTMLInputElement} */ (byId("ask"));
  #chips = new Chips();
  #suggestions = new Suggestions(this.#ask);
  #typing = 0;
  #place = new Place(new URLSearchParams());
  /** What the field has added to the place, as long as it is typed. */
  #draft = NOTHING;
  /** Whether the pointer is down. */
  #isPressed = false;
  #isLeft = false;

  constructor() {
    super();
    this.#form.addEventListener("submit", (submit) => submit.preventDefault());
    this.#log.addEventListener("change", () => this.#change({ log: this.#log.value, context: "", at: "", of: "" }));
    this.#level.addEventListener("change", () => this.#change({ level: this.#level.value }));
    this.#ask.addEventListener("input", () => this.#typed());
    this.#ask.addEventListener("focus", () => this.#ask.value && this.#suggest());
    this.#ask.addEventListener("blur", () => this.#leave());
    addEventListener("pointerdown", () => (this.#isPressed = true), true);
    for (const end of ["pointerup", "pointercancel"]) addEventListener(end, () => this.#release(), true);
    this.#ask.addEventListener("keydown", (press) => this.#key(press));
    this.#suggestions.addEventListener("chosen", (event) => this.#take(/** @type {CustomEvent} */ (event).detail));
    this.#chips.addEventListener("remove", (event) => this.#change(/** @type {CustomEvent} */ (event).detail));
    byId("clear").addEventListener("click", () => this.clear());
    byId("filters-toggle").addEventListener("click", () => this.#toggle(!this.#form.classList.contains("is-open")));
  }

  /** @param {string[]} names the names of the logs */
  offer(names) {
    const all = names.slice(0, MOST_LOGS).join(",");
    const options = names.map((name) => new Option(name, name));
    if (names.length > 1 && names.length <= MOST_LOGS) options.push(new Option(`all ${plural(names.length, "log")} together`, all));
    this.#log.replaceChildren(...options);
  }

  /**
   * Show the filters of a place.
   * @param {import("./place.js").Place} place
   */
  fill(place) {
    if (place.get("log") !== this.#place.get("log")) this.#suggestions.forget();
    this.#place = place;
    const { where } = place;
    const isDrafted = this.#draft.where ? where.includes(this.#draft.where) : this.#draft.text === place.get("text");
    if (!isDrafted) this.#draft = NOTHING;
    this.#choose(this.#log, place.get("log"));
    this.#choose(this.#level, place.get("level"));
    const chips = this.#chips.fill(place, this.#draft);
    const set = chips + ["level", "since", "until", "jump"].filter((name) => place.get(name)).length;
    byId("clear").hidden = set === 0;
    byId("filters-count").textContent = set ? String(set) : "";
  }

  /** @param {HTMLSelectElement} select @param {string} value a value of the address, also one that is not offered */
  #choose(select, value) {
    if (value && ![...select.options].some((option) => option.value === value)) select.add(new Option(value, value));
    select.value = value;
  }

  clear() {
    this.#forgetDraft();
    this.dispatchEvent(new CustomEvent("clear"));
  }

  focusText() {
    this.#toggle(true);
    this.#ask.select();
  }

  /** @param {boolean} isOpen */
  #toggle(isOpen) {
    this.#form.classList.toggle("is-open", isOpen);
    byId("filters-toggle").setAttribute("aria-expanded", String(isOpen));
  }

  /** @param {KeyboardEvent} press */
  #key(press) {
    if (press.isComposing) return;
    if (press.key === "ArrowDown" || press.key === "ArrowUp") {
      if (this.#suggestions.isOpen) this.#suggestions.move(press.key === "ArrowDown" ? 1 : -1);
      else this.#suggest();
    } else if (press.key === "Enter") {
      if (!this.#suggestions.take()) this.#commit();
    } else if (press.key === "Escape" && this.#suggestions.isOpen) {
      this.#suggestions.close();
      press.stopPropagation();
    } else {
      return;
    }
    press.preventDefault();
  }

  #suggest() {
    this.#suggestions.show(this.#place);
  }

  #typed() {
    clearTimeout(this.#typing);
    this.#typing = setTimeout(() => this.#apply(), TYPING_PAUSE_MS);
    this.#suggest();
  }

  /** Filter by what is typed; what was typed before goes. */
  #apply() {
    const before = this.#draft;
    // A time is gone to when it is complete.
    this.#draft = beginsTime(this.#ask.value) ? NOTHING : read(this.#ask.value);
    const { where, text } = this.#draft;
    if (where === before.where && text === before.text) return;
    const others = this.#place.where.filter((each) => each !== before.where && each !== where);
    /** @type {Record<string, string | string[]>} */
    const changes = { where: where ? [...others, where] : others };
    if (text || before.text) changes.text = text;
    // All that is typed at a time is one step for the back button.
    this.#change(changes, before.where !== "" || before.text !== "");
  }

  /** What is typed becomes a filter of its own, and the field is free for the next. */
  #commit() {
    clearTimeout(this.#typing);
    this.#suggestions.close();
    if (!this.#ask.value) return;
    this.#apply();
    const times = readTimes(this.#ask.value);
    const { where, text } = this.#draft;
    // What is not complete yet stays.
    if (!times && !where && !text) return;
    this.#forgetDraft();
    if (times) this.#change(times.changes);
    else this.fill(this.#place);
  }

  /** The chip of a new filter moves what is below it: if a press of the pointer took the focus, its click comes first. */
  #leave() {
    this.#isLeft = this.#isPressed;
    if (!this.#isLeft) this.#commit();
  }

  #release() {
    if (this.#isLeft) setTimeout(() => this.#commit());
    this.#isLeft = this.#isPressed = false;
  }

  #forgetDraft() {
    clearTimeout(this.#typing);
    this.#ask.value = "";
    this.#draft = NOTHING;
  }

  /** @param {import("./suggestions.js").Suggestion} suggestion */
  #take({ typed, isWhole }) {
    this.#ask.value = typed;
    if (isWhole) this.#commit();
    else this.#typed();
  }

  /** @param {Record<string, string | string[]>} changes @param {boolean} [isTyping] */
  #change(changes, isTyping = false) {
    this.dispatchEvent(new CustomEvent("change", { detail: { changes, isTyping } }));
  }
}

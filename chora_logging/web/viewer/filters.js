/** The view as the address of the page, so that links, reloads and the back button restore it. */

import { byId, element } from "./text.js";

/** The filters that the server applies, by the names of its parameters. */
const SERVER_FILTERS = ["level", "event", "task_id", "run_id", "trace_id"];
const FIELD_NAMES = ["log", ...SERVER_FILTERS, "text"];
const TYPING_PAUSE_MS = 150;

/** The query of an address of the page. */
export class Place {
  /** @param {URLSearchParams} parameters */
  constructor(parameters) {
    this.parameters = parameters;
  }

  static get now() {
    return new Place(new URLSearchParams(location.search));
  }

  /** @param {string} name */
  get(name) {
    return this.parameters.get(name) ?? "";
  }

  /**
   * The same place with some parameters changed.
   * @param {Record<string, string>} changes an empty value removes the parameter
   */
  with(changes) {
    const parameters = new URLSearchParams(this.parameters);
    for (const [name, value] of Object.entries(changes)) {
      if (value) parameters.set(name, value);
      else parameters.delete(name);
    }
    return new Place(parameters);
  }

  /** @returns {Record<string, string>} the filters for the server that have a value */
  get filters() {
    return Object.fromEntries(SERVER_FILTERS.map((name) => [name, this.get(name)]).filter(([, value]) => value));
  }

  get address() {
    const query = String(this.parameters);
    return query ? `?${query}` : location.pathname;
  }
}

/** The form with the filters. Dispatches "change" when the reader changes one. */
export class Filters extends EventTarget {
  #form = /** @type {HTMLFormElement} */ (byId("filters"));
  #typing = 0;

  constructor() {
    super();
    this.#form.addEventListener("submit", (submit) => submit.preventDefault());
    this.#form.addEventListener("change", () => this.#apply(false));
    this.#form.elements["text"].addEventListener("input", () => {
      clearTimeout(this.#typing);
      this.#typing = setTimeout(() => this.#apply(true), TYPING_PAUSE_MS);
    });
    byId("clear").addEventListener("click", () => this.clear());
    byId("filters-toggle").addEventListener("click", () => this.#toggle());
  }

  /** @param {string[]} names the names of the logs */
  offer(names) {
    this.#form.elements["log"].replaceChildren(...names.map((name) => {
      const option = element("option", "", name);
      option.value = name;
      return option;
    }));
  }

  /** Show the filters of a place. @param {Place} place */
  fill(place) {
    for (const name of FIELD_NAMES) {
      const field = this.#form.elements[name];
      const value = place.get(name);
      // Text being typed is newer than the address.
      if (field !== document.activeElement || field.value.trim() !== value) field.value = value;
    }
    const set = FIELD_NAMES.slice(1).filter((name) => place.get(name)).length;
    byId("clear").hidden = set === 0;
    byId("filters-count").textContent = set ? String(set) : "";
  }

  clear() {
    for (const name of FIELD_NAMES.slice(1)) this.#form.elements[name].value = "";
    this.#apply(false);
  }

  focusText() {
    this.#form.classList.add("is-open");
    this.#form.elements["text"].select();
  }

  #toggle() {
    const isOpen = this.#form.classList.toggle("is-open");
    byId("filters-toggle").setAttribute("aria-expanded", String(isOpen));
  }

  /** @param {boolean} isTyping */
  #apply(isTyping) {
    clearTimeout(this.#typing);
    const changes = Object.fromEntries(FIELD_NAMES.map((name) => [name, this.#form.elements[name].value.trim()]));
    this.dispatchEvent(new CustomEvent("change", { detail: { changes, isTyping } }));
  }
}

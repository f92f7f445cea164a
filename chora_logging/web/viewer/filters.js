/** What is shown, as the address of the page: a link, a reload and the back button mean the same view. */

import { byId, element } from "./text.js";

/** Filters that the server applies, by the names of its parameters. */
const ON_SERVER = ["level", "event", "task_id", "run_id", "trace_id"];
const NAMES = ["log", ...ON_SERVER, "text"];
const TYPING_PAUSE = 150;

/** Where the page is: its address without the origin. */
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
   * The same place with some of it changed.
   * @param {Record<string, string>} changes an empty value takes it away
   */
  with(changes) {
    const parameters = new URLSearchParams(this.parameters);
    for (const [name, value] of Object.entries(changes)) {
      if (value) parameters.set(name, value);
      else parameters.delete(name);
    }
    return new Place(parameters);
  }

  /** @returns {Record<string, string>} the filters for the server that are set */
  get filters() {
    return Object.fromEntries(ON_SERVER.map((name) => [name, this.get(name)]).filter(([, value]) => value));
  }

  get address() {
    const query = String(this.parameters);
    return query ? `?${query}` : location.pathname;
  }
}

/** The form with the filters. Says "change" when another place is asked for. */
export class Filters extends EventTarget {
  #form = /** @type {HTMLFormElement} */ (byId("filters"));
  #typing = 0;

  constructor() {
    super();
    this.#form.addEventListener("submit", (submit) => submit.preventDefault());
    this.#form.addEventListener("change", () => this.#apply(false));
    this.#form.elements["text"].addEventListener("input", () => {
      clearTimeout(this.#typing);
      this.#typing = setTimeout(() => this.#apply(true), TYPING_PAUSE);
    });
    byId("clear").addEventListener("click", () => this.clear());
    byId("filters-toggle").addEventListener("click", () => this.#toggle());
  }

  /** @param {string[]} names the logs there are */
  offer(names) {
    this.#form.elements["log"].replaceChildren(...names.map((name) => {
      const option = element("option", "", name);
      option.value = name;
      return option;
    }));
  }

  /** Show what a place says. @param {Place} place */
  fill(place) {
    for (const name of NAMES) {
      const field = this.#form.elements[name];
      const value = place.get(name);
      // What is being typed is newer than the address.
      if (field !== document.activeElement || field.value.trim() !== value) field.value = value;
    }
    const set = NAMES.slice(1).filter((name) => place.get(name)).length;
    byId("clear").hidden = set === 0;
    byId("filters-count").textContent = set ? String(set) : "";
  }

  clear() {
    for (const name of NAMES.slice(1)) this.#form.elements[name].value = "";
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
    const changes = Object.fromEntries(NAMES.map((name) => [name, this.#form.elements[name].value.trim()]));
    this.dispatchEvent(new CustomEvent("change", { detail: { changes, isTyping } }));
  }
}

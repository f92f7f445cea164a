/** The range of time: the last minutes or hours, from one time to another, or a time to go to. */

import { asInput, fromInput } from "./clock.js";
import { byId } from "./text.js";

const AGO = /^(\d+)([smhdw])$/;
/** @type {Record<string, number>} */
const UNITS_MS = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 };
const MINUTE_MS = 60_000;
/** How much a step out shows of an hour. */
const STEP_OUT = 3;

/**
 * A time of an address: an age, or a date.
 * @param {string} written
 * @returns {number | null} milliseconds since 1970
 */
function timeOf(written) {
  const ago = AGO.exec(written);
  const time = ago ? Date.now() - Number(ago[1]) * UNITS_MS[ago[2]] : Date.parse(written);
  return Number.isNaN(time) ? null : time;
}

/**
 * The first and last time of the range of a place; null without a limit.
 * @param {import("./place.js").Place} place
 */
export function limits(place) {
  return { since: timeOf(place.get("since")), until: timeOf(place.get("until")) };
}

/**
 * The parameters of a range.
 * @param {number} since
 * @param {number} until
 */
export function between(since, until) {
  return { since: asIso(since), until: asIso(until), jump: "", context: "" };
}

/**
 * The minute before and after a time.
 * @param {number} time
 */
export function aroundTime(time) {
  return between(time - MINUTE_MS, time + MINUTE_MS);
}

/**
 * A range three times as long; all of it beyond a certain length.
 * @param {number} since
 * @param {number} until
 */
export function wider(since, until) {
  const more = ((until - since) * (STEP_OUT - 1)) / 2;
  return between(since - more, until + more);
}

/**
 * The parameters that lead to a time, in a list of all times.
 * @param {number} time
 */
export function goTo(time) {
  return { since: "", until: "", jump: asIso(time), context: "" };
}

/** @param {number} time */
function asIso(time) {
  return new Date(time).toISOString();
}

/** The control of the range. Dispatches "change" with the parameters of the place. */
export class Range extends EventTarget {
  #choice = /** @type {HTMLSelectElement} */ (byId("range"));
  #since = /** @type {HTMLInputElement} */ (byId("since"));
  #until = /** @type {HTMLInputElement} */ (byId("until"));
  #jump = /** @type {HTMLInputElement} */ (byId("jump"));

  constructor() {
    super();
    this.#choice.addEventListener("change", () => this.#choose());
    for (const field of [this.#since, this.#until, this.#jump]) {
      field.addEventListener("change", () => this.#set());
      field.addEventListener("keydown", (press) => press.key === "Enter" && this.#set());
    }
  }

  /** @param {import("./place.js").Place} place */
  fill(place) {
    const { since, until } = limits(place);
    const age = place.get("since");
    const jump = Date.parse(place.get("jump"));
    const isAge = AGO.test(age) && !place.get("until");
    const choice = place.get("jump") ? "jump" : isAge ? age : age || place.get("until") ? "between" : "";
    if (isAge && ![...this.#choice.options].some(({ value }) => value === age)) this.#choice.add(new Option(`last ${age}`, age));
    this.#choice.value = choice;
    this.#show(choice);
    this.#since.value = since === null ? "" : asInput(since);
    this.#until.value = until === null ? "" : asInput(until);
    this.#jump.value = Number.isNaN(jump) ? "" : asInput(jump);
  }

  /** @param {string} choice */
  #show(choice) {
    byId("between").hidden = choice !== "between";
    byId("jump-to").hidden = choice !== "jump";
  }

  #choose() {
    const choice = this.#choice.value;
    this.#show(choice);
    if (choice === "between") this.#since.focus();
    else if (choice === "jump") this.#jump.focus();
    else this.#change({ since: choice, until: "", jump: "" });
  }

  #set() {
    if (this.#choice.value === "jump") {
      const time = fromInput(this.#jump.value);
      if (!Number.isNaN(time)) this.#change(goTo(time));
      return;
    }
    const [since, until] = [this.#since, this.#until].map(({ value }) => (value ? asIso(fromInput(value)) : ""));
    if (since || until) this.#change({ since, until, jump: "" });
  }

  /** @param {Record<string, string>} changes */
  #change(changes) {
    this.dispatchEvent(new CustomEvent("change", { detail: { ...changes, context: "" } }));
  }
}

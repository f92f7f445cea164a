/** What the list shows: the events of a place, stored and new, or those around one of them. */

import { around, page, Refusal } from "./api.js";
import { Feed, reason } from "./feed.js";
import { Place } from "./place.js";
import { Store } from "./store.js";
import { Tally } from "./tally.js";
import { NONE, sum } from "./unreadable.js";

/** So many events fill the window: with fewer, older ones are searched for without being asked. */
const ENOUGH_EVENTS = 100;
/** The fewest older events that a reader gets at once. */
const OLDER_EVENTS = 500;
/** So many pages are searched at a time; each is of a part of the logs. */
const PATIENT_PAGES = 16;

/**
 * Owns the events and their numbers. Dispatches "reset" with a new store, "changed", "state" with that of the
 * connection, "event" with each new one, "gap", and "arrived" when the first events are there.
 */
export class Following extends EventTarget {
  store = new Store();
  tally = new Tally();
  unreadable = NONE;
  place = new Place(new URLSearchParams());
  /** @type {string | null} where older events go on */ #older = null;
  /** @type {string | null} where newer ones go on, if the list does not follow */ #newer = null;
  /** @type {Feed | null} */ #feed = null;
  #asking = new AbortController();
  isSearching = false;
  /** The time back to which the logs were searched; NaN if it is unknown. */
  readTo = NaN;
  /** Why older or newer events could not be loaded; empty if nothing failed. */
  failure = "";

  constructor() {
    super();
    this.tally.addEventListener("changed", () => this.dispatchEvent(new Event("changed")));
    this.tally.addEventListener("login", () => this.#say({ kind: "login" }));
    addEventListener("online", () => this.retryNow());
    document.addEventListener("visibilitychange", () => !document.hidden && this.retryNow());
    document.addEventListener("resume", () => this.retryNow());
  }

  get hasOlder() {
    return this.#older !== null;
  }

  get hasNewer() {
    return this.#newer !== null;
  }

  /**
   * Show another place.
   * @param {import("./place.js").Place} place
   */
  follow(place) {
    this.stop();
    this.place = place;
    this.store = new Store();
    this.#asking = new AbortController();
    [this.#older, this.#newer, this.isSearching] = [null, null, false];
    [this.readTo, this.failure, this.unreadable] = [NaN, "", NONE];
    this.tally.clear();
    this.dispatchEvent(new Event("reset"));
    if (place.get("context")) this.#showContext();
    else if (place.get("jump")) this.#showTime();
    else this.#follow();
  }

  stop() {
    this.#feed?.stop();
    this.#feed = null;
    this.#asking.abort();
  }

  /** Go on after a login. */
  again() {
    if (this.#feed) this.#feed.run();
    else this.follow(this.place);
    if (this.tally.failure) this.tally.countOn();
  }

  retryNow() {
    this.#feed?.retryNow();
  }

  #follow() {
    const { place } = this;
    const { signal } = this.#asking;
    const isMine = (/** @type {(...given: any[]) => void} */ act) => (/** @type {any[]} */ ...given) => {
      if (!signal.aborted) act(...given);
    };
    this.#feed = new Feed(place.logs, place.filters, {
      onPage: isMine((/** @type {import("./api.js").Page} */ found) => {
        this.#takeOlder(found);
        if (found.live === null) this.tally.begin(place);
        else this.tally.count(place, found.live);
        this.dispatchEvent(new Event("arrived"));
        if (found.next && this.store.held < ENOUGH_EVENTS) this.searchOlder(ENOUGH_EVENTS);
      }),
      onEvent: isMine((/** @type {import("./api.js").Entry} */ entry) => this.#take(entry)),
      onGap: isMine((/** @type {string} */ raw) => this.#takeGap(raw)),
      onUnreadable: isMine((/** @type {import("./unreadable.js").Unreadable} */ more) => this.#takeUnreadable(more)),
      onState: isMine((/** @type {import("./feed.js").State} */ state) => this.#say(state)),
    });
    this.#feed.run();
  }

  /** The events before a time and from it on. */
  #showTime() {
    const { place } = this;
    const { signal } = this.#asking;
    const [before, after] = sides(place);
    this.tally.count(place.with({ jump: "" }), null);
    this.store.pause();
    this.#load(async () => {
      const newer = await page(place.logs, after, { order: "asc", limit: ENOUGH_EVENTS }, signal);
      const older = await page(place.logs, before, { limit: ENOUGH_EVENTS }, signal);
      const [first] = this.store.append(newer.events);
      this.#takeNewer(newer);
      this.#takeOlder(older);
      this.dispatchEvent(new CustomEvent("arrived", { detail: first ?? this.store.view[this.store.view.length - 1] }));
    });
  }

  #showContext() {
    const { place } = this;
    const number = Math.min(Math.max(1, Math.trunc(Number(place.get("context"))) || 20), 500);
    const { signal } = this.#asking;
    this.store.pause();
    this.#load(async () => {
      const found = await around(place.logOfEvent, place.get("at"), number, signal);
      this.store.append([...found.before, found.event, ...found.after]);
      if (found.gaps.length) this.dispatchEvent(new CustomEvent("gap", { detail: found.gaps[0] }));
      this.dispatchEvent(new CustomEvent("arrived", { detail: this.store.at(found.event.log, found.event.cursor) }));
    });
  }

  /**
   * Search further back until so many events more are there, or the beginning is reached.
   * @param {number} [wanted]
   */
  async searchOlder(wanted = 1) {
    const { place } = this;
    const { signal } = this.#asking;
    if (!this.#older || this.isSearching) return;
    this.isSearching = true;
    this.failure = "";
    const before = this.store.held;
    const filters = place.get("jump") ? sides(place)[0] : place.filters;
    try {
      for (let left = PATIENT_PAGES; left && this.#older && !this.store.isFull; left -= 1) {
        if (this.store.held - before >= wanted) break;
        this.dispatchEvent(new Event("changed"));
        const found = await page(place.logs, filters, { after: this.#older }, signal);
        if (!signal.aborted) this.#takeOlder(found);
      }
    } catch (failure) {
      this.#miss(failure, signal);
    }
    if (signal.aborted) return;
    this.isSearching = false;
    this.dispatchEvent(new Event("changed"));
  }

  /** Each time as many as there are: few presses lead far back. */
  loadOlder() {
    return this.searchOlder(Math.max(OLDER_EVENTS, this.store.held));
  }

  async loadNewer() {
    const { place } = this;
    const { signal } = this.#asking;
    const after = this.#newer;
    if (!after) return;
    this.#newer = null;
    try {
      const found = await page(place.logs, sides(place)[1], { after, order: "asc" }, signal);
      if (signal.aborted) return;
      this.store.append(found.events);
      this.#takeNewer(found);
    } catch (failure) {
      this.#newer = after;
      this.#miss(failure, signal);
    }
    this.dispatchEvent(new Event("changed"));
  }

  /**
   * Load without a stream.
   * @param {() => Promise<void>} loading
   */
  async #load(loading) {
    const { signal } = this.#asking;
    this.#say({ kind: "connecting" });
    try {
      await loading();
      if (!signal.aborted) this.#say({ kind: "still" });
    } catch (failure) {
      this.#fail(failure, signal);
    }
  }

  /**
   * A part could not be loaded; the rest stays.
   * @param {unknown} failure
   * @param {AbortSignal} signal
   */
  #miss(failure, signal) {
    if (signal.aborted) return;
    if (failure instanceof Refusal && failure.status === 401) this.#say({ kind: "login" });
    this.failure = reason(failure);
  }

  /** @param {unknown} failure @param {AbortSignal} signal */
  #fail(failure, signal) {
    if (signal.aborted) return;
    if (failure instanceof Refusal && failure.status === 401) this.#say({ kind: "login" });
    else this.#say({ kind: "refused", why: reason(failure) });
  }

  /** @param {import("./api.js").Page} found */
  #takeOlder(found) {
    this.#older = found.next;
    this.readTo = found.readTo;
    this.store.prepend(found.events, found.gaps);
    if (found.gaps.length) this.dispatchEvent(new CustomEvent("gap", { detail: found.gaps[0] }));
    this.#notice(found.unreadable);
  }

  /** @param {import("./api.js").Page} found whose events are in the list */
  #takeNewer(found) {
    this.#newer = found.next;
    if (found.gaps.length) this.dispatchEvent(new CustomEvent("gap", { detail: found.gaps[0] }));
    this.#notice(found.unreadable);
  }

  /** @param {import("./unreadable.js").Unreadable} more */
  #notice(more) {
    this.unreadable = sum(this.unreadable, more);
    this.dispatchEvent(new Event("changed"));
  }

  /** @param {import("./unreadable.js").Unreadable} more */
  #takeUnreadable(more) {
    this.#endLine();
    this.tally.notice(more);
    this.#notice(more);
  }

  /** A line that had no end has one when the next comes; of several logs, none says which has it. */
  #endLine() {
    if (this.place.logs.length === 1) this.unreadable = { ...this.unreadable, unended: 0 };
  }

  /** @param {import("./api.js").Entry} entry */
  #take(entry) {
    const event = this.store.add(entry);
    this.#endLine();
    this.tally.add(event);
    this.dispatchEvent(new CustomEvent("event", { detail: event }));
    this.dispatchEvent(new Event("changed"));
  }

  /** @param {string} raw */
  #takeGap(raw) {
    this.store.addGap(raw);
    this.tally.miss(raw);
    this.dispatchEvent(new CustomEvent("gap", { detail: raw }));
    this.dispatchEvent(new Event("changed"));
  }

  /** @param {import("./feed.js").State} state */
  #say(state) {
    if (state.kind === "still") state = { kind: "still", why: whyStill(this.place) };
    this.dispatchEvent(new CustomEvent("state", { detail: state }));
    this.dispatchEvent(new Event("changed"));
  }
}

/**
 * The filters of the events before a time, and of those from it on.
 * @param {import("./place.js").Place} place
 */
function sides(place) {
  const jump = place.get("jump");
  const until = place.get("until");
  return [place.with({ until: jump }).filters, place.with({ since: jump, until }).filters];
}

/** @param {import("./place.js").Place} place */
function whyStill(place) {
  if (place.get("context")) return "around one event";
  return place.get("jump") ? "at a time" : "the range has an end";
}

/** The event that is open in the pane: its place in the address, and the events around it. */

import { around } from "./api.js";
import { LogEvent } from "./log_event.js";
import { meaningOf } from "./meaning.js";
import { byId } from "./text.js";

const CONTEXT_EVENTS = 20;
const MORE = 5;
const narrow = matchMedia("(max-width: 700px)");

/** Opens events of the list and of the address. */
export class Opened {
  /**
   * @param {import("./detail.js").Detail} detail
   * @param {import("./list.js").List} list
   * @param {import("./navigation.js").Navigation} navigation
   */
  constructor(detail, list, navigation) {
    this.detail = detail;
    this.list = list;
    this.navigation = navigation;
    byId("context-back").addEventListener("click", () => this.leaveContext());
    byId("context-more").addEventListener("click", () => {
      navigation.go({ context: String(MORE * Number(navigation.place.get("context"))) }, true);
    });
  }

  get isInContext() {
    return this.navigation.place.get("context") !== "";
  }

  leaveContext() {
    this.navigation.go({ context: "" });
  }

  /** Another place: nothing is open there yet. */
  reset() {
    this.detail.hide();
    byId("view").inert = false;
  }

  /** Say what the list shows, if those are the events around one. */
  sayContext() {
    const { place } = this.navigation;
    const number = place.get("context");
    byId("page").classList.toggle("is-context", this.isInContext);
    this.#say(number && `The ${number} events of ${place.logOfEvent} before and after one, whatever they are: no filter is applied`);
    byId("context-more").hidden = byId("context-back").hidden = !number;
  }

  /** @param {string} words */
  #say(words) {
    byId("context-bar").hidden = !words;
    byId("context-words").textContent = words;
  }

  /**
   * Show the event of the address when the list has arrived, also if it is not among its events.
   * @param {LogEvent | null} found
   */
  async showOfAddress(found) {
    const { place } = this.navigation;
    const [log, cursor] = [place.logOfEvent, place.get("at")];
    const event = found ?? (cursor ? this.list.store.at(log, cursor) : null);
    if (event) {
      this.list.select(event.id, true);
      if (cursor) this.show(event);
    } else if (cursor) {
      try {
        const { event: entry } = await around(log, cursor, 0, new AbortController().signal);
        if (this.navigation.place === place) this.show(new LogEvent(entry.raw, NaN, meaningOf(log), log, cursor));
      } catch (failure) {
        this.#say(`The event of this address cannot be shown: ${failure.message}`);
      }
    }
  }

  /** Open the selected event, and have the address say so. */
  open() {
    const event = this.list.selectedEvent;
    if (!event) return;
    this.show(event);
    if (!this.isInContext && event.cursor) this.navigation.go({ at: event.cursor, of: this.#of(event) }, true);
  }

  /** @param {LogEvent} event @param {boolean} [isInList] */
  show(event, isInList = true) {
    this.detail.show(event, isInList);
    byId("view").inert = narrow.matches;
    if (narrow.matches) this.detail.focus();
  }

  /** The pane was closed. */
  closed() {
    byId("view").inert = false;
    if (!this.isInContext) this.navigation.go({ at: "", of: "" }, true);
  }

  /**
   * Show the events around one.
   * @param {LogEvent | null} event
   */
  openContext(event) {
    if (!event?.cursor) return;
    const { place } = this.navigation;
    // An event of a trace may be of a log that the list does not show.
    const log = place.logs.includes(event.log) ? place.get("log") : event.log;
    const of = event.log === log.split(",")[0] ? "" : event.log;
    this.navigation.go({ log, at: event.cursor, of, context: String(CONTEXT_EVENTS), timeline: "" });
  }

  /**
   * The parameter for the log of an event; empty if it is the first one of the list.
   * @param {LogEvent} event
   */
  #of(event) {
    return event.log === this.navigation.place.logs[0] ? "" : event.log;
  }
}

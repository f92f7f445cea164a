/** Downloads the events that the filters select, as they are stored, up to a limit that it says. */

import { page } from "./api.js";
import { csvOf } from "./csv.js";
import { reason } from "./feed.js";
import { Place } from "./place.js";
import { byId, count, element, plural } from "./text.js";
import { NONE, sum, words, wordsOfGaps } from "./unreadable.js";

const MOST_EVENTS = 100_000;
const MOST_CHARS = 128_000_000;
const PAGE_EVENTS = 1000;

/** The dialog. */
export class Download {
  #dialog = /** @type {HTMLDialogElement} */ (byId("download"));
  #says = byId("download-says");
  #asking = new AbortController();
  #place = new Place(new URLSearchParams());

  constructor() {
    for (const format of /** @type {("jsonl" | "csv")[]} */ (["jsonl", "csv"])) {
      byId(`download-${format}`).addEventListener("click", () => this.#make(format));
    }
    this.#dialog.addEventListener("close", () => this.#asking.abort());
  }

  /** @param {import("./place.js").Place} place */
  open(place) {
    this.#place = place;
    this.#says.textContent = "";
    this.#dialog.showModal();
  }

  /** @param {"jsonl" | "csv"} format */
  async #make(format) {
    this.#asking.abort();
    this.#asking = new AbortController();
    const { signal } = this.#asking;
    const { logs } = this.#place;
    try {
      const { entries, isWhole, gaps, unreadable } = await this.#read(signal);
      const lines = format === "csv" ? csvOf(entries, logs.length > 1) : entries.map((entry) => jsonLine(entry, logs.length > 1));
      save(`${logs.join("-")}.${format}`, lines, format === "csv" ? "text/csv" : "application/x-ndjson");
      const rest = isWhole ? "all that match" : `the newest; more match, and the limit is ${count(MOST_EVENTS)} events or ${count(MOST_CHARS)} characters`;
      const lacks = [wordsOfGaps(gaps), words(unreadable)].filter(Boolean);
      this.#says.textContent = [`Saved ${plural(entries.length, "event")}: ${rest}`, ...lacks].join("; ");
    } catch (failure) {
      if (!signal.aborted) this.#says.textContent = `Not saved: ${reason(failure)}`;
    }
  }

  /**
   * The events, oldest first.
   * @param {AbortSignal} signal
   */
  async #read(signal) {
    const { logs, filters } = this.#place;
    /** @type {import("./api.js").Entry[]} */
    const entries = [];
    /** @type {string[]} */
    const gaps = [];
    let unreadable = NONE;
    let characters = 0;
    /** @type {string | null} */
    let after = null;
    for (;;) {
      /** @type {import("./api.js").Page} */
      const found = await page(logs, filters, { after, limit: PAGE_EVENTS }, signal);
      for (const entry of found.events) {
        entries.push(entry);
        characters += entry.raw.length;
      }
      gaps.push(...found.gaps);
      unreadable = sum(unreadable, found.unreadable);
      after = found.next;
      if (!after || entries.length >= MOST_EVENTS || characters >= MOST_CHARS) break;
      this.#says.textContent = `${plural(entries.length, "event")} so far`;
    }
    return { entries: entries.reverse(), isWhole: after === null, gaps, unreadable };
  }
}

/** @param {import("./api.js").Entry} entry @param {boolean} withLog */
function jsonLine({ log, raw }, withLog) {
  return withLog ? `{"log":${JSON.stringify(log)},"event":${raw}}\n` : `${raw}\n`;
}

/** @param {string} name @param {string[]} lines @param {string} type */
function save(name, lines, type) {
  const link = element("a");
  link.href = URL.createObjectURL(new Blob(lines, { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

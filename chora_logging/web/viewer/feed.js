/**
 * Follows logs: the newest stored events, then the live ones, without a gap between them.
 *
 * It reads the stream with `fetch` because `EventSource` exposes neither the status, nor `Retry-After`,
 * nor missing heartbeats, and stops reconnecting after some responses.
 */

import { entry, page, Refusal, stream } from "./api.js";
import { Decoder } from "./sse.js";
import { difference, NONE } from "./unreadable.js";

/** Silence after which a connection counts as dead; the server sends a heartbeat every 15 seconds. */
const SILENCE_MS = 45_000;
const FIRST_RETRY_MS = 1_000;
const LONGEST_RETRY_MS = 15_000;
/** How long events are decoded before the page can paint and handle input. */
const DECODE_SLICE_MS = 8;

/**
 * @typedef {import("./unreadable.js").Unreadable} Unreadable
 *
 * @typedef {object} Listener
 * @property {(found: import("./api.js").Page) => void} onPage the newest stored events, newest first
 * @property {(entry: import("./api.js").Entry) => void} onEvent
 * @property {(raw: string) => void} onGap
 * @property {(more: Unreadable) => void} onUnreadable
 * @property {(state: State) => void} onState
 *
 * @typedef {{kind: "connecting"} | {kind: "live"} | {kind: "still", why?: string} | {kind: "login"} | {kind: "refused", why: string}
 *   | {kind: "waiting", why: string, until: number}} State
 */

/** Follows logs with one set of filters until it is stopped. */
export class Feed {
  #stopping = new AbortController();
  #failures = 0;
  /** @type {number | null} */ #retry = null;
  /** @type {string | null} */ #after = null;
  #isLoaded = false;
  #isRunning = false;
  /** What the server has told of since the stream began. */
  #unreadable = NONE;
  /** @type {() => void} */ #wake = () => {};

  /**
   * @param {string[]} logs
   * @param {import("./place.js").Pairs} filters
   * @param {Listener} listener
   */
  constructor(logs, filters, listener) {
    this.logs = logs;
    this.filters = filters;
    this.listener = listener;
    // Nothing that comes is in a range that has ended.
    this.isLive = !filters.some(([name]) => name === "until");
  }

  stop() {
    this.#stopping.abort();
    this.#wake();
  }

  /** Start the next attempt immediately. */
  retryNow() {
    this.#wake();
  }

  /** Follow until stopped or refused; another run continues at the same position. */
  async run() {
    if (this.#isRunning) return;
    this.#isRunning = true;
    await this.#keepFollowing();
    this.#isRunning = false;
  }

  async #keepFollowing() {
    while (!this.#stopping.signal.aborted) {
      this.listener.onState({ kind: "connecting" });
      const failure = await this.#attempt();
      if (this.#stopping.signal.aborted) return;
      if (failure === null) {
        this.listener.onState({ kind: "still" });
        return;
      }
      if (failure instanceof Refusal && failure.status === 401) {
        this.listener.onState({ kind: "login" });
        return;
      }
      if (failure instanceof Refusal && (failure.status === 404 || failure.status === 422)) {
        this.listener.onState({ kind: "refused", why: failure.message });
        return;
      }
      await this.#pause(failure);
    }
  }

  /**
   * Connect and read until the connection ends.
   * @returns {Promise<unknown>} the reason of the end; null if there is nothing to follow
   */
  async #attempt() {
    const ending = new AbortController();
    const end = () => ending.abort();
    this.#stopping.signal.addEventListener("abort", end);
    try {
      if (!this.#isLoaded) await this.#load(ending.signal);
      if (!this.isLive) return null;
      this.#unreadable = NONE;
      const body = await stream(this.logs, this.filters, this.#after, ending.signal);
      this.listener.onState({ kind: "live" });
      return await this.#read(body, end);
    } catch (failure) {
      return failure;
    } finally {
      this.#stopping.signal.removeEventListener("abort", end);
      ending.abort();
    }
  }

  /** @param {AbortSignal} signal */
  async #load(signal) {
    const found = await page(this.logs, this.filters, {}, signal);
    this.#after = found.live;
    this.#isLoaded = true;
    this.listener.onPage(found);
  }

  /** @param {ReadableStream<Uint8Array>} body @param {() => void} end */
  async #read(body, end) {
    const decoder = new Decoder();
    const reader = body.pipeThrough(new TextDecoderStream()).getReader();
    let watch = setTimeout(end, SILENCE_MS);
    try {
      for (;;) {
        const { done, value } = await reader.read().catch(broken);
        if (done) return new Error("The server ended the stream");
        clearTimeout(watch);
        watch = setTimeout(end, SILENCE_MS);
        this.#failures = 0;
        await this.#deliver(decoder.decode(value));
        this.#retry = decoder.retry;
      }
    } finally {
      clearTimeout(watch);
    }
  }

  /** @param {import("./sse.js").Message[]} messages */
  async #deliver(messages) {
    let began = performance.now();
    for (const message of messages) {
      if (this.#stopping.signal.aborted) return;
      if (message.name === "message") {
        this.listener.onEvent(this.#entry(message));
        this.#after = message.id ?? this.#after;
      } else if (message.name === "gap") {
        this.listener.onGap(message.data);
      } else if (message.name === "unreadable") {
        const { lines = 0, ...passed } = JSON.parse(message.data);
        const unreadable = { passed, lines, unended: 0, missing: null };
        this.listener.onUnreadable(difference(unreadable, this.#unreadable));
        this.#unreadable = unreadable;
      }
      if (performance.now() - began > DECODE_SLICE_MS) {
        await yieldToPage();
        began = performance.now();
      }
    }
  }

  /** @param {import("./sse.js").Message} message @returns {import("./api.js").Entry} */
  #entry({ data, id }) {
    return this.logs.length > 1 ? entry(data) : { log: this.logs[0], cursor: id ?? "", raw: data };
  }

  /** @param {unknown} failure */
  async #pause(failure) {
    const stated = failure instanceof Refusal ? failure.wait : null;
    const backoff = Math.min((this.#retry ?? FIRST_RETRY_MS) * 2 ** this.#failures, LONGEST_RETRY_MS);
    // Random, so that all pages do not reconnect at the same moment when a server comes back.
    const wait = stated === null ? backoff * (0.75 + Math.random() / 2) : stated * 1000;
    this.#failures += 1;
    this.listener.onState({ kind: "waiting", why: reason(failure), until: Date.now() + wait });
    await new Promise((resolve) => {
      const timer = setTimeout(resolve, wait);
      this.#wake = () => {
        clearTimeout(timer);
        resolve(undefined);
      };
    });
  }
}

/** @param {unknown} failure @returns {never} */
function broken(failure) {
  throw failure instanceof TypeError ? new Error("The connection broke") : failure;
}

/**
 * The words for a failure.
 * @param {unknown} failure
 */
export function reason(failure) {
  if (failure instanceof Refusal) return `The server says: ${failure.message}`;
  if (failure instanceof DOMException) return "The server stopped sending";
  if (failure instanceof TypeError) return "The server does not answer";
  return failure instanceof Error ? failure.message : String(failure);
}

/** Let the page paint and handle input; unlike a timer, this is not throttled in a background tab. */
function yieldToPage() {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve(undefined);
    };
    port2.postMessage(null);
  });
}

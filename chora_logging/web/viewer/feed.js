/**
 * One log as it is and as it grows: the stored events, then the live ones, without a hole between them.
 *
 * `fetch` reads the stream, not `EventSource`, because that tells neither the status nor `Retry-After`
 * nor that the heartbeats have stopped, and gives up for good after some answers.
 */

import { history, Refusal, stream } from "./api.js";
import { Decoder } from "./sse.js";

/** Silence after which a connection is taken for dead; the server's heartbeat comes every 15 seconds. */
const SILENCE = 45_000;
const FIRST_WAIT = 1_000;
const LONGEST_WAIT = 15_000;
/** How long events are decoded before the page may paint and answer, in milliseconds. */
const SLICE = 8;

/**
 * @typedef {object} Listener
 * @property {(events: string[], next: string | null) => void} onHistory newest first
 * @property {(raw: string) => void} onEvent
 * @property {(raw: string) => void} onGap
 * @property {(state: State) => void} onState
 *
 * @typedef {{kind: "connecting"} | {kind: "live"} | {kind: "login"} | {kind: "refused", why: string}
 *   | {kind: "waiting", why: string, until: number}} State
 */

/** Follows one log with one set of filters until it is stopped. */
export class Feed {
  #stopping = new AbortController();
  #failures = 0;
  /** @type {number | null} */ #retry = null;
  /** @type {string | null} */ #after = null;
  #isLoaded = false;
  #isRunning = false;
  /** @type {() => void} */ #wake = () => {};

  /**
   * @param {string} log
   * @param {Record<string, string>} filters
   * @param {Listener} listener
   */
  constructor(log, filters, listener) {
    this.log = log;
    this.filters = filters;
    this.listener = listener;
  }

  stop() {
    this.#stopping.abort();
    this.#wake();
  }

  /** Do not wait any longer before the next attempt. */
  retryNow() {
    this.#wake();
  }

  /** Follow until it is stopped or refused; run again, it goes on where it was. */
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
   * Connect and read until it ends.
   * @returns {Promise<unknown>} why it ended
   */
  async #attempt() {
    const ending = new AbortController();
    const end = () => ending.abort();
    this.#stopping.signal.addEventListener("abort", end);
    try {
      if (!this.#isLoaded) await this.#load(ending.signal);
      const body = await stream(this.log, this.filters, this.#after, ending.signal);
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
    let page = await history(this.log, this.filters, null, signal);
    const { live } = page;
    // Of a long log the server looks at a part at a time.
    while (!page.events.length && page.next) page = await history(this.log, this.filters, page.next, signal);
    this.#after = live;
    this.#isLoaded = true;
    this.listener.onHistory(page.events, page.next);
  }

  /** @param {ReadableStream<Uint8Array>} body @param {() => void} end */
  async #read(body, end) {
    const decoder = new Decoder();
    const reader = body.pipeThrough(new TextDecoderStream()).getReader();
    let watch = setTimeout(end, SILENCE);
    try {
      for (;;) {
        const { done, value } = await reader.read().catch(broken);
        if (done) return new Error("The server ended the stream");
        clearTimeout(watch);
        watch = setTimeout(end, SILENCE);
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
        this.listener.onEvent(message.data);
        this.#after = message.id ?? this.#after;
      } else if (message.name === "gap") {
        this.listener.onGap(message.data);
      }
      if (performance.now() - began > SLICE) {
        await breath();
        began = performance.now();
      }
    }
  }

  /** @param {unknown} failure */
  async #pause(failure) {
    const stated = failure instanceof Refusal ? failure.wait : null;
    const backoff = Math.min((this.#retry ?? FIRST_WAIT) * 2 ** this.#failures, LONGEST_WAIT);
    // Spread, so that a server that comes back is not met by every page at once.
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

/** @param {unknown} failure */
function reason(failure) {
  if (failure instanceof Refusal) return `The server says: ${failure.message}`;
  if (failure instanceof DOMException) return "The server has fallen silent";
  if (failure instanceof TypeError) return "The server does not answer";
  return failure instanceof Error ? failure.message : String(failure);
}

/** Let the page paint and answer; unlike a timer, not held back in a background tab. */
function breath() {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve(undefined);
    };
    port2.postMessage(null);
  });
}

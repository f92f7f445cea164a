/** The state of the connection. */

import { byId } from "./text.js";

/** Shows the state of the connection. Dispatches "retry" when the reader does not want to wait. */
export class Status extends EventTarget {
  #root = byId("status");
  #words = byId("status-words");
  #countdown = byId("status-countdown");
  #retry = byId("retry");
  #until = 0;
  #timer = 0;

  constructor() {
    super();
    this.#retry.addEventListener("click", () => this.dispatchEvent(new Event("retry")));
  }

  /** @param {import("./feed.js").State} state */
  show(state) {
    clearInterval(this.#timer);
    this.#root.dataset.state = state.kind;
    this.#retry.hidden = state.kind !== "waiting";
    this.#countdown.textContent = "";
    this.#announce(WORDS[state.kind] + ("why" in state && state.why ? `: ${state.why}` : ""));
    if (state.kind !== "waiting") return;
    this.#until = state.until;
    this.#timer = setInterval(() => this.#tick(), 250);
    this.#tick();
  }

  /** @param {string} words */
  #announce(words) {
    // Set only if the words change, because screen readers announce them.
    if (this.#words.textContent !== words) this.#words.textContent = words;
    this.#root.title = words;
  }

  #tick() {
    const seconds = Math.max(0, Math.ceil((this.#until - Date.now()) / 1000));
    this.#countdown.textContent = seconds ? `again in ${seconds} s` : "trying again";
  }
}

const WORDS = {
  connecting: "Connecting",
  live: "Live",
  still: "Not live",
  waiting: "Disconnected",
  login: "Not logged in",
  refused: "Refused",
};

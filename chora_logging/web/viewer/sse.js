/** Decodes server-sent events (WHATWG HTML specification) from the text of a response. */

const LINE_END = /\r\n|\n|\r/g;

/**
 * @typedef {object} Message
 * @property {string} name the event's name; "message" if it has none
 * @property {string} data
 * @property {string | null} id the last id in the stream up to this message
 */

/** Decodes text, split at any point, into messages. */
export class Decoder {
  /** @type {string | null} */ #id = null;
  #name = "";
  /** @type {string[]} */ #data = [];
  #rest = "";
  #searched = 0;
  #isFirst = true;

  /** @type {number | null} milliseconds to wait before the next connection, if the server sent them */
  retry = null;

  /**
   * The messages that one more piece of text completes.
   * @param {string} piece
   * @returns {Message[]}
   */
  decode(piece) {
    /** @type {Message[]} */
    const messages = [];
    let text = this.#rest + piece;
    if (this.#isFirst && text) {
      this.#isFirst = false;
      if (text.startsWith("\ufeff")) text = text.slice(1);
    }
    let start = 0;
    LINE_END.lastIndex = this.#searched;
    for (let end = LINE_END.exec(text); end; end = LINE_END.exec(text)) {
      // A carriage return at the very end may be half of a line end.
      if (end[0] === "\r" && LINE_END.lastIndex === text.length) break;
      this.#take(text.slice(start, end.index), messages);
      start = LINE_END.lastIndex;
    }
    this.#rest = text.slice(start);
    this.#searched = Math.max(0, this.#rest.length - 1);
    return messages;
  }

  /** @param {string} line @param {Message[]} messages */
  #take(line, messages) {
    if (line === "") {
      const name = this.#name || "message";
      if (this.#data.length) messages.push({ name, data: this.#data.join("\n"), id: this.#id });
      this.#data = [];
      this.#name = "";
      return;
    }
    const colon = line.indexOf(":");
    const field = colon === -1 ? line : line.slice(0, colon);
    const value = colon === -1 ? "" : line.slice(colon + (line[colon + 1] === " " ? 2 : 1));
    if (field === "data") this.#data.push(value);
    else if (field === "event") this.#name = value;
    else if (field === "id" && !value.includes("\0")) this.#id = value;
    else if (field === "retry" && /^\d+$/.test(value)) this.retry = Number(value);
  }
}

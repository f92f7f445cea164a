/** The view as the address of the page, so that links, reloads and the back button restore it. */

/** The filters of the server with one value each, by the names of its parameters. */
export const FILTERS = ["level", "event", "task_id", "run_id", "trace_id", "status", "since", "until", "text"];
/** The parameters that are no filters. */
const OTHERS = ["log", "timeline", "by", "at", "of", "context", "jump"];
const KNOWN = new Set([...FILTERS, ...OTHERS, "where", "column"]);

/** @typedef {[string, string][]} Pairs names and values of parameters */

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
   * The conditions on fields.
   * @returns {string[]}
   */
  get where() {
    return this.parameters.getAll("where").filter(Boolean);
  }

  /**
   * The fields that are columns of the list.
   * @returns {string[]}
   */
  get columns() {
    return this.parameters.getAll("column").filter(Boolean);
  }

  /** The names of the logs. */
  get logs() {
    return this.get("log").split(",").filter(Boolean);
  }

  /** The log of the event that is open. */
  get logOfEvent() {
    return this.get("of") || this.logs[0] || "";
  }

  /**
   * The same place with some parameters changed.
   * @param {Record<string, string | string[]>} changes an empty value removes the parameter
   */
  with(changes) {
    const parameters = new URLSearchParams(this.parameters);
    for (const [name, value] of Object.entries(changes)) {
      parameters.delete(name);
      for (const each of [value].flat()) if (each) parameters.append(name, each);
    }
    return new Place(parameters);
  }

  /**
   * The filters that have a value.
   * @returns {Pairs}
   */
  get filters() {
    /** @type {Pairs} */
    const pairs = FILTERS.map((name) => [name, this.get(name)]);
    return [...pairs, .../** @type {Pairs} */ (this.where.map((each) => ["where", each]))].filter(([, value]) => value);
  }

  /**
   * The parameters that this page does not know, and so does not apply.
   * @returns {Pairs}
   */
  get unknown() {
    return [...this.parameters].filter(([name, value]) => !KNOWN.has(name) && value);
  }

  /** Without any filter. */
  get unfiltered() {
    const names = [...FILTERS, "where", "jump", ...this.unknown.map(([name]) => name)];
    return this.with(Object.fromEntries(names.map((name) => [name, ""])));
  }

  /** What the list shows; as text, to compare. */
  get asked() {
    const context = this.get("context") && [this.get("context"), this.logOfEvent, this.get("at")];
    return JSON.stringify([this.get("log"), this.filters, this.get("jump"), context]);
  }

  get address() {
    const query = String(this.parameters);
    return query ? `?${query}` : location.pathname;
  }
}

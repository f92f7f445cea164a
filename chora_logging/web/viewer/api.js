/** Requests to the server of this page; all addresses are relative, so that any mount point works. */

import { elements, fields, text } from "./json.js";

const PAGE_EVENTS = 500;

// Pages of other sites cannot send it, so the server knows its own forms behind any proxy.
const OWN_FORM = { "X-Requested-With": "chora_logging" };

/** An error response of the server. */
export class Refusal extends Error {
  /**
   * @param {number} status
   * @param {string} detail
   * @param {number | null} wait seconds before the next attempt, if the server states them
   */
  constructor(status, detail, wait) {
    super(detail);
    this.status = status;
    this.wait = wait;
  }
}

/**
 * @typedef {import("./place.js").Pairs} Pairs
 *
 * @typedef {object} Entry an event as the server sent it
 * @property {string} log
 * @property {string} cursor its place in its log
 * @property {string} raw the event as JSON
 *
 * @typedef {object} Lacks what an answer does not have
 * @property {string[]} gaps what is missing, as JSON
 * @property {import("./unreadable.js").Unreadable} unreadable
 *
 * @typedef {object} PageOfEvents
 * @property {Entry[]} events
 * @property {string | null} next where the next page begins; null if there is none now
 * @property {string | null} live where a stream goes on after the first page; null if the log is empty
 * @property {number} readTo the time back to which all logs were read, in milliseconds; NaN if it is unknown
 *
 * @typedef {PageOfEvents & Lacks} Page
 */

/** @param {string[]} logs @param {string} rest @param {Pairs} parameters */
function address(logs, rest, parameters) {
  const query = new URLSearchParams(parameters.filter(([, value]) => value));
  return `api/v1/${logs.map(encodeURIComponent).join(",")}/${rest}?${query}`;
}

/**
 * Fetch an address; any status but 2xx is a Refusal.
 * @param {string} url
 * @param {RequestInit} [options]
 */
async function ask(url, options = {}) {
  const answer = await fetch(url, { cache: "no-store", credentials: "same-origin", ...options });
  if (!answer.ok) throw new Refusal(answer.status, await detailOf(answer), waitOf(answer));
  return answer;
}

/** @param {Response} answer */
async function detailOf(answer) {
  const body = await answer.text();
  try {
    return String(JSON.parse(body).detail);
  } catch {
    return `${answer.status} ${answer.statusText}`.trim();
  }
}

/** @param {Response} answer */
function waitOf(answer) {
  const stated = answer.headers.get("Retry-After");
  if (stated === null) return null;
  const seconds = /^\d+$/.test(stated) ? Number(stated) : (Date.parse(stated) - Date.now()) / 1000;
  return Number.isFinite(seconds) ? Math.max(0, seconds) : null;
}

/**
 * The names of the logs, their fields that mean something, and whether the server has a token.
 * @returns {Promise<{logs: string[], fields?: Record<string, Record<string, string>>, login: boolean}>}
 */
export async function logs() {
  return (await ask("api/v1/logs")).json();
}

/**
 * A page of stored events; an empty page need not be the last.
 * @param {string[]} logs
 * @param {Pairs} filters
 * @param {{after?: string | null, order?: "asc" | "desc", limit?: number}} where `after` is the `next` of the previous page
 * @param {AbortSignal} signal
 * @returns {Promise<Page>}
 */
export async function page(logs, filters, { after = null, order = "desc", limit = PAGE_EVENTS }, signal) {
  /** @type {Pairs} */
  const place = [["order", order], ["limit", String(limit)], ["after", after ?? ""]];
  if (logs.length === 1) place.push(["cursors", "true"]);
  const answer = await ask(address(logs, "events", [...filters, ...place]), { signal });
  const found = fields(await answer.text());
  return pageOf(found, entriesOf(found, logs));
}

/** @param {Map<string, string>} found @param {Entry[]} events @returns {Page} */
function pageOf(found, events) {
  return {
    events,
    next: found.get("more") === "true" ? position(found.get("next")) : null,
    live: position(found.get("live")),
    gaps: gapsOf(found),
    readTo: readTo(found),
    unreadable: unreadable(found),
  };
}

/** @param {Map<string, string>} found @param {string[]} logs @returns {Entry[]} */
function entriesOf(found, logs) {
  const events = elements(found.get("events") ?? "[]");
  if (logs.length > 1) return events.map((each) => entry(each));
  const cursors = elements(found.get("cursors") ?? "[]");
  return events.map((raw, index) => ({ log: logs[0], cursor: text(cursors[index] ?? '""'), raw }));
}

/** @param {string} raw an event with its log and cursor @param {string} [log] its log, if it does not say so */
export function entry(raw, log = "") {
  const found = fields(raw);
  const name = found.has("log") ? text(found.get("log") ?? "") : log;
  return { log: name, cursor: text(found.get("cursor") ?? '""'), raw: found.get("event") ?? "{}" };
}

/**
 * What is missing in one log or in several, as JSON.
 * @param {Map<string, string>} found
 */
function gapsOf(found) {
  return [found.get("gap") ?? "", ...fields(found.get("gaps") ?? "{}").values()].filter(Boolean);
}

/** @param {Map<string, string>} found @returns {import("./unreadable.js").Unreadable} */
function unreadable(found) {
  const passed = [...fields(found.get("unreadable") ?? "{}")].map(([name, number]) => [name, Number(number)]);
  const [lines, unended] = ["skipped", "unended_bytes"].map((name) => Number(found.get(name) ?? 0));
  const missing = elements(found.get("missing") ?? "[]").map(text);
  return { passed: Object.fromEntries(passed), lines, unended, missing };
}

/**
 * The time back to which all logs were read, in milliseconds; NaN if it is unknown.
 * @param {Map<string, string>} found
 */
function readTo(found) {
  const times = [...fields(found.get("read_to") ?? "{}").values()];
  return times.length ? Math.max(...times.map((time) => Date.parse(text(time)))) : NaN;
}

/** @param {string | undefined} raw */
function position(raw) {
  return raw === undefined || raw === "null" ? null : text(raw);
}

/**
 * The stream of the events after a position.
 * @param {string[]} logs
 * @param {Pairs} filters
 * @param {string | null} after the position; null for the beginning of the log
 * @param {AbortSignal} signal
 * @returns {Promise<ReadableStream<Uint8Array>>}
 */
export async function stream(logs, filters, after, signal) {
  const headers = { Accept: "text/event-stream" };
  const answer = await ask(address(logs, "events/stream", [...filters, ["after", after ?? ""]]), { headers, signal });
  return /** @type {ReadableStream<Uint8Array>} */ (answer.body);
}

/**
 * The path of one event.
 * @param {string} log
 * @param {string} cursor
 */
export function pathOf(log, cursor) {
  return `api/v1/${encodeURIComponent(log)}/events/${encodeURIComponent(cursor)}`;
}

/**
 * One event with those around it, whatever they are, oldest first.
 * @param {string} log
 * @param {string} cursor
 * @param {number} number how many before it and after it
 * @param {AbortSignal} signal
 * @returns {Promise<{before: Entry[], event: Entry, after: Entry[], gaps: string[]}>}
 */
export async function around(log, cursor, number, signal) {
  const query = `before=${number}&after=${number}`;
  const found = fields(await (await ask(`${pathOf(log, cursor)}?${query}`, { signal })).text());
  const [before, after] = ["before", "after"].map((name) => elements(found.get(name) ?? "[]").map((raw) => entry(raw, log)));
  return { before, event: entry(found.get("event") ?? "{}", log), after, gaps: gapsOf(found) };
}

/**
 * The numbers of events by time, from the end as far as one answer reads.
 * @param {string[]} logs
 * @param {Pairs} filters
 * @param {{after: string | null, to: string, step: string}} part
 * @param {AbortSignal} signal
 * @returns {Promise<import("./counts.js").Page & Lacks>}
 */
export async function histogram(logs, filters, { after, to, step }, signal) {
  /** @type {Pairs} */
  const place = [["after", after ?? ""], ["to", to], ["step", step]];
  const answer = await (await ask(address(logs, "histogram", [...filters, ...place]), { signal })).text();
  const found = fields(answer);
  return { ...JSON.parse(answer), gaps: gapsOf(found), unreadable: unreadable(found) };
}

/**
 * The fields of the newest events of a log, and their most frequent values as JSON.
 * @param {string} log
 * @param {Pairs} filters
 * @param {AbortSignal} signal
 * @returns {Promise<{name: string, events: number, values: [string, number][]}[]>}
 */
export async function fieldsOf(log, filters, signal) {
  const found = fields(await (await ask(address([log], "fields", filters), { signal })).text());
  return elements(found.get("fields") ?? "[]").map((raw) => {
    const field = fields(raw);
    const values = elements(field.get("values") ?? "[]").map((each) => fields(each));
    return {
      name: text(field.get("name") ?? '""'),
      events: Number(field.get("events")),
      values: values.map((each) => [each.get("value") ?? "null", Number(each.get("events"))]),
    };
  });
}

/**
 * The pages of one trace, run or task in all logs: each is in the order of time, and the next one has older
 * events. A page without events need not be the last.
 * @param {string[]} logs all logs
 * @param {string} by the field that has the id; empty for a trace
 * @param {string} id
 * @param {AbortSignal} signal
 * @returns {AsyncGenerator<Page>}
 */
export async function* subjectPages(logs, by, id, signal) {
  for (let next = /** @type {string | null} */ (""); next !== null; ) {
    const found = await subjectPage(logs, by, id, next, signal);
    next = found.next;
    yield found;
  }
}

/** @param {string[]} logs @param {string} by @param {string} id @param {string} after @param {AbortSignal} signal */
async function subjectPage(logs, by, id, after, signal) {
  // Browsers, proxies and applications change or refuse a path with others, however they are written.
  if (by || !/^[\w-][\w.~-]*$/.test(id)) {
    const found = await page(logs, [[by || "trace_id", id]], { after }, signal);
    return { ...found, events: found.events.reverse() };
  }
  const rest = `traces/${encodeURIComponent(id)}`;
  const found = fields(await (await ask(address(logs.slice(0, 1), rest, [["after", after]]), { signal })).text());
  return pageOf(found, elements(found.get("events") ?? "[]").map((raw) => entry(raw)));
}

/** @param {string} token */
export async function logIn(token) {
  await ask("login", { method: "POST", headers: OWN_FORM, body: new URLSearchParams({ token }) });
}

export async function logOut() {
  await ask("logout", { method: "POST", headers: OWN_FORM });
}

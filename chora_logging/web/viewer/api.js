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

/** @param {string} log @param {string} rest @param {Record<string, string>} parameters */
function address(log, rest, parameters) {
  return `api/v1/${encodeURIComponent(log)}/${rest}?${new URLSearchParams(parameters)}`;
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
 * A page of stored events as JSON texts, newest first; an empty page need not be the last.
 * @param {string} log
 * @param {Record<string, string>} filters
 * @param {string | null} before the `next` of the previous page; null for the first page
 * @param {AbortSignal} signal
 */
export async function history(log, filters, before, signal) {
  const parameters = { ...filters, order: "desc", limit: String(PAGE_EVENTS), after: before ?? "" };
  const answer = await ask(address(log, "events", parameters), { signal });
  const found = fields(await answer.text());
  return {
    events: elements(found.get("events") ?? "[]"),
    next: found.get("more") === "true" ? position(found.get("next")) : null,
    live: position(found.get("live")),
    unreadable: {
      // The page does not filter by time.
      level: Number(fields(found.get("unreadable") ?? "{}").get("level") ?? 0),
      lines: Number(found.get("skipped") ?? 0),
    },
  };
}

/** @param {string | undefined} raw */
function position(raw) {
  return raw === undefined || raw === "null" ? null : text(raw);
}

/**
 * The stream of the events after a position.
 * @param {string} log
 * @param {Record<string, string>} filters
 * @param {string | null} after the position; null for the beginning of the log
 * @param {AbortSignal} signal
 * @returns {Promise<ReadableStream<Uint8Array>>}
 */
export async function stream(log, filters, after, signal) {
  const headers = { Accept: "text/event-stream" };
  const answer = await ask(address(log, "events/stream", { ...filters, after: after ?? "" }), { headers, signal });
  return /** @type {ReadableStream<Uint8Array>} */ (answer.body);
}

/**
 * The pages of one trace in all logs: each is in the order of time, and the next one has older events.
 * A page without events need not be the last.
 * @param {string} log any of the logs
 * @param {string} traceId
 * @param {AbortSignal} signal
 * @returns {AsyncGenerator<{events: {log: string, raw: string}[], isLast: boolean}>}
 */
export async function* trace(log, traceId, signal) {
  let after = "";
  for (let isLast = false; !isLast; ) {
    const answer = await ask(address(log, `traces/${encodeURIComponent(traceId)}`, { after }), { signal });
    const found = fields(await answer.text());
    const events = elements(found.get("events") ?? "[]").map((entry) => {
      const parts = fields(entry);
      return { log: text(parts.get("log") ?? '""'), raw: parts.get("event") ?? "{}" };
    });
    isLast = found.get("more") !== "true";
    after = position(found.get("next")) ?? "";
    yield { events, isLast };
  }
}

/** @param {string} token */
export async function logIn(token) {
  await ask("login", { method: "POST", headers: OWN_FORM, body: new URLSearchParams({ token }) });
}

export async function logOut() {
  await ask("logout", { method: "POST", headers: OWN_FORM });
}

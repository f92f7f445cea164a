/** What the page says of the events: how many there are, what was read of them, and why there are none. */

import { wholeTime } from "./clock.js";
import { byId, count, plural } from "./text.js";
import { most, words, wordsOfGaps } from "./unreadable.js";

/**
 * Whether the counts are those of all events, or what is said of them.
 * @param {import("./tally.js").Tally} tally
 */
function notesOn(tally) {
  const { counts } = tally;
  const notes = [];
  if (counts.timeless) notes.push(`${plural(counts.timeless, "event")} without a time`);
  const back = Number.isNaN(counts.readTo) ? "not to the beginning" : `back to ${wholeTime(counts.readTo)}`;
  const unknown = counts.isWhole || !counts.step ? [] : [`${tally.isCounting ? "counting, so far" : "counted"} ${back}`];
  if (counts.gaps.size) unknown.push(wordsOfGaps(counts.gaps));
  if (unknown.length) notes.push([...unknown, "what is hatched is not known"].join("; "));
  return notes.concat(tally.failure || []).join(" · ");
}

/**
 * Say it.
 * @param {import("./following.js").Following} following
 */
export function summarize(following) {
  const { place, store, tally } = following;
  const { counts } = tally;
  const shown = store.held;
  const isContext = place.get("context") !== "";
  const isKnown = counts.step > 0 && !isContext;
  byId("count").textContent = isKnown
    ? `${counts.isAll ? "" : "at least "}${plural(counts.events, "event")}`
    : isContext ? plural(shown, "event") : tally.failure || "Counting";
  byId("errors").textContent = isKnown ? plural(counts.errors, "error") : "";
  byId("errors").classList.toggle("is-error", isKnown && counts.errors > 0);
  byId("loaded").textContent = isKnown && counts.events !== shown + store.waiting ? `${count(shown)} loaded` : "";
  byId("overview").hidden = isContext;
  byId("chart-notes").textContent = notesOn(tally);
  byId("count-on").hidden = !tally.hasMore;
  byId("wider").hidden = !place.get("since") && !place.get("until");
  const unreadable = words(most(following.unreadable, tally.unreadable));
  byId("unreadable").textContent = unreadable;
  byId("unreadable").hidden = !unreadable;
  sayWaiting(store);
  sayEnds(following, shown);
  sayEmpty(following, shown);
}

/** @param {import("./store.js").Store} store */
function sayWaiting({ isPaused, waiting }) {
  byId("pause").setAttribute("aria-pressed", String(isPaused));
  byId("pause-words").textContent = isPaused ? "Resume" : "Pause";
  byId("list").classList.toggle("is-paused", isPaused);
  byId("waiting").hidden = waiting === 0;
  byId("waiting").textContent = `↓ ${plural(waiting, "new event")}`;
}

/** @param {import("./following.js").Following} following @param {number} shown */
function sayEnds(following, shown) {
  const { place, store } = following;
  const isContext = place.get("context") !== "";
  byId("older").hidden = !store.isWhole || !following.hasOlder || store.isFull || following.isSearching;
  byId("behind").hidden = !following.hasNewer;
  byId("oldest").hidden = shown === 0 || isContext || !byId("older").hidden;
  byId("oldest").textContent = beginning(following);
  if (following.failure && !byId("older").hidden) byId("older").textContent = `Load older events (${following.failure})`;
  else byId("older").textContent = "Load older events";
}

/**
 * What stands before the first event.
 * @param {import("./following.js").Following} following
 */
function beginning({ store, place, isSearching, readTo }) {
  if (!store.isWhole || store.isFull) return `Older events are in the log; this page has the newest ${count(store.held)}`;
  if (isSearching) return `Searching older events${backTo(readTo)}`;
  if (place.filters.length || place.get("jump")) return "No older event matches";
  return place.logs.length > 1 ? "The logs begin here" : "The log begins here";
}

/** @param {number} readTo */
function backTo(readTo) {
  return Number.isNaN(readTo) ? "" : `; read back to ${wholeTime(readTo)}`;
}

/** @param {import("./following.js").Following} following @param {number} shown */
function sayEmpty(following, shown) {
  const { state } = byId("status").dataset;
  // Without a connection the page cannot know that there is nothing.
  const isAnswered = ["live", "still", "refused"].includes(state) || following.isSearching || following.failure;
  byId("empty").hidden = shown > 0 || !isAnswered;
  byId("empty-why").textContent = whyEmpty(following, state);
  byId("empty-clear").hidden = !following.place.filters.length && !following.place.get("jump");
}

/** @param {import("./following.js").Following} following @param {string} state of the connection */
function whyEmpty({ place, failure, isSearching, hasOlder, readTo, unreadable }, state) {
  if (state === "refused") return byId("status-words").textContent;
  if (failure) return `No match so far: ${failure}`;
  if (isSearching || hasOlder) return `No match so far${backTo(readTo)}.${isSearching ? " Searching further." : ""}`;
  const ending = state === "live" ? " New matches appear here." : "";
  if (place.filters.length) return `No event matches.${ending}`;
  const none = unreadable.lines || unreadable.unended ? "no event that could be read" : "no events yet";
  return `${place.logs.length > 1 ? "These logs have" : "This log has"} ${none}. New events appear here.`;
}

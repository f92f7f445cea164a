/** The page: creates its parts and connects them. */

import { history as storedEvents, logOut, logs } from "./api.js";
import { Chart } from "./chart.js";
import { Detail } from "./detail.js";
import { Feed } from "./feed.js";
import { Filters, Place } from "./filters.js";
import { listen } from "./keys.js";
import { List, wordsOf } from "./list.js";
import { LogEvent } from "./log_event.js";
import { Login } from "./login.js";
import { meaningOf, setFields } from "./meaning.js";
import { Status } from "./status.js";
import { MOST_EVENTS, Note, Store } from "./store.js";
import { byId, count, plural } from "./text.js";
import { Timeline } from "./timeline.js";
import { NONE, sum, words } from "./unreadable.js";

const RETRY_MS = 2_000;
const narrow = matchMedia("(max-width: 700px)");

const status = new Status();
const filters = new Filters();
const chart = new Chart();
const detail = new Detail();
const timeline = new Timeline();
const login = new Login();

let store = new Store();
/** @type {Feed | null} */
let feed = null;
/** @type {string | null} */
let older = null;
let unreadable = NONE;
let place = Place.now;

const list = new List(byId("list"), byId("space"), store, (traceId) => place.with({ timeline: traceId }).address);

async function begin() {
  for (;;) {
    try {
      const found = await logs();
      filters.offer(found.logs);
      setFields(found.fields ?? {});
      byId("logout").hidden = !found.login;
      if (!place.get("log")) go({ log: found.logs[0] }, true);
      else arrive(place, true);
      return;
    } catch (failure) {
      if (failure.status === 401) return needLogin();
      status.show({ kind: "waiting", why: failure.message, until: Date.now() + RETRY_MS });
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
  }
}

/** @param {Record<string, string>} changes @param {boolean} [isReplacing] without a new entry in the history */
function go(changes, isReplacing = false) {
  const next = place.with(changes);
  if (next.address !== place.address) {
    if (isReplacing) history.replaceState(null, "", next.address);
    else history.pushState(null, "", next.address);
  }
  arrive(next);
}

/** @param {Place} next @param {boolean} [isFirst] */
function arrive(next, isFirst = false) {
  const before = place;
  place = next;
  filters.fill(place);
  const [asked, was] = [place, before].map((one) => JSON.stringify([one.get("log"), one.filters]));
  if (isFirst || asked !== was || !feed) follow();
  else if (before.get("text") !== place.get("text")) search();
  const traceId = place.get("timeline");
  byId("events").hidden = Boolean(traceId);
  // The controls that filter and pause the list do not apply to a timeline.
  byId("page").classList.toggle("is-timeline", Boolean(traceId));
  if (traceId && traceId !== timeline.traceId) timeline.show(place.get("log"), traceId);
  if (!traceId && timeline.traceId) {
    timeline.hide();
    detail.close();
    list.grid.focus();
  }
}

function follow() {
  feed?.stop();
  store = new Store(meaningOf(place.get("log")));
  older = null;
  unreadable = NONE;
  detail.close();
  chart.clear();
  byId("gaps").hidden = true;
  byId("unreadable").hidden = true;
  store.filter(place.get("text"));
  list.show(store);
  document.title = `${place.get("log")} · events`;
  const mine = store;
  const isMine = (/** @type {(...given: any[]) => void} */ act) => (/** @type {any[]} */ ...given) => {
    if (mine === store) act(...given);
  };
  feed = new Feed(place.get("log"), place.filters, {
    onHistory: isMine(onHistory),
    onEvent: isMine(onEvent),
    onGap: isMine(onGap),
    onUnreadable: isMine(onUnreadable),
    onState: isMine(onState),
  });
  feed.run();
}

function search() {
  store.filter(place.get("text"));
  list.show(store);
}

/** @param {string[]} events @param {string | null} next @param {import("./unreadable.js").Unreadable} more */
function onHistory(events, next, more) {
  older = next;
  onUnreadable(more);
  for (const event of store.prepend(events)) chart.add(event);
  chart.draw();
  list.changed();
}

/** @param {import("./unreadable.js").Unreadable} more */
function onUnreadable(more) {
  unreadable = sum(unreadable, more);
  byId("unreadable").textContent = words(unreadable);
  byId("unreadable").hidden = !words(unreadable);
}

/** @param {string} raw */
function onEvent(raw) {
  const event = store.add(raw);
  chart.add(event);
  if (timeline.traceId && event.traceId === timeline.traceId) timeline.refreshSoon();
  list.changed();
}

/** @param {string} raw */
function onGap(raw) {
  store.addGap(raw);
  byId("gaps").hidden = false;
  byId("gaps").title = wordsOf(new Note("gap", raw, 0));
  list.changed();
}

/** @param {import("./feed.js").State} state */
function onState(state) {
  if (state.kind === "login") needLogin();
  status.show(state);
  list.changed();
}

function needLogin() {
  status.show({ kind: "login" });
  login.show();
}

async function endSession() {
  try {
    await logOut();
    // After a reload the page has no events and asks for the token.
    location.reload();
  } catch {
    byId("logout").textContent = "Not logged out: try again";
  }
}

async function loadOlder() {
  const [mine, before] = [store, older];
  if (!before) return;
  pause();
  older = null;
  try {
    const page = await storedEvents(place.get("log"), place.filters, before, new AbortController().signal);
    if (mine !== store) return;
    onHistory(page.events, page.next, page.unreadable);
  } catch (failure) {
    older = before;
    if (failure.status === 401) needLogin();
    else status.show({ kind: "refused", why: failure.message });
  }
}

/** Whether scrolling up paused the list; if so, scrolling down to the end resumes it. */
let isByScrolling = false;

function pause(byScrolling = false) {
  isByScrolling = byScrolling;
  store.pause();
  list.respond();
}

function resume() {
  store.resume();
  list.selected = null;
  list.respond();
}

function toggle() {
  if (store.isPaused) resume();
  else pause();
}

function update() {
  const isSearching = place.get("text") !== "";
  const shown = store.matching;
  byId("count").textContent = isSearching
    ? `${count(shown)} of ${plural(store.held, "loaded event")}`
    : plural(store.received, "event");
  byId("errors").textContent = plural(store.errors, "error");
  byId("errors").classList.toggle("is-error", store.errors > 0);
  byId("pause").setAttribute("aria-pressed", String(store.isPaused));
  byId("pause-words").textContent = store.isPaused ? "Resume" : "Pause";
  byId("list").classList.toggle("is-paused", store.isPaused);
  byId("waiting").hidden = store.waiting === 0;
  byId("waiting").textContent = `↓ ${plural(store.waiting, "new event")}`;
  byId("older").hidden = !store.isWhole || !older || store.isFull;
  byId("oldest").hidden = !byId("older").hidden || shown === 0;
  byId("oldest").textContent =
    store.isWhole && !store.isFull
      ? "The log begins here"
      : `Older events are in the log; this page has the newest ${count(MOST_EVENTS)}`;
  const { state } = byId("status").dataset;
  // Without a connection the page cannot know that the log is empty.
  byId("empty").hidden = shown > 0 || !["live", "refused"].includes(state);
  byId("empty-why").textContent = whyEmpty(isSearching, state === "refused");
  byId("empty-clear").hidden = !isSearching && !Object.keys(place.filters).length;
}

/** @param {boolean} isSearching @param {boolean} isRefused */
function whyEmpty(isSearching, isRefused) {
  if (isRefused) return byId("status-words").textContent;
  if (isSearching && store.held) {
    return `None of the ${plural(store.held, "loaded event")} contains this text. New matches appear here.`;
  }
  if (Object.keys(place.filters).length) return "No event matches. New matches appear here.";
  return "This log has no events yet. New events appear here.";
}

function openDetail() {
  if (timeline.traceId) {
    timeline.open();
    return;
  }
  const event = list.selectedEvent;
  if (event) showDetail(event);
}

/** @param {LogEvent} event @param {string} [log] */
function showDetail(event, log) {
  detail.show(event, log);
  byId("view").inert = narrow.matches;
  if (narrow.matches) detail.focus();
}

/** @param {number} step */
function move(step) {
  if (timeline.traceId) {
    timeline.move(step);
    return;
  }
  pause();
  list.move(step);
  list.grid.focus({ preventScroll: true });
}

function escape() {
  if (document.activeElement?.matches("input, select")) list.grid.focus();
  else if (detail.isOpen) detail.close();
  else if (timeline.traceId) go({ timeline: "" });
  else if (store.isPaused) resume();
}

/** @param {string} traceId */
function openTimeline(traceId) {
  if (!traceId) return;
  detail.close();
  go({ timeline: traceId });
}

listen({
  j: () => move(1),
  k: () => move(-1),
  ArrowDown: () => move(1),
  ArrowUp: () => move(-1),
  PageDown: () => move(list.page),
  PageUp: () => move(-list.page),
  g: () => move(-Infinity),
  Home: () => move(-Infinity),
  G: resume,
  End: resume,
  Enter: openDetail,
  t: () => openTimeline(list.selectedEvent?.traceId ?? ""),
  c: () => detail.isOpen && detail.copy(),
  " ": () => timeline.traceId || toggle(),
  "/": () => timeline.traceId || filters.focusText(),
  "?": () => byId("help").showModal(),
  Escape: escape,
});

filters.addEventListener("change", (event) => go(event.detail.changes, event.detail.isTyping));
list.addEventListener("drawn", update);
list.addEventListener("select", () => {
  pause();
  if (detail.isOpen) openDetail();
});
list.addEventListener("open", openDetail);
list.addEventListener("trace", (event) => openTimeline(event.detail));
list.addEventListener("scrollup", () => !store.isPaused && pause(true));
list.addEventListener("scrollend", () => store.isPaused && isByScrolling && resume());
timeline.addEventListener("open", (event) => showDetail(event.detail.event, event.detail.log));
timeline.addEventListener("login", needLogin);
detail.addEventListener("filter", (event) => go({ ...event.detail, timeline: "" }));
detail.addEventListener("trace", (event) => openTimeline(event.detail));
detail.addEventListener("close", (event) => {
  byId("view").inert = false;
  if (!event.detail.hadFocus) return;
  if (timeline.traceId) timeline.focus();
  else list.grid.focus();
});
login.addEventListener("login", () => {
  if (feed) feed.run();
  else begin();
  timeline.refreshSoon();
});
status.addEventListener("retry", () => feed?.retryNow());
byId("pause").addEventListener("click", toggle);
byId("waiting").addEventListener("click", () => {
  resume();
  list.grid.focus();
});
byId("logout").addEventListener("click", endSession);
byId("older").addEventListener("click", loadOlder);
byId("empty-clear").addEventListener("click", () => filters.clear());
byId("help-open").addEventListener("click", () => byId("help").showModal());
byId("timeline-back").addEventListener("click", () => go({ timeline: "" }));
byId("gaps").addEventListener("click", () => {
  const gap = store.view.findLast((item) => item instanceof Note && item.kind === "gap");
  if (!gap) return resume();
  pause();
  list.scrollTo(gap.id);
});
addEventListener("popstate", () => arrive(Place.now));
addEventListener("online", () => feed?.retryNow());
document.addEventListener("visibilitychange", () => !document.hidden && feed?.retryNow());
document.addEventListener("resume", () => feed?.retryNow());

begin();

/** The page: creates its parts and connects them. */

import { logs } from "./api.js";
import { Chart } from "./chart.js";
import { isInUtc, showUtc, zoneName } from "./clock.js";
import { Columns } from "./columns.js";
import { ColumnsDialog } from "./columns_dialog.js";
import { Detail } from "./detail.js";
import { Download } from "./download.js";
import { Filters } from "./filters.js";
import { Following } from "./following.js";
import { listen } from "./keys.js";
import { List } from "./list.js";
import { endSession, Login } from "./login.js";
import { isMatch, mark } from "./marks.js";
import { setFields } from "./meaning.js";
import { Navigation } from "./navigation.js";
import { Opened } from "./opened.js";
import { aroundTime, between, limits, Range, wider } from "./range.js";
import { wordsOf } from "./row.js";
import { Status } from "./status.js";
import { Note } from "./store.js";
import { summarize } from "./summary.js";
import { byId } from "./text.js";
import { Timeline } from "./timeline.js";
import { pressColumns, ValueButtons } from "./values.js";

const RETRY_MS = 2_000;

const navigation = new Navigation();
const status = new Status();
const filters = new Filters();
const range = new Range();
const columns = new Columns();
const columnsDialog = new ColumnsDialog(columns);
const detail = new Detail(columns);
const timeline = new Timeline();
const login = new Login();
const download = new Download();
const following = new Following();
const chart = new Chart(following.tally);
const list = new List(byId("list"), byId("space"), following.store, (traceId) => navigation.place.with({ timeline: traceId }).address, columns);
const opened = new Opened(detail, list, navigation);
const valueButtons = new ValueButtons(columns);

/** @type {string[]} */
let allLogs = [];
/** Whether scrolling up paused the list; if so, scrolling down to the end resumes it. */
let isByScrolling = false;

async function begin() {
  for (;;) {
    try {
      const found = await logs();
      allLogs = found.logs;
      filters.offer(found.logs);
      setFields(found.fields ?? {});
      byId("logout").hidden = !found.login;
      navigation.begin(found.logs[0], columns.remembered);
      return;
    } catch (failure) {
      if (failure.status === 401) return needLogin();
      status.show({ kind: "waiting", why: failure.message, until: Date.now() + RETRY_MS });
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
  }
}

/** @param {import("./place.js").Place | null} before */
function arrive(before) {
  const { place } = navigation;
  filters.fill(place);
  range.fill(place);
  columns.fill(place);
  mark(place.get("text"));
  byId("zone").textContent = zoneName();
  if (before?.asked !== place.asked) {
    opened.reset();
    following.follow(place);
  }
  const id = place.get("timeline");
  byId("events").hidden = Boolean(id);
  byId("page").classList.toggle("is-timeline", Boolean(id));
  opened.sayContext();
  if (id) {
    timeline.show(allLogs, id, place.get("by"));
  } else if (timeline.isShown) {
    timeline.hide();
    detail.close();
    list.grid.focus();
  }
}

function needLogin() {
  status.show({ kind: "login" });
  login.show();
}

function pause(byScrolling = false) {
  isByScrolling = byScrolling;
  following.store.pause();
  list.respond();
}

function resume() {
  following.store.resume();
  list.selected = null;
  list.respond();
}

function toggle() {
  if (following.store.isPaused) resume();
  else pause();
}

function openDetail() {
  if (timeline.isShown) timeline.open();
  else opened.open();
}

/** @param {() => void} act on the open event, else on the selected one */
function withDetail(act) {
  if (!detail.isOpen) openDetail();
  if (detail.isOpen) act();
}

/** @param {number} step */
function move(step) {
  if (timeline.isShown) {
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
  else if (timeline.isZoomed) timeline.zoomOut();
  else if (timeline.isShown) navigation.go({ timeline: "", by: "" });
  else if (opened.isInContext) opened.leaveContext();
  else if (following.store.isPaused) resume();
}

/** @param {import("./log_event.js").LogEvent | null} from @param {string} [id] @param {string} [by] the field that has it; empty for a trace */
function openTimeline(from, id = from?.traceId ?? "", by = "") {
  if (!id) return;
  timeline.from = from;
  detail.close();
  navigation.go({ timeline: id, by });
}

function zoomOut() {
  const { since, until } = limits(navigation.place);
  const shown = since === null ? chart.shown : [since, until ?? Date.now()];
  if (shown && !byId("wider").hidden) navigation.go(wider(shown[0], shown[1]));
}

function switchZone() {
  showUtc(!isInUtc());
  following.store.redate();
  list.refill();
  range.fill(navigation.place);
  chart.changed();
  byId("zone").textContent = zoneName();
}

/** @param {number} direction */
function findMatch(direction) {
  if (timeline.isShown) return;
  pause();
  list.find(direction, isMatch);
  list.grid.focus({ preventScroll: true });
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
  n: () => findMatch(1),
  N: () => findMatch(-1),
  t: () => openTimeline(list.selectedEvent),
  c: () => withDetail(() => detail.copy()),
  l: () => withDetail(() => detail.copyLink()),
  x: () => opened.openContext(detail.isOpen ? detail.event : list.selectedEvent),
  o: () => (timeline.isShown ? timeline.zoomOut() : zoomOut()),
  e: () => timeline.isShown && timeline.nextError(),
  s: () => timeline.isShown && timeline.goToSlowest(),
  z: () => timeline.isShown && timeline.zoomIn(),
  u: switchZone,
  f: () => timeline.isShown || columnsDialog.open(navigation.place),
  " ": () => timeline.isShown || toggle(),
  "/": () => timeline.isShown || filters.focusText(),
  "?": () => byId("help").showModal(),
  Escape: escape,
});

/** @param {EventTarget} target @param {string} type @param {(detail: any) => void} act */
function on(target, type, act) {
  target.addEventListener(type, (event) => act(/** @type {CustomEvent} */ (event).detail));
}

on(navigation, "arrive", arrive);
on(filters, "change", ({ changes, isTyping }) => navigation.go(changes, isTyping));
on(filters, "clear", () => navigation.goTo(navigation.place.unfiltered));
on(range, "change", (changes) => navigation.go(changes));
on(chart, "zoom", ([since, until]) => navigation.go(between(since, until)));
on(columns, "change", (names) => navigation.go({ column: names }, true));
on(columns, "shown", () => pressColumns(columns));
on(valueButtons, "narrow", (condition) => navigation.go({ where: [...navigation.place.where, condition] }));
on(following, "reset", () => {
  list.show(following.store, navigation.place.logs.length > 1);
  chart.changed();
  byId("gaps").hidden = true;
  document.title = `${navigation.place.get("log")} · events`;
});
on(following, "changed", () => {
  list.changed();
  chart.changed();
});
on(following, "arrived", (event) => opened.showOfAddress(event));
on(following, "event", (event) => timeline.holds(event) && timeline.refreshSoon());
on(following, "gap", (raw) => {
  byId("gaps").hidden = false;
  byId("gaps").title = wordsOf(new Note("gap", raw, 0));
});
on(following, "state", (state) => {
  if (state.kind === "login") login.show();
  status.show(state);
  byId("pause").hidden = state.kind === "still";
});
list.addEventListener("drawn", () => summarize(following));
on(list, "columns", () => columnsDialog.open(navigation.place));
list.addEventListener("select", () => {
  pause();
  if (detail.isOpen) openDetail();
});
list.addEventListener("open", openDetail);
on(list, "trace", openTimeline);
list.addEventListener("scrollup", () => !following.store.isPaused && pause(true));
list.addEventListener("scrollend", () => following.store.isPaused && isByScrolling && resume());
on(timeline, "open", (event) => opened.show(event, false));
on(timeline, "login", needLogin);
on(detail, "filter", (changes) => navigation.go({ ...changes, timeline: "", by: "", context: "" }));
on(detail, "narrow", (condition) => navigation.go({ where: [...navigation.place.where, condition], timeline: "", by: "", context: "" }));
on(detail, "subject", ([by, id]) => openTimeline(detail.event, id, by));
on(detail, "context", (event) => opened.openContext(event));
on(detail, "around", (time) => navigation.go({ ...aroundTime(time), timeline: "", by: "" }));
on(detail, "close", ({ hadFocus }) => {
  opened.closed();
  timeline.closed();
  if (!hadFocus) return;
  if (timeline.isShown) timeline.focus();
  else list.grid.focus();
});
login.addEventListener("login", () => {
  if (allLogs.length) following.again();
  else begin();
  timeline.refreshSoon();
});
status.addEventListener("retry", () => following.retryNow());
/** @type {[string, () => void][]} */
const presses = [
  ["pause", toggle],
  ["logout", endSession],
  ["zone", switchZone],
  ["wider", zoomOut],
  ["download-open", () => download.open(navigation.place)],
  ["columns-open", () => columnsDialog.open(navigation.place)],
  ["count-on", () => following.tally.countOn()],
  ["empty-clear", () => filters.clear()],
  ["help-open", () => byId("help").showModal()],
  ["timeline-back", () => navigation.go({ timeline: "", by: "" })],
  ["older", () => (pause(), following.loadOlder())],
  ["newer", () => following.loadNewer()],
  ["waiting", () => {
    resume();
    list.grid.focus();
  }],
  ["gaps", () => {
    const gap = [...following.store.view].reverse().find((item) => item instanceof Note && item.kind === "gap");
    if (!gap) return resume();
    pause();
    list.scrollTo(gap.id);
  }],
];
for (const [id, act] of presses) byId(id).addEventListener("click", act);

begin();

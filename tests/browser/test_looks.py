"""Accessibility and layout of the page: wide, narrow, light, dark."""

from __future__ import annotations

import importlib.resources
import json
import re
import time
from datetime import datetime, timezone

import pytest
from playwright.sync_api import expect

from tests.browser.site import Site

AXE = importlib.resources.files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")
WIDE, NARROW = {"width": 1280, "height": 800}, {"width": 360, "height": 740}
#: Elements that overflow the window, or scroll sideways, except tracebacks.
TOO_WIDE = """() => [...document.querySelectorAll("body, body *")].filter((element) => {
  const sideways = ["auto", "scroll"].includes(getComputedStyle(element).overflowX);
  if (sideways && element.scrollWidth > element.clientWidth && !element.matches(".traceback")) return true;
  const isPart = element.matches("button, input, select, label, h2, [role=gridcell], [role=columnheader]");
  return isPart && element.getBoundingClientRect().right > innerWidth;
}).map((element) => element.outerHTML.slice(0, 100))"""
#: The parts of the bar that lie over each other, or that have no width.
MISPLACED = """() => {
  const all = "#bar > :not(#status), #status-words, #status > button";
  const parts = [...document.querySelectorAll(all)]
    .filter((part) => part.checkVisibility() && part.textContent)
    .map((part) => [part.id || part.tagName, part.getBoundingClientRect()]);
  const isOver = (one, other) =>
    one.left < other.right - 1 && other.left < one.right - 1 &&
    one.top < other.bottom - 1 && other.top < one.bottom - 1;
  return parts.flatMap(([name, box], index) => {
    const under = parts.slice(index + 1).filter(([, other]) => isOver(box, other));
    return [...(box.width < 10 ? [name] : []), ...under.map(([other]) => `${name} and ${other}`)];
  });
}"""
#: The rules of axe for dark mode: only the colours differ.
COLOURS = {"runOnly": ["color-contrast", "link-in-text-block"]}
BUSY = 400
LEVELS = ["INFO"] * 9 + ["DEBUG"] * 4 + ["WARNING", "ERROR"] + ["INFO"] * 7 + ["CRITICAL"]
#: Values of fields: short and long texts, none, other scripts, a word without a break, a typed event.
MESSAGES = [
    {"message": "Fetched 12 sources", "duration_ms": 184.2, "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736"},
    {"message": "Retrying after 429 Too Many Requests from the upstream service, attempt 3 of 5 " * 2},
    {"run_id": "run-7", "model": "large", "usage": {"input": 1200, "output": 80}},
    {"message": "\u05e9\u05dc\u05d5\u05dd \u4f60\u597d \U0001f680", "path": "/" + "very-long-name" * 20},
    {"event_type": "content_generated", "event": None, "status": "success", "duration_ms": 7},
]
TOKEN = "a-token-of-32-visible-characters"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A server with a token, on two logs with one trace, errors, a traceback and long texts."""
    site = Site(tmp_path_factory.mktemp("site"), token=TOKEN)
    logger = site.logger()
    for number in range(14):
        ids = {
            "task_id": f"task-{number}",
            "run_id": "run-1",
            "trace_id": f"4bf92f3577b34da6a3ce929d0e0e{number:04}",
        }
        logger.info(
            "Step %d finished", number, extra={"event": "step_finished", **ids, "duration_ms": 12.5 * number}
        )
    logger.warning(
        "Retrying: upstream answered 429 Too Many Requests", extra={"event": "step_retried", **ids}
    )
    site.logger("telemetry").info("x", extra={"event": "content_generated", "duration_ms": 7, **ids})
    try:
        raise ConnectionError("upstream closed the connection")
    except ConnectionError:
        logger.exception(
            "Job failed", extra={"event": "job_failed", "note": "word " * 80, "duration_ms": 900, **ids}
        )
    site.start()
    yield site
    site.close()


@pytest.fixture
def busy_site(tmp_path):
    """A server for a test to stop and start."""
    site = Site(tmp_path)
    yield site
    site.close()


@pytest.fixture
def visit(site, open_page):
    """Open the page at a size, logged in."""

    def visit(size=WIDE, **options):
        reader = open_page(site, viewport=size, **options)
        reader.page.goto(site.url)
        reader.page.get_by_label("Token").fill(TOKEN)
        reader.page.get_by_role("button", name="Log in").click()
        reader.is_live()
        reader.counts(16)
        return reader

    return visit


def busy(site):
    """Write the events of a busy system of the last two minutes."""
    now = time.time()
    for number in range(BUSY):
        ago = 120 * (1 - number / BUSY) ** 1.5 + (number % 7) / 10
        stamp = datetime.fromtimestamp(now - ago, timezone.utc).isoformat()
        level = LEVELS[number % len(LEVELS)]
        event = {
            "timestamp": stamp,
            "level": level,
            "event": f"stage_{level.lower()}",
            "task_id": f"t-{number}",
        }
        site.raw(json.dumps({**event, **MESSAGES[number % len(MESSAGES)]}))


def check(reader, folder):
    """axe and the layout check find nothing, wide or narrow, light or dark; the pictures are saved."""
    page = reader.page
    page.evaluate(AXE)
    for width, size in (("wide", WIDE), ("narrow", NARROW)):
        page.set_viewport_size(size)
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            page.screenshot(path=folder / f"{width}-{scheme}.png")
            assert (folder / f"{width}-{scheme}.png").stat().st_size > 5_000
            assert problems(page, COLOURS if scheme == "dark" else {}) == [], (width, scheme)
        assert page.evaluate(TOO_WIDE) == [], width


def problems(page, options):
    """Return the serious findings of axe."""
    found = page.evaluate("(options) => axe.run({ resultTypes: ['violations'], ...options })", options)
    return [
        f"{violation['id']}: {node['html'][:200]}"
        for violation in found["violations"]
        if violation["impact"] in ("serious", "critical")
        for node in violation["nodes"]
    ]


class TestLooks:
    def test_list(self, visit, tmp_path):
        """The list with columns, and what repeats in it, pass axe and fit the width."""
        reader = visit()
        reader.page.goto(f"{reader.url}?log=orchestrator&column=run_id&column=duration_ms")
        reader.counts(16)
        expect(reader.page.locator("#space .chosen.is-same").first).to_have_text("run-1")
        reader.page.locator("#space .row", has_text="Step 12").click()
        reader.page.locator("#detail-close").click()

        check(reader, tmp_path)

    @pytest.mark.whole
    def test_columns(self, visit, tmp_path):
        """The dialog of the columns passes axe and fits the width."""
        reader = visit()
        reader.page.goto(f"{reader.url}?log=orchestrator&column=run_id&column={'long' * 40}")
        reader.counts(16)
        reader.page.locator("#columns-open").click()
        expect(reader.page.get_by_role("button", name="Add duration_ms")).to_be_visible()

        check(reader, tmp_path)

    @pytest.mark.whole
    def test_event(self, visit, tmp_path):
        """An open event with a traceback passes axe and fits the width."""
        reader = visit()
        reader.page.locator("#space .row", has_text="Job failed").click()
        expect(reader.page.locator("#detail")).to_be_visible()

        check(reader, tmp_path)

    def test_timeline(self, visit, tmp_path):
        """A timeline that is zoomed into, with its small map, passes axe and fits the width."""
        reader = visit()
        reader.page.keyboard.press("k")
        reader.page.keyboard.press("t")
        reader.says("#timeline-summary", "4 events · 2 logs · 900 ms · 1 error")
        reader.page.keyboard.press("j")
        reader.page.keyboard.press("z")
        expect(reader.page.locator("#minimap")).to_be_visible()

        check(reader, tmp_path)

    @pytest.mark.whole
    def test_filters(self, visit, tmp_path):
        """The open filters, a paused list and a filter without a match pass axe and fit the width."""
        reader = visit(NARROW)
        reader.page.locator("#filters-toggle").click()
        reader.asks("event=nothing")
        expect(reader.page.locator("#empty")).to_be_visible()
        reader.page.locator("#pause").click()

        check(reader, tmp_path)

    @pytest.mark.whole
    def test_asking(self, visit, tmp_path):
        """Suggestions, chips, one that does not apply, and a list of several logs pass axe and fit."""
        reader = visit(NARROW)
        reader.page.goto(f"{reader.url}?log=orchestrator,telemetry&where=not+status=x&colour=red&since=24h")
        reader.counts(17)
        reader.page.locator("#filters-toggle").click()
        reader.page.locator("#ask").fill("task")
        expect(reader.page.locator("#suggestions [role=option]")).to_have_count(1)

        check(reader, tmp_path)

    def test_context(self, visit, tmp_path):
        """The events around one, and the dialog to download, pass axe and fit the width."""
        reader = visit()
        reader.page.locator("#space .row", has_text="Job failed").click()
        reader.page.keyboard.press("x")
        expect(reader.page.locator("#context-bar")).to_be_visible()
        reader.says("#status-words", "Not live: around one event")
        reader.page.locator("#detail-close").click()
        (tmp_path / "context").mkdir()
        check(reader, tmp_path / "context")
        reader.page.locator("#download-open").click()
        expect(reader.page.locator("#download")).to_be_visible()

        check(reader, tmp_path)

    @pytest.mark.whole
    def test_help(self, visit, tmp_path):
        """The table of keys passes axe and fits the width."""
        reader = visit()
        reader.page.keyboard.press("?")
        expect(reader.page.locator("#help")).to_be_visible()

        check(reader, tmp_path)

    @pytest.mark.whole
    def test_busy(self, busy_site, tmp_path, open_page):
        """Two minutes of events of all levels, with a gap and a server that is away, pass axe and fit."""
        busy(busy_site)
        busy_site.start()
        reader = open_page(busy_site).open()
        reader.counts(BUSY)
        (tmp_path / "live").mkdir()
        check(reader, tmp_path / "live")
        busy_site.stop()
        logger = busy_site.logger(maxBytes=100_000, backupCount=1)
        for number in range(1500):
            logger.info("Step %d finished", number, extra={"event": "step_finished"})
        busy_site.start()
        reader.page.locator("#retry").click()
        reader.page.locator("#gaps").click()
        expect(reader.page.locator("#space .is-gap:not([hidden])")).to_be_visible()
        busy_site.stop()
        reader.says("#status-words", re.compile("^Disconnected: "))
        (tmp_path / "away").mkdir()

        check(reader, tmp_path / "away")

    def test_the_bar_has_space_for_all(self, busy_site, open_page):
        """At no width the parts of the bar lie over each other, also if much is to be said."""
        busy_site.raw("no JSON")
        busy_site.start()
        reader = open_page(busy_site).open()
        reader.says("#unreadable", "1 line that is no event")
        for state in ("^Live$", "^Disconnected: "):
            reader.says("#status-words", re.compile(state))
            for width in (360, 500, 800, 901, 1000, 1280):
                reader.page.set_viewport_size({"width": width, "height": 700})
                assert reader.page.evaluate(MISPLACED) == [], (state, width)
            busy_site.stop()

    @pytest.mark.whole
    def test_login(self, visit, tmp_path):
        """The form that asks for the token, over the page, passes axe and fits the width."""
        reader = visit()
        reader.page.context.clear_cookies()
        reader.page.locator("#level").select_option("ERROR")
        expect(reader.page.get_by_label("Token")).to_be_focused()

        check(reader, tmp_path)


class TestMotion:
    def test_none_for_who_wants_none(self, visit):
        """With reduced motion nothing is animated."""
        reader = visit(reduced_motion="reduce")

        assert reader.page.evaluate("document.getAnimations().length") == 0

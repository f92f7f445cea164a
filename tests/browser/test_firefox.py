"""Firefox: what the viewer is for works in it too; the other tests run in Chromium."""

from __future__ import annotations

import json
import re

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import pages
from tests.browser.reader import numbers, until
from tests.browser.site import Site
from tests.browser.test_looks import TOO_WIDE

#: Each step of the trace: log, second of its end after noon, name, further fields.
STEPS = [
    ("orchestrator", 1, "task_started", {}),
    ("orchestrator", 2.5, "fetched", {"duration_ms": 1000}),
    ("telemetry", 3.2, "parsed", {"duration_ms": 200, "status": "error"}),
    ("telemetry", 3.5, "read", {"duration_ms": 800}),
    ("orchestrator", 6, "task_completed", {}),
]
LIVE = 1000
#: Go to an address as the back button does.
GO_TO = """(address) => {
  history.pushState(null, "", address);
  dispatchEvent(new PopStateEvent("popstate"));
}"""
#: Large enough for the layout of a desktop, and quick to draw.
SMALL, HIGH = {"width": 1000, "height": 600}, {"width": 720, "height": 1800}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A server on an event a minute, of which each tenth is an error, on a trace, and on bad lines."""
    site = Site(tmp_path_factory.mktemp("site"))

    def write(log, second, **fields):
        stamp = f"2025-10-17T12:{int(second) // 60:02}:{second % 60:06.3f}Z"
        site.raw(json.dumps({"timestamp": stamp, "level": "INFO", **fields}), log)

    for log, second, event, fields in STEPS:
        write(log, second, event=event, trace_id="trace-1", task_id="task-1", **fields)
    for number in range(60):
        level = "INFO" if number % 10 else "ERROR"
        write(
            "orchestrator", 60 * number + 30, level=level, message="x", number=number, user=f"u{number % 3}"
        )
    for line in ("no JSON", "[1]"):
        site.raw(line)
    site.start()
    yield site
    site.close()


@pytest.fixture(scope="module")
def visitor(site, firefox):
    """A reader of the log, whose page is loaded once: Firefox takes seconds for that."""
    with pages(firefox) as open_page:
        yield open_page(site, timezone_id="UTC", viewport=SMALL).open()


@pytest.fixture
def reader(visitor):
    """The reader, back at the 63 events of the log."""
    visitor.page.evaluate(GO_TO, "?log=orchestrator")
    visitor.counts(63)
    return visitor


def drag(page, box, *parts):
    """Drag along a box, from one part of its width to others."""
    for number, part in enumerate(parts):
        page.mouse.move(box["x"] + box["width"] * part, box["y"] + box["height"] / 2)
        if number == 0:
            page.mouse.down()
    page.mouse.up()


class TestFirefox:
    def test_truth_and_time(self, reader):
        """The chart has the server's counts; a range is typed or dragged in it; a time is gone to."""
        expect(reader.page.locator("#errors")).to_have_text("6 errors")
        reader.says("#unreadable", "2 lines that are no events")
        chart = reader.page.locator("#chart")
        chart.press("Home")
        chart.press("Shift+End")
        expect(chart).to_have_attribute("aria-valuetext", re.compile(r": 63 events, 6 errors \("))
        reader.asks("2025-10-17 12:10-12:20")
        reader.counts(10)
        assert "since=2025-10-17T12%3A10%3A00.000Z&until=2025-10-17T12%3A20%3A00.000Z" in reader.address()
        reader.page.evaluate("history.back()")
        reader.counts(63)
        drag(reader.page, reader.page.locator("#chart").bounding_box(), 0.25, 0.4, 0.5)
        expect(reader.page.locator("#count")).to_have_text(re.compile(r"^1[4-7] events$"))
        reader.page.locator("#clear").click()
        reader.counts(63)
        reader.page.locator("#range").select_option("jump")
        reader.page.locator("#jump").fill("2025-10-17T12:30:00")

        expect(reader.page.locator("#space .row[aria-selected=true]")).to_contain_text("number=30")

    def test_asking(self, reader):
        """A field and its value are suggested; a value of a row is asked for or left out; a chip goes."""
        page = reader.page
        page.locator("#ask").press_sequentially("use")
        expect(page.locator("#suggestions [role=option]")).to_have_text(["user=in 60 of the newest events"])
        for key in ("ArrowDown", "Enter", "ArrowDown", "Enter"):
            expect(page.locator("#suggestions")).to_be_visible()
            page.keyboard.press(key)
        reader.counts(20)
        page.locator("#space .field", has_text="number=59").hover()
        page.get_by_role("button", name="Without number=59").click()
        reader.counts(19)
        page.locator(".chip", has_text="user").click()
        reader.counts(62)
        page.locator("#space .row", has_text="number=58").locator(".level").hover()
        page.get_by_role("button", name="Only level=INFO").click()

        reader.counts(56)
        expect(page.locator("#chips .chip")).to_have_text(["not number=59✕", "level=INFO✕"])

    def test_a_trace(self, reader):
        """A click after typing opens a trace; its tree folds, and has its critical and slowest steps."""
        page = reader.page
        page.locator("#ask").press_sequentially("event=task_completed")
        reader.counts(1)
        page.locator("#space .row:not([hidden]) .trace-link").click()
        rows = page.locator("#timeline-rows .row")
        expect(rows.locator(".name")).to_have_text(
            ["task_started → task_completed", "fetched", "read", "parsed"]
        )
        reader.says("#timeline-summary", "5 events · 2 logs · 5 s · 1 error")
        expect(page.locator("#timeline-rows .is-critical")).to_have_count(4)
        expect(page.locator("#timeline-rows [aria-current]")).to_contain_text("task_completed")
        page.locator("#timeline-rows .fold.has-steps").nth(1).click()
        expect(rows.last.locator(".name")).to_have_text("read")
        page.locator("#timeline-slowest").click()
        expect(page.locator("#timeline-rows .row:focus")).to_contain_text("fetched")
        page.keyboard.press("e")

        expect(page.locator("#timeline-rows .row:focus")).to_contain_text("parsed")

    def test_columns(self, reader):
        """A column is chosen, dragged to another width, and kept for the next visit."""
        page = reader.page
        page.keyboard.press("f")
        page.get_by_role("button", name="Add user").click()
        page.get_by_role("button", name="Add number").click()
        page.keyboard.press("Escape")
        heads = page.locator("#list .head .chosen")
        expect(heads).to_have_text(["user", "number"])
        edge = page.get_by_role("separator", name="Width of the column user")
        before = int(edge.get_attribute("aria-valuenow"))
        box = edge.bounding_box()
        page.mouse.move(box["x"] + 3, box["y"] + 10)
        page.mouse.down()
        page.mouse.move(box["x"] - 47, box["y"] + 10, steps=4)
        page.mouse.up()
        until(lambda: int(edge.get_attribute("aria-valuenow")) > before + 30)
        wide = edge.get_attribute("aria-valuenow")
        page.goto(reader.url)

        expect(heads).to_have_text(["user", "number"])
        expect(edge).to_have_attribute("aria-valuenow", wide)

    def test_people(self, reader):
        """Keys select and open events and show the help; on a phone nothing is cut off."""
        page = reader.page
        for key in ("k", "k", "Enter"):
            page.keyboard.press(key)
        expect(page.locator("#json")).to_contain_text('"number": 58')
        page.keyboard.press("Escape")
        page.keyboard.press("?")
        expect(page.locator("#help")).to_be_visible()
        page.keyboard.press("Escape")
        page.set_viewport_size({"width": 360, "height": 740})
        page.locator("#filters-toggle").click()
        page.locator("#range").select_option("between")

        expect(page.locator("#since")).to_be_focused()
        assert page.evaluate(TOO_WIDE) == []
        page.set_viewport_size(SMALL)


@pytest.fixture
def rotating(tmp_path):
    """A server on a log that rotates, and its logger."""
    site = Site(tmp_path)
    site.rotating = site.logger(maxBytes=40_000, backupCount=100)
    site.start()
    yield site
    site.close()


def test_a_thousand_live_events_and_a_link(rotating, firefox):
    """Each of a thousand events arrives once, through rotations; a link opens its event after them."""
    with pages(firefox) as open_page:
        reader = open_page(rotating, viewport=HIGH).open()
        rotating.rotating.info("x" * 50, extra={"number": 0})
        reader.counts(1)
        reader.page.keyboard.press("k")
        reader.page.keyboard.press("l")
        reader.says("#copied", "Link copied")
        reader.page.keyboard.press("Escape")
        reader.page.keyboard.press("Escape")
        for number in range(1, LIVE):
            rotating.rotating.info("x" * 50, extra={"number": number})
        reader.counts(LIVE)
        assert numbers(reader) == list(range(LIVE))
        reader.page.locator("#ask").focus()
        reader.page.keyboard.press("Control+v")
        link = reader.page.locator("#ask").input_value()
        reader.page.goto(link)
        reader.says("#status-words", "Not live: around one event")

        expect(reader.page.locator("#json")).to_contain_text('"number": 0')
        assert len(list(rotating.folder.glob("orchestrator.jsonl.*"))) > 1

"""The timeline of a trace: a waterfall across all logs."""

from __future__ import annotations

import contextlib
import json
import re

import pytest
from playwright.sync_api import expect

from tests.browser.site import Application

#: An application whose requests read as little as they can.
SMALL_PAGES = """
from chora_logging.web import Limits, create_app
app = create_app({"orchestrator": path}, limits=Limits(scanned=1))
"""


@pytest.fixture
def write(site, run):
    """Append an event of this test's trace that was written so many seconds after noon."""

    def write(log, second, event, **fields):
        stamp = f"2025-10-17T12:00:{second:09.6f}Z"
        trace = {"trace_id": f"tr/1 ?&é {run}", "run_id": run}
        site.raw(json.dumps({"timestamp": stamp, "level": "INFO", "event": event, **trace, **fields}), log)

    return write


@pytest.fixture
def traced(reader, run, write):
    """A reader of the log in which a trace of four events in two logs begins and ends."""
    write("orchestrator", 0.5, "request_received")
    write("telemetry", 1.0, "content_generated", duration_ms=250)
    write("telemetry", 1.5, "artifact_assembled", duration_ms=500, status="error", error_message="no room")
    write("orchestrator", 2.5, "request_done", duration_ms=2000)
    reader.open(f"?run_id={run}")
    reader.counts(2)
    return reader


def waterfall(reader):
    """Start, log, event, duration and result of each row."""
    expect(reader.page.locator("#timeline-rows .row")).to_have_count(4)
    return reader.page.evaluate(
        """() => [...document.querySelectorAll("#timeline-rows .row")].map((row) =>
          [".offset", ".log", ".name", ".took", ".state"].map((part) =>
            row.querySelector(part).textContent))"""
    )


def bars(reader):
    """Where each bar begins and how wide it is, in per cent of the track."""
    return reader.page.evaluate(
        """() => [...document.querySelectorAll("#timeline-rows .bar")]
          .map(({ style }) => [style.left, style.width])"""
    )


EXPECTED = [
    ["+0.0 ms", "orchestrator", "request_received", "", ""],
    ["+0.0 ms", "orchestrator", "request_done", "2 s", ""],
    ["+250.0 ms", "telemetry", "content_generated", "250 ms", ""],
    ["+500.0 ms", "telemetry", "artifact_assembled", "500 ms", "error"],
]


class TestTimeline:
    def test_a_click_on_a_trace_id_shows_it(self, traced):
        """The events of all logs are in the order of their starts, with durations, errors marked."""
        traced.page.locator("#space .trace-link").first.click()

        assert waterfall(traced) == EXPECTED
        assert bars(traced) == [["0%", "0%"], ["0%", "100%"], ["12.5%", "12.5%"], ["25%", "25%"]]
        traced.says("#timeline-summary", "4 events · 2 logs · 2 s · 1 error")

    @pytest.mark.parametrize(
        ("whole", "marks"),
        [
            (0.9, ["0", "200 ms", "400 ms", "600 ms"]),
            (11, ["0", "5 s"]),
            (21, ["0", "10 s"]),
            (241, ["0", "1 min", "2 min", "3 min"]),
            (3 * 3600, ["0", "1 h", "2 h"]),
            (0, []),
        ],
    )
    def test_the_axis_has_round_marks(self, reader, run, write, whole, marks):
        """The axis has ticks at clock units, with labels that fit between them."""
        write("orchestrator", 30, "only", duration_ms=whole * 1000)
        reader.page.goto(f"{reader.url}?log=orchestrator&timeline=tr%2F1+%3F%26%C3%A9+{run}")
        expect(reader.page.locator("#timeline-rows .row")).to_have_count(1)

        assert reader.page.locator(".tick").all_inner_texts() == marks

    def test_it_has_an_address(self, traced):
        """A timeline can be linked to, and back leads to the list."""
        traced.page.locator("#space .trace-link").first.click()
        waterfall(traced)
        traced.page.reload()
        assert waterfall(traced) == EXPECTED
        traced.page.go_back()

        expect(traced.page.locator("#timeline")).to_be_hidden()
        expect(traced.page.locator("#list")).to_be_visible()

    def test_the_keyboard_reaches_everything(self, traced):
        """Keys open the timeline, go through its events, open one, and lead back."""
        for key in ("k", "t"):
            traced.page.keyboard.press(key)
        waterfall(traced)
        for key in ("j", "j", "j", "j", "Enter"):
            traced.page.keyboard.press(key)
        traced.says("#detail-title", "artifact_assembled")
        expect(traced.page.locator("#json")).to_contain_text("no room")
        traced.page.keyboard.press("Escape")
        expect(traced.page.locator("#detail")).to_be_hidden()
        traced.page.keyboard.press("Escape")

        expect(traced.page.locator("#timeline")).to_be_hidden()
        assert traced.focused() == "list"

    def test_a_trace_that_no_log_holds(self, traced):
        """A trace without events is shown as such."""
        traced.page.goto(traced.url + "?log=orchestrator&timeline=nobody")

        traced.says("#timeline-summary", "No log has an event of this trace")

    def test_it_grows_with_the_trace(self, write, traced):
        """An event of the trace that is written meanwhile appears in it."""
        traced.page.locator("#space .trace-link").first.click()
        waterfall(traced)
        write("orchestrator", 3.5, "afterwards")

        traced.says("#timeline-summary", "5 events · 2 logs · 3 s · 1 error")


class TestALargeLog:
    @pytest.mark.parametrize("trace_id", ["old", "nobody"])
    def test_it_searches_until_it_has_read_everything(self, tmp_path, open_page, trace_id):
        """A trace that the first pages do not have is found, and only after the last page none is said."""
        site = Application(tmp_path, SMALL_PAGES)
        site.raw(json.dumps({"trace_id": "old", "timestamp": "2025-10-17T12:00:00Z", "event": "first"}))
        for number in range(500):
            site.raw(json.dumps({"n": number, "pad": "x" * 1000}))
        with contextlib.closing(site):
            site.start()
            reader = open_page(site)
            asked = []
            reader.page.on("request", lambda request: asked.append(request.url))
            reader.page.goto(f"{site.url}?log=orchestrator&timeline={trace_id}")
            found = "1 event · 1 log" if trace_id == "old" else "No log has an event of this trace"
            reader.says("#timeline-summary", re.compile(f"^{found}"))
            reader.page.wait_for_function(
                "() => !document.querySelector('#timeline-summary').textContent.includes('searching')"
            )

        assert sum("/traces/" in url for url in asked) > 1

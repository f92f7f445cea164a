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
    ["+0.0 ms", "orchestrator", "request_done", "2 s", ""],
    ["+0.0 ms", "orchestrator", "request_received", "", ""],
    ["+250.0 ms", "telemetry", "content_generated", "250 ms", ""],
    ["+500.0 ms", "telemetry", "artifact_assembled", "500 ms", "error"],
]


class TestTimeline:
    def test_a_click_on_a_trace_id_shows_it(self, traced):
        """The events of all logs are in the order of their starts, with durations, errors marked."""
        traced.page.locator("#space .trace-link").first.click()

        assert waterfall(traced) == EXPECTED
        assert bars(traced) == [["0%", "100%"], ["0%", "0%"], ["12.5%", "12.5%"], ["25%", "25%"]]
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


@pytest.fixture
def nested(reader, run, write):
    """A reader of a run: a task with two steps, one of which has a failed step within it."""
    ids = {"task_id": f"task {run}"}
    write("orchestrator", 1, "task_started", **ids)
    write("orchestrator", 2.5, "fetched", duration_ms=1000)
    write("telemetry", 3.2, "parsed", duration_ms=200, status="error", error_message="no JSON")
    write("telemetry", 3.5, "read", duration_ms=800)
    write("orchestrator", 6, "task_completed", **ids)
    reader.open(f"?run_id={run}")
    reader.counts(3)
    return reader


def tree(reader, number):
    """The depth and the name of each row."""
    expect(reader.page.locator("#timeline-rows .row")).to_have_count(number)
    return reader.page.evaluate(
        """() => [...document.querySelectorAll("#timeline-rows .row")].map((row) =>
          [Number(row.ariaLevel), row.querySelector(".name").textContent])"""
    )


class TestTree:
    def test_steps_of_a_run(self, nested, run):
        """The timeline of a run has what begins and ends a task as one bar, and the steps within it."""
        nested.page.locator("#space .row", has_text="task_completed").click()
        nested.page.get_by_role("button", name="Timeline of its run").click()

        assert tree(nested, 4) == [
            [1, "task_started → task_completed"],
            [2, "fetched"],
            [2, "read"],
            [3, "parsed"],
        ]
        nested.says("#timeline-title", f"Run {run}")
        nested.says("#timeline-summary", "5 events · 2 logs · 5 s · 1 error")
        critical = nested.page.locator("#timeline-rows .is-critical .name")
        expect(critical).to_have_text(["task_started → task_completed", "fetched", "read", "parsed"])
        nested.page.reload()
        assert len(tree(nested, 4)) == 4

    def test_a_task(self, nested, run):
        """The timeline of a task has the events of that task alone."""
        nested.page.goto(f"{nested.url}?log=orchestrator&timeline=task+{run}&by=task_id")

        assert tree(nested, 1) == [[1, "task_started → task_completed"]]
        nested.says("#timeline-title", f"Task task {run}")

    def test_something_else(self, nested):
        """A timeline by another field is refused in words."""
        nested.page.goto(f"{nested.url}?log=orchestrator&timeline=x&by=colour")

        nested.says("#timeline-summary", "A timeline is by run_id or task_id, not by colour")

    def test_folding_and_zooming(self, nested, run):
        """Keys fold a step and show it again, go to what failed within it, zoom in, and lead back."""
        nested.page.goto(f"{nested.url}?log=orchestrator&timeline={run}&by=run_id")
        tree(nested, 4)
        press = nested.page.keyboard.press
        for key in ("j", "ArrowLeft"):
            press(key)
        assert tree(nested, 1) == [[1, "task_started → task_completed"]]
        expect(nested.page.locator("#timeline-rows .row")).to_have_attribute("aria-expanded", "false")
        expect(nested.page.locator("#timeline-rows .state")).to_have_text("within")
        press("e")
        expect(nested.page.locator("#timeline-rows .row:focus .name")).to_have_text("parsed")
        for key in ("ArrowLeft", "z"):
            press(key)
        assert tree(nested, 2) == [[1, "read"], [2, "parsed"]]
        assert nested.page.locator(".tick").first.inner_text() == "0"
        press("Escape")
        assert len(tree(nested, 4)) == 4
        press("Escape")

        expect(nested.page.locator("#timeline")).to_be_hidden()

    def test_both_events_of_a_step(self, nested, run):
        """Enter opens the event that ended a step, and again the one that began it; so do clicks."""
        nested.page.goto(f"{nested.url}?log=orchestrator&timeline={run}&by=run_id")
        tree(nested, 4)
        for key in ("j", "Enter"):
            nested.page.keyboard.press(key)
        nested.says("#detail-title", "task_completed")
        nested.page.keyboard.press("Enter")
        nested.says("#detail-title", "task_started")
        nested.page.locator("#timeline-rows .row").first.click(position={"x": 20, "y": 8})
        nested.says("#detail-title", "task_completed")
        nested.page.locator("#timeline-rows .began").click()
        nested.says("#detail-title", "task_started")


@pytest.fixture
def long_trace(reader, run, write):
    """A reader of the timeline of a run of sixty steps of half a second, one after the other, in one."""
    for number in range(60):
        write("orchestrator", number / 2 + 0.5, f"step-{number}", duration_ms=500)
    write("telemetry", 30, "all", duration_ms=30_000)
    reader.page.goto(f"{reader.url}?log=orchestrator&timeline={run}&by=run_id")
    expect(reader.page.locator("#timeline-rows .row")).to_have_count(61)
    return reader


def map_says(reader, words):
    """Wait until the small map says this of the part that is shown."""
    expect(reader.page.locator("#minimap")).to_have_attribute("aria-valuetext", re.compile(f"^{words}$"))


def steps(reader):
    """The first and the last step that have a row, within the first one."""
    names = reader.page.locator("#timeline-rows .name").all_inner_texts()
    assert names[0] == "all"
    return names[1], names[-1]


class TestMinimap:
    def test_a_part_is_dragged(self, long_trace):
        """In the small map of a long trace a part is chosen, moved and sized; only its steps have rows."""
        map_says(long_trace, "all of 30 s")
        mouse = long_trace.page.mouse
        box = long_trace.page.locator("#minimap").bounding_box()

        def drag(*seconds):
            """Drag from a second to others."""
            for number, second in enumerate(seconds):
                mouse.move(box["x"] + box["width"] * second / 30, box["y"] + 20)
                if number == 0:
                    mouse.down()
            mouse.up()

        drag(10.25, 12, 15.25)
        map_says(long_trace, r"10\.[23] s to 15\.[23] s of 30 s")
        assert steps(long_trace) == ("step-20", "step-30")
        expect(long_trace.page.locator(".tick")).to_have_text(["12 s", "14 s"])
        bar = long_trace.page.locator("#timeline-rows .bar").nth(4).bounding_box()
        tick = long_trace.page.locator(".tick").first.bounding_box()
        assert bar["x"] + bar["width"] == pytest.approx(tick["x"], abs=1)
        drag(12.25, 18, 22.25)
        map_says(long_trace, r"20\.[23] s to 25\.[23] s of 30 s")
        assert steps(long_trace) == ("step-40", "step-50")
        drag(25.25, 28, 100)
        map_says(long_trace, r"20\.[23] s to 30 s of 30 s")
        drag(5, 5)
        map_says(long_trace, r"1\d\d ms to 9\.[89]\d* s of 30 s")
        long_trace.page.keyboard.press("Escape")
        map_says(long_trace, "all of 30 s")
        drag(20.1, 20.1)

        expect(long_trace.page.locator("#timeline-rows .row:focus .name")).to_have_text("step-40")

    def test_keys_move_the_part(self, nested, run):
        """A short trace has a map as long as it is zoomed into; keys move the part in it and size it."""
        nested.page.goto(f"{nested.url}?log=orchestrator&timeline={run}&by=run_id")
        tree(nested, 4)
        expect(nested.page.locator("#minimap")).to_be_hidden()
        for key in ("j", "j", "z"):
            nested.page.keyboard.press(key)
        map_says(nested, "500 ms to 1.5 s of 5 s")
        nested.page.locator("#minimap").focus()
        for key, words in (
            ("ArrowRight", "600 ms to 1.6 s of 5 s"),
            ("PageDown", "1.6 s to 2.6 s of 5 s"),
            ("End", "4 s to 5 s of 5 s"),
            ("Home", "0 ms to 1 s of 5 s"),
            ("+", "250 ms to 750 ms of 5 s"),
        ):
            nested.page.keyboard.press(key)
            map_says(nested, words)
        assert tree(nested, 2) == [[1, "task_started → task_completed"], [2, "fetched"]]
        for _ in range(4):
            nested.page.keyboard.press("-")

        expect(nested.page.locator("#minimap")).to_be_hidden()
        expect(nested.page.locator("#timeline-rows .row:focus")).to_have_count(1)
        assert len(tree(nested, 4)) == 4

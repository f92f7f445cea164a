"""Ranges of time: chosen, zoomed in to and gone to; and what is said of the part that was not read."""

from __future__ import annotations

import json
import re

import pytest
from playwright.sync_api import expect

from tests.browser.reader import until
from tests.browser.site import Application, Site

#: An application whose requests read as little as they can.
SMALL_PAGES = """
from chora_logging.web import Limits, create_app
app = create_app({"orchestrator": path}, limits=Limits(counted=1, scanned=1))
"""
#: Lines of which one answer reads a part.
MANY = 6000


def stamp(second):
    """So many seconds after noon."""
    return f"2025-10-17T12:{second // 60:02}:{second % 60:02}.000000Z"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A server on an event in every sixth second of an hour; each tenth is an error."""
    site = Site(tmp_path_factory.mktemp("site"))
    for number in range(600):
        level = "INFO" if number % 10 else "ERROR"
        site.raw(json.dumps({"timestamp": stamp(6 * number), "level": level, "n": number, "message": "x"}))
    site.raw(json.dumps({"level": "INFO", "message": "at no time"}))
    site.start()
    yield site
    site.close()


@pytest.fixture
def clock(site, open_page):
    """A reader in India, where noon in UTC is 17:30."""
    reader = open_page(site, timezone_id="Asia/Kolkata").open()
    reader.counts(601)
    return reader


def selected(reader):
    """Return the text of the selected row."""
    return reader.page.locator("#space .row[aria-selected=true]").inner_text()


class TestRanges:
    def test_zones(self, clock):
        """Times are local or in UTC, which is said and kept; an event says its whole time and zone."""
        until(lambda: any("18:29:54.000" in row for row in clock.rows()))
        clock.says("#zone", "UTC+05:30")
        expect(clock.page.locator("#chart-notes")).to_have_text("1 event without a time")
        clock.page.keyboard.press("u")
        until(lambda: any("12:59:54.000" in row for row in clock.rows()))
        clock.page.reload()
        clock.says("#zone", "UTC")
        clock.page.locator("#space .row", has_text="12:59:54.000").click()
        expect(clock.page.locator("#detail-facts")).to_contain_text("2025-10-17 12:59:54.000 UTC")
        clock.page.get_by_role("button", name="The minute before and after it").click()

        clock.counts(11)
        clock.says("#status-words", "Not live: the range has an end")
        expect(clock.page.locator("#pause")).to_be_hidden()

    def test_from_and_to(self, clock):
        """A range is typed in the zone that is shown; the last hours are those before now."""
        clock.page.locator("#range").select_option("between")
        clock.page.locator("#since").fill("2025-10-17T17:40")
        clock.page.locator("#until").fill("2025-10-17T17:50")
        clock.page.locator("#until").press("Enter")
        clock.counts(100)
        assert "since=2025-10-17T12%3A10%3A00.000Z&until=2025-10-17T12%3A20%3A00.000Z" in clock.address()
        expect(clock.page.locator("#errors")).to_have_text("10 errors")
        clock.page.locator("#range").select_option("1h")
        clock.says("#empty-why", "No event matches. New matches appear here.")
        clock.counts(0)
        clock.is_live()

    def test_zoom(self, clock):
        """The bars are counted by the server; a part of them is chosen with the mouse or with keys."""
        chart = clock.page.locator("#chart")
        clock.counts(601)
        chart.press("Home")
        expect(chart).to_have_attribute(
            "aria-valuetext", re.compile(r"^17:30:00 – 17:30:30: 5 events, 1 error \(")
        )
        for key in ("Shift+End", "Shift+PageUp", "Enter"):
            chart.press(key)
        until(lambda: "until=2025-10-17T12" in clock.address())
        expect(clock.page.locator("#count")).to_have_text(re.compile(r"^5\d\d events$"))
        clock.page.go_back()
        clock.counts(601)
        box = chart.bounding_box()
        y = box["y"] + 20
        clock.page.mouse.move(box["x"] + box["width"] * 0.25, y)
        clock.page.mouse.down()
        clock.page.mouse.move(box["x"] + box["width"] * 0.5, y, steps=4)
        expect(clock.page.locator("#chart-words")).to_contain_text(" errors (")
        clock.page.mouse.up()
        expect(clock.page.locator("#count")).to_have_text(re.compile(r"^1[45]\d events$"))
        clock.page.keyboard.press("o")

        expect(clock.page.locator("#count")).to_have_text(re.compile(r"^[34]\d\d events$"))

    def test_go_to_a_time(self, clock):
        """The first event from a time on is selected, with those before and after it, and more on demand."""
        clock.page.locator("#range").select_option("jump")
        clock.page.locator("#jump").fill("2025-10-17T18:00:01")
        clock.page.locator("#jump").press("Enter")
        until(lambda: "n=301" in selected(clock))
        clock.says("#loaded", "200 loaded")
        clock.counts(601)
        clock.page.keyboard.press("End")
        clock.page.locator("#newer").click()

        clock.says("#loaded", re.compile(r"^[3-5]\d\d loaded$"))


class TestALongLog:
    def test_what_was_not_read_is_not_denied(self, tmp_path, open_page):
        """Rows come before all is searched; counts are at least so many; and both go on to the beginning."""
        site = Application(tmp_path, SMALL_PAGES)
        site.raw(json.dumps({"timestamp": stamp(0), "level": "ERROR", "message": "a needle"}))
        with site.path("orchestrator").open("a") as file:
            for number in range(MANY):
                file.write(json.dumps({"timestamp": stamp(number * 3599 // MANY), "pad": "x" * 1000}) + "\n")
        site.start()
        reader = open_page(site).open()
        expect(reader.page.locator("#count-on")).to_be_visible()
        expect(reader.page.locator("#count")).to_have_text(re.compile(r"^at least [1-5],\d{3} events$"))
        expect(reader.page.locator("#chart-notes")).to_contain_text("what is hatched is not known")
        asked = []

        def hold_third(route):
            asked.append(route)
            if len(asked) != 3:
                route.continue_()

        reader.page.route(re.compile(r"/events\?"), hold_third)
        reader.asks("needle")
        reader.says(
            "#empty-why", re.compile(r"^No match so far; read back to 2025-10-17 .*\. Searching further\.$")
        )
        until(lambda: reader.page.evaluate("true") and len(asked) == 3)
        asked[2].continue_()
        # It searches and counts so many pages by itself, and then only when it is asked to.
        press = "id => document.getElementById(id).hidden || document.getElementById(id).click()"
        row = reader.page.locator("#space .row:not(.note):not([hidden])")
        until(lambda: reader.page.evaluate(press, "older") and row.count() == 1)
        reader.says("#oldest", "No older event matches")

        def is_counted():
            reader.page.evaluate(press, "count-on")
            reader.page.wait_for_timeout(300)
            return reader.page.locator("#count").text_content() == "1 event"

        until(is_counted, 60)
        site.close()

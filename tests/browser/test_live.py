"""The list is live: stored events, then each that any process writes."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest
from playwright.sync_api import expect

from tests.browser.reader import NUMBER, until
from tests.browser.site import RunLogger, Site

PER_WRITER = 200
WRITER = f"""
import logging, sys, time
from chora_logging import EventFileHandler, EventFormatter

handler = EventFileHandler(sys.argv[1], maxBytes=20_000, backupCount=1000)
handler.setFormatter(EventFormatter())
logger = logging.Logger("load")
logger.addHandler(handler)
began = time.monotonic()
for number in range({PER_WRITER}):
    logger.info("load", extra={{"run_id": sys.argv[2], "writer": sys.argv[3], "number": number}})
    time.sleep(max(0, began + (number + 1) / 100 - time.monotonic()))
"""


class TestLiveList:
    def test_stored_events_come_first_and_then_live_ones(self, logger, reader, run):
        """A page shows the stored events, and new ones at its end."""
        for number in range(3):
            logger.info("stored %d", number)
        reader.open(f"?run_id={run}")
        reader.counts(3)
        logger.warning("live", extra={"event": "just_now"})

        reader.counts(4)
        until(lambda: "just_now" in reader.rows()[-1])

    def test_an_empty_log_says_so_and_then_fills(self, tmp_path, open_page):
        """A log that does not exist yet is shown as empty, and its first event appears."""
        site = Site(tmp_path)
        site.start()
        reader = open_page(site).open()
        reader.says("#empty-why", "This log has no events yet. New events appear here.")
        site.logger().info("first")

        reader.counts(1)
        expect(reader.page.locator("#empty")).to_be_hidden()
        site.close()

    def test_older_events_are_loaded_on_demand(self, logger, reader, run):
        """The newest 500 events are loaded; older ones on request, without a gap, to the beginning."""
        for number in range(1200):
            logger.info("n", extra={"number": number})
        reader.open(f"?run_id={run}")
        reader.counts(1200)
        reader.says("#loaded", "500 loaded")
        reader.page.keyboard.press("g")
        for loaded in ("1,000 loaded", ""):
            reader.page.locator("#older").click()
            reader.says("#loaded", loaded)

        reader.says("#oldest", "No older event matches")
        day, *rows = reader.whole_list()
        assert NUMBER.search(day) is None
        assert [int(NUMBER.search(row)[1]) for row in rows] == list(range(1200))

    def test_two_hundred_events_a_second(self, site, reader, run):
        """200 events a second, with rotations, appear once and in order; the page stays responsive."""
        reader.open(f"?run_id={run}")
        writers = [
            subprocess.Popen(
                [sys.executable, "-c", WRITER, str(site.path("orchestrator")), run, name],
                stdin=subprocess.DEVNULL,
            )
            for name in "ab"
        ]
        reader.page.keyboard.press("?")
        expect(reader.page.locator("#help")).to_be_visible()
        reader.page.keyboard.press("Escape")
        assert [writer.wait(60) for writer in writers] == [0, 0]

        reader.counts(2 * PER_WRITER)
        assert reader.page.locator("#space .row").count() < 100
        assert max(reader.page.evaluate("longTasks"), default=0) < 1000
        seen = [row for row in reader.whole_list() if "writer=" in row]
        for name in "ab":
            mine = [row for row in seen if f"writer={name} " in row]
            assert [int(NUMBER.search(row)[1]) for row in mine] == list(range(PER_WRITER))
        assert len(seen) == 2 * PER_WRITER

    @pytest.mark.whole
    def test_memory_is_bounded(self, site, reader, run):
        """Of more text than the limit the newest events stay; all are counted, and the list says so."""
        # All of it is kept, also for a page that comes late.
        logger = RunLogger(site.logger(backupCount=20), {"run_id": run})
        reader.open(f"?run_id={run}")
        for number in range(800):
            logger.info("n", extra={"number": number, "long": "x" * 100_000})

        # Eighty megabytes take their time on a busy machine.
        expect(reader.page.locator("#count")).to_have_text("800 events", timeout=90_000)
        reader.says("#oldest", re.compile("^Older events are in the log; this page has the newest 6..$"))
        until(lambda: "number=799" in reader.rows()[-1])
        assert int(reader.page.locator("#list").get_attribute("aria-rowcount")) <= 710

    def test_a_new_day_is_said(self, site, reader, run):
        """The list has a row at the beginning of each day; a late event of the day before adds none."""
        for number, day in enumerate(["16", "16", "17", "16", "17"]):
            stamp = f"2025-10-{day}T12:00:00.000000Z"
            site.raw(json.dumps({"timestamp": stamp, "run_id": run, "number": number}))
        reader.open(f"?run_id={run}")
        reader.counts(5)

        rows = [re.search(r"\w+day|number=\d", row)[0] for row in reader.rows()]
        assert rows == ["Thursday", "number=0", "number=1", "Friday", "number=2", "number=3", "number=4"]

    def test_the_chart_counts_errors_apart(self, logger, reader, run):
        """The numbers of events and errors of a second are beside the chart."""
        reader.open(f"?run_id={run}")
        logger.error("bad", extra={"event": "job_failed"})
        logger.info({"event": "ended", "status": "error"})
        logger.info("good")

        reader.counts(3)
        reader.says("#errors", "2 errors")
        reader.page.locator("#chart").press("End")
        words = re.compile(r"3 events, 2 errors \((1 ERROR, 2 INFO|2 INFO, 1 ERROR)\)$")
        expect(reader.page.locator("#chart")).to_have_attribute("aria-valuetext", words)

    def test_live_events_are_filtered_too(self, logger, reader, run):
        """Of new events only those that match the filters appear."""
        reader.open(f"?run_id={run}&event=fits")
        logger.info("no", extra={"event": "other"})
        logger.info("yes", extra={"event": "fits"})

        reader.counts(1)
        until(lambda: "yes" in reader.rows()[-1])

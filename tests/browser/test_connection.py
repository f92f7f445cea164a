"""The page says whether it is connected, comes back by itself, and misses nothing."""

from __future__ import annotations

import re
import signal

import pytest
from playwright.sync_api import expect

from tests.browser.reader import numbers, until

COLLECT = """() => {
  window.got = [];
  const source = new EventSource("api/v1/orchestrator/events/stream");
  source.onmessage = (message) => got.push(JSON.parse(message.data).number);
}"""


def disconnected(reader):
    """Wait until the page says that it is not connected."""
    reader.says("#status-words", re.compile("^Disconnected: "))


class TestConnection:
    @pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "stopped"])
    def test_a_server_that_was_away(self, site, reader, how):
        """It is said that the server is away; when it is back, what was written meanwhile is there once."""
        logger = site.logger()
        logger.info("n", extra={"number": 0})
        reader.open()
        for life in range(2):
            site.stop(how)
            disconnected(reader)
            reader.says("#status-countdown", re.compile(r"again in \d+ s|trying again"))
            for number in range(1, 31):
                logger.info("n", extra={"number": life * 30 + number})
            site.start()
            reader.is_live()

        reader.counts(61)
        assert numbers(reader) == list(range(61))

    def test_trying_at_once(self, site, reader):
        """Who does not want to wait presses a button."""
        reader.open()
        site.stop()
        disconnected(reader)
        site.start()
        reader.page.locator("#retry").click()

        reader.is_live()

    def test_what_happens_while_it_is_paused(self, site, reader):
        """A server that goes and comes while the list is paused costs no waiting event."""
        logger = site.logger()
        for number in range(3):
            logger.info("n", extra={"number": number})
        reader.open()
        reader.counts(3)
        reader.page.keyboard.press("Space")
        site.stop()
        logger.info("n", extra={"number": 3})
        site.start()
        reader.says("#waiting", "↓ 1 new event")
        reader.page.keyboard.press("Space")

        reader.counts(4)

    def test_another_filter_while_the_server_is_away(self, site, reader):
        """A filter that is set without a server is applied when there is one."""
        logger = site.logger()
        for event in ("a", "b", "a"):
            logger.info("n", extra={"event": event})
        reader.open()
        site.stop()
        disconnected(reader)
        reader.page.locator("[name=event]").fill("a")
        reader.page.locator("[name=event]").press("Enter")
        disconnected(reader)
        logger.info("n", extra={"event": "a"})
        site.start()

        reader.counts(3)

    def test_a_gap_is_said(self, site, reader):
        """Where events were deleted before they were read, the list says so in their place, and the bar."""
        logger = site.logger(maxBytes=2000, backupCount=1)
        logger.info("seen", extra={"number": 0})
        reader.open()
        reader.counts(1)
        site.stop()
        for number in range(1, 200):
            logger.info("n", extra={"number": number})
        site.start()
        expect(reader.page.locator("#gaps")).to_be_visible()

        row = reader.page.locator("#space .is-gap:not([hidden])")
        expect(row).to_contain_text("Events are missing here: ")
        reader.is_live()
        seen = numbers(reader)
        assert seen[0] == 0
        assert seen[1:] == list(range(seen[1], 200))

    def test_the_browsers_own_event_source(self, site, reader):
        """`EventSource` gets each event once though the server is killed twice."""
        logger = site.logger()
        logger.info("n", extra={"number": 0})
        reader.open()
        reader.page.evaluate(COLLECT)
        for life in range(2):
            until(lambda most=life * 20 + 1: reader.page.evaluate("got.length") == most)
            site.stop()
            for number in range(20):
                logger.info("n", extra={"number": life * 20 + number + 1})
            site.start()

        until(lambda: reader.page.evaluate("got.length") >= 41)
        assert reader.page.evaluate("got") == list(range(41))

"""The page shows whether it is connected, reconnects by itself, and misses nothing."""

from __future__ import annotations

import re
import signal

import pytest
from playwright.sync_api import expect

from tests.browser.reader import numbers, until
from tests.browser.site import Application, Site

COLLECT = """(run) => {
  window.got = [];
  const source = new EventSource(`api/v1/orchestrator/events/stream?run_id=${run}`);
  source.onmessage = (message) => got.push(JSON.parse(message.data).number);
}"""
ONE_STREAM = """
from chora_logging.web import Limits, create_app
app = create_app({"orchestrator": path}, limits=Limits(streams=1))
"""


@pytest.fixture
def site(tmp_path):
    """A server that each test here stops and starts again."""
    site = Site(tmp_path)
    site.start()
    yield site
    site.close()


def disconnected(reader, why=""):
    """Wait until the page shows that it is not connected."""
    reader.says("#status-words", re.compile(f"^Disconnected: {why}"))


def come_back(site, reader):
    """Start the server again, and let the page retry without waiting."""
    disconnected(reader)
    site.start()
    reader.page.clock.fast_forward(20_000)


class TestConnection:
    def test_a_server_that_was_away(self, site, logger, reader, run):
        """The page shows that the server is away; when it is back, events written meanwhile appear once.

        The same holds for the browser's own `EventSource`, whether the server was killed or stopped.
        """
        logger.info("n", extra={"number": 0})
        reader.open(f"?run_id={run}")
        reader.page.evaluate(COLLECT, run)
        for life, how in enumerate((signal.SIGKILL, signal.SIGTERM)):
            until(lambda most=life * 30 + 1: reader.page.evaluate("got.length") == most)
            site.stop(how)
            disconnected(reader)
            reader.says("#status-countdown", re.compile(r"again in \d+ s|trying again"))
            for number in range(1, 31):
                logger.info("n", extra={"number": life * 30 + number})
            site.start()
            reader.is_live()

        reader.counts(61)
        assert numbers(reader) == list(range(61))
        until(lambda: reader.page.evaluate("got.length") >= 61)
        assert reader.page.evaluate("got") == list(range(61))

    @pytest.mark.whole
    def test_trying_at_once(self, site, reader):
        """A button starts the next attempt without waiting."""
        reader.open()
        site.stop()
        disconnected(reader)
        site.start()
        reader.page.locator("#retry").click()

        reader.is_live()

    @pytest.mark.whole
    def test_what_happens_while_it_is_paused(self, site, logger, reader, run):
        """A restart of the server while the list is paused loses no waiting event."""
        for number in range(3):
            logger.info("n", extra={"number": number})
        reader.page.clock.install()
        reader.open(f"?run_id={run}")
        reader.counts(3)
        reader.page.keyboard.press("Space")
        site.stop()
        logger.info("n", extra={"number": 3})
        come_back(site, reader)
        reader.says("#waiting", "↓ 1 new event")
        reader.page.keyboard.press("Space")

        reader.counts(4)

    @pytest.mark.whole
    def test_another_filter_while_the_server_is_away(self, site, logger, reader, run):
        """A filter that is set while the server is away is applied when it is back."""
        for event in ("a", "b", "a"):
            logger.info("n", extra={"event": event})
        reader.page.clock.install()
        reader.open(f"?run_id={run}")
        site.stop()
        disconnected(reader)
        reader.asks("event=a")
        disconnected(reader)
        logger.info("n", extra={"event": "a"})
        come_back(site, reader)

        reader.counts(3)

    def test_who_never_connected_is_not_told_that_there_are_no_events(self, site, logger, reader, run):
        """The page does not say that a log is empty before the server has answered."""
        logger.info("stored")
        reader.page.route("**/events?*", lambda route: route.abort())
        reader.page.goto(f"{site.url}?log=orchestrator&run_id={run}")
        disconnected(reader)
        expect(reader.page.locator("#empty")).to_be_hidden()
        reader.page.unroute_all()
        reader.page.locator("#retry").click()

        reader.counts(1)

    def test_a_gap_is_said(self, site, reader):
        """Events deleted before they were read are reported in their place in the list, and in the bar."""
        logger = site.logger("telemetry", maxBytes=2000, backupCount=1)
        logger.info("seen", extra={"number": 0})
        reader.page.clock.install()
        reader.open("?log=telemetry")
        reader.counts(1)
        site.stop()
        for number in range(1, 200):
            logger.info("n", extra={"number": number})
        come_back(site, reader)
        expect(reader.page.locator("#gaps")).to_be_visible()

        row = reader.page.locator("#space .is-gap:not([hidden])")
        expect(row).to_contain_text("Events are missing here: ")
        reader.is_live()
        seen = numbers(reader)
        assert seen[0] == 0
        assert seen[1:] == list(range(seen[1], 200))

    @pytest.mark.whole
    def test_a_server_that_falls_silent(self, site, logger, reader, run):
        """A connection without any data for 45 seconds, not even a heartbeat, counts as dead."""
        reader.page.clock.install()
        reader.open(f"?run_id={run}")
        logger.info("before")
        reader.counts(1)
        site.send(signal.SIGSTOP)
        logger.info("meanwhile")
        reader.page.clock.fast_forward(40_000)
        reader.says("#status-words", "Live")
        reader.page.clock.fast_forward(6_000)
        disconnected(reader, "The server stopped sending$")
        site.send(signal.SIGCONT)

        reader.is_live()
        reader.counts(2)

    def test_a_server_that_has_enough_to_do(self, tmp_path, open_page):
        """A server that refuses with Retry-After is asked again then, and not before."""
        site = Application(tmp_path, ONE_STREAM)
        site.start()
        first, second = open_page(site).open(), open_page(site)
        second.page.clock.install()
        asked = []
        second.page.on("request", lambda request: asked.append("/stream?" in request.url))
        second.page.goto(site.url)
        disconnected(second, "The server says: .* the most allowed; try again$")
        second.says("#status-countdown", re.compile("again in [345] s"))  # else 1.25 s at most
        first.page.goto("about:blank")
        until(lambda: '"clients":0' in second.page.request.get(f"{site.url}healthz").text())
        assert sum(asked) == 1
        second.page.clock.fast_forward(5_000)

        second.is_live()
        site.close()

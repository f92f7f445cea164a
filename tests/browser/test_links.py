"""Links to events, the events around one, and what leaves the page: copies and downloads."""

from __future__ import annotations

import json
import pathlib
import urllib.request

import pytest
from playwright.sync_api import expect

from tests.browser.reader import until
from tests.browser.site import Site


@pytest.fixture
def site(tmp_path):
    """A server on a log that rotates, with sixty events."""
    site = Site(tmp_path)
    logger = site.logger(maxBytes=20_000, backupCount=4)
    for number in range(60):
        logger.info("x" * 50, extra={"number": number, "event": "even" if number % 2 == 0 else "odd"})
    site.rotating = logger
    site.start()
    yield site
    site.close()


@pytest.fixture
def reader(site, open_page):
    """A reader whose browser lets the page copy."""
    reader = open_page(site, permissions=["clipboard-read", "clipboard-write"]).open()
    reader.counts(60)
    return reader


def copied(reader):
    """Return what was copied."""
    return reader.page.evaluate("navigator.clipboard.readText()")


def shown(reader, number):
    """Wait until the event with a number is open."""
    expect(reader.page.locator("#json")).to_contain_text(f'"number": {number}')


class TestLinks:
    def test_a_link_survives(self, site, reader, open_page):
        """A link opens its event in its context, without filters, after a reload and after rotations."""
        reader.asks("event=even")
        reader.counts(30)
        reader.page.locator("#space .row", has_text="number=40 ").click()
        shown(reader, 40)
        reader.page.reload()
        shown(reader, 40)
        expect(reader.page.locator("#space .row[aria-selected=true]")).to_contain_text("number=40")
        reader.page.keyboard.press("l")
        reader.says("#copied", "Link copied")
        link = copied(reader)
        for number in range(60, 200):
            site.rotating.info("x" * 50, extra={"number": number, "event": "even"})
        other = open_page(site)
        other.page.goto(link)
        other.says("#status-words", "Not live: around one event")
        shown(other, 40)
        expect(other.page.locator("#space .row[aria-selected=true]")).to_contain_text("number=40")
        other.says("#count", "41 events")
        other.page.locator("#context-more").click()
        other.says("#count", "141 events")
        other.page.locator("#context-back").click()
        other.counts(200)
        shown(other, 40)
        for backup in site.folder.glob("orchestrator.jsonl.*"):
            backup.unlink()
        other.page.goto(link)
        expect(other.page.locator("#status-words")).to_contain_text("there is no event at this cursor")

    def test_a_key_shows_the_context(self, reader):
        """A key shows what is around an event; Escape leads back to the filtered list, with it still open."""
        reader.asks("event=even")
        reader.counts(30)
        until(lambda: "number=58" in "".join(reader.rows()) and "number=59" not in "".join(reader.rows()))
        for key in ("Escape", "k", "k", "k", "x"):
            reader.page.keyboard.press(key)
        reader.says("#status-words", "Not live: around one event")
        until(lambda: "number=55" in "".join(reader.rows()))
        for key in ("Escape", "Escape"):
            reader.page.keyboard.press(key)

        reader.counts(30)
        until(lambda: "number=55" not in "".join(reader.rows()))

    def test_a_command(self, site, reader):
        """The copied command reads the event again."""
        reader.page.locator("#space .row", has_text="number=50 ").click()
        reader.page.locator("#copy-curl").click()
        reader.says("#copied", "Copied as a command")
        program, option, address = copied(reader).split(" ")

        assert (program, option) == ("curl", "-s")
        with urllib.request.urlopen(address.strip("'")) as answer:
            assert json.load(answer)["event"]["event"]["number"] == 50

    def test_downloads(self, site, reader):
        """What the filters select is saved as it is stored, or as CSV that no spreadsheet runs."""
        hostile = {
            "event": "h",
            "message": "\uff1dcmd()",
            "a": "\u0001=1",
            "b": 'x,"y"',
            "n": -5,
            "__proto__": "p",
        }
        site.raw(json.dumps(hostile))
        reader.counts(61)
        reader.asks("event~=^(h|odd)")
        reader.counts(31)
        reader.page.locator("#download-open").click()
        saved = []
        for format in ("jsonl", "csv"):
            with reader.page.expect_download() as download:
                reader.page.locator(f"#download-{format}").click()
            saved.append(pathlib.Path(download.value.path()).read_bytes().decode())
            assert download.value.suggested_filename == f"orchestrator.{format}"
        expect(reader.page.locator("#download-says")).to_have_text("Saved 31 events: all that match")

        lines = site.path("orchestrator").read_text().splitlines()
        assert [line for line in lines if '"even"' not in line] == saved[0].splitlines()
        assert saved[1].splitlines()[0] == "timestamp,level,logger,event,message,number,a,b,n,__proto__"
        assert saved[1].splitlines()[-1] == ',,,h,\'\uff1dcmd(),,\'\u0001=1,"x,""y""",-5,p'


@pytest.mark.parametrize("trace_id", [".", ".."])
def test_a_trace_that_is_a_path(site, reader, trace_id):
    """An id that browsers take out of a path opens like any other."""
    site.raw(json.dumps({"timestamp": "2025-10-17T12:00:00Z", "trace_id": trace_id, "event": "dotted"}))
    reader.counts(61)
    reader.page.locator("#space .trace-link", has_text=trace_id).click()

    reader.says("#timeline-summary", "1 event · 1 log · 0 ms · 0 errors")

"""What the server could not read is said where its events would be: not denied, not drawn as nothing."""

from __future__ import annotations

import gzip
import json
import re

import pytest
from playwright.sync_api import expect

from tests.browser.site import Site

#: The most opaque pixel above the base line, at a part of the width of the chart.
INK = """(part) => {
  const chart = document.getElementById("chart");
  const x = Math.floor(part * chart.width) - 8;
  const { data } = chart.getContext("2d").getImageData(x, 0, 16, Math.floor(chart.height * 0.8));
  return Math.max(...data.filter((_, index) => index % 4 === 3));
}"""
MISSING = "events are missing: a compressed file is damaged"


def line(second, **fields):
    """One line of a log, so many seconds after noon."""
    stamp = f"2025-10-17T12:{second // 60:02}:{second % 60:02}.000000Z"
    return json.dumps({"timestamp": stamp, "level": "INFO", **fields})


@pytest.fixture
def site(tmp_path):
    """A server on two empty logs."""
    site = Site(tmp_path)
    site.start()
    yield site
    site.close()


@pytest.fixture
def damaged(site):
    """The same with a backup that can be unpacked in part, and one event an hour after its last."""
    lines = "".join(line(second, trace_id="t", n=hash(str(second))) + "\n" for second in range(600))
    packed = gzip.compress(lines.encode())
    backup = site.path("orchestrator").with_name("orchestrator.jsonl.1.gz")
    backup.write_bytes(packed[: len(packed) // 2])
    site.raw(line(3599, trace_id="t"))
    return site


class TestDamagedBackup:
    def test_the_chart(self, damaged, open_page):
        """The time of missing events is hatched, and the number is the least that there were."""
        reader = open_page(damaged).open()

        expect(reader.page.locator("#chart-notes")).to_contain_text(MISSING)
        expect(reader.page.locator("#chart-notes")).to_contain_text("what is hatched is not known")
        expect(reader.page.locator("#count")).to_have_text(re.compile(r"^at least \d+ events$"))
        reader.page.wait_for_function(f"({INK})(0.5) > 0")
        expect(reader.page.locator("#unreadable")).to_have_text("1 line that is no event")

    def test_a_timeline(self, damaged, open_page):
        """A trace may have more steps, and one that is not found may have been there."""
        reader = open_page(damaged).open("?timeline=t")
        summary = reader.page.locator("#timeline-summary")
        expect(summary).to_contain_text(MISSING)

        reader.open("?timeline=u")
        expect(summary).to_contain_text(f"No event of this trace was read · {MISSING}")

    def test_a_download(self, damaged, open_page):
        """It is not said to have all."""
        reader = open_page(damaged).open()
        reader.page.locator("#download-open").click()
        reader.page.locator("#download-jsonl").click()

        expect(reader.page.locator("#download-says")).to_contain_text(f"; {MISSING}")


def test_a_gap_while_following(site, open_page):
    """What rotation deleted before it was read is hatched too, and counted as unknown."""
    logger = site.logger(maxBytes=2000, backupCount=1)
    logger.info("seen")
    reader = open_page(site)
    reader.page.clock.install()
    reader.open()
    reader.counts(1)
    site.stop()
    for number in range(200):
        logger.info("n", extra={"number": number})
    site.start()
    reader.page.clock.run_for(30_000)
    reader.is_live()

    expect(reader.page.locator("#count")).to_have_text(re.compile(r"^at least \d+ events$"))
    expect(reader.page.locator("#chart-notes")).to_contain_text("events are missing: ")


def test_a_last_line_without_its_end(site, open_page):
    """It is said until the line has its end: then it is there, or is counted as no event."""
    log = site.path("orchestrator")
    with log.open("a") as file:
        file.write('{"n"')
    reader = open_page(site).open()
    notice = reader.page.locator("#unreadable")

    expect(notice).to_have_text("4 bytes at the end that were no whole line when read")
    reader.says("#empty-why", re.compile("no event that could be read"))
    with log.open("a") as file:
        file.write(":1}\n")
    reader.counts(1)
    expect(notice).to_be_hidden()

    with log.open("a") as file:
        file.write("no event")
    reader.page.reload()
    expect(notice).to_have_text("8 bytes at the end that were no whole line when read")
    site.raw("")
    expect(notice).to_have_text("1 line that is no event")

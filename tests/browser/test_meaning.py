"""Lines of other loggers on the page: the same table as in Python, and fields with names of one's own."""

from __future__ import annotations

import json

import pytest
from playwright.sync_api import expect

from chora_logging.eventlog.meaning import NAMES
from chora_logging.eventlog.severities import SEVERITIES
from tests.browser.site import Site

LINES = (
    {"asctime": "2026-01-02 03:04:05,678", "levelname": "WARNING", "msg": "slow", "traceId": "t-1"},
    {"when": "2026-01-02T03:04:05Z", "sev": "err", "what": "order_refused", "exc_info": "no room"},
    {"number": 3, "message": "nothing else", "request_id": "t-2"},
)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A server that was told which fields mean something."""
    site = Site(tmp_path_factory.mktemp("site"), fields=["time=when", "level=sev", "event=what"])
    for line in LINES:
        site.raw(json.dumps(line))
    site.start()
    yield site
    site.close()


def rows(reader):
    """The level, name and content of each row, and the id of its trace."""
    texts = reader.page.locator("#space .row:not(.note):not([hidden])")
    return [
        [row.locator(f".{part}").inner_text().strip() for part in ("level", "name", "content", "trace")]
        for row in texts.all()
    ]


def test_the_table_is_that_of_python(site, open_page):
    """The page has no table of its own."""
    page = open_page(site).open().page
    table = page.evaluate("import('./viewer/table.js').then(({ TABLE }) => TABLE)")

    assert table["names"] == {meaning: list(names) for meaning, names in NAMES.items()}
    assert table["severities"] == SEVERITIES


def test_fields_have_their_columns(site, open_page):
    """Levels, names, messages and traces are in their columns; an absent level is blank."""
    reader = open_page(site).open()
    reader.counts(3)

    assert rows(reader) == [
        ["WARNING", "", "slow", "t-1"],
        ["ERROR", "order_refused", "exc_info=no room", ""],
        ["", "", "nothing else number=3", "t-2"],
    ]
    expect(reader.page.locator("#errors")).to_have_text("1 error")
    expect(reader.page.locator("#unreadable")).to_be_hidden()


def test_a_traceback_under_another_name(site, open_page):
    """The detail shows the exception, the level and the time of such a line."""
    reader = open_page(site).open()
    reader.counts(3)
    reader.page.locator("#space .row.is-error").click()
    reader.page.keyboard.press("Enter")

    expect(reader.page.locator("#detail-title")).to_have_text("order_refused")
    expect(reader.page.locator("#detail-facts")).to_contain_text("ERROR · 2026-01-02")
    expect(reader.page.locator("#detail-tracebacks pre")).to_have_text("no room")


def test_events_without_a_time_are_said_in_a_timeline(site, open_page):
    """A trace whose events have no time that can be read is not denied."""
    reader = open_page(site).open("?timeline=t-2")

    expect(reader.page.locator("#timeline-summary")).to_have_text(
        "1 event · 1 log · 0 errors · 1 event without a time that can be read"
    )
    expect(reader.page.locator("#timeline-rows .is-timeless .name")).to_have_text("nothing else")


def test_what_a_filter_cannot_judge_is_said(site, open_page):
    """A notice counts the events without a level that the filter passed over."""
    reader = open_page(site).open("?level=DEBUG")

    reader.counts(2)
    expect(reader.page.locator("#unreadable")).to_have_text("1 event without a level that can be read")

    reader.page.locator("#level").select_option("")
    reader.counts(3)
    expect(reader.page.locator("#unreadable")).to_be_hidden()


def test_lines_that_are_no_events_are_said(site, open_page):
    """A notice counts them: those that are there, and those that come while the page follows."""
    site.raw("Traceback (most recent call last):")
    reader = open_page(site).open()

    reader.counts(3)
    expect(reader.page.locator("#unreadable")).to_have_text("1 line that is no event")

    site.raw("ValueError: no")
    site.raw('{"level": "INFO", "event": "later"}')
    reader.counts(4)
    expect(reader.page.locator("#unreadable")).to_have_text("2 lines that are no events")

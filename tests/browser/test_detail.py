"""One event in full: formatted, copied, and with buttons to related events."""

from __future__ import annotations

import json

import pytest
from playwright.sync_api import expect

from tests.browser.site import Site

BIG = 9007199254740993


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A server on two events, one of them with all kinds of fields."""
    site = Site(tmp_path_factory.mktemp("site"))
    logger = site.logger()
    logger.info("before", extra={"event": "other"})
    try:
        raise LookupError("upstream")
    except LookupError:
        logger.exception(
            "Job failed",
            extra={
                "event": "job_failed",
                "task_id": "task-7",
                "trace_id": "trace-7",
                "big": BIG,
                "exact": [1e400, {"deep": -0.0, "list": []}],
            },
        )
    site.start()
    yield site
    site.close()


@pytest.fixture
def opened(site, open_page):
    """A reader who has opened that event."""
    reader = open_page(site, permissions=["clipboard-read", "clipboard-write"]).open()
    reader.page.locator("#space .row", has_text="Job failed").click()
    expect(reader.page.locator("#detail")).to_be_visible()
    return reader


def line(site):
    """The line of that event."""
    return next(line for line in site.path("orchestrator").read_text().splitlines() if "job_failed" in line)


class TestDetail:
    def test_the_whole_event_is_shown(self, site, opened):
        """Every field is there, numbers with all their digits, and the traceback as it was printed."""
        shown = opened.page.locator("#json").inner_text()

        assert json.loads(shown) == json.loads(line(site))
        assert f'"big": {BIG}' in shown
        assert [row for row in opened.rows() if f"big={BIG}" in row]
        assert (
            opened.page.locator(".traceback")
            .inner_text()
            .startswith("Traceback (most recent call last):\n  File")
        )

    def test_copy_gives_the_json(self, site, opened):
        """The copy is the whole event as indented JSON."""
        opened.page.keyboard.press("c")
        opened.says("#copied", "Copied")
        copied = opened.page.evaluate("navigator.clipboard.readText()")

        assert json.loads(copied) == json.loads(line(site))
        assert copied.startswith('{\n  "timestamp": ')

    def test_its_fields_narrow_the_list(self, opened):
        """Buttons show only the events of the same kind, task, run or trace."""
        opened.page.get_by_role("button", name="Only this task").click()

        opened.counts(1)
        expect(opened.page.locator(".chip")).to_have_text("task = task-7✕")


class TestDetailOfALiveLog:
    def test_it_stays_while_the_list_grows(self, site, opened):
        """Choosing an event pauses the list, and later events leave it where it is."""
        before = opened.rows()
        site.logger().info("later")
        opened.says("#waiting", "↓ 1 new event")

        assert opened.rows() == before
        opened.says("#detail-title", "job_failed")

    def test_a_huge_event_is_cut_on_the_screen_and_whole_in_the_copy(self, site, opened):
        """A string of a megabyte is shown in part, with the length of the rest, and copied in full."""
        opened.page.keyboard.press("Escape")
        opened.page.keyboard.press("Escape")
        site.raw(json.dumps({"event": "huge", "text": "x" * 1_000_000, "list": list(range(200_000))}))
        opened.page.locator("#space .row", has_text="huge").click()

        opened.says("#detail-title", "huge")
        expect(opened.page.locator("#json")).to_contain_text("more characters")
        assert opened.page.evaluate("document.getElementById('json').textContent.length") < 200_000
        assert opened.page.evaluate("document.querySelectorAll('#json *').length") < 50_000
        opened.page.keyboard.press("c")
        opened.says("#copied", "Copied")
        copied = json.loads(opened.page.evaluate("navigator.clipboard.readText()"))
        assert (len(copied["text"]), len(copied["list"])) == (1_000_000, 200_000)

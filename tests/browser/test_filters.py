"""Filters narrow the list and are in the address of the page."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.site import Site

#: A field, its filter, and the number of the ten events that match.
NARROWED = [
    ("event", "step", 6),
    ("task_id", "task-1", 4),
    ("run_id", "run-1", 6),
    ("trace_id", "trace-3", 1),
    ("trace_id", "nothing", 0),
]
#: A text and the number of the ten events that contain it.
FOUND = [("connection", 3), ("WORKING ON 4", 1), ('"quoted"', 1), ("CAFÉ", 1), ("a.*b", 0)]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A server on ten events of several kinds, and on one in the other log."""
    site = Site(tmp_path_factory.mktemp("site"))
    logger = site.logger()
    for number in range(6):
        ids = {"task_id": f"task-{number % 2}", "run_id": "run-1", "trace_id": f"trace-{number}"}
        logger.info("Working on %d", number, extra={"event": "step", **ids})
    for number in range(3):
        logger.error("Lost the connection", extra={"event": "step_failed", "task_id": f"task-{number}"})
    logger.info('A "quoted" café')
    site.logger("telemetry").info("typed", extra={"event": "content_generated"})
    site.start()
    yield site
    site.close()


@pytest.fixture
def mixed(reader):
    """A reader of the ten events."""
    reader.open()
    reader.counts(10)
    return reader


def fill(reader, name, value):
    """Type into a filter and press Enter."""
    field = reader.page.locator(f"#filters [name={name}]")
    field.fill(value)
    field.press("Enter")


def address(reader):
    """The query of the page's address."""
    return reader.page.evaluate("location.search")


class TestFilters:
    def test_a_field_narrows_the_list(self, mixed):
        """A filter by a field shows the events that match, and is in the address."""
        for name, value, number in NARROWED:
            fill(mixed, name, value)
            mixed.counts(number)
            assert f"{name}={value}" in address(mixed)
            fill(mixed, name, "")
            mixed.counts(10)

    def test_a_level_is_the_least_one(self, mixed):
        """A filter by level shows that level and those above it."""
        mixed.page.locator("[name=level]").select_option("WARNING")

        mixed.counts(3)
        assert "level=WARNING" in address(mixed)

    def test_another_log(self, mixed):
        """The log is chosen like a filter."""
        mixed.page.locator("[name=log]").select_option("telemetry")

        mixed.counts(1)
        assert "log=telemetry" in address(mixed)

    def test_text_is_looked_for_in_what_is_loaded(self, mixed):
        """Text is found in any case, as displayed and not as JSON escapes it; it is not a pattern."""
        for text, number in FOUND:
            mixed.page.keyboard.press("/")
            mixed.page.keyboard.type(text)
            mixed.says("#count", f"{number} of 10 loaded events")
            expect(mixed.page.locator("#space .row:not(.note):not([hidden])")).to_have_count(number)
            mixed.page.keyboard.press("Escape")

    def test_filters_survive_a_reload_and_a_link(self, site, mixed, open_page):
        """The address alone gives the same view, in this page and in a new one."""
        fill(mixed, "event", "step")
        fill(mixed, "task_id", "task-1")
        mixed.counts(3)
        mixed.page.reload()
        mixed.counts(3)
        other = open_page(site).open(address(mixed))

        other.counts(3)
        expect(other.page.locator("[name=event]")).to_have_value("step")
        expect(other.page.locator("[name=task_id]")).to_have_value("task-1")

    def test_back_and_forward(self, mixed):
        """Each change of a filter is a step for the back button."""
        fill(mixed, "event", "step")
        mixed.counts(6)
        fill(mixed, "task_id", "task-1")
        mixed.counts(3)
        mixed.page.go_back()
        mixed.counts(6)
        expect(mixed.page.locator("[name=task_id]")).to_have_value("")
        mixed.page.go_back()
        mixed.counts(10)
        mixed.page.go_forward()

        mixed.counts(6)
        expect(mixed.page.locator("[name=event]")).to_have_value("step")

    def test_clear(self, mixed):
        """One button clears all filters and keeps the log."""
        fill(mixed, "event", "nothing")
        mixed.says("#empty-why", "No event matches. New matches appear here.")
        mixed.page.locator("#empty-clear").click()

        mixed.counts(10)
        assert address(mixed) == "?log=orchestrator"

    def test_a_filter_that_the_server_refuses_is_told(self, mixed):
        """The page shows the server's reason for refusing a filter, and not that there are no events."""
        mixed.page.goto(mixed.url + "?log=nothere")
        for place in ("#status-words", "#empty-why"):
            expect(mixed.page.locator(place)).to_contain_text("Refused: there is no log of that name")
        expect(mixed.page.locator("#empty-clear")).to_be_hidden()

        mixed.page.goto(mixed.url + "?log=orchestrator&level=LOUD")
        expect(mixed.page.locator("#empty-why")).to_contain_text("Refused: level must be")
        mixed.page.locator("#empty-clear").click()
        mixed.is_live()

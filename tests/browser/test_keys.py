"""Everything can be done without a mouse."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.site import Site


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A server on 30 events with one trace each."""
    site = Site(tmp_path_factory.mktemp("site"))
    logger = site.logger()
    for number in range(30):
        logger.info("n", extra={"event": f"event-{number}", "trace_id": f"trace-{number}"})
    site.start()
    yield site
    site.close()


@pytest.fixture
def walker(reader):
    """A reader of the 30 events."""
    reader.open()
    reader.counts(30)
    return reader


def press(reader, *keys):
    """Press keys one after the other."""
    for key in keys:
        reader.page.keyboard.press(key)


def selects(reader, text):
    """Wait until the selected row has a text."""
    expect(reader.page.locator("#space .row[aria-selected=true]")).to_contain_text(text)


class TestKeys:
    def test_a_walk_through_the_list(self, walker):
        """Keys select events, open one, change it for the next, close it, and make the list live again."""
        press(walker, "k", "k", "k", "j")
        selects(walker, "event-28")
        assert walker.focused() == "list"
        press(walker, "Enter")
        walker.says("#detail-title", "event-28")
        press(walker, "ArrowUp")
        walker.says("#detail-title", "event-27")
        press(walker, "Home")
        walker.says("#detail-title", "event-0")
        press(walker, "Escape")
        expect(walker.page.locator("#detail")).to_be_hidden()
        press(walker, "Escape")

        expect(walker.page.locator("#pause")).to_have_attribute("aria-pressed", "false")
        expect(walker.page.locator("#space .row[aria-selected=true]")).to_have_count(0)

    def test_assistive_tools_follow_the_selection(self, walker):
        """The grid names the selected row, how many rows there are, and which one each is."""
        press(walker, "k")
        row = walker.page.locator("#space .row[aria-selected=true]")

        expect(walker.page.locator("#list")).to_have_attribute(
            "aria-activedescendant", row.get_attribute("id")
        )
        expect(walker.page.locator("#list")).to_have_attribute("aria-rowcount", "32")
        expect(row).to_have_attribute("aria-rowindex", "32")

    def test_text_and_back(self, walker):
        """A slash moves to the text field, where keys are no shortcuts; Escape moves back to the list."""
        press(walker, "/")
        walker.page.keyboard.type("event-7 ?jk")
        expect(walker.page.locator("#ask")).to_have_value("event-7 ?jk")
        expect(walker.page.locator("#help")).to_be_hidden()
        press(walker, "Escape")

        assert walker.focused() == "list"

    def test_every_control_is_reached_by_tab(self, walker):
        """Tab goes through the controls in their visual order, and round again."""
        walker.page.evaluate("document.activeElement.blur()")
        seen = []
        for _ in range(14):
            press(walker, "Tab")
            seen.append(walker.page.evaluate("document.activeElement.id || document.activeElement.name"))

        order = [
            *("pause", "zone", "download-open", "help-open", "log", "level", "range", "ask", "chart"),
            "list",
        ]
        assert [name for name in seen if name in order][: len(order)] == order

    def test_a_button_is_pressed_and_not_passed_over(self, walker):
        """The space bar on a button presses it once, and does not also pause the list."""
        walker.page.locator("#help-open").focus()
        press(walker, "Space")

        expect(walker.page.locator("#help")).to_be_visible()
        expect(walker.page.locator("#pause")).to_have_attribute("aria-pressed", "false")

    def test_the_focus_comes_back(self, walker):
        """Closing the pane from inside moves the focus to the list."""
        press(walker, "k", "Enter")
        walker.page.locator("#detail-close").focus()
        press(walker, "Enter")

        expect(walker.page.locator("#detail")).to_be_hidden()
        assert walker.focused() == "list"

    def test_the_timeline_of_the_selected_event(self, walker):
        """A key opens the timeline of the selected event's trace."""
        press(walker, "k", "k", "t")

        walker.says("#timeline-id", "trace-28")

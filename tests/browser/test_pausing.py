"""The list stays still while it is paused, and shows how many events wait."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.reader import until

GROW = "document.getElementById('bar').style.height = '120px'"
SHRINK_AND_GROW = """() => {
  for (const height of ["44px", "120px"]) {
    document.getElementById("bar").style.height = height;
    document.getElementById("list").scrollTop;
  }
}"""
#: The height of all rows together.
HIGH = "document.getElementById('space').style.height"
MIDDLE = """() => {
  const { left, right, top, bottom } = document.getElementById("list").getBoundingClientRect();
  const row = document.elementFromPoint((left + right) / 2, (top + bottom) / 2).closest(".row");
  return row.ariaRowIndex;
}"""
TOP = "document.getElementById('list').scrollTop"
#: A turn of the wheel, before its effect, and a scroll event that a draw caused.
WHEEL_AND_ECHO = """() => {
  const list = document.getElementById("list");
  list.dispatchEvent(new WheelEvent("wheel", { deltaY: -40 }));
  list.dispatchEvent(new Event("scroll"));
}"""


@pytest.fixture
def full(logger, reader, run):
    """A reader of a list that is longer than the screen."""
    for number in range(100):
        logger.info("n %d", number)
    reader.open(f"?run_id={run}")
    reader.counts(100)
    return reader


def middle_row(reader):
    """The number of the row in the middle of the list."""
    return int(reader.page.evaluate(MIDDLE))


class TestPausing:
    def test_scrolling_up_pauses(self, logger, full):
        """Scrolling up pauses the list; scrolling down again makes it live."""
        full.page.locator("#list").hover()
        full.page.mouse.wheel(0, -300)
        expect(full.page.locator("#pause")).to_have_attribute("aria-pressed", "true")
        before = full.rows()
        for _ in range(7):
            logger.info("later")
        full.says("#waiting", "↓ 7 new events")
        assert full.rows() == before
        full.page.mouse.wheel(0, 3000)

        expect(full.page.locator("#pause")).to_have_attribute("aria-pressed", "false")
        until(lambda: "later" in full.rows()[-1])

    def test_scrolling_up_pauses_while_events_stream_in(self, logger, full):
        """New rows with every frame do not scroll down a reader who scrolls up."""
        full.page.locator("#list").hover()
        for number in range(60):
            logger.info("n %d", number)
            if number == 30:
                full.page.mouse.wheel(0, -40)

        expect(full.page.locator("#waiting")).to_contain_text("new event")
        expect(full.page.locator("#pause")).to_have_attribute("aria-pressed", "true")
        full.counts(160)

    def test_a_drawing_does_not_undo_scrolling_up(self, full):
        """A scroll caused by a draw is not taken for a reader who is back at the end."""
        full.page.evaluate(WHEEL_AND_ECHO)
        full.page.keyboard.press("?")
        expect(full.page.locator("#help")).to_be_visible()

        expect(full.page.locator("#pause")).to_have_attribute("aria-pressed", "true")

    def test_a_key_pauses_and_resumes(self, logger, full):
        """The space bar pauses; the button shows how many events wait, and resumes."""
        full.page.keyboard.press("Space")
        logger.info("later")
        full.says("#waiting", "↓ 1 new event")
        assert "later" not in full.rows()[-1]
        full.page.locator("#waiting").click()

        expect(full.page.locator("#waiting")).to_be_hidden()
        until(lambda: "later" in full.rows()[-1])

    def test_another_size_of_the_window_does_not_pause(self, logger, full):
        """A list that is resized stays at its end and live."""
        for height in (500, 900, 640, 800):
            full.page.set_viewport_size({"width": 1280, "height": height})
            logger.info("sized %d", height)

        full.counts(104)
        expect(full.page.locator("#pause")).to_have_attribute("aria-pressed", "false")
        until(lambda: "sized" in full.rows()[-1])

    @pytest.mark.whole
    def test_another_width_keeps_the_place(self, full):
        """Turning a phone shows the same events: the rows change their height, the position stays."""
        full.page.keyboard.press("Space")
        full.page.locator("#list").hover()
        end = full.page.evaluate(TOP)
        full.page.mouse.wheel(0, -1000)
        until(lambda: abs(full.page.evaluate(TOP) - end + 1000) < 1)  # scrolled all the way
        until(lambda: not any("n 99" in row for row in full.rows()))
        middle = middle_row(full)
        for width, height in ((360, 740), (740, 360), (360, 740)):
            before = full.page.evaluate(HIGH)
            full.page.set_viewport_size({"width": width, "height": height})
            until(lambda before=before: full.page.evaluate(HIGH) != before)
            until(lambda: abs(middle_row(full) - middle) <= 2)

    def test_what_changes_above_the_list_does_not_pause(self, logger, full):
        """A bar that grows and shrinks between two draws moves the list without pausing it."""
        full.page.evaluate(GROW)
        logger.info("sooner")
        until(lambda: "sooner" in full.rows()[-1])
        full.page.evaluate(SHRINK_AND_GROW)
        logger.info("later")

        full.counts(102)
        expect(full.page.locator("#pause")).to_have_attribute("aria-pressed", "false")
        until(lambda: "later" in full.rows()[-1])

    def test_the_scroll_bar_pauses(self, full):
        """Dragging the scroll bar up pauses the list."""
        box = full.page.locator("#list").bounding_box()
        full.page.mouse.move(box["x"] + box["width"] - 5, box["y"] + box["height"] - 20)
        full.page.mouse.down()
        full.page.mouse.move(box["x"] + box["width"] - 5, box["y"] + box["height"] - 60, steps=4)

        expect(full.page.locator("#pause")).to_have_attribute("aria-pressed", "true")
        full.page.mouse.up()

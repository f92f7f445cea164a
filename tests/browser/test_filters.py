"""Filters select events on the server, in the whole log, and are in the address of the page."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.browser.reader import until
from tests.browser.site import Site

#: What is typed, the parameter in the address, and the number of the ten events that match.
ASKED = [
    ("event=step", "where=event%3Dstep", 6),
    ("number>=4", "where=number%3E%3D4", 2),
    ("not task_id=task-1", "where=not+task_id%3Dtask-1", 6),
    ("connection", "text=connection", 3),
    ('"event=step"', "text=event%3Dstep", 0),
    ('"quoted"', "text=quoted", 1),
    ("CAFÉ", "text=CAF%C3%89", 1),
    ("a.*b", "text=a.*b", 0),
]
#: Parameters of the API in an address, what the page says of each, and the number of events that match.
ADDRESSES = [
    ("event=step&task_id=task-1", ["event = step✕", "task = task-1✕"], 3),
    ("status=ok", ["status = ok✕"], 1),
    ("since=2025-10-17T12:00:02Z&until=2025-10-17T12:00:05Z", [], 3),
    ("where=number%3C2&where=not+number%3D0", ["number<2✕", "not number=0✕"], 1),
    ("colour=red", ["colour=red is not a filter, and not applied✕"], 10),
]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A server on ten events of several kinds, and on one in the other log."""
    site = Site(tmp_path_factory.mktemp("site"))
    logger = site.logger()
    for number in range(6):
        ids = {"task_id": f"task-{number % 2}", "run_id": "run-1", "trace_id": f"trace-{number}"}
        logger.info("Working on %d", number, extra={"event": "step", "number": number, **ids})
    for number in range(3):
        logger.error("Lost the connection", extra={"event": "step_failed", "task_id": f"task-{number}"})
    logger.info('A "quoted" café', extra={"status": "ok"})
    lines = site.path("orchestrator").read_text().splitlines()
    # The times are those of the test, not of its run.
    with site.path("orchestrator").open("w") as file:
        for number, line in enumerate(lines):
            stamp = f'{{"timestamp":"2025-10-17T12:00:{number:02}.000000Z"'
            file.write(stamp + line[line.index(",") :] + "\n")
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


def chips(reader, *texts):
    """Wait until these filters are shown as being in use."""
    expect(reader.page.locator("#chips .chip")).to_have_text(list(texts))


class TestFilters:
    def test_one_field_takes_conditions_and_text(self, mixed):
        """Each is asked of the server, in the address, and a button that removes it; a match is marked."""
        for typed, parameter, number in ASKED:
            mixed.asks(typed)
            mixed.counts(number)
            assert mixed.address() == f"?log=orchestrator&{parameter}"
            if typed == "connection":
                expect(mixed.page.locator("#space .row:not([hidden]) mark")).to_have_text(["connection"] * 3)
            mixed.page.locator(".chip").click()
            mixed.counts(10)

    def test_while_typing(self, mixed):
        """What is typed filters at once, one step for the back button; an unfinished condition does not."""
        field = mixed.page.locator("#ask")
        field.press_sequentially("number>=4", delay=30)
        mixed.counts(2)
        chips(mixed)
        field.fill("number>")
        mixed.counts(10)
        field.fill("number~=(")
        expect(mixed.page.locator("#empty-why")).to_contain_text("Refused: where must be")
        field.fill("not_there=1")
        mixed.says("#empty-why", "No event matches. New matches appear here.")
        expect(mixed.page.locator("#unreadable")).to_have_text(
            "no event that was read has the field not_there"
        )

    def test_suggestions(self, mixed):
        """Fields and their values are suggested from the log, and chosen with the keyboard alone."""
        field = mixed.page.locator("#ask")
        field.press_sequentially("task")
        expect(mixed.page.locator("#suggestions [role=option]")).to_have_text(
            ["task_id=in 9 of the newest events"]
        )
        for key in ("ArrowDown", "Enter"):
            field.press(key)
        expect(mixed.page.locator("#suggestions bdi")).to_have_text(
            ["task_id=task-1", "task_id=task-0", "task_id=task-2"]
        )
        for key in ("ArrowUp", "Enter"):
            field.press(key)

        chips(mixed, "task_id=task-2✕")
        mixed.counts(1)

    def test_late_suggestions(self, mixed):
        """Suggestions that arrive after the filter was made stay away: the next keys are for the list."""
        asked = []
        mixed.page.route("**/fields?*", lambda route: asked.append(route))
        mixed.asks("event=step")
        mixed.counts(6)
        with mixed.page.expect_response("**/fields?*") as answer:
            asked[0].continue_()
        answer.value.finished()
        for key in ("Escape", "k", "x"):
            mixed.page.keyboard.press(key)

        mixed.says("#status-words", "Not live: around one event")

    def test_every_value_has_buttons(self, mixed):
        """A value in a row or of the open event becomes a filter: only it, or without it."""
        mixed.page.locator("#space .field", has_text="number=3").hover()
        expect(mixed.page.locator("#value-buttons")).to_be_visible()
        mixed.page.mouse.move(600, 750)  # below the last row
        expect(mixed.page.locator("#value-buttons")).to_be_hidden()
        mixed.page.locator("#space .field", has_text="number=3").hover()
        mixed.page.get_by_role("button", name="Without number=3").click()
        chips(mixed, "not number=3✕")
        mixed.counts(9)
        mixed.page.locator("#space .row", has_text="number=4").click()
        mixed.page.locator("#json .line", has_text="task-0").hover()
        mixed.page.get_by_role("button", name="Only task_id=task-0").click()

        chips(mixed, "not number=3✕", "task_id=task-0✕")
        mixed.counts(4)

    def test_all_that_the_server_has_and_nothing_else(self, mixed):
        """Each filter of the API applies from the address; any other parameter is said to be none."""
        for query, shown, number in ADDRESSES:
            mixed.page.goto(f"{mixed.url}?log=orchestrator&{query}")
            mixed.counts(number)
            chips(mixed, *shown)

    def test_levels_and_logs(self, mixed):
        """A level is the least one; several logs are one list, in the order of time, with a column."""
        mixed.page.locator("#level").select_option("WARNING")
        mixed.counts(3)
        mixed.page.locator("#level").select_option("")
        mixed.page.locator("#log").select_option("telemetry")
        mixed.counts(1)
        mixed.page.locator("#log").select_option("orchestrator,telemetry")
        mixed.counts(11)
        cells = mixed.page.locator("#space .row:not(.note):not([hidden]) .log")

        assert cells.all_inner_texts() == ["orchestrator"] * 10 + ["telemetry"]
        expect(mixed.page.locator("#list")).to_have_class(re.compile(r"\bhas-logs\b"))

    def test_back_and_forward(self, mixed, open_page, site):
        """Each change of a filter is a step for the back button; the address alone gives the same view."""
        mixed.asks("event=step")
        mixed.counts(6)
        mixed.asks("task_id=task-1")
        mixed.counts(3)
        other = open_page(site).open(mixed.address())
        other.counts(3)
        mixed.page.go_back()
        mixed.counts(6)
        chips(mixed, "event=step✕")
        mixed.page.go_forward()
        mixed.counts(3)
        mixed.page.locator("#clear").click()

        mixed.counts(10)
        assert mixed.address() == "?log=orchestrator"

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
        until(lambda: "level" not in mixed.address())

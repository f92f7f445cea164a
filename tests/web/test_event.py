"""One event over HTTP, by its cursor, with the events around it."""

from __future__ import annotations

import pytest

from chora_logging.web import Limits, create_app
from tests.eventlog.writing import Writer, write
from tests.web.memory_source import MemorySource
from tests.web.serving import ask

EVENTS = "/api/v1/orchestrator/events"


@pytest.fixture
def log(tmp_path):
    return tmp_path / "orch.log"


@pytest.fixture
def app(log):
    return create_app({"orchestrator": log}, limits=Limits(page=50, largest_page=50))


def cursors(app):
    """The cursors of all events."""
    return ask(app, f"{EVENTS}?limit=50&cursors=true").json()["cursors"]


def around(app, cursor, query=""):
    """Return the number of the event, and those before and after it."""
    found = ask(app, f"{EVENTS}/{cursor}{query}").json()
    before, after = ([entry["event"]["n"] for entry in found[name]] for name in ("before", "after"))
    return before, found["event"]["event"]["n"], after


class TestEvent:
    def test_each_with_what_is_around_it(self, app, log):
        """Each event is found by its cursor, with so many events before and after it."""
        writer = Writer(log)
        for _ in range(3):
            writer.write(3)
            writer.rotate()
        writer.close()

        for number, cursor in enumerate(cursors(app)):
            expected = (list(range(9))[max(0, number - 2) : number], number, list(range(9))[number + 1 :][:1])
            assert around(app, cursor, "?before=2&after=1") == expected
            assert around(app, cursor) == ([], number, [])

    def test_a_link_lasts(self, app, log):
        """A cursor leads to its event also after further events, rotation, and from a page in any order."""
        writer = Writer(log)
        writer.write(3)
        found = ask(app, f"{EVENTS}?order=desc&cursors=true").json()["cursors"]
        writer.write(1)
        writer.rotate()
        writer.write(2)
        writer.close()

        assert [around(app, cursor, "?after=1")[1:] for cursor in found] == [(2, [3]), (1, [2]), (0, [1])]

    def test_its_own_cursor(self, app, log):
        """The answer has the cursors of all its events."""
        write(log, 0, 1, 2)
        found = ask(app, f"{EVENTS}/{cursors(app)[1]}?before=1&after=1").json()
        places = [entry["cursor"] for entry in (*found["before"], found["event"], *found["after"])]

        assert [around(app, cursor)[1] for cursor in places] == [0, 1, 2]

    def test_a_source_without_files(self):
        """The source decides what a cursor is."""
        app = create_app({"orchestrator": MemorySource({"n": 0}, {"n": 1}, {"n": 2})})

        assert around(app, "m.2", "?before=5&after=5") == ([0], 1, [2])
        assert ask(app, f"{EVENTS}/m.0").status_code == 404


class TestWithoutAnEvent:
    @pytest.mark.parametrize("change", ["unlink", "no event"])
    def test_that_has_gone(self, app, log, change):
        """A cursor whose event has been deleted, or is none, is 404 with the reason; never another event."""
        log.write_bytes(b'{"n": 0}\nno event\n{"n": 1}\n')
        cursor = cursors(app)[0]
        if change == "unlink":
            log.unlink()
            write(log, 5, 6)
        else:
            log.write_bytes(b'no event\nno event\n{"n": 1}\n')
        answer = ask(app, f"{EVENTS}/{cursor}?before=1")

        assert (answer.status_code, answer.json()["error"]) == (404, "no_event")
        assert answer.json()["detail"].startswith("there is no event at this cursor: ")

    def test_no_cursor(self, app, log):
        """What is no cursor of the log is refused."""
        write(log, 0)
        answer = ask(app, f"{EVENTS}/xyz")

        assert (answer.status_code, answer.json()["error"]) == (422, "invalid_parameter")
        assert "the cursor must be an unchanged cursor" in answer.json()["detail"]

    @pytest.mark.parametrize("query", ["before=-1", "after=51", "before=x"])
    def test_how_many(self, app, log, query):
        """The numbers of events around it have a limit."""
        write(log, 0)
        answer = ask(app, f"{EVENTS}/{cursors(app)[0]}?{query}")

        assert answer.status_code == 422
        assert "must be a whole number from 0 to 50" in answer.json()["detail"]

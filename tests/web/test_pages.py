"""Stored events over HTTP: pages, filters, traces and revalidation."""

from __future__ import annotations

import json
import os
from datetime import datetime, timezone
from typing import ClassVar

import pytest

from chora_logging.errors import ConfigurationError
from chora_logging.eventlog import EventLog
from chora_logging.eventlog.rotated import cursor
from chora_logging.web import Limits, create_app
from chora_logging.web import site as sites
from tests.eventlog.writing import Writer, write
from tests.web.serving import ask

EVENTS = "/api/v1/orchestrator/events"


NOW = datetime.now(timezone.utc).isoformat()
LOGGED = (
    {"n": 0, "event": "started", "level": "INFO", "task_id": 1, "run_id": "r", "timestamp": NOW},
    {"n": 1, "event_type": "ended", "level": "ERROR", "trace_id": "t", "timestamp": NOW},
    {"n": 2, "status": "failed", "level": "DEBUG", "shop": "a=b", "timestamp": "2020-01-01T00:00:00Z"},
)
QUERIES = {
    "task_id=1": [0],
    "run_id=r": [0],
    "trace_id=t": [1],
    "event=ended": [1],
    "level=info": [0, 1],
    "level=40": [1],
    "status=failed": [2],
    "since=1h": [0, 1],
    "until=2021-01-01": [2],
    "since=0001-01-01": [0, 1, 2],
    "until=0001-01-01": [],
    "until=9999-12-31T23:59:59": [0, 1, 2],
    "where=shop=a%3Db": [2],
    "where=shop%3Da=b": [2],
    "where=n=0&where=level=INFO": [0],
    "where=n>=1": [1, 2],
    "where=n+%3E%3D+1&where=n<2": [1],
    "where=n=0&where=n=2": [0, 2],
    "where=not+n=1": [0, 2],
    "where=shop~=^a.b$": [2],
    "text=A%3DB": [2],
    "task_id=1&level=error": [],
    "task_id=&run_id=&where=": [0, 1, 2],
    "": [0, 1, 2],
}


@pytest.fixture
def log(tmp_path):
    return tmp_path / "orch.log"


@pytest.fixture
def app(log, tmp_path):
    return create_app({"orchestrator": log, "telemetry": tmp_path / "events.jsonl"})


def append(path, *events):
    with open(path, "ab") as file:
        file.write(b"".join(json.dumps(event).encode() + b"\n" for event in events))


def numbers(answer):
    return [event["n"] for event in answer.json()["events"]]


def pages(app, query=""):
    """Return every page of a listing, read like a client."""
    found, after = [], ""
    while True:
        answer = ask(app, f"{EVENTS}?{query}{after}")
        assert answer.status_code == 200, answer.text
        found.append(answer.json())
        if not found[-1]["more"]:
            return found
        after = f"&after={found[-1]['next']}"


class TestPages:
    def test_existing_clients_get_the_events_of_their_task(self, app, log):
        """`events?task_id=…` gives the events of that task as they were logged, oldest first."""
        events = [{"event": "step", "task_id": f"task-{n % 2}", "n": n} for n in range(6)]
        append(log, *events)

        answer = ask(app, f"{EVENTS}?task_id=task-1")

        assert answer.json()["events"] == events[1::2]
        assert answer.headers["content-type"] == "application/json"

    def test_a_log_that_nobody_wrote_is_empty(self, app):
        """A log without a file has no events and is no error."""
        assert ask(app, EVENTS).json() == {"events": [], "next": None, "more": False}

    @pytest.mark.parametrize("order", ["asc", "desc"])
    @pytest.mark.parametrize("limit", [1, 3, 10, 30])
    def test_pages_give_each_event_once(self, app, log, order, limit):
        """Paging with `next` gives each event once and in order, across rotated files, in both directions."""
        writer = Writer(log)
        for _ in range(3):
            writer.write(10)
            writer.rotate()
        writer.close()

        found = pages(app, f"order={order}&limit={limit}")

        listed = [event["n"] for page in found for event in page["events"]]
        assert listed == (list(range(30)) if order == "asc" else list(range(29, -1, -1)))
        assert all(len(page["events"]) == limit for page in found[:-1])

    def test_what_comes_later_is_after_next(self, app, log):
        """The `next` of the last page leads to later events, also if no event matched."""
        write(log, 1, 2)
        after = ask(app, f"{EVENTS}?where=n=9").json()["next"]
        write(log, 3)

        assert numbers(ask(app, f"{EVENTS}?after={after}")) == [3]

    def test_live_is_the_end_of_the_log(self, app, log):
        """A page of the newest events has the cursor with which a stream continues without a gap."""
        write(log, 1, 2)
        page = ask(app, f"{EVENTS}?order=desc&limit=1&where=n=1").json()
        write(log, 3)

        assert numbers(ask(app, f"{EVENTS}?after={page['live']}")) == [3]
        assert "live" not in ask(app, f"{EVENTS}?order=desc&after={page['next']}").json()
        assert ask(app, "/api/v1/telemetry/events?order=desc").json()["live"] is None

    @pytest.mark.parametrize("order", ["asc", "desc"])
    def test_a_request_reads_so_much_and_no_more(self, log, tmp_path, order):
        """The page of a filter without a match ends after a part of the log, and the next continues there."""
        app = create_app({"orchestrator": log}, limits=Limits(scanned=1))
        write(log, *range(3000), size=1000)

        found = pages(app, f"order={order}&where=n=1500")

        assert len(found) > 10
        assert [event["n"] for page in found for event in page["events"]] == [1500]

    def test_how_large_a_page_is_can_be_tuned(self, log):
        """The limits set the default and the highest number of events on a page."""
        app = create_app({"orchestrator": log}, limits=Limits(page=2, largest_page=3))
        write(log, *range(5))

        assert numbers(ask(app, EVENTS)) == [0, 1]
        assert numbers(ask(app, f"{EVENTS}?limit=3")) == [0, 1, 2]
        assert "from 1 to 3, got '4'" in ask(app, f"{EVENTS}?limit=4").json()["detail"]
        described = ask(app, "/api/v1/openapi.json").json()["paths"]["/api/v1/{log}/events"]["get"][
            "parameters"
        ]
        (schema,) = (parameter["schema"] for parameter in described if parameter["name"] == "limit")
        assert (schema["default"], schema["maximum"]) == (2, 3)

    @pytest.mark.parametrize(("order", "expected"), [("asc", [2, 3]), ("desc", [1, 0])])
    def test_from_the_beginning_of_a_file(self, app, log, order, expected):
        """A cursor before a file's first line continues with that file, or with the one before."""
        writer = Writer(log)
        for _ in range(2):
            writer.write(2)
            position = cursor.decode(ask(app, f"{EVENTS}?order=desc&limit=1").json()["live"])
            writer.rotate()
        writer.close()
        after = cursor.encode(position._replace(offset=0))

        assert numbers(ask(app, f"{EVENTS}?order={order}&after={after}")) == expected

    def test_events_of_a_torn_line_come_once(self, app, log):
        """Two events that a crash put on one line stay two, on pages in both orders."""
        log.write_bytes(b'{"n": 0}\n{"n": 1}{"n": 2}\n{"n": 3}\n')

        for order, expected in (("asc", [0, 1, 2, 3]), ("desc", [3, 2, 1, 0])):
            listed = [e["n"] for page in pages(app, f"order={order}&limit=1") for e in page["events"]]
            assert listed == expected

    def test_what_was_deleted_is_a_gap(self, app, log):
        """A page after a cursor into a deleted file has a gap and the remaining events."""
        writer = Writer(log, keep=1)
        writer.write(2)
        after = ask(app, f"{EVENTS}?limit=1").json()["next"]
        for _ in range(3):
            writer.rotate()
            writer.write(1)
        writer.close()

        page = ask(app, f"{EVENTS}?after={after}").json()

        assert [event["n"] for event in page["events"]] == [3, 4]
        assert page["gap"]["reason"]
        assert str(log.parent) not in json.dumps(page["gap"])

    def test_an_unreadable_log_is_told(self, app, log, monkeypatch):
        """A log that cannot be read is 503 with the reason and without its path."""
        write(log, 1)
        really = os.open

        def refuse(path, *arguments, **options):
            if str(path) == str(log):
                raise PermissionError(13, "Permission denied", path)
            return really(path, *arguments, **options)

        monkeypatch.setattr(os, "open", refuse)
        answer = ask(app, EVENTS)

        assert (answer.status_code, answer.json()["error"]) == (503, "log_unreadable")
        assert "Permission denied" in answer.json()["detail"]
        assert str(log) not in answer.text
        assert answer.headers["retry-after"]


class TestFilters:
    @pytest.mark.parametrize(("query", "expected"), QUERIES.items(), ids=QUERIES)
    def test_each_filter_of_the_reader(self, app, log, query, expected):
        """Every filter of the reader is a parameter with its name; an empty one filters nothing."""
        append(log, *LOGGED)

        assert numbers(ask(app, f"{EVENTS}?{query}")) == expected


class TestUnreadable:
    def test_what_filters_cannot_judge_is_counted(self, app, log):
        """A page has the number of events whose level or time its filters could not read, if any."""
        append(log, {"n": 0}, {"n": 1, "level": "INFO"}, {"n": 2, "time": NOW})

        assert "unreadable" not in ask(app, EVENTS).json()
        assert ask(app, f"{EVENTS}?level=debug").json()["unreadable"] == {"level": 2}
        assert ask(app, f"{EVENTS}?since=1h").json()["unreadable"] == {"time": 2}
        assert "unreadable" not in ask(app, f"{EVENTS}?level=debug&where=n=1").json()
        assert ask(app, f"{EVENTS}?where=level>5").json()["unreadable"] == {"where level": 1}

    def test_skipped_lines_are_counted(self, app, log):
        """A page has the number of lines that are no events, if any, each on one page alone."""
        log.write_bytes(b'{"n": 0}\nTraceback\n[1]\n\n{"n": 1}\n{"n": 2}\nend\n')

        for order, limit, expected in (("asc", 2, [2, 1]), ("desc", 2, [1, 2]), ("asc", 9, [3])):
            found = pages(app, f"order={order}&limit={limit}")
            assert [page.get("skipped", 0) for page in found] == expected

    @pytest.mark.parametrize(("order", "expected"), [("asc", NOW), ("desc", "2020-01-01T00:00:00.000000Z")])
    def test_how_far_it_has_read(self, log, order, expected):
        """A page that is not at the end of the log has the time up to which it has read."""
        app = create_app({"orchestrator": log}, limits=Limits(scanned=1))
        append(log, *({"n": n, "timestamp": "2020-01-01T00:00:00Z", "pad": "x" * 1000} for n in range(500)))
        append(log, *({"n": n, "timestamp": NOW, "pad": "x" * 1000} for n in range(500)))
        times = [page["read_to"]["orchestrator"] for page in pages(app, f"order={order}&where=n=-1")[:-1]]

        assert len(times) > 2
        assert {times[0], times[-1]} == {"2020-01-01T00:00:00.000000Z", NOW.replace("+00:00", "Z")}
        assert times[-1] == expected.replace("+00:00", "Z")
        assert "read_to" not in pages(app, f"order={order}&where=n=-1")[-1]

    def test_fields_that_no_event_has_are_named(self, app, log):
        """A page has the fields of conditions that no line has; those of others are not named."""
        append(log, {"n": 0}, {"n": 1, "level": "INFO"})

        assert ask(app, f"{EVENTS}?where=nn=0&where=not+level=x").json()["missing"] == ["nn"]
        assert "missing" not in ask(app, f"{EVENTS}?where=n=7").json()

    def test_an_expression_that_takes_too_long(self, app, log, monkeypatch):
        """A regular expression that is given up while reading is 422 and names the parameter."""
        monkeypatch.setattr("chora_logging.eventlog.patterns.FREE_WORK", 0)
        monkeypatch.setattr("chora_logging.eventlog.patterns.WORK_PER_CHAR", 0)
        append(log, {"a": "b"})
        answer = ask(app, f"{EVENTS}?where=a~=(b*)*c")

        assert (answer.status_code, answer.json()["error"]) == (422, "invalid_parameter")
        assert "where must be a regular expression" in answer.json()["detail"]


class TestFields:
    EVENT: ClassVar = {"n": 1, "sev": "err", "when": NOW, "ids": {"trace": "t-1"}}

    @pytest.mark.parametrize("query", ["level=error", "since=1h", "trace_id=t-1"])
    def test_names_of_ones_own(self, log, query):
        """Filters and traces find by the fields that the application was told."""
        app = create_app({"shop": log}, fields={"level": "sev", "time": "when", "trace": "ids.trace"})
        append(log, self.EVENT)

        assert numbers(ask(app, f"/api/v1/shop/events?{query}")) == [1]
        assert len(ask(app, "/api/v1/shop/traces/t-1").json()["events"]) == 1

    def test_each_log_may_have_its_own(self, log):
        """An `EventLog` keeps its fields; a client learns those of each log."""
        logs = {"shop": EventLog(log, fields={"level": "lvl"}), "web": log, "other": EventLog(log)}
        app = create_app(logs, fields={"level": "sev"})
        append(log, self.EVENT, {"n": 2, "lvl": "fatal"})

        assert numbers(ask(app, "/api/v1/web/events?level=error")) == [1, 2]
        assert ask(app, "/api/v1/logs").json()["fields"] == {
            "shop": {"level": "lvl"},
            "web": {"level": "sev"},
        }

    def test_refused(self, log):
        """A meaning that there is not is refused."""
        with pytest.raises(ConfigurationError, match="must be one of time, level, message"):
            create_app({"shop": log}, fields={"lvl": "sev"})


class TestWhatAClientHas:
    @pytest.mark.parametrize("asked", ['"x", W/{tag}', "*"])
    def test_an_unchanged_log_is_not_read_again(self, app, log, monkeypatch, asked):
        """With If-None-Match an unchanged log is answered with 304, without reading it."""
        write(log, 1)
        tag = ask(app, EVENTS).headers["etag"]
        monkeypatch.setattr(sites.Site, "read_in_steps", None)

        answer = ask(app, EVENTS, headers={"if-none-match": asked.format(tag=tag)})

        assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", tag)

    @pytest.mark.parametrize("query", ["", "limit=5", "since=1h"], ids=["changed", "other", "relative"])
    def test_what_may_differ_is_sent(self, app, log, query):
        """Another query, a changed log, and relative times are answered anew."""
        write(log, 1)
        tag = ask(app, f"{EVENTS}?since=1h" if query == "since=1h" else EVENTS).headers["etag"]
        if not query:
            write(log, 2)

        assert ask(app, f"{EVENTS}?{query}", headers={"if-none-match": tag}).status_code == 200

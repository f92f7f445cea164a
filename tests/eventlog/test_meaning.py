"""All readers interpret an event in the same way: filters, commands and the server."""

from __future__ import annotations

import itertools
import json
import logging
from typing import ClassVar

import pytest

from chora_logging.errors import ConfigurationError
from chora_logging.eventlog import EventLog
from chora_logging.eventlog.meaning import NAMES, USUAL, Meaning
from chora_logging.eventlog.selection import Asked
from chora_logging.schema import LEVELS
from chora_logging.web import create_app
from tests.cli.calling import Caller, write_events
from tests.meanings import (
    CASES,
    DURATIONS,
    MESSAGES,
    OTHER_DURATIONS,
    OTHER_TIMES,
    OTHER_TRACES,
    TIMES,
    TRACES,
)
from tests.meanings import NAMES as EVENT_NAMES
from tests.web.serving import ask

SHORT = {"WARNING": "WARN", "CRITICAL": "CRIT"}


@pytest.fixture
def call(capsys, monkeypatch):
    """Calls a command in this process."""
    return Caller(capsys, monkeypatch)


def column(table, head):
    """Return the values of a column of a table for a pipe."""
    heads, *rows = table.splitlines()
    start = heads.find(f" {head} ") + 1
    return [row[start:].partition("  ")[0].strip() if start else "" for row in rows]


class TestLevel:
    @pytest.mark.parametrize("least", LEVELS)
    def test_filter(self, tmp_path, least):
        """An unknown name passes; an event without a level is passed over and counted, unless it is typed."""
        events = [{**case.event, "n": n} for n, case in enumerate(CASES)]
        log = EventLog(write_events(tmp_path / "app.log", *events))
        found = [event["n"] for event in log.read(level=least)]

        assert found == [n for n, case in enumerate(CASES) if (case.passes or 0) >= LEVELS[least]]
        assert log.asked == {"level": Asked(len(CASES), sum(case.passes is None for case in CASES))}

    def test_line(self, tmp_path, call):
        """A line of `tail` has the level's name, or nothing in its place."""
        log = write_events(tmp_path / "app.log", *(case.event for case in CASES))
        lines = call("tail", "-n", len(CASES), "--log", log, width="")[1].splitlines()

        for line, case in zip(lines, CASES, strict=True):
            name = SHORT.get(case.level, case.level or "")
            is_dated = USUAL.time_of(case.event) is not None
            assert line[24 if is_dated else 13 :].startswith(f"{name:<5} ")

    def test_table(self, tmp_path, call):
        """A row of `query` has the level's name, or nothing in its place."""
        log = write_events(tmp_path / "app.log", *({"n": 1, **case.event, "timestamp": 0} for case in CASES))
        table = call("query", "--log", log, width="")[1]

        assert column(table, "level") == [case.level or "" for case in CASES]

    def test_stats(self, tmp_path, call):
        """`stats` counts events by the same names."""
        log = write_events(tmp_path / "app.log", *(case.event for case in CASES))
        found = call.json("stats", "--log", log, "--json")["levels"]["found"]
        levels = [case.level for case in CASES]

        assert {group["level"]: group["events"] for group in found} == {
            level: levels.count(level) for level in levels
        }


class TestError:
    def test_stats(self, tmp_path, call):
        """`stats` counts the events that failed."""
        log = write_events(
            tmp_path / "app.log", *({**case.event, "event": str(n)} for n, case in enumerate(CASES))
        )
        found = call.json("stats", "--log", log, "--json")["types"]["found"]

        assert {int(group["type"]): bool(group["errors"]) for group in found} == {
            n: case.is_error for n, case in enumerate(CASES)
        }

    def test_trace(self, tmp_path, call):
        """`trace` counts the same."""
        log = write_events(tmp_path / "app.log", *({**case.event, "trace_id": "t"} for case in CASES))
        failed = sum(case.is_error for case in CASES)

        assert f"{failed} errors" in call("trace", "t", "--log", log)[1]


class TestOtherNames:
    """What other programs call the same; our own names come first."""

    @pytest.mark.parametrize(("fields", "seconds"), OTHER_TIMES, ids=str)
    def test_time(self, tmp_path, fields, seconds):
        """A time under another name selects; a small number under such a name is none."""
        log = EventLog(write_events(tmp_path / "app.log", fields))

        assert USUAL.time_of(fields) == seconds
        assert len(list(log.read(since="2000-01-01"))) == (seconds is not None)
        assert log.asked == {"time": Asked(1, seconds is None)}

    @pytest.mark.parametrize(("fields", "milliseconds"), OTHER_DURATIONS, ids=str)
    def test_duration(self, fields, milliseconds):
        """A duration is in milliseconds, except where its name says otherwise, or text with a unit."""
        assert USUAL.duration_of(fields) == pytest.approx(milliseconds)

    @pytest.mark.parametrize(("fields", "trace_id"), OTHER_TRACES, ids=str)
    def test_trace(self, tmp_path, fields, trace_id):
        """A trace is found by its id whatever the field is called, and it is not searched in vain."""
        log = EventLog(write_events(tmp_path / "app.log", fields))

        assert USUAL.trace_of(fields) == trace_id
        assert list(log.read(trace_id=trace_id)) == [fields]

    @pytest.mark.parametrize(
        ("fields", "lines"),
        [
            ({"exception": "Traceback\nValueError"}, "Traceback\nValueError"),
            ({"exc_info": ["Traceback\n", "ValueError"]}, "Traceback\nValueError"),
            ({"exc_info": True, "error": {"stack_trace": "ValueError"}}, "ValueError"),
            ({"err": {"stack": "Error: no"}}, "Error: no"),
            ({"exception": " "}, None),
        ],
        ids=str,
    )
    def test_exception(self, fields, lines):
        """A traceback is text or an array of lines."""
        assert USUAL.exception_of(fields) == lines

    @pytest.mark.parametrize(
        ("fields", "error"),
        [
            ({"error": "no room"}, "no room"),
            ({"error": False, "error_message": "no room"}, "no room"),
            ({"error": {"message": "no room", "type": "E"}}, "no room"),
            ({"error": {"type": "E"}, "err": {"message": "no room"}}, "no room"),
            ({"error": {"type": "E"}}, {"type": "E"}),
            ({"error": {}, "error_message": ""}, None),
        ],
        ids=str,
    )
    def test_error(self, fields, error):
        """What is said about an error is rather its message than the object that has it."""
        assert USUAL.error_of(fields) == error

    def test_span_and_parent(self):
        """The ids of spans are found like those of traces."""
        assert USUAL.span_of({"span": {"id": "a"}}) == USUAL.span_of({"spanId": "a"}) == "a"
        assert USUAL.parent_of({"parent_span_id": 7}) == "7"
        assert (USUAL.span_of({}), USUAL.parent_of({})) == (None, None)

    @pytest.mark.parametrize("name", NAMES["event"])
    def test_event_filter(self, tmp_path, name):
        """The filter for a name finds it under every one of its fields."""
        log = EventLog(write_events(tmp_path / "app.log", {name: "made"}, {name: "other"}))

        assert list(log.read(event="made")) == [{name: "made"}]

    def test_added_level(self, monkeypatch):
        """A level that `logging` was told of has its number."""
        monkeypatch.setitem(logging._nameToLevel, "AUDIT", 35)

        assert USUAL.severity_of({"level": "audit"}) == 35


class TestOwnNames:
    """Fields that mean something because the caller says so."""

    FIELDS: ClassVar = {
        "level": "sev",
        "time": "when",
        "trace": "ids.trace",
        "event": "what",
        "duration": "lasted",
    }
    EVENT: ClassVar = {
        "sev": "err",
        "when": 1759060800,
        "ids": {"trace": "t-1"},
        "what": "made",
        "lasted": "2s",
    }

    def test_answers(self):
        """They answer first, whatever other fields there are."""
        meaning = Meaning(self.FIELDS)
        event = {**self.EVENT, "level": "INFO", "timestamp": 5, "event": "x"}

        assert meaning.level_of(event) == "ERROR"
        assert meaning.time_of(event) == 1759060800
        assert meaning.trace_of(event) == "t-1"
        assert meaning.event_of(event) == "made"
        assert meaning.duration_of(event) == 2000

    def test_paths(self):
        """A path comes before the names of the table too, also one into the object `event`."""
        meaning = Meaning({"event": "evt.name", "level": "event.sev", "duration": "event.ms"})

        assert meaning.event_of({"evt": {"name": "made"}, "event": "x"}) == "made"
        assert meaning.event_of({"event": "x"}) == "x"
        assert meaning.severity_of({"event": {"sev": "err"}}) == LEVELS["ERROR"]
        assert meaning.level_of({"event": {"sev": "err"}}) == "ERROR"
        assert meaning.is_error({"event": {"sev": "err"}})
        assert meaning.duration_of({"event": {"ms": 5}}) == 5

    def test_the_others_stay(self):
        """A line without them is read as usual."""
        assert Meaning(self.FIELDS).level_of({"level": "INFO"}) == "INFO"

    @pytest.mark.parametrize(
        "filters",
        [{"level": "error"}, {"since": "2025-01-01"}, {"trace_id": "t-1"}, {"event": "made"}],
        ids=str,
    )
    def test_filters(self, tmp_path, filters):
        """Filters find by them."""
        log = EventLog(write_events(tmp_path / "app.log", self.EVENT), fields=self.FIELDS)

        assert list(log.read(**filters)) == log.last(1, **filters) == [self.EVENT]
        assert next(log.follow_sync(**filters)) == self.EVENT

    @pytest.mark.parametrize("fields", [{"lvl": "sev"}, {"level": ""}, {"level": 5}, ["level"]], ids=str)
    def test_refused(self, tmp_path, fields):
        """A meaning that there is not, or a name that is none, is refused with what is allowed."""
        with pytest.raises(ConfigurationError, match=r"must be (one of time, level, |the name|a mapping)"):
            EventLog(tmp_path / "app.log", fields=fields)


class TestUnreadable:
    """Unknown is not no: what a filter cannot know is counted."""

    def test_only_what_was_asked(self, tmp_path):
        """Events without a level count for a filter by level, those without a time for one by time."""
        log = EventLog(write_events(tmp_path / "app.log", {"a": 1}, {"level": "INFO"}, {"timestamp": 5}))
        list(log.read())
        assert log.asked == {}

        list(log.read(level="INFO"))
        list(log.read(since="1970-01-01"))

        assert log.asked == {"level": Asked(3, 2), "time": Asked(3, 2)}


class TestTime:
    @pytest.mark.parametrize(("timestamp", "seconds"), TIMES, ids=repr)
    def test_every_reader(self, tmp_path, call, timestamp, seconds):
        """Filters, `stats`, `trace` and `check` accept the same times, and none fails at other values."""
        log = write_events(tmp_path / "app.log", {"timestamp": timestamp, "trace_id": "t", "event": "a"})
        is_found = bool(list(EventLog(log).read(since="1900-01-01", until="9000-01-01")))
        survey = call.json("stats", "--log", log, "--json")["first"]
        timeline = call.json("trace", "t", "--log", log, "--json")["start"]
        first = call.json("check", "--log", log, "--json")["logs"][0]["retention"]["first"]

        assert is_found is (seconds is not None)
        assert (survey is None, timeline is None, first is None) == (seconds is None,) * 3
        assert survey == timeline == first
        assert call("tail", "--log", log)[0] == 0

    def test_an_event_without_a_time_keeps_its_place(self, tmp_path, call):
        """An invalid time does not move an event, or those after it, behind those of another log."""
        for name, timestamps in {"a": [1, 1e300, 2], "b": [1.5, 3]}.items():
            write_events(
                tmp_path / f"{name}.log",
                *({"timestamp": timestamp, "trace_id": "t"} for timestamp in timestamps),
            )
        logs = {name: tmp_path / f"{name}.log" for name in ("a", "b")}
        _, lines, _ = call(
            "query", "--json", *itertools.chain.from_iterable(("--log", path) for path in logs.values())
        )
        page = ask(create_app(logs), "/api/v1/a/traces/t").json()

        expected = [1, 1e300, 1.5, 2, 3]
        assert [json.loads(line)["timestamp"] for line in lines.splitlines()] == expected
        assert [entry["event"]["timestamp"] for entry in page["events"]] == expected


@pytest.mark.parametrize(("value", "milliseconds"), DURATIONS, ids=repr)
def test_duration(tmp_path, call, value, milliseconds):
    """`stats`, the table and the timeline accept the same durations."""
    event = {"timestamp": 1759060800, "trace_id": "t", "event": "a", "duration_ms": value}
    log = write_events(tmp_path / "app.log", event)
    count = call.json("stats", "--log", log, "--json")["duration_ms"]["count"]
    heads = call("query", "--log", log, width="")[1].splitlines()[0].split()
    seconds = call.json("trace", "t", "--log", log, "--json")["duration_ms"]

    assert count == (milliseconds is not None)
    assert ("took" in heads) is (milliseconds is not None)
    assert seconds == pytest.approx(milliseconds or 0, abs=0.001)


@pytest.mark.parametrize(("fields", "name"), EVENT_NAMES, ids=str)
def test_name(tmp_path, call, fields, name):
    """`stats`, `query --by event` and a line give an event the same name."""
    log = write_events(tmp_path / "app.log", {**fields, "logger": "app"})
    [group] = call.json("stats", "--log", log, "--json")["types"]["found"]
    [counted] = map(json.loads, call("query", "--by", "event", "--json", "--log", log)[1].splitlines())
    line = call("tail", "--log", log, width="")[1]

    assert group["type"] == (name or "app")
    assert counted["event"] == name
    assert line.split()[0] == (name or fields.get("message", "-"))


@pytest.mark.parametrize(("fields", "message"), MESSAGES, ids=str)
def test_message(tmp_path, call, fields, message):
    """A message is shown beside the name of its event unless it only repeats it, and alone without a name."""
    log = write_events(tmp_path / "app.log", {**fields, "timestamp": 0, "n": 1})
    line = call("tail", "--log", log, width="")[1]
    table = call("query", "--log", log, width="")[1]
    named = "event" in fields or "event_type" in fields

    assert ("message=" in line) is (named and message is not None)
    assert column(table, "message") == [(message if named else None) or ""]
    assert column(table, "event") == [fields.get("event") or fields.get("event_type") or message or "-"]


@pytest.mark.parametrize(("value", "trace_id"), TRACES, ids=repr)
def test_trace(tmp_path, call, value, trace_id):
    """A trace is found by its id, as JSON if it is not a string; an event without one is in no trace."""
    log = write_events(tmp_path / "app.log", {"trace_id": value})

    if trace_id is None:
        assert call("trace", "N", "--log", log)[0] == 1
        return
    assert call.json("trace", trace_id, "--log", log, "--json")["trace_id"] == trace_id
    assert call("trace", trace_id[:1], "--log", log)[1].startswith(f"trace {trace_id}\n")

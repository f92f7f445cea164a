"""All readers interpret an event in the same way: filters, commands and the server."""

from __future__ import annotations

import itertools
import json

import pytest

from chora_logging.eventlog import EventLog
from chora_logging.schema import LEVELS
from chora_logging.web import create_app
from tests.cli.calling import Caller, write_events
from tests.meanings import CASES, DURATIONS, MESSAGES, NAMES, TIMES, TRACES
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
        """An event without a level is ERROR if it failed, else INFO; an unknown name is below all levels."""
        events = [{**case.event, "n": n} for n, case in enumerate(CASES)]
        log = EventLog(write_events(tmp_path / "app.log", *events))
        levels = [LEVELS.get(case.level or "INFO", 0) for case in CASES]

        found = [event["n"] for event in log.read(level=least)]

        assert found == [n for n, level in enumerate(levels) if level >= LEVELS[least]]

    def test_line(self, tmp_path, call):
        """A line of `tail` has the level's name, or nothing in its place."""
        log = write_events(tmp_path / "app.log", *(case.event for case in CASES))
        lines = call("tail", "-n", len(CASES), "--log", log, width="")[1].splitlines()

        assert [line[13:19].strip() for line in lines] == [
            SHORT.get(case.level, case.level or "") for case in CASES
        ]

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


@pytest.mark.parametrize(("fields", "name"), NAMES, ids=str)
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

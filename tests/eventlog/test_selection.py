"""Which events a filter lets through."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from chora_logging.errors import ConfigurationError
from chora_logging.eventlog import EventLog
from chora_logging.eventlog.selection import Selection, parse_time

UTC = timezone.utc
NOON = datetime(2025, 9, 28, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("filters", "event", "expected"),
    [
        ({}, {}, True),
        ({"task_id": "5"}, {"task_id": 5}, True),
        ({"task_id": 5}, {"task_id": "5"}, True),
        ({"task_id": "5"}, {"run_id": "5"}, False),
        ({"task_id": "None"}, {"task_id": None}, True),
        ({"run_id": "r", "trace_id": "t"}, {"run_id": "r", "trace_id": "t"}, True),
        ({"run_id": "r", "trace_id": "t"}, {"run_id": "r"}, False),
        ({"event": "a"}, {"event": "a"}, True),
        ({"event": "a"}, {"event": "b", "event_type": "a"}, True),
        ({"status": "error"}, {"status": "success"}, False),
        ({"level": "WARNING"}, {"level": "ERROR"}, True),
        ({"level": "warning"}, {"level": "WARN"}, True),
        ({"level": "WARNING"}, {"level": "INFO"}, False),
        ({"level": 30}, {"level": 40}, True),
        ({"level": "INFO"}, {"level": "LOUD"}, False),
        ({"level": "INFO"}, {}, False),
        ({"where": {"user": "eve"}}, {"user": "eve"}, True),
        ({"where": {"user": "eve"}}, {"user": ["eve"]}, False),
        ({"where": {"ok": True}}, {"ok": True}, True),
        ({"since": NOON}, {"timestamp": "2025-09-28T12:00:00Z"}, True),
        ({"since": NOON}, {"timestamp": "2025-09-28T11:59:59.999999Z"}, False),
        ({"until": NOON}, {"timestamp": "2025-09-28T12:00:00Z"}, False),
        ({"until": NOON}, {"timestamp": "2025-09-28T13:59:59.9+02:00"}, True),
        ({"since": "2025-09-28T12:00:00Z"}, {"timestamp": NOON.timestamp()}, True),
        ({"since": NOON}, {"timestamp": "yesterday"}, False),
        ({"since": NOON}, {"timestamp": None}, False),
    ],
    ids=str,
)
def test_matches(filters, event, expected):
    """An event fits every field, level and time that is asked for."""
    assert Selection(**filters).matches(event) is expected


@pytest.mark.parametrize(("text", "seconds"), [("30s", 30), ("15m", 900), ("24h", 86400), ("7d", 604800)])
def test_times_ago(text, seconds):
    """A number and a unit are that long ago."""
    expected = datetime.now(UTC) - timedelta(seconds=seconds)

    assert parse_time("since", text) == pytest.approx(expected.timestamp(), abs=5)


def test_local_time():
    """A time without a zone is local time."""
    assert (
        parse_time("since", "2025-09-28T08:54:11.5") == datetime(2025, 9, 28, 8, 54, 11, 500_000).timestamp()
    )
    assert parse_time("since", "999999999w") == float("-inf")


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        ({"since": "soon"}, "since must be a datetime, ISO 8601"),
        ({"until": 5}, "until must be a datetime, ISO 8601"),
        (
            {"level": "LOUD"},
            "level must be a number or one of DEBUG, INFO, WARNING, ERROR, CRITICAL, got 'LOUD'",
        ),
    ],
    ids=str,
)
def test_what_cannot_be_used(filters, message):
    """A filter that cannot be used is an error that says what is allowed."""
    with pytest.raises(ConfigurationError, match=message):
        Selection(**filters)


def test_escaped_values_are_found(tmp_path):
    """A value is found however its line writes it."""
    log = tmp_path / "app.log"
    log.write_text('{"task_id": "t\\u0061sk"}\n{"task_id": "a\\/b"}\n{"task_id": "other"}\n')

    assert len(list(EventLog(log).read(task_id="task"))) == 1
    assert len(list(EventLog(log).read(task_id="a/b"))) == 1

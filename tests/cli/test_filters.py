"""The filter options: the events that match each, and the error for an invalid value."""

from __future__ import annotations

import json

import pytest

from tests.cli.calling import write_events

EVENTS = (
    {"n": 1, "timestamp": "2026-03-01T12:00:00Z", "event": "task_started", "level": "INFO", "task_id": 7},
    {
        "n": 2,
        "timestamp": "2026-03-01T12:01:00Z",
        "event_type": "chora.done",
        "status": "error",
        "run_id": "r",
    },
    {
        "n": 3,
        "timestamp": "2026-03-01T12:02:00Z",
        "event": "log",
        "level": "ERROR",
        "trace_id": "t",
        "ok": True,
    },
)


@pytest.fixture
def log(tmp_path):
    """A log of three events."""
    return write_events(tmp_path / "app.log", *EVENTS)


class TestWhatFits:
    @pytest.mark.parametrize(
        ("options", "numbers"),
        [
            (("--task-id", "7"), [1]),
            (("--run-id", "r"), [2]),
            (("--trace", "t"), [3]),
            (("--trace-id", "t"), [3]),
            (("--event", "task_started"), [1]),
            (("--event", "chora.done"), [2]),
            (("--status", "error"), [2]),
            (("--level", "warning"), [2, 3]),
            (("--level", "20"), [1, 2, 3]),
            (("--since", "2026-03-01T12:01:00Z"), [2, 3]),
            (("--until", "2026-03-01T12:01:00Z"), [1]),
            (("--since", "2026-03-01T12:01:00Z", "--until", "2026-03-01T12:02:00Z"), [2]),
            (("--since", "36500d"), [1, 2, 3]),
            (("--where", "ok=True", "--where", "n=3"), [3]),
            (("--where", "ok=True", "--where", "n=1"), []),
            (("--where", "event=log"), [3]),
            (("--level", "critical"), []),
        ],
    )
    def test_each_option(self, log, call, options, numbers):
        """Only the events that match every option are found."""
        _, output, _ = call("query", "--log", log, "--json", *options)

        assert [json.loads(line)["n"] for line in output.splitlines()] == numbers


class TestBadValues:
    @pytest.mark.parametrize(
        ("options", "said"),
        [
            (
                ("--level", "loud"),
                "'--level': must be a number or one of DEBUG, INFO, WARNING, ERROR, CRITICAL",
            ),
            (("--level", "loud"), "got 'loud'"),
            (("--since", "soon"), "'--since': must be a time such as 2025-09-28T08:54:11Z"),
            (("--since", "soon"), "or how long ago: 15m, 1h30m, 7d, got 'soon'"),
            (("--until", "2026-13-01"), "'--until': must be a time"),
            (("--until", "25:00"), "'--until': must be a time"),
            (("--since", "10001-01-01"), "'--since': must be a time"),
            (("--where", "user"), "'--where': must be FIELD=VALUE, such as user=anna, got 'user'"),
            (("--where", "=x"), "'--where': must be FIELD=VALUE"),
            (("--where", "a=1", "--where", "a=2"), "'--where': must name each field once, got a=1 and a=2"),
            (("--since", "2h", "--until", "3h"), "--until must be later than --since"),
            (("--since", "2030-01-01", "--until", "2030-01-01"), "--until must be later than --since"),
            (("--event", ""), "'--event': must not be empty"),
            (("--trace", ""), "'--trace' / '--trace-id': must not be empty"),
        ],
    )
    @pytest.mark.parametrize("command", ["tail", "query"])
    def test_is_a_usage_error(self, log, call, command, options, said):
        """An invalid value ends with status 2; the error has the option, the value and what is allowed."""
        status, output, errors = call(command, "--log", log, *options)

        assert (status, output) == (2, "")
        assert said in " ".join(errors.split())

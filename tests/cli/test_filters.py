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
            (("--where", "n>=2", "--where", "n<3"), [2]),
            (("--where", "n=1", "--where", "n=3"), [1, 3]),
            (("--where", "not status=error"), [1, 3]),
            (("--where", "timestamp >= 2026-03-01T12:01:00Z"), [2, 3]),
            (("--where", "event~=^task_(started|done)$"), [1]),
            (("--where", "event_type:DONE"), [2]),
            (("--text", "TASK_"), [1]),
            (("--text", "task_started"), [1]),
            (("--text", "chora.DONE", "--where", "n>1"), [2]),
            (("--level", "critical"), []),
        ],
    )
    def test_each_option(self, log, call, options, numbers):
        """Only the events that match every option are found."""
        _, output, _ = call("query", "--log", log, "--json", *options)

        assert [json.loads(line)["n"] for line in output.splitlines()] == numbers


class TestWhatIsSaid:
    @pytest.mark.parametrize(
        ("where", "said"),
        [
            ("evnt=log", "no event that was read has a field evnt (did you mean event?)"),
            ("xyz~=1", "no event that was read has a field xyz"),
            ("not xyz=1", "no event that was read has a field xyz"),
            ("status>5", "1 of 1 event has a status that cannot be compared with that"),
        ],
    )
    def test_unknown_is_not_no(self, log, call, where, said):
        """A field that no event has, and values that cannot be compared, are reported on stderr."""
        _, _, errors = call("query", "--log", log, "--json", "--where", where)

        assert f"chora-logging: {said}\n" in errors

    @pytest.mark.parametrize("where", ["n=7", "event=nope", "not event=nope"])
    def test_nothing_is_said_of_a_field_that_is_there(self, log, call, where):
        """A field that some event has is not reported, whether an event matches or not."""
        _, _, errors = call("query", "--log", log, "--json", "--where", where)

        assert "field" not in errors

    def test_several_logs(self, log, tmp_path, call):
        """A field that one of several logs has is not reported."""
        other = write_events(tmp_path / "b.log", {"user": "anna"})
        status, _, errors = call("query", "--log", log, "--log", other, "--count", "--where", "user=anna")

        assert (status, errors) == (0, "")


class TestBadValues:
    @pytest.mark.parametrize(
        ("options", "said"),
        [
            (
                ("--level", "loud"),
                "'--level': must be a number or one of DEBUG, INFO, WARNING, ERROR, CRITICAL",
            ),
            (("--level", "loud"), "got 'loud'"),
            (("--level", "eror"), "got 'eror': did you mean ERROR?"),
            (("--since", "soon"), "'--since': must be a time such as 2025-09-28T08:54:11Z"),
            (("--since", "soon"), "or how long ago: 15m, 1h30m, 7d, got 'soon'"),
            (("--until", "2026-13-01"), "'--until': must be a time"),
            (("--until", "25:00"), "'--until': must be a time"),
            (("--since", "10001-01-01"), "'--since': must be a time"),
            (
                ("--where", "user"),
                "'--where': must be a field, an operator (= != > >= < <= ~= :) and a value",
            ),
            (
                ("--where", "user"),
                "such as user=anna, duration_ms>=1000, message:timeout, message~=time.?out",
            ),
            (("--where", "=x"), "'--where': must be a field, an operator"),
            (("--where", "n=>5"), "'--where': must be n>=5, or n=\">5\" for a value like that, got 'n=>5'"),
            (("--where", "a~=("), "'--where': must be a regular expression such as a~=time.?out (it is not"),
            (("--text", ""), "'--text': must not be empty"),
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

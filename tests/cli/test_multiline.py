"""Tracebacks and other text of several lines are readable: with --full, for a single event, in a trace."""

from __future__ import annotations

import pytest

from chora_logging.cli.multiline import lines_of, without_lines
from tests.cli.calling import HOSTILE, assert_tame, write_events

TRACEBACK = (
    'Traceback (most recent call last):\n  File "x.py", line 1, in f\n    1 / 0\nZeroDivisionError: zero\n'
)
BELOW = [
    "Traceback (most recent call last):",
    'File "x.py", line 1, in f',
    "1 / 0",
    "ZeroDivisionError: zero",
]

FAILED = {
    "timestamp": "2026-03-01T12:00:00.5",
    "level": "ERROR",
    "event": "job_failed",
    "trace_id": "t",
    "exc_info": TRACEBACK,
    "note": "x" * 100,
}
OTHER = {"timestamp": "2026-03-01T12:00:01", "event": "other", "trace_id": "u"}


@pytest.fixture
def log(tmp_path):
    """A log with a traceback and an event without."""
    return write_events(tmp_path / "app.log", FAILED, OTHER)


def stripped(text):
    return [line.strip() for line in text.splitlines()]


class TestCommands:
    @pytest.mark.parametrize("command", ["tail", "query"])
    def test_full(self, log, call, terminal, command):
        """With --full each line of a traceback is a line below its event, on a terminal and in a pipe."""
        for output in (terminal(command, log, "--full")[1], call(command, log, "--full", width="")[1]):
            lines = stripped(output)
            at = lines.index(BELOW[0])

            assert lines[at : at + 4] == BELOW
            assert "job_failed" in lines[at - 1]
            assert "Traceback" not in lines[at - 1] or command == "query"

    def test_a_whole_line(self, log, terminal):
        """With --full a line of a tail is not cut off."""
        assert "x" * 100 not in terminal("tail", log)[1]
        assert "x" * 100 in terminal("tail", log, "--full")[1]

    @pytest.mark.parametrize("command", [["tail"], ["query"], ["tail", "-n", "1"]])
    def test_a_single_event(self, log, call, terminal, command):
        """A single event is shown whole on a terminal; in a pipe it stays one line."""
        options = ("--event", "job_failed")

        assert stripped(terminal(*command, log, *options)[1])[-4:] == BELOW
        assert BELOW[1] not in stripped(call(*command, log, *options, width="")[1])

    @pytest.mark.parametrize("width", [40, 80, 120])
    def test_a_trace(self, log, terminal, width):
        """A trace has the whole traceback, in lines that fit."""
        status, text = terminal("trace", "t", log, width=width)

        assert status == 0
        assert_tame(text, width)
        assert "".join(BELOW[1].split()) in "".join(text.split())
        assert "ZeroDivisionError: zero" in stripped(text)
        assert text.count("ZeroDivisionError") == 1

    @pytest.mark.parametrize("width", [20, 80])
    @pytest.mark.parametrize("text", HOSTILE)
    def test_hostile_lines(self, tmp_path, terminal, text, width):
        """No line controls the terminal, and those of values fit it."""
        event = dict.fromkeys(("exc_info", "message", "stack_info", text, "note"), f"{text}\n\t{text}\n")
        log = write_events(tmp_path / "app.log", {"event": "e", **event, "trace_id": "t"}, OTHER)

        for command in (["query", "--full"], ["trace", "t"]):
            status, shown = terminal(*command, log, width=width)
            assert status == 0
            assert_tame(shown, width)
        assert_tame(terminal("tail", "--full", log, width=width)[1])


class TestValues:
    def shown(self, event, width=80):
        return [line.plain for line in lines_of(event, width)]

    def test_tracebacks_in_other_forms(self):
        """A list of lines and a traceback in an object are shown; the last line is red."""
        for event in (
            {"exc_info": TRACEBACK.splitlines()},
            {"error": {"stack_trace": TRACEBACK}},
            {"exception": TRACEBACK},
        ):
            lines = [*lines_of(event, 80)]
            assert [line.plain.strip() for line in lines] == BELOW
            assert [str(line.style) for line in lines] == ["dim"] * 3 + ["red"]

    def test_other_values(self):
        """Of a message all but the first line comes, another value gets its name, tracebacks are last."""
        event = {"exc_info": "E: 1", "sql": "select 1\n  from x", "message": "one\ntwo\n", "n": 1}

        assert self.shown(event) == ["    sql:", "    select 1", "      from x", "    two", "    E: 1"]
        assert without_lines(event) == {"message": "one", "n": 1}

    def test_an_event_without(self):
        """An event without such values is as it was."""
        event = {"message": "one\n", "n": 1}

        assert self.shown(event) == []
        assert without_lines(event) is event

    def test_long_lines(self):
        """A line that does not fit is broken, also between wide characters."""
        assert self.shown({"x": "日本語" * 3 + "\nb"}, 14) == [
            "    x:",
            "    日本語日本",
            "    語日本語",
            "    b",
        ]

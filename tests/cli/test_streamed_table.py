"""A table in a pipe: its first rows come at once, and no value is lost."""

from __future__ import annotations

import os
import subprocess

import pytest

from chora_logging.cli import streamed_table
from tests.cli.calling import write_events
from tests.cli.running import DEADLINE, running

TIME = "2026-03-01T12:00:0{}"


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_rows_come_while_others_do_not(tmp_path, options):
    """The rows of the events so far are printed although more events may come."""
    with running("query", *options, stdin=subprocess.PIPE) as command:
        command.process.stdin.write(b'{"event": "first", "n": 1}\n')
        command.process.stdin.flush()
        lines = command.lines(1 if options else 2)
        assert "first" in lines[-1]

        command.process.stdin.write(b'{"event": "second", "error": "bad"}\n')
        command.process.stdin.flush()
        assert "second" in command.lines(len(lines) + 1)[-1]
        command.process.communicate(timeout=DEADLINE)
        assert command.process.returncode == 0


def test_head_ends_it(tmp_path):
    """`query | head -1` ends at once, whatever is still to be read."""
    reading, writing = os.pipe()
    with running("query", stdin=subprocess.PIPE, stdout=writing) as command:
        os.close(writing)
        command.process.stdin.write(b'{"event": "first"}\n')
        command.process.stdin.flush()
        with open(reading, "rb") as file:
            assert file.readline().split() == [b"event"]
        assert command.process.wait(DEADLINE) == 141
        assert command.process.stderr.read() == b""


def test_what_comes_later(tmp_path, call, monkeypatch):
    """Fields that the first rows do not have stand behind a row with their names; a wider value is whole."""
    monkeypatch.setattr(streamed_table, "HELD_ROWS", 2)
    events = [
        {"event": "a", "n": 1, "empty": None},
        {"event": "b", "n": 2},
        {"event": "longer", "n": 3, "error": "bad\x1b", "x\x1b": "new", "status": "failed"},
        {"event": "c", "n": 4, "empty": 0},
    ]
    log = write_events(tmp_path / "app.log", *events)

    assert call("query", log, width="")[1].splitlines() == [
        "event  n",
        "a      1",
        "b      2",
        "longer  3  level=ERROR  status=failed  error=bad\\x1b  x\\x1b=new",
        "c      4  empty=0",
    ]


def test_a_small_result_is_as_on_a_terminal(tmp_path, call, terminal):
    """If all rows are there at once, all of them decide about the columns."""
    log = write_events(tmp_path / "app.log", {"event": "a"}, {"event": "longer", "user": "anna"})

    assert call("query", log, width=80)[1] == terminal("query", log, width=80)[1]

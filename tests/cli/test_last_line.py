"""The last line of a file without its newline: given if it is whole, else its being left out is said."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from chora_logging.eventlog import EventLog

LEFT_OUT = "1 at the end without a newline, perhaps not whole"


@pytest.fixture
def file(tmp_path):
    """Makes a file that was written some seconds ago."""

    def make(data, age=60):
        path = tmp_path / "app.log"
        path.write_bytes(data)
        moment = time.time() - age
        os.utime(path, (moment, moment))
        return path

    return make


@pytest.mark.parametrize("age", [60, 0])
def test_an_object(file, call, age):
    """`printf '{"a":1}' > f`: it is given by every command that ends, whether somebody writes or not."""
    log = file(b'{"a":1}', age)

    assert call("query", "--json", log) == (0, '{"a":1}\n', "")
    assert call("query", "--count", log) == (0, "1\n", "")
    assert call("query", "--newest-first", "--json", log) == (0, '{"a":1}\n', "")
    assert call("tail", "--json", log) == (0, '{"a":1}\n', "")
    assert call.json("stats", "--json", log)["logs"][0]["events"] == 1
    assert call("query", "--count", "--where", "a=2", log)[0] == 1


def test_after_other_lines(file, call):
    """It is the last one, and the newest."""
    log = file(b'{"a":1}\n{"a":2}\n{"a":3}')

    assert call("query", "--json", log)[1] == '{"a":1}\n{"a":2}\n{"a":3}\n'
    assert call("query", "--newest-first", "--limit", "2", "--json", log)[1] == '{"a":3}\n{"a":2}\n'
    assert call("tail", "-n", "2", "--json", log)[1] == '{"a":2}\n{"a":3}\n'


@pytest.mark.parametrize("command", ["query", "tail"])
def test_text(file, call, command):
    """Text is shown as it stands if nobody is writing the file; a program is told that it was left out."""
    log = file(b'{"a":1}\nwhat is thi')
    _, output, errors = call(command, log)

    assert output.endswith("what is thi\n")
    assert errors == ""
    _, output, errors = call(command, "--json", log)
    assert (output, LEFT_OUT in errors) == ('{"a":1}\n', True)


@pytest.mark.parametrize("command", ["query", "tail"])
@pytest.mark.parametrize("rest", [b"what is thi", b'{"a":'])
def test_while_it_is_written(file, call, command, rest):
    """A part of a line is not shown while somebody may be writing it; that it is left out is said."""
    log = file(b'{"a":1}\n' + rest, age=-60)
    _, output, errors = call(command, log)

    assert rest.decode() not in output
    assert LEFT_OUT in errors


def test_a_backup(file, call, tmp_path):
    """A backup that ends with an object without a newline has lost nothing; one that ends in one is torn."""
    log = file(b'{"a":3}\n')
    (tmp_path / "app.log.1").write_bytes(b'{"a":2}')
    (tmp_path / "app.log.2").write_bytes(b'{"a":1}\n{"b":')
    status, output, errors = call("query", "--json", log)

    assert (status, output) == (0, '{"a":1}\n{"a":2}\n{"a":3}\n')
    assert "1 torn: the file ends in the middle of the line" in errors
    assert call("query", "--json", "--newest-first", log)[1] == '{"a":3}\n{"a":2}\n{"a":1}\n'


def test_who_follows(file):
    """A follower gets it once, when its newline is there."""
    log = file(b'{"a":1}')
    follower = subprocess.Popen(
        [sys.executable, "-m", "chora_logging", "tail", "-f", "--json", log], stdout=subprocess.PIPE
    )
    with follower, open(log, "ab") as writer:
        writer.write(b'\n{"a":2}\n')
        writer.flush()
        lines = [follower.stdout.readline() for _ in range(2)]
        follower.terminate()

    assert lines == [b'{"a":1}\n', b'{"a":2}\n']


def test_in_python(file):
    """Who reads a log in Python gets it when it is complete, because a cursor may come after it."""
    log = file(b'{"a":1}\n{"a":2}')

    assert list(EventLog(log).read()) == EventLog(log).last(9) == [{"a": 1}]

"""Logs of very many files: what a reader does grows with their number, and not faster."""

from __future__ import annotations

import os
from unittest import mock

import pytest

from chora_logging.eventlog import EventLog
from tests.eventlog.writing import line, numbers, write

#: The first lines of each file, which are the same.
BANNER = b'{"n": -1, "pad": "' + b"x" * 1500 + b'"}\n'


def written(folder, count, banner=b""):
    """A log of so many backups of one event; return its path."""
    log = folder / "app.log"
    for number in range(count):
        log.with_name(f"app.log.{count - number}").write_bytes(banner + line(number))
    write(log, count)
    return str(log)


def calls_of(function):
    """Return how many calls that look at files it makes, and what it returns."""
    with (
        mock.patch.object(os, "pread", side_effect=os.pread) as reads,
        mock.patch.object(os, "stat", side_effect=os.stat) as looks,
    ):
        found = function()
    return reads.call_count + looks.call_count, found


def read(log):
    return numbers(EventLog(log).read())


def last(log):
    return numbers(EventLog(log).last(3))


@pytest.mark.parametrize("banner", [b"", BANNER], ids=["no banner", "banner"])
@pytest.mark.parametrize("reader", [read, last])
def test_twice_as_many_files(tmp_path, reader, banner):
    """Twice as many files take twice as many calls."""
    found = {}
    for count in (100, 200):
        folder = tmp_path / str(count)
        folder.mkdir()
        log = written(folder, count, banner)
        found[count], events = calls_of(lambda log=log: reader(log))
        assert events[-1] == count

    assert found[200] < 2.2 * found[100]

"""Logs of very many files: what a reader does grows with their number, and not faster."""

from __future__ import annotations

import gzip
import itertools
import os
import pathlib
import resource
from unittest import mock

import pytest

from chora_logging.eventlog import EventLog
from chora_logging.eventlog.following import Follower
from tests.eventlog.writing import Writer, alone, line, numbers, write

#: The first lines of each file, which are the same.
BANNER = b'{"n": -1, "pad": "' + b"x" * 1500 + b'"}\n'


@pytest.fixture(autouse=True)
def nobody_is_late(monkeypatch):
    """Nobody waits for other programs, because these tests have none."""
    alone(monkeypatch)


def written(folder, count, banner=b""):
    """A log of so many backups of one event; return its path."""
    log = folder / "app.log"
    for number in range(count):
        log.with_name(f"app.log.{count - number}").write_bytes(banner + line(number))
    write(log, count)
    os.utime(folder, (0, 0))  # as long after the last rotation
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


def resume(log):
    *_, event = EventLog(log).read(limit=10)
    return numbers(EventLog(log).read(after=event.cursor))


def follow(log):
    with Follower(log) as follower:
        return numbers(itertools.chain.from_iterable(iter(follower.poll_items, None)))


READERS = [read, last, resume, follow]


@pytest.mark.parametrize("banner", [b"", BANNER], ids=["no banner", "banner"])
@pytest.mark.parametrize("reader", READERS)
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


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("reader", READERS)
def test_few_descriptors(tmp_path, monkeypatch, reader, packed):
    """1,000 files are read by a process that may open 64."""
    with monkeypatch.context() as patch:
        if packed:
            patch.setattr(pathlib.Path, "write_bytes", write_packed)
        log = written(tmp_path, 1000)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (open_now() + 40, before[1]))
    try:
        with open(os.devnull):
            events = reader(log)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)

    assert events == list(range(1001))[-len(events) :]
    assert len(events) == {last: 3, resume: 991}.get(reader, 1001)


def write_packed(path, data):
    with gzip.open(f"{path}.gz", "wb") as file:
        file.write(data)


def open_now():
    """The highest descriptor that this process has open."""
    return max(map(int, os.listdir("/proc/self/fd")))


@pytest.mark.parametrize("reader", READERS)
def test_rotated_while_it_reads(tmp_path, reader):
    """A log of 40 files that is rotated whenever a reader looks has no event twice, none out of order."""
    writer = Writer(tmp_path / "app.log", keep=60)
    for _ in range(40):
        writer.write()
        writer.rotate()
    writer.write()
    looks, stat = itertools.count(), os.stat

    def rotating(*args, **kwargs):
        if next(looks) % 97 == 50 and writer.count < 50:
            writer.rotate()
            writer.write()
        return stat(*args, **kwargs)

    with mock.patch.object(os, "stat", rotating):
        events = reader(writer.log)
    writer.close()

    assert events == list(range(events[0], events[-1] + 1))
    assert events[0] == {last: events[-1] - 2, resume: 10}.get(reader, 0)
    assert events[-1] >= 40

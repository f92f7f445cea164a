"""Readers of a log that is rotated with every second line, as fast as a writer process can: a thousand
times a second on a fast machine. 5,000 rotations are waited for.

Files live for milliseconds here, so readers are too slow for some; what counts is that they report it.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import multiprocessing
import time

import pytest

from chora_logging import log_files
from chora_logging.eventlog import EventLog, Gap
from chora_logging.eventlog.following import Follower
from chora_logging.formatting.formatter import EventFormatter
from chora_logging.writing.handler import EventFileHandler

ROTATIONS = 5000
DEADLINE = 100


def write_until(log, stop, written):
    """Number events without a pause; two fill a file."""
    with contextlib.closing(EventFileHandler(log, maxBytes=240, backupCount=5)) as handler:
        handler.setFormatter(EventFormatter())
        for number in itertools.count():
            handler.emit(logging.makeLogRecord({"msg": "x", "n": number}))
            if stop.is_set():
                written.put(number + 1)
                return


@pytest.fixture
def log(tmp_path):
    """The path of the log."""
    return str(tmp_path / "app.log")


@contextlib.contextmanager
def writing(log):
    """A running writer; yields a function that tests if it has rotations left, and one that ends it."""
    context = multiprocessing.get_context("fork")
    stop, written = context.Event(), context.SimpleQueue()
    writer = context.Process(target=write_until, args=(log, stop, written))
    writer.start()
    deadline = time.monotonic() + DEADLINE

    def is_at_work():
        assert time.monotonic() < deadline
        assert writer.is_alive()
        state = log_files.read_sidecar(log)
        return state is None or state.generation < ROTATIONS

    def end():
        stop.set()
        count = written.get()
        writer.join()
        return count

    try:
        yield is_at_work, end
    finally:
        stop.set()
        writer.join()


def check(items, count):
    """Each event once and in order, up to the last one; one that is missing has a gap in its place."""
    expected, told = None, False
    missing = 0
    for item in items:
        if isinstance(item, Gap):
            told = True
            continue
        number = item["n"]
        if expected is not None:  # events deleted before the first one are not promised
            assert number >= expected
            assert told or number == expected, f"{expected} to {number - 1} are missing without a word"
            missing += number - expected
        expected, told = number + 1, False
    assert expected == count
    return missing


def test_a_follower(log):
    """At hundreds of rotations a second a follower gives each line once, in order, or a gap in its place."""
    items = []
    with writing(log) as (is_at_work, end), Follower(log) as follower:
        while is_at_work():
            items += follower.poll_items() or []
        count = end()
        while (more := follower.poll_items()) is not None:
            items += more

    check(items, count)


def test_a_reader_with_a_cursor(log):
    """So does a reader that is restarted all the time, with nothing but the cursor of its last event."""
    items, cursor = [], None
    with writing(log) as (is_at_work, end):
        while is_at_work():
            found = list(EventLog(log).read(after=cursor))
            items += found
            cursor = next((item.cursor for item in reversed(found) if not isinstance(item, Gap)), cursor)
        count = end()
        items += EventLog(log).read(after=cursor)

    check(items, count)


def test_passes(log, caplog):
    """Each read has every line of a contiguous sequence once, from both ends, without a hole."""
    passes = 0
    with writing(log) as (is_at_work, _):
        while is_at_work():
            for found in (list(EventLog(log).read()), list(EventLog(log).read(newest_first=True))[::-1]):
                numbers = [event["n"] for event in found]
                assert numbers == list(range(numbers[0], numbers[0] + len(numbers))) if numbers else True
                passes += 1

    assert passes > 10
    assert caplog.text == ""

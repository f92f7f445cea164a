"""Readers that are killed again and again, and resume from their last cursor, under constant rotation."""

from __future__ import annotations

import multiprocessing
import os
import time

import pytest

from tests.faults.reading import entries, follow, write_until
from tests.soaks import soak

WRITERS, READERS = 3, 5
KILLS, SECONDS = soak(50), soak(60)
#: Rotation is at 50 kB; so many backups hold some seconds of events.
ROTATION = {"maxBytes": 50_000, "backupCount": 60}
DEADLINE = 60


class Reader:
    """A reader in a process of its own, and its record."""

    def __init__(self, context, log, number):
        self.context, self.log = context, log
        self.path = f"{log}-record-{number}"
        self.asynchronous = bool(number % 2)
        self.start()

    def start(self):
        """Start the process; it continues from the last cursor in the record."""
        self.size = self.recorded()
        arguments = (self.log, self.path, self.asynchronous)
        self.process = self.context.Process(target=follow, args=arguments, daemon=True)
        self.process.start()

    def kill(self):
        """Kill it (-9) once it has recorded something."""
        until(lambda: self.recorded() > self.size)
        assert self.process.is_alive()
        self.process.kill()
        self.process.join()

    def recorded(self):
        """The size of the record, in bytes."""
        return os.path.getsize(self.path) if os.path.exists(self.path) else 0

    def numbers(self):
        """The last number of each writer's events in the record."""
        return dict(filter(None, entries(self.path)))


def until(condition):
    """Return when *condition* holds."""
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.timeout(300)
def test_killed_and_resumed(tmp_path):
    """3 writers rotate every 50 kB; 5 readers, each killed again and again, see each event once.

    A whole run takes a minute and kills each reader 50 times. Each event of a writer arrives exactly once
    and in that writer's order, or a gap is reported where some are missing.
    """
    log, stop = str(tmp_path / "events.log"), str(tmp_path / "stop")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.faults.reading"])
    results = context.Queue()
    writers = [
        context.Process(target=write_until, args=(log, number, stop, results), kwargs=ROTATION)
        for number in range(WRITERS)
    ]
    for writer in writers:
        writer.start()
    readers = [Reader(context, log, number) for number in range(READERS)]
    began = time.monotonic()
    for turn in range(KILLS * READERS):
        until(lambda turn=turn: time.monotonic() - began >= SECONDS * turn / (KILLS * READERS))
        reader = readers[turn % READERS]
        reader.kill()
        reader.start()
    with open(stop, "w"):
        pass
    written = dict(results.get(timeout=DEADLINE) for _ in writers)
    for writer in writers:
        writer.join()
    last = {writer: count - 1 for writer, count in written.items()}
    until(lambda: all(reader.numbers() == last for reader in readers))
    for reader in readers:
        reader.process.kill()
        reader.process.join()

    for reader in readers:
        assert_accounted(reader.path, last)
    assert sum(written.values()) > soak(10_000)


def assert_accounted(path, last):
    """Each event once, in each writer's order; none is missing without a gap in its place."""
    seen, gaps = {}, 0  # of each writer: the last number, and how many gaps were reported by then
    for item in entries(path):
        if item is None:
            gaps += 1
            continue
        writer, number = item
        before, told = seen.get(writer, (-1, 0))
        assert number > before, f"{number} of writer {writer} came after {before}"
        assert number == before + 1 or gaps > told, (
            f"{before + 1} to {number - 1} of writer {writer} are missing"
        )
        seen[writer] = number, gaps
    assert {writer: number for writer, (number, _) in seen.items()} == last

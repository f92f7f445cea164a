"""The real logrotate rotates a log under readers that follow it, or are restarted all the time."""

from __future__ import annotations

import collections
import os
import re
import subprocess
import time

import pytest

from chora_logging.eventlog import EventLog, Gap
from chora_logging.eventlog.following import Follower
from chora_logging.eventlog.lines import parse
from tests.faults.test_many_writers import start_writer
from tests.needs import find_program, need

DATED = "dateext\ndateformat -%Y%m%d-%s"
WAYS = {
    "numbers": "",
    "compressed": "compress",
    "compressed later": "compress\ndelaycompress",
    "dates": DATED,
    "dates, compressed": f"{DATED}\ncompress",
    "dates, compressed later": f"{DATED}\ncompress\ndelaycompress",
}
ROTATIONS, DATED_ROTATIONS = 20, 3
WRITERS = 2
#: Between two events, in seconds: the number of rotations counts, not that of events.
PAUSE = 0.0001
DEADLINE = 60


class Rotator:
    """The logrotate of the system, with a configuration of its own."""

    def __init__(self, folder, log, mode, options):
        need("logrotate")
        self.log = log
        self.soonest = 0  # the next rotation
        self.state = folder / "state"
        self.configuration = folder / "logrotate.conf"
        self.configuration.write_text(f"{log} {{\nrotate 1000\nsize 1\nmissingok\n{mode}\n{options}\n}}\n")
        self.configuration.chmod(0o644)

    def start(self):
        """Start a rotation when all writers write to the live file, and the backup will have a new name.

        Until then a writer may still be about to write to the last backup, which this rotation compresses.
        """
        deadline = time.monotonic() + DEADLINE
        while len(writers_in(self.log)) < WRITERS or time.time() < self.soonest:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        return subprocess.Popen([find_program("logrotate"), "-s", self.state, self.configuration])


def writers_in(log):
    """The writers of the lines in the file *log*."""
    lines = log.read_bytes().splitlines(keepends=True) if log.exists() else []
    return {parse(line)["writer"] for line in lines if line.endswith(b"\n")}


class Record:
    """The events given to a reader: each once, in its writer's order."""

    def __init__(self):
        self.seen = collections.defaultdict(list)
        self.told = collections.defaultdict(set)  # the numbers missing at a reported gap
        self.gaps = []
        self.gaps_before = collections.Counter()  # before each writer's last event
        self.cursor = None

    def take(self, items):
        for item in items:
            if isinstance(item, Gap):
                self.gaps.append(item)
                continue
            numbers = self.seen[item["writer"]]
            assert not numbers or item["seq"] > numbers[-1], "repeated, or out of order"
            if numbers and len(self.gaps) > self.gaps_before[item["writer"]]:
                self.told[item["writer"]] |= set(range(numbers[-1] + 1, item["seq"]))
            self.gaps_before[item["writer"]] = len(self.gaps)
            numbers.append(item["seq"])
            self.cursor = item.cursor


def drain(follower, record, log):
    """Read until everything in the log has arrived."""
    stored = {}
    for event in EventLog(log).read():
        stored[event["writer"]] = event["seq"]
    deadline = time.monotonic() + DEADLINE
    while any(not record.seen[writer] or record.seen[writer][-1] < last for writer, last in stored.items()):
        assert time.monotonic() < deadline
        record.take(follower.poll_items() or [])


@pytest.mark.parametrize("mode", ["nocreate", "copytruncate"])
@pytest.mark.parametrize("options", WAYS.values(), ids=WAYS)
def test_live_and_resumed(tmp_path, mode, options):
    """With every mode and naming of logrotate, all events left in the files arrive once and in order.

    With renaming these are all lines, and no gap is reported (`nocreate`, because our writers create the
    new log; where both do, logrotate may move one aside as a `.backup`). `copytruncate` itself loses the
    lines written between its copy and its truncation, and `compress` without `delaycompress` those written
    to the moved file while it is compressed: these may arrive or not.
    """
    dated = "dateext" in options
    rotations = DATED_ROTATIONS if dated else ROTATIONS
    folder = tmp_path / "log"
    folder.mkdir(mode=0o755)
    log = folder / "events.log"
    rotator = Rotator(tmp_path, log, mode, options)
    writers = [start_writer(log, number, 10**9, maxBytes=0, pause=PAUSE) for number in range(WRITERS)]
    followed, resumed = Record(), Record()
    try:
        with Follower(str(log)) as follower:
            for _ in range(rotations):
                rotation = rotator.start()
                while rotation.poll() is None:
                    followed.take(follower.poll_items() or [])
                    resumed.take(EventLog(log).read(after=resumed.cursor, limit=50))
                # Dates are by the second, and logrotate's clock ticks a little later.
                rotator.soonest = int(time.time()) + 1.1 if dated else time.time() + 0.05
                assert rotation.returncode == 0
            for writer in writers:
                writer.kill()
                writer.wait()
            drain(follower, followed, log)
        resumed.take(EventLog(log).read(after=resumed.cursor))
    finally:
        for writer in writers:
            writer.kill()
            writer.wait()

    stored = collections.defaultdict(list)
    for event in EventLog(log).read():
        stored[event["writer"]].append(event["seq"])
    backups = [name for name in os.listdir(folder) if re.match(r"events\.log[.-]\d", name)]
    assert len(backups) == rotations
    for record in (followed, resumed):
        for writer, numbers in stored.items():
            missing = set(numbers) - set(record.seen[writer])
            assert not missing, (
                len(missing),
                len(missing - record.told[writer]),
                record.gaps,
                record is followed,
            )
    if mode != "copytruncate":
        # What is written between the check of the path and the `write` is in the file that logrotate has
        # just moved: if it compresses that at once, gzip may have passed the end ("file size changed").
        is_whole = "compress" not in options or "delaycompress" in options
        for record in (followed, resumed):
            assert record.gaps == []
            assert stored == record.seen or not is_whole
            assert stored.keys() == record.seen.keys()
        is_unbroken = all(numbers == list(range(len(numbers))) for numbers in followed.seen.values())
        assert is_unbroken or not is_whole

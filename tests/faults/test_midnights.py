"""Eight processes that write over midnights of a clock that runs fast, and a limit of the whole log."""

from __future__ import annotations

import collections
import contextlib
import datetime
import json
import os
import random
import signal
import subprocess
import sys
import time
import zoneinfo

import pytest

from chora_logging.eventlog import EventLog, Gap
from tests.accounting import bytes_of, events_of, files_of

#: The seconds of a day of the fast clock.
DAY_SECONDS = 1.5
SPEED = 86400 / DAY_SECONDS
#: How long a record may take from its time to the file, in seconds of the real clock.
LATE_SECONDS = 1.0
WRITERS, DAYS, KILLS = 8, 6, 12

#: Writes numbered records with the time of the fast clock, and prints the number of each written one.
PROGRAM = """
import os, sys, time
real_time, real_fstat = time.time, os.fstat
name, log, begin, real_begin, speed, first = sys.argv[1:]
begin, real_begin, speed = float(begin), float(real_begin), float(speed)

def fast(moment):
    return begin + (moment - real_begin) * speed

class Status:
    def __init__(self, status):
        self._status, self.st_mtime = status, fast(status.st_mtime)
    def __getattr__(self, name):
        return getattr(self._status, name)

time.time = lambda: fast(real_time())
from chora_logging.writing import rotation_schedule
from tests.faults.writer import logger_on
rotation_schedule.COARSE_SECONDS *= speed
rotation_schedule.os = type(os)("os")
rotation_schedule.os.__dict__.update(os.__dict__, fstat=lambda fd: Status(real_fstat(fd)))
logger = logger_on(log, when="midnight", maxBytes="1MB", backupCount=1000)
number = int(first)
while True:
    logger.info("event", extra={"writer": name, "seq": number, "at": time.time()})
    os.write(1, b"%d\\n" % number)
    number += 1
    time.sleep(0.005)
"""


@pytest.mark.parametrize(
    ("zone", "begin"),
    [
        ("Europe/Berlin", (2026, 3, 26, 21)),  # on March 29 a day has 23 hours
        # On October 25 one has 25.
        pytest.param("Europe/Berlin", (2026, 10, 22, 21), marks=pytest.mark.whole),
        pytest.param("UTC", (2026, 12, 29, 21), marks=pytest.mark.whole),
    ],
    ids=["to summer time", "from summer time", "over the end of a year"],
)
def test_midnights(tmp_path, zone, begin):
    """Each day has one file, and each event is in one of them once, though writers are killed.

    A record of the last moment of a day may be in the next file, never one of the next day in this.
    """
    log = tmp_path / "app.log"
    moment, now = datetime.datetime(*begin, tzinfo=datetime.timezone.utc).timestamp(), time.time()
    environment = {**os.environ, "TZ": zone}
    chance = random.Random(1)
    written = collections.defaultdict(list)

    def start(name):
        first = written[name][-1] + 2 if written[name] else 0  # the one of a killed writer may be there
        command = [sys.executable, "-c", PROGRAM, name, str(log), *map(str, (moment, now, SPEED, first))]
        return subprocess.Popen(command, stdout=subprocess.PIPE, env=environment)

    def end(name, how):
        writers[name].send_signal(how)
        printed, _ = writers[name].communicate()
        written[name] += map(int, printed.split(b"\n")[:-1])

    writers = {str(number): start(str(number)) for number in range(WRITERS)}
    seen, cursor = [], None
    try:
        kills = 0
        while kills < KILLS or len(files_of(log)) <= DAYS:
            kills += 1
            time.sleep(DAYS * DAY_SECONDS / KILLS)
            name = chance.choice(list(writers))
            end(name, signal.SIGKILL)
            writers[name] = start(name)
            for event in EventLog(log).read(after=cursor):
                seen.append(event)
                cursor = event.cursor
    finally:
        for name in writers:
            end(name, signal.SIGKILL)
    seen += EventLog(log).read(after=cursor)

    events = events_of(log)
    assert not [item for item in seen if isinstance(item, Gap)]
    assert [(event["writer"], event["seq"]) for event in seen] == [
        (event["writer"], event["seq"]) for event in events
    ]
    stored = collections.Counter((event["writer"], event["seq"]) for event in events)
    assert set(stored.values()) == {1}
    assert {(name, number) for name, numbers in written.items() for number in numbers} <= set(stored)
    days = []
    for path in files_of(log):
        times = [json.loads(line)["at"] for line in bytes_of(path).splitlines()]
        latest = max(times)
        of_before = [at for at in times if day_of(at, zone) != day_of(latest, zone)]
        assert all(max(of_before) - at < LATE_SECONDS * SPEED for at in of_before)
        assert len(of_before) <= WRITERS
        days.append(day_of(latest, zone))
    assert days == sorted(set(days))
    assert len(days) >= DAYS


def day_of(moment, zone):
    """The local date of a time."""
    return datetime.datetime.fromtimestamp(moment, zoneinfo.ZoneInfo(zone)).date()


LIMITED = """
import sys
from tests.faults.writer import logger_on, write
name, log = sys.argv[1:]
logger = logger_on(log, maxBytes=20_000, backupCount=1000, maxTotalBytes=100_000, compress=name == "compress")
write(logger, name, 2000, size=100)
"""


@pytest.mark.parametrize("compress", [False, True], ids=["plain", "compressed"])
def test_the_limit_of_all_files(tmp_path, compress):
    """Eight writers never take the log beyond its limit by more than one file; what is left has no hole."""
    log = tmp_path / "app.log"
    names = ["compress"] * WRITERS if compress else [str(number) for number in range(WRITERS)]
    writers = [subprocess.Popen([sys.executable, "-c", LIMITED, name, str(log)]) for name in names]
    largest = 0
    while any(writer.poll() is None for writer in writers):
        largest = max(largest, size_of(tmp_path))
        time.sleep(0.005)

    assert {writer.returncode for writer in writers} == {0}
    assert 60_000 < largest <= 120_000
    if not compress:
        for name in names:
            kept = [event["seq"] for event in events_of(log) if event["writer"] == name]
            assert not kept or kept == list(range(kept[0], 2000))


def size_of(folder):
    """The bytes of all files of the log in a folder, each once."""
    found = {}
    for path in folder.glob("app.log*"):
        with contextlib.suppress(FileNotFoundError):
            status = path.stat()
            found[status.st_ino] = status.st_size
    return sum(found.values())

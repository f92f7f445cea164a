"""Writers with different settings for one log, or without descriptors when they must reopen it."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys

from tests.accounting import assert_small, events_of, files_of
from tests.faults.test_many_writers import start_writer
from tests.faults.writer import logger_on, write

#: The log is moved away while the program may open no file.
EXHAUSTED = """
import json, os, resource, sys
from tests.faults.writer import logger_on, write
log = sys.argv[1]
logger = logger_on(log)
refused = []
logger.handlers[0].handleError = lambda record: refused.append(record.seq)
write(logger, "one", 5)
limits = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))
os.rename(log, log + "-moved")
write(logger, "one", 15, first=5)
resource.setrlimit(resource.RLIMIT_NOFILE, limits)
write(logger, "one", 20, first=15)
print(json.dumps(refused))
"""


def test_no_descriptor_to_open_the_log_again(tmp_path):
    """Records without a descriptor are reported and counted in the log; with a free one it goes on."""
    log = tmp_path / "events.log"
    command = [sys.executable, "-c", EXHAUSTED, str(log)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    refused = json.loads(done.stdout)

    moved = [json.loads(line)["seq"] for line in (tmp_path / "events.log-moved").read_bytes().splitlines()]
    events = events_of(log)
    assert moved == [0, 1, 2, 3, 4]
    assert refused == list(range(5, 15))
    assert [event["seq"] for event in events if "seq" in event] == list(range(15, 20))
    assert [event["lost"] for event in events if "lost" in event] == [10]
    assert "Too many open files" in next(event["error"] for event in events if "lost" in event)


def test_different_backup_counts(tmp_path):
    """Each rotator keeps its own number of backups: the newest ones, without a hole."""
    log = tmp_path / "events.log"
    loggers = {count: logger_on(log, maxBytes=600, backupCount=count) for count in (2, 6)}
    for turn, count in enumerate([6] * 60 + [2] * 10 + [6] * 40):
        write(loggers[count], "one", turn + 1, first=turn)
        numbers = [event["seq"] for event in events_of(log)]
        assert numbers == list(range(numbers[0], turn + 1))
        assert len(files_of(log)) <= 7
        if turn in (59, 109):
            assert len(files_of(log)) == 7
        if turn == 69:
            assert len(files_of(log)) == 3


def test_five_backups_of_many_writers(tmp_path):
    """With five backups 4 processes keep the log and .1 to .5, and of each writer its newest events."""
    log = tmp_path / "events.log"
    go = tmp_path / "go"
    programs = [start_writer(log, n, 1000, maxBytes=5_000, backupCount=5, start=str(go)) for n in range(4)]
    go.touch()
    for program in programs:
        assert program.wait(100) == 0

    assert [path.name for path in files_of(log)] == [
        *(f"events.log.{number}" for number in (5, 4, 3, 2, 1)),
        "events.log",
    ]
    assert_small(log, 5_000)
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".")) == [
        ".events.log.lock"
    ]
    kept = {}
    for event in events_of(log):
        kept.setdefault(event["writer"], []).append(event["seq"])
    assert kept
    for writer, numbers in kept.items():
        assert numbers == list(range(numbers[0], 1000)), f"writer {writer}"


def packed(source, target):
    """The rotator of Python's logging cookbook."""
    with open(source, "rb") as plain, gzip.open(target, "wb") as file:
        file.write(plain.read())
    os.remove(source)


def test_namer_and_rotator_in_many_processes(tmp_path):
    """With a namer and a rotator of the user's own, processes lose and double nothing either."""
    log = tmp_path / "events.log"
    pids = []
    for writer in range(3):
        pid = os.fork()
        if not pid:
            try:
                logger = logger_on(log, maxBytes=3_000, backupCount=1000)
                logger.handlers[0].namer = lambda name: name + ".packed"
                logger.handlers[0].rotator = packed
                write(logger, writer, 300)
                os._exit(0)
            finally:
                os._exit(1)
        pids.append(pid)
    assert [os.waitpid(pid, 0)[1] for pid in pids] == [0, 0, 0]

    backups = sorted(tmp_path.glob("events.log.*.packed"), key=lambda path: -int(path.name.split(".")[2]))
    lines = [line for path in backups for line in gzip.decompress(path.read_bytes()).splitlines()]
    found = {}
    for event in map(json.loads, [*lines, *log.read_bytes().splitlines()]):
        found.setdefault(event["writer"], []).append(event["seq"])
    assert found == {writer: list(range(300)) for writer in range(3)}
    assert len(backups) > 20

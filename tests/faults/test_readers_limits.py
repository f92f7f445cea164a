"""Resources of a reader: memory, bytes read from the disk, and no write permission."""

from __future__ import annotations

import gzip
import itertools
import json
import logging
import os
import pathlib
import subprocess
import sys
import tempfile

import pytest

from chora_logging.eventlog import EventLog
from tests.eventlog.writing import line, numbers, write
from tests.faults.mounts import run_mounted
from tests.faults.test_users import as_nobody

MB = 1024 * 1024

#: Reads the log in a process of its own; prints the peak of what that added to the memory, the bytes that it
#: read, and how many events it saw.
READ = """
import resource, sys
from chora_logging.eventlog import EventLog
log, what = EventLog(sys.argv[1]), sys.argv[2]

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

def read_so_far():
    with open("/proc/self/io") as file:
        return int(next(line for line in file if line.startswith("rchar")).split()[1])

list(log.read(limit=10)), log.last(1), list(log.read(after=next(log.read()).cursor, limit=1))
memory, read, count = peak(), read_so_far(), 0
if what == "read":
    for _ in log.read():
        count += 1
elif what == "newest first":
    for _ in log.read(newest_first=True):
        count += 1
elif what == "last":
    count = len(log.last(100))
else:
    for event in log.follow_sync():
        count += 1
        if event["n"] == int(sys.argv[3]):
            break
print(peak() - memory, read_so_far() - read, count)
"""


@pytest.fixture(scope="module")
def large_log(tmp_path_factory):
    """A log of 60 MB: a compressed backup of 10 MB, a plain one and a live file of 25 MB."""
    log = tmp_path_factory.mktemp("large") / "app.log"
    numbered = itertools.count()
    for name, size in ((f"{log}.2.gz", 10 * MB), (f"{log}.1", 25 * MB), (log, 25 * MB)):
        lines = b"".join(line(number, 200) for number in itertools.islice(numbered, size // 225))
        pathlib.Path(name).write_bytes(gzip.compress(lines, 1) if str(name).endswith(".gz") else lines)
    return log


def measured(log, what):
    """The memory that reading took, the number of bytes read, and of events."""
    newest = str(EventLog(log).last(1)[0]["n"])
    command = [sys.executable, "-c", READ, log, what, newest]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return map(int, done.stdout.split())


@pytest.mark.parametrize("what", ["read", "newest first", "follow"])
def test_memory(large_log, what):
    """Memory does not grow with the log: 60 MB are read, from either end or by a follower, in under 12 MB."""
    memory, _, count = measured(large_log, what)

    assert count > 200_000
    assert memory < 12 * MB


def test_the_newest_events(large_log):
    """For the newest 100 events of 60 MB less than one megabyte is read."""
    _, read, count = measured(large_log, "last")

    assert count == 100
    assert read < MB


def test_a_read_only_mount(tmp_path):
    """A log on a file system that is mounted read-only is read, from both ends and by a follower."""
    write(tmp_path / "app.log.1", *range(50))
    write(tmp_path / "app.log", *range(50, 60))
    reads = '! touch "$1/x" && exec "$2" -c "$3" "$1/app.log" follow 59'
    options = ["--bind", "-o", "ro", tmp_path, tmp_path]
    done = run_mounted(options, "sh", "-ec", reads, "sh", tmp_path, sys.executable, READ)

    assert done.stdout.split()[-1] == "60"
    assert sorted(os.listdir(tmp_path)) == ["app.log", "app.log.1"]


def test_as_another_user():
    """A user who may only read can read; a backup that he may not read is reported, the rest is read."""
    with tempfile.TemporaryDirectory() as folder:
        log = pathlib.Path(folder, "app.log")
        for number, name in enumerate(("app.log.4", "app.log.3", "app.log.2", "app.log.1", "app.log")):
            write(pathlib.Path(folder, name), number)
        (log.parent / "app.log.3").chmod(0o600)
        log.parent.chmod(0o555)
        found, told, files = as_nobody(lambda: read_and_list(log))
        log.parent.chmod(0o755)

    assert found == [[0, 2, 3, 4], [4, 3, 2, 0], [2, 3, 4]]
    assert any("app.log.3 cannot be read" in text for text in told)
    assert files == ["app.log", "app.log.1", "app.log.2", "app.log.3", "app.log.4"]


def read_and_list(log):
    """The events of *log* read in three ways, the reported messages, and the files in its folder."""
    told = []
    handler = logging.Handler()
    handler.emit = lambda record: told.append(record.getMessage())
    logging.getLogger("chora_logging").addHandler(handler)
    reading = EventLog(log)
    first = next(reading.read())
    found = [numbers(reading.read()), numbers(reading.read(newest_first=True))]
    found.append(numbers(reading.read(after=first.cursor)))
    return json.loads(json.dumps([found, told, sorted(os.listdir(log.parent))]))

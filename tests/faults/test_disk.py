"""Full, read-only and vanished disks; too many open files; limits on file size."""

from __future__ import annotations

import json
import sys

import pytest

from tests.faults.mounts import run_mounted

#: Shared by the programs below. They run in a mount namespace of their own, with a tmpfs on DISK.
PRELUDE = """
import errno, json, logging, os, resource, subprocess, sys
from chora_logging.formatting.formatter import EventFormatter
from chora_logging.writing.handler import EventFileHandler

DISK = sys.argv[1]
LOG = os.path.join(DISK, "app.log")
refused, written = [], []

class Handler(EventFileHandler):
    def handleError(self, record):
        refused.append(record.seq)

def logger_on(log, kind=Handler, **options):
    handler = kind(log, **options)
    handler.setFormatter(EventFormatter())
    logger = logging.Logger("test", logging.INFO)
    logger.addHandler(handler)
    return logger

def write(logger, numbers, size=50):
    for number in numbers:
        before = len(refused)
        logger.info("event", extra={"seq": number, "padding": "x" * size})
        if len(refused) == before:
            written.append(number)

def lines():
    names = [name for name in os.listdir(DISK) if name.startswith("app.log")]
    names.sort(key=lambda name: -int("0" + name[8:]))
    data = b"".join(open(os.path.join(DISK, name), "rb").read() for name in names)
    assert data.endswith(b"\\n"), data[-100:]
    return [json.loads(line) for line in data.splitlines()]

def done(**found):
    print(json.dumps({"refused": refused, "written": written, **found}))
"""


def run(tmp_path, program, size="64k"):
    """Run *program* with a tmpfs of its own on the folder; return its output."""
    disk = tmp_path / "disk"
    disk.mkdir(exist_ok=True)
    options = ["-t", "tmpfs", "-o", f"size={size}", "tmpfs", disk]
    done = run_mounted(options, sys.executable, "-c", PRELUDE + program, disk)
    return json.loads(done.stdout), done.stderr


@pytest.mark.parametrize("size", [50, 700, 5000])
def test_full_disk(tmp_path, size):
    """Every failed event is reported and no part of it written; with free space the log goes on."""
    found, _ = run(
        tmp_path,
        f"""
logger = logger_on(LOG, maxBytes=0)
write(logger, range(1000), {size})
full = [event for event in lines() if "seq" in event]
with open(LOG, "r+b") as file:
    file.truncate(0)
write(logger, range(1000, 1003), 50)
logger.handlers[0].close()
done(kept=[event["seq"] for event in full], after=lines())
""",
    )

    assert found["refused"]
    assert sorted(found["refused"] + found["written"]) == list(range(1003))
    assert found["kept"] == [number for number in found["written"] if number < 1000]
    first, notice, *rest = found["after"]
    assert [event["seq"] for event in [first, *rest]] == [1000, 1001, 1002]
    assert notice["event"] == "records_lost"
    assert notice["lost"] == len(found["refused"])
    assert "No space left" in notice["error"]


def test_full_disk_while_rotating(tmp_path):
    """A disk filled by backups loses only the events that it refuses; a rotation on it damages nothing."""
    found, _ = run(
        tmp_path,
        """
with open(os.path.join(DISK, "ballast"), "wb") as file:
    file.write(b"x" * 20_000)
logger = logger_on(LOG, maxBytes=6_000, backupCount=100)
write(logger, range(500))
os.unlink(os.path.join(DISK, "ballast"))
write(logger, range(500, 510))
logger.handlers[0].close()
done(lines=lines())
""",
    )

    assert found["refused"]
    assert [event["seq"] for event in found["lines"] if "seq" in event] == found["written"]
    lost = [event["lost"] for event in found["lines"] if event.get("event") == "records_lost"]
    assert sum(lost) == len(found["refused"])


def test_no_inodes(tmp_path):
    """A rotation that can make no next file costs no line: the log grows, and is rotated later."""
    found, _ = run(
        tmp_path,
        """
import time
logger = logger_on(LOG, maxBytes=2_000, backupCount=50)
write(logger, range(20))
before = len(os.listdir(DISK))
number = 0
try:
    while True:
        open(os.path.join(DISK, f"ballast{number}"), "w").close()
        number += 1
except OSError:
    pass
write(logger, range(20, 60))
size, names = os.stat(LOG).st_size, len(os.listdir(DISK)) - number
for number in range(number):
    os.unlink(os.path.join(DISK, f"ballast{number}"))
clock = time.monotonic() + 100
time.monotonic = lambda: clock
write(logger, range(60, 100))
done(size=size, more=names - before, backups=len(os.listdir(DISK)) - before, lines=lines())
""",
        size="1m,nr_inodes=30",
    )

    assert found["refused"] == []
    assert found["size"] > 4_000
    assert found["more"] == 0
    assert found["backups"] > 0
    assert [event["seq"] for event in found["lines"] if "seq" in event] == list(range(100))
    reports = [event["event"] for event in found["lines"] if "seq" not in event]
    assert reports == ["rotation_failed"]


@pytest.mark.parametrize("looks", [True, False], ids=["looks for room", "fills the disk"])
def test_no_room_to_compress(tmp_path, looks):
    """A compression that does not fit on the disk leaves the writers the room that it had taken."""
    found, _ = run(
        tmp_path,
        f"""
import time
from chora_logging.writing import compression, packing
tried, calls = [], compression.compress_backups
compression.compress_backups = lambda *args: tried.append(args) or calls(*args)
if not {looks}:
    packing._check_room = lambda *args: None
logger = logger_on(LOG, maxBytes=1_000_000, backupCount=1, compress=True)
number = 0
while not os.path.exists(LOG + ".1"):
    logger.info("event", extra={{"seq": number, "padding": os.urandom(2500).hex()}})
    number += 1
logger.handlers[0]._log._schedule.join()
names = sorted(os.listdir(DISK))
for number in range(number, number + 60):
    logger.info("event", extra={{"seq": number, "padding": os.urandom(2500).hex()}})
for retries in range(2):
    os.truncate(LOG, 0)
    write(logger, [0])
    logger.handlers[0].doRollover()
    logger.handlers[0]._log._schedule.join()
    clock = time.monotonic() + 100
    time.monotonic = lambda: clock
done(names=names, tried=len(tried), after=sorted(os.listdir(DISK)))
""",
        size="1400k",
    )

    assert found["names"] == [".app.log.lock", "app.log", "app.log.1"]
    assert found["refused"] == []
    assert found["tried"] == 2  # not again at once
    assert found["after"] == [".app.log.lock", "app.log", "app.log.1.gz"]


def test_several_writers_on_a_full_disk(tmp_path):
    """Processes that fill a disk together: each event is whole in the log or was reported by its writer."""
    found, _ = run(
        tmp_path,
        """
readers = []
for writer in range(4):
    here, there = os.pipe()
    if not os.fork():
        logger = logger_on(LOG, maxBytes=0)
        write(logger, range(writer * 1000, writer * 1000 + 300), 200 + writer)
        os.write(there, json.dumps([refused, written]).encode())
        os._exit(0)
    os.close(there)
    readers.append(here)
for reader in readers:
    with open(reader) as file:
        theirs = json.load(file)
    refused += theirs[0]
    written += theirs[1]
done(kept=[event["seq"] for event in lines()])
""",
    )

    assert found["refused"]
    assert sorted(found["kept"]) == sorted(found["written"])


def test_read_only(tmp_path):
    """While the disk is read-only every event is reported; when it can be written again the log goes on."""
    found, _ = run(
        tmp_path,
        """
logger = logger_on(LOG, maxBytes=2_000, backupCount=50)
write(logger, range(30))
logger.handlers[0].close()
logger = logger_on(LOG, maxBytes=2_000, backupCount=50, delay=True)
subprocess.run(["mount", "-o", "remount,ro", DISK], check=True)
write(logger, range(30, 35))
subprocess.run(["mount", "-o", "remount,rw", DISK], check=True)
write(logger, range(35, 60))
done(lines=lines())
""",
    )

    assert found["refused"] == [30, 31, 32, 33, 34]
    assert [event["seq"] for event in found["lines"] if "seq" in event] == found["written"]
    assert [event["lost"] for event in found["lines"] if "lost" in event] == [5]


def test_read_only_at_the_start(tmp_path):
    """On a read-only disk a handler is one clear error, and with delay the application starts and is told."""
    found, errors = run(
        tmp_path,
        """
subprocess.run(["mount", "-o", "remount,ro", DISK], check=True)
try:
    logger_on(os.path.join(DISK, "folder", "app.log"))
except OSError as error:
    message = str(error)
logger = logger_on(os.path.join(DISK, "folder", "app.log"), delay=True)
write(logger, range(3))
logger = logger_on(os.path.join(DISK, "app.log"), kind=EventFileHandler, delay=True)
write(logger, range(3, 6))
done(message=message)
""",
    )

    assert found["refused"] == [0, 1, 2]
    assert "Read-only file system" in found["message"]
    assert "folder" in found["message"]
    assert errors.count("Name a file elsewhere, or log to the standard output") == 1
    assert "Traceback" not in errors


def test_file_size_limit(tmp_path):
    """A short write (here: a limit on file size) leaves no part of the line behind."""
    found, _ = run(
        tmp_path,
        """
logger = logger_on(LOG, maxBytes=0)
resource.setrlimit(resource.RLIMIT_FSIZE, (5_000, resource.RLIM_INFINITY))
write(logger, range(100))
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
write(logger, range(100, 103))
done(lines=lines())
""",
        size="1m",
    )

    assert found["refused"] == list(range(min(found["refused"]), 100))
    assert [event["seq"] for event in found["lines"] if "seq" in event] == found["written"]
    assert [event["lost"] for event in found["lines"] if "lost" in event] == [len(found["refused"])]


def test_too_many_open_files(tmp_path):
    """Without a free descriptor events are reported, rotation waits, and both go on when one is free."""
    found, _ = run(
        tmp_path,
        """
import time
logger = logger_on(LOG, maxBytes=2_000, backupCount=50)
write(logger, range(5))
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
taken = []
try:
    while True:
        taken.append(os.open("/dev/null", os.O_RDONLY))
except OSError:
    pass
write(logger, range(5, 60))
size = os.stat(LOG).st_size
for fd in taken:
    os.close(fd)
clock = time.monotonic() + 100
time.monotonic = lambda: clock
write(logger, range(60, 100))
done(size=size, backups=len(os.listdir(DISK)) - 2, lines=lines())
""",
        size="1m",
    )

    assert found["refused"] == []
    assert found["size"] > 4_000
    assert found["backups"] > 2
    assert [event["seq"] for event in found["lines"] if "seq" in event] == list(range(100))


def test_one_report_an_outage(tmp_path):
    """The message that the standard library prints for each record of an outage is printed once."""
    found, errors = run(
        tmp_path,
        """
logger = logger_on(LOG, kind=EventFileHandler, maxBytes=0)
write(logger, range(800))
with open(LOG, "r+b") as file:
    file.truncate(0)
write(logger, range(800, 1600))
logger.handlers[0].close()
done()
""",
    )

    assert errors.count("--- Logging error ---") == 2
    assert errors.count("No space left on device\nRecords are lost until") == 2
    assert errors.count("Make room") == 2
    assert "Traceback" not in errors
    assert found["refused"] == []

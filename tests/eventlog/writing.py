"""Writes logs for tests: numbered events, rotated by our handler or like other tools."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import logging
import os
import shutil
import tempfile
import threading
import time

from chora_logging import log_files
from chora_logging.compressed_files import COMPRESSED
from chora_logging.eventlog import feed as feeds
from chora_logging.eventlog import following
from chora_logging.formatting.formatter import EventFormatter
from chora_logging.writing import live_file
from chora_logging.writing.backups import find_backups
from chora_logging.writing.handler import EventFileHandler
from chora_logging.writing.journal import open_journal
from chora_logging.writing.packing import pack

#: The longest wait for a condition, in seconds.
DEADLINE = 20


def line(number, size=0):
    return json.dumps({"n": number, "pad": "x" * size}).encode() + b"\n"


def write(path, *numbers, size=0):
    with open(path, "ab") as file:
        file.write(b"".join(line(number, size) for number in numbers))


def write_packed(path, format, data):
    """Write *data* as this package compresses it in a format."""
    with tempfile.TemporaryFile(buffering=0) as source, io.FileIO(path, "w+") as target:
        source.write(data)
        source.seek(0)
        assert pack(source, target, format) == len(data)


def numbers(events):
    return [event["n"] for event in events]


def open_files(log):
    """Return the number of descriptors that this process has open on files of *log*."""
    found = 0
    for fd in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):
            found += os.readlink(f"/proc/self/fd/{fd}").startswith(str(log))
    return found


def threads_of(log):
    """Return the threads of this process that poll *log*."""
    return [thread for thread in threading.enumerate() if thread.name == f"follow {log}"]


def members(log):
    """Return the number of subscribers of the feed of *log*."""
    return sum(len(feed.members) for feed in feeds._feeds.values() if feed.path == log)


def until(condition):
    """Return when *condition* holds."""
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


@contextlib.contextmanager
def when_followed(log, change, count=1):
    """Call *change* in a thread during the block, as soon as *count* subscribers wait for news of *log*."""
    thread = threading.Thread(target=lambda: (until(lambda: members(log) == count), change()))
    thread.start()
    try:
        yield
    finally:
        thread.join()


def alone(monkeypatch):
    """Let nobody wait for late writers, or for another program to make the next file: there are none."""
    monkeypatch.setattr(following, "SETTLING_SECONDS", 0)
    monkeypatch.setattr(following, "OUR_SETTLING_SECONDS", 0)
    monkeypatch.setattr(live_file, "NEXT_FILE_WAIT_MS", 0)


class Silent(EventFileHandler):
    """A handler whose log has only the events of the test: no notice that another tool rotates it."""

    def notice(self, event, message, **fields):
        pass


class Writer:
    """Writes numbered events; rotates like our handler or logrotate, or damages files."""

    def __init__(self, log, keep=3):
        self.log, self.keep, self.count = str(log), keep, 0
        self.handler = Silent(self.log, maxBytes=0, backupCount=keep, delay=True)
        self.handler.setFormatter(EventFormatter())

    def write(self, count=1, size=0):
        """Write *count* events."""
        for _ in range(count):
            # The number comes last, so that no two files have the same 256 bytes anywhere.
            self.handler.handle(logging.makeLogRecord({"msg": "x", "pad": "x" * size, "n": self.count}))
            self.count += 1

    def rotate(self):
        """Rotate by our handler."""
        if os.path.exists(self.log) and os.path.getsize(self.log):
            self.take_over()
            self.handler.doRollover()

    def take_over(self):
        """List the backups of other tools as ours: earlier versions rotated beside them."""
        with open_journal(self.log, os.stat(self.log), None, 1) as journal:
            found = find_backups(self.log, self.handler.rotation_filename, self.keep, {}).backups
            listed = {backup.inode: backup.first_line for backup in found}
            journal.write(journal.state, listed, journal.keep)

    def rename(self):
        """Rotate as logrotate's `create` does."""
        if self.shift():
            os.replace(self.log, self.backup(1))

    def copytruncate(self):
        """Rotate as logrotate's `copytruncate` does."""
        if self.copy():
            os.truncate(self.log, 0)

    def copy(self):
        """The first half of it; return whether there is something to truncate."""
        if not self.shift():
            return False
        shutil.copyfile(self.log, self.backup(1))
        return True

    def compress(self, number=1):
        """Compress a backup as logrotate does."""
        path = self.backup(number)
        if os.path.exists(path):
            time = os.stat(path).st_mtime_ns
            with open(path, "rb") as source, open(path + ".new", "wb") as target:
                target.write(gzip.compress(source.read(), mtime=time // 10**9))
            os.utime(path + ".new", ns=(time, time))
            os.replace(path + ".new", path + ".gz")
            os.unlink(path)

    def shift(self):
        """The first step of it: make room for a new backup; return whether there is a log."""
        if not os.path.exists(self.log):
            return False
        for number in range(self.keep, 0, -1):
            for ending in ("", *COMPRESSED):
                with contextlib.suppress(FileNotFoundError):
                    if number == self.keep:
                        os.unlink(f"{self.log}.{number}{ending}")
                    else:
                        os.replace(f"{self.log}.{number}{ending}", f"{self.log}.{number + 1}{ending}")
        return True

    def backup(self, number):
        """The name of a backup; the newest is number 1."""
        return f"{self.log}.{number}"

    def forget(self):
        """Remove the sidecar."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(log_files.sidecar_path(self.log))

    def close(self):
        """Close the handler."""
        self.handler.close()


class DatedWriter(Writer):
    """Rotates like logrotate with `dateext`, without a sidecar."""

    rotations = 0

    def write(self, count=1, size=0):
        super().write(count, size)
        self.forget()

    def backup(self, number):
        return f"{self.log}-20260101-{1000 + self.rotations - number}"

    def shift(self):
        self.rotations += os.path.exists(self.log)
        return os.path.exists(self.log)

"""The Nth system call of a writer fails, for N = 1, 2, 3 … until a run has no Nth call."""

from __future__ import annotations

import errno
import itertools
import logging
import os
import time

import pytest

from chora_logging import log_files
from chora_logging.formatting.formatter import EventFormatter
from chora_logging.writing import live_file, locking
from chora_logging.writing.handler import EventFileHandler
from tests.accounting import events_of, files_of
from tests.faults.writer import made, write

MAX_BYTES = 700
#: The calls that open, check, write and rotate a log.
CALLS = (
    "chmod", "close", "fchmod", "fchown", "ftruncate", "link", "listdir", "lseek", "lstat", "mkdir", "open",
    "pread", "pwrite", "readlink", "rename", "replace", "stat", "unlink", "write",
)  # fmt: skip
ERRORS = (errno.ENOSPC, errno.EIO, errno.EACCES, errno.EMFILE)


class Handler(EventFileHandler):
    """Collects the numbers of the records that were reported as not written."""

    def __init__(self, *args, **options):
        self.refused = []
        super().__init__(*args, **options)

    def handleError(self, record):
        self.refused.append(record.seq)


class Fault:
    """Makes the *number*-th of the watched calls fail as *wrong* does, once."""

    def __init__(self, number, wrong):
        self.left = number
        self.wrong = wrong
        self.failed = ""

    def watch(self, name, call):
        def watched(*args, **kwargs):
            if args[1:] == (locking.UNLOCK,):  # it cannot fail
                return call(*args)
            self.left -= 1
            if self.left:
                return call(*args, **kwargs)
            self.failed = name
            return self.wrong(call, *args, **kwargs)

        return watched


def failing_with(number):
    """A failure: the call only raises."""

    def fail(call, *args, **kwargs):
        if call is os_close:
            call(*args)  # Linux closes the descriptor whatever it returns
        raise OSError(number, os.strerror(number))

    return fail


def short(call, *args, **kwargs):
    """A failure: half of the bytes are written."""
    if call is not os_write:
        return call(*args, **kwargs)
    fd, data = args
    return call(fd, data[: len(data) // 2])


os_close, os_write = os.close, os.write
WAYS = {errno.errorcode[number]: failing_with(number) for number in ERRORS} | {"short write": short}


def run(folder, monkeypatch, fault, **options):
    """Write 24 events with rotations, the last 8 without failures; return the handler."""
    handler = Handler(folder / "events.log", maxBytes=MAX_BYTES, backupCount=1000, delay=True, **options)
    made.append(handler)
    handler.setFormatter(EventFormatter())
    logger = logging.Logger("test", logging.INFO)
    logger.addHandler(handler)
    clock = itertools.count(time.monotonic(), 100)  # a failed rotation is retried immediately
    with monkeypatch.context() as patch:
        patch.setattr(time, "monotonic", lambda: next(clock))
        with monkeypatch.context() as calls:
            for name in CALLS:
                calls.setattr(os, name, fault.watch(name, getattr(os, name)))
            for module in (live_file, locking):
                calls.setattr(module, "flock", fault.watch("flock", locking.flock))
            write(logger, "w", 16)
        write(logger, "w", 24, first=16)
    return handler


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("options", [{}, {"fsync": True, "file_mode": 0o640}], ids=["plain", "careful"])
def test_every_call(tmp_path, monkeypatch, way, options):
    """Whichever call fails: each event is there once or was reported, in whole lines, and logging goes on."""
    monkeypatch.setattr(os, "fsync", lambda fd: None)  # the disk is not waited for
    for number in itertools.count(1):
        fault = Fault(number, WAYS[way])
        folder = tmp_path / str(number)
        handler = run(folder, monkeypatch, fault, **options)
        log = folder / "events.log"
        told = f"call {number}, {fault.failed}"

        events = events_of(log)
        assert [event["seq"] for event in events if "seq" in event] == [
            seq for seq in range(24) if seq not in handler.refused
        ], told
        assert len(handler.refused) <= 1, told
        assert sum(event.get("lost", 0) for event in events) == len(handler.refused), told
        state = log_files.read_sidecar(str(log))
        assert state is not None and not state.under_way, told
        assert [name for name in os.listdir(folder) if name.startswith(".")] == [".events.log.lock"], told
        assert log.stat().st_size < MAX_BYTES, told
        assert len(files_of(log)) > 3, told
        if not fault.failed:
            break
    assert number > 100


def test_fsync(tmp_path, monkeypatch):
    """A line whose sync fails is written, reported as unsynced and not as lost, and logging goes on."""
    fault = Fault(5, WAYS["EIO"])
    monkeypatch.setattr(os, "fsync", fault.watch("fsync", os.fsync))
    handler = run(tmp_path, monkeypatch, Fault(0, short), fsync=True)

    events = events_of(tmp_path / "events.log")
    assert handler.refused == [4]
    assert [event["unsynced"] for event in events if event.get("event") == "records_unsynced"] == [1]
    assert not any("lost" in event for event in events)
    assert [event["seq"] for event in events if "seq" in event] == list(range(24))

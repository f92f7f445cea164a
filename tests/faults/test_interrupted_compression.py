"""A writer is killed at each step of the compression of a backup; no event is lost or doubled."""

from __future__ import annotations

import builtins
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from chora_logging.compressed_files import GZIP, ZSTD
from chora_logging.eventlog import EventLog
from chora_logging.writing import compression, packing
from tests.accounting import assert_exact, files_of
from tests.faults.writer import logger_on, write

OPTIONS = {"maxBytes": 1_500, "backupCount": 100}
STEPS = (
    "open", "replace", "unlink", "stat", "fstat", "fchmod", "fchown", "fsync", "ftruncate", "pwrite", "pread",
    "close", "rename", "link",
)  # fmt: skip
PLACES = [*((os, name) for name in STEPS), (packing, "new_packer"), (builtins, "open")]


def die_at(fatal, work):
    """Do *work* in a forked process that dies at call number *fatal*; its number of calls if it did not."""
    return answer_of(lambda: counted_calls(fatal, work, PLACES))


def answer_of(count):
    """The number that *count* returns in a forked process; None if it is killed there."""
    here, there = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            os.write(there, b"%d" % count())
        finally:
            os._exit(1)
    os.close(there)
    _, status = os.waitpid(pid, 0)
    with os.fdopen(here) as answer:
        text = answer.read()
    assert text or os.WTERMSIG(status) == signal.SIGKILL
    return int(text) if text else None


def counted_calls(fatal, work, places):
    """Do *work* and die at call *fatal* of what is at *places*, modules and names; how many calls it made."""
    calls = 0

    def watched(call):
        def step(*args, **kwargs):
            nonlocal calls
            calls += 1
            if calls == fatal:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*args, **kwargs)

        return step

    for place, name in places:
        setattr(place, name, watched(getattr(place, name)))
    work()
    return calls


def read(log):
    """The numbers of the events as a reader sees them."""
    return [event["seq"] for event in EventLog(str(log)).read() if event.get("writer") == "killed"]


def backups_on(log, count):
    """Fill a log with *count* events and plain backups; its logger."""
    logger = logger_on(log, **OPTIONS)
    write(logger, "killed", count, size=100)
    return logger


@pytest.mark.parametrize(
    ("format", "following"), [(GZIP, ZSTD), (ZSTD, GZIP), pytest.param(ZSTD, ZSTD, marks=pytest.mark.whole)]
)
def test_every_step(tmp_path, format, following):
    """Killed before call 1, 2, 3 …: a reader has every event once; the next writer compresses the rest.

    It may do so in another format.
    """
    for fatal in range(1, 1000):
        folder = tmp_path / str(fatal)
        log = folder / "events.log"
        backups_on(log, 12).handlers[0].close()
        calls = die_at(fatal, lambda log=log: compression.compress_backups(str(log), 100, str, format))
        assert read(log) == list(range(12)), f"call {fatal}"

        logger = logger_on(log, **OPTIONS, compress=following.name)
        write(logger, "next", 8, size=100)
        during = read(log)
        logger.handlers[0].close()

        assert during == read(log) == list(range(12)), f"call {fatal}"
        assert_exact(log, {"killed": 12, "next": 8})
        *packed, live = files_of(log)
        assert len(packed) > 2
        assert following.suffix in {path.suffix for path in packed} <= {format.suffix, following.suffix}
        assert sorted(os.listdir(folder)) == sorted(
            [".events.log.lock", *(path.name for path in (*packed, live))]
        ), f"call {fatal}"
        if calls is not None:
            break
    assert fatal > 40


def kept_all(log):
    """Leave the oldest backup in all forms, as kills before the others are deleted do."""

    def interrupted(*args):
        os._exit(0)

    for format in (GZIP, ZSTD):
        pid = os.fork()
        if not pid:
            os.unlink = interrupted
            compression.compress_backups(str(log), 100, str, format)
            os._exit(1)
        assert os.waitpid(pid, 0)[1] == 0
    (packed,) = log.parent.glob("*.gz")
    assert packed.with_suffix("").exists()
    assert packed.with_suffix(".zst").exists()


def test_every_step_of_the_rotation_after_it(tmp_path):
    """A backup in all forms is read once, at whichever step the rotation that moves it is killed."""
    for fatal in range(1, 1000):
        log = tmp_path / str(fatal) / "events.log"
        logger = backups_on(log, 12)
        kept_all(log)
        calls = die_at(fatal, logger.handlers[0].doRollover)

        assert read(log) == list(range(12)), f"call {fatal}"
        write(logger, "next", 1)
        assert read(log) == list(range(12)), f"call {fatal}"
        if calls is not None:
            break
    assert fatal > 20


def test_writers_go_on_while_a_backup_is_packed(tmp_path, monkeypatch):
    """A slow compression delays no record and no rotation."""
    log = tmp_path / "events.log"
    begun, go_on = threading.Event(), threading.Event()
    original = compression.pack

    def slow(*files):
        begun.set()
        assert go_on.wait(60)
        return original(*files)

    monkeypatch.setattr(compression, "pack", slow)
    logger = logger_on(log, **OPTIONS, compress=True)
    write(logger, "first", 20, size=100)
    assert begun.wait(60)
    before = time.monotonic()
    write(logger, "second", 100, size=100)
    took = time.monotonic() - before
    rotated = len(files_of(log))
    go_on.set()
    logger.handlers[0].close()

    assert took < 10
    assert rotated > 10
    assert_exact(log, {"first": 20, "second": 100})
    assert {path.suffix for path in files_of(log)[:-1]} == {".gz"}


AT_THE_END = """
import os, sys
from tests.faults.writer import logger_on, write
logger = logger_on(sys.argv[1], maxBytes=3_000_000, compress=True)
while not os.path.exists(f"{sys.argv[1]}.1"):
    write(logger, "w", 1, size=1000)
"""


def test_a_process_that_ends_meanwhile(tmp_path):
    """`logging.shutdown` has the handler's lock while it closes it; the compression still ends."""
    log = tmp_path / "events.log"
    subprocess.run([sys.executable, "-c", AT_THE_END, str(log)], check=True, timeout=60)

    assert (tmp_path / "events.log.1.gz").exists()
    assert not (tmp_path / "events.log.1").exists()


@pytest.mark.parametrize("umask", [0o022, 0o000])
def test_nobody_else_can_read_it_meanwhile(tmp_path, monkeypatch, umask):
    """While a backup that only its owner may read is compressed, nobody else may read the unfinished file."""
    log = tmp_path / "events.log"
    modes = []
    original = compression.pack

    def looked_at(*files):
        modes.append(os.stat(tmp_path / ".events.log.gz.new").st_mode & 0o777)
        return original(*files)

    monkeypatch.setattr(compression, "pack", looked_at)
    before = os.umask(umask)
    try:
        logger = logger_on(log, **OPTIONS, compress=True, file_mode=0o600)
        write(logger, "one", 40, size=100)
        logger.handlers[0].close()
    finally:
        os.umask(before)

    assert set(modes) == {0o600}
    assert {path.stat().st_mode & 0o777 for path in files_of(log)} == {0o600}

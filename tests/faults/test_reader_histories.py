"""Random histories of one log, and readers of each kind that are killed and resumed anywhere in them.

2,000 are run by `tests/run.py --whole`, else 500, always the same ones; CHORA_READER_HISTORIES=20000 runs so
many others. Nothing runs concurrently, so a failing history fails again.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import tempfile

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from chora_logging.compressed_files import FORMATS
from chora_logging.eventlog import EventLog, Gap
from chora_logging.eventlog.following import Follower
from chora_logging.writing.compression import compress_backups
from tests.eventlog.writing import Writer, alone, numbers
from tests.faults.test_interrupted_compression import die_at
from tests.soaks import soak

COUNT = int(os.environ.get("CHORA_READER_HISTORIES", soak(2000)))
KEEP = 3


class Reader:
    """The events given to one reader, and those that it may miss."""

    def __init__(self):
        self.highest = -1  # the number of the newest event
        self.cursor = None
        self.gap = False  # whether one was reported since
        self.excused = set()  # deleted before the first event was read, or destroyed by hand

    def take(self, items):
        for item in items:
            if isinstance(item, Gap):
                self.gap = True
                continue
            number = item["n"]
            assert number > self.highest, f"{number} after {self.highest}"
            missing = set(range(self.highest + 1, number)) - self.excused
            assert self.gap or not missing, f"{missing} missing"
            self.highest, self.cursor, self.gap = number, item.cursor, False

    def has_read(self, stored):
        """Everything in the log has been read, or is covered by a reported gap."""
        assert self.gap or not stored or self.highest >= max(stored), (self.highest, stored)


class Histories(RuleBasedStateMachine):
    """The oracle: each event comes once, in order; one that does not come is covered by a gap.

    Only events that were deleted or truncated by hand, unread, may be missing without a gap.
    """

    def __init__(self):
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        alone(self.patch)
        self.folder = tempfile.mkdtemp()
        self.log = os.path.join(self.folder, "app.log")
        self.writer = Writer(self.log, KEEP)
        self.follower = Follower(self.log)
        self.live, self.resuming = Reader(), Reader()
        self.halves = itertools.count()

    @initialize(size=st.sampled_from([0, 10, 1500]))
    def banner(self, size):
        """Every file begins with the same lines, or none does."""
        self.banner_size = size

    def teardown(self):
        try:
            self.check()
        finally:
            self.patch.undo()
            self.follower.close()
            self.writer.close()
            shutil.rmtree(self.folder)

    @rule(count=st.integers(1, 4), size=st.sampled_from([0, 10, 300, 2000]))
    def append(self, count, size):
        if self.banner_size and not (os.path.exists(self.log) and os.path.getsize(self.log)):
            with open(self.log, "ab") as file:
                file.write(b"#" * self.banner_size + b"\n")
        self.writer.write(count, size)

    @rule()
    def rotate(self):
        with self.retiring():
            self.writer.rotate()

    @rule()
    def rename(self):
        with self.retiring():
            self.writer.rename()

    @rule()
    def copytruncate(self):
        with self.retiring():
            self.writer.copytruncate()

    @rule(between=st.booleans())
    def read_between_copy_and_truncate(self, between):
        """Readers poll while a copy and its original both exist."""
        with self.retiring():
            copied = self.writer.copy()
        if copied:
            self.read_some()
            self.resume()
            if between:
                self.writer.write(1)
                self.read_some()
            with self.destroying():
                os.truncate(self.log, 0)

    @rule(part=st.floats(0, 1))
    def stop_copying(self, part):
        """A program that rotates by copying is killed while it copies."""
        with self.retiring():
            copied = self.writer.copy()
        if copied:
            os.truncate(self.log + ".1", int(os.path.getsize(self.log + ".1") * part))

    @rule(number=st.integers(1, KEEP))
    def compress(self, number):
        self.writer.compress(number)

    @rule(format=st.sampled_from(FORMATS))
    def compress_ours(self, format):
        """Our handler compresses the backups that are its own."""
        compress_backups(self.log, KEEP, str, format)

    @rule()
    def truncate(self):
        if os.path.exists(self.log):
            with self.destroying():
                os.truncate(self.log, 0)

    @rule(ending=st.sampled_from(["", ".1", ".2", ".3", ".1.gz", ".2.gz", ".1.zst", ".2.zst"]))
    def delete(self, ending):
        with self.destroying(), contextlib.suppress(FileNotFoundError):
            os.unlink(self.log + ending)

    @rule()
    def reuse_inode(self):
        """The log is deleted and created again; the new one gets the inode of the old one."""
        if os.path.exists(self.log):
            with self.destroying():
                os.rename(self.log, self.log + ".bak")
                os.truncate(self.log + ".bak", 0)
                os.rename(self.log + ".bak", self.log)

    @rule()
    def rotate_with_inode_reused(self):
        """The log is rotated, and the new one gets the inode of the oldest backup."""
        oldest = f"{self.log}.{KEEP}"
        if os.path.exists(oldest) and os.path.exists(self.log):
            with self.retiring():
                os.rename(oldest, self.log + ".bak")
                self.writer.rename()
            os.truncate(self.log + ".bak", 0)
            os.rename(self.log + ".bak", self.log)

    @rule()
    def forget(self):
        self.writer.forget()

    @rule()
    def restore(self):
        """Every file is replaced by a copy of itself."""
        for name in os.listdir(self.folder):
            path = os.path.join(self.folder, name)
            if not name.startswith("."):
                shutil.copy2(path, path + ".new")
                os.replace(path + ".new", path)

    @rule(fatal=st.integers(1, 40))
    def kill_rotator(self, fatal):
        """A process is killed at some call in the middle of a rotation."""
        if os.path.exists(self.log) and os.path.getsize(self.log):
            with self.retiring():
                die_at(fatal, self.writer.handler.doRollover)

    @rule()
    def half_line(self):
        if os.path.exists(self.log):
            with open(self.log, "ab") as file:
                file.write(b'{"half of %d' % next(self.halves))

    @rule()
    def read_some(self):
        self.live.take(self.follower.poll_items() or [])

    @rule(limit=st.sampled_from([1, 3, None]))
    def resume(self, limit=None):
        """Read once, from where the last read ended."""
        self.resuming.take(EventLog(self.log).read(after=self.resuming.cursor, limit=limit))

    @rule()
    def check(self):
        """Everything in the log has been read, or a gap was reported."""
        log = EventLog(self.log)
        stored = numbers(log.read())
        assert stored == sorted(set(stored))
        assert numbers(log.read(newest_first=True)) == stored[::-1]
        assert numbers(log.last(3)) == stored[-3:]
        while (items := self.follower.poll_items()) is not None:
            self.live.take(items)
        self.live.has_read(stored)
        self.resume()
        self.resuming.has_read(stored)

    @precondition(lambda self: self.live.cursor is not None)
    @rule()
    def kill_reader(self):
        self.follower.close()
        self.follower = Follower(self.log, after=self.live.cursor)
        # A gap that was not reported yet is reported again.
        self.live.gap = False

    @contextlib.contextmanager
    def destroying(self):
        """The events deleted in the block may be missing without a gap."""
        before = self.stored()
        yield
        gone = before - self.stored()
        self.live.excused |= gone
        self.resuming.excused |= gone

    @contextlib.contextmanager
    def retiring(self):
        """The events of the oldest file are promised only to readers that have read an event."""
        starting = [reader for reader in (self.live, self.resuming) if reader.cursor is None]
        before = self.stored() if starting else set()
        yield
        gone = before - self.stored() if starting else set()
        for reader in starting:
            reader.excused |= gone

    def stored(self):
        return set(numbers(EventLog(self.log).read()))


TestHistories = pytest.mark.timeout(600)(Histories.TestCase)
TestHistories.settings = settings(
    max_examples=COUNT,
    stateful_step_count=30,
    derandomize="CHORA_READER_HISTORIES" not in os.environ,
    suppress_health_check=list(HealthCheck),
)

"""Random histories of a log, with a reader that is killed and resumed at any point."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from chora_logging.eventlog import EventLog, Gap
from chora_logging.eventlog.following import Follower
from tests.eventlog.writing import Writer, alone, numbers
from tests.soaks import soak


class Histories(RuleBasedStateMachine):
    """The oracle: each event is read once, in order; a missing event is covered by a gap.

    Only events that were deleted or truncated by hand before they were read may be missing without a gap.
    """

    def __init__(self):
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        alone(self.patch)
        self.folder = tempfile.mkdtemp()
        self.log = os.path.join(self.folder, "app.log")
        self.writer = Writer(self.log)
        self.reader = Follower(self.log)
        self.cursor = None
        self.highest = -1  # number of the newest event that was read
        self.gap = False  # whether a gap was reported since
        self.destroyed = set()

    def teardown(self):
        try:
            self.check()
        finally:
            self.patch.undo()
            self.reader.close()
            self.writer.close()
            shutil.rmtree(self.folder)

    @rule(count=st.integers(1, 4), size=st.sampled_from([0, 10, 300, 2000]))
    def append(self, count, size):
        self.writer.write(count, size)

    @rule()
    def rotate(self):
        self.writer.rotate()

    @rule()
    def rename(self):
        self.writer.rename()

    @rule()
    def copytruncate(self):
        self.writer.copytruncate()

    @rule(number=st.integers(1, 3))
    def compress(self, number):
        self.writer.compress(number)

    @rule()
    def truncate(self):
        if os.path.exists(self.log):
            with self.destroying():
                os.truncate(self.log, 0)

    @rule(ending=st.sampled_from(["", ".1", ".2", ".3"]))
    def delete(self, ending):
        with self.destroying(), contextlib.suppress(FileNotFoundError):
            os.unlink(self.log + ending)

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

    @rule()
    def half_line(self):
        if os.path.exists(self.log):
            with open(self.log, "ab") as file:
                file.write(b'{"half')

    @rule()
    def read_some(self):
        self.take(self.reader.poll_items() or [])

    @rule()
    def check(self):
        """All events in the files have been read, or a gap was reported."""
        stored = numbers(EventLog(self.log).read())
        while (items := self.reader.poll_items()) is not None:
            self.take(items)
        if stored and not self.gap:
            assert self.highest >= max(stored), (self.highest, stored)

    @precondition(lambda self: self.cursor is not None)
    @rule()
    def kill_reader(self):
        self.reader.close()
        self.reader = Follower(self.log, after=self.cursor)
        # A gap that it had not returned yet is returned again.
        self.gap = False

    def take(self, items):
        for item in items:
            if isinstance(item, Gap):
                self.gap = True
                continue
            number = item["n"]
            assert number > self.highest, f"{number} after {self.highest}"
            missing = set(range(self.highest + 1, number)) - self.destroyed
            # Events that were deleted before the first read were never promised.
            assert self.gap or not missing or self.cursor is None, f"{missing} missing"
            self.highest, self.cursor, self.gap = number, item.cursor, False

    @contextlib.contextmanager
    def destroying(self):
        before = set(numbers(EventLog(self.log).read()))
        yield
        self.destroyed |= before - set(numbers(EventLog(self.log).read()))


TestHistories = Histories.TestCase
TestHistories.settings = settings(max_examples=soak(600), stateful_step_count=30, derandomize=True)

"""A subscriber and the feed, in any interleaving of writing, rotating, feeding and taking."""

from __future__ import annotations

import gc
import os
import shutil
import sys
import tempfile
import time

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from chora_logging.eventlog import feed as feeds
from chora_logging.eventlog import file_feed
from chora_logging.eventlog.events import Gap
from chora_logging.eventlog.file_feed import FileFeed, FileSubscription
from chora_logging.eventlog.selection import Selection
from tests.eventlog.writing import Writer, alone
from tests.soaks import soak

PADS = [0, 10, 400]


class Reader:
    """A subscription, the events that it gave, and those that it must give."""

    def __init__(self, log, first, after=None, pad=None):
        where = None if pad is None else {"pad": "x" * pad}
        self.subscription = FileSubscription(log, after=after, selection=Selection(where=where))
        self.first = first  # the number of the first event that it must give; None: from the first step on
        self.pad = pad
        self.found = []
        self.cursors = {}

    def step(self, pads):
        """Take or read once."""
        subscription = self.subscription
        if self.first is None:
            self.first = len(pads)
        items = subscription.take() if subscription.fed else subscription.read()
        for item in items or []:
            assert not isinstance(item, Gap), item
            self.found.append(item["n"])
            self.cursors[item["n"]] = item.cursor
        expected = self.expected(pads)
        assert self.found == expected[: len(self.found)]

    def expected(self, pads):
        """Return the events that it must give in the end."""
        return [n for n in range(self.first, len(pads)) if self.pad is None or pads[n] == self.pad]


class Feed(FileFeed):
    """A feed without a thread; actions may run right before a subscriber joins it."""

    def __init__(self, path):
        super().__init__(path)
        self.surprises = []

    def catch_up(self, follower):
        while self.surprises:
            self.surprises.pop()()
        return super().catch_up(follower)


class Interleavings(RuleBasedStateMachine):
    """The oracle: each subscriber gets exactly its events, once and in order.

    The feed runs only in its rules, and buffers only a few events.
    """

    def __init__(self):
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(feeds, "BUFFERED_ITEMS", 10)
        self.patch.setattr(file_feed, "join", self.join)
        alone(self.patch)
        self.folder = tempfile.mkdtemp()
        self.log = os.path.join(self.folder, "app.log")
        self.writer = Writer(self.log, keep=200)
        self.pads = []
        self.feed = None
        self.readers = []
        self.cursors = {}

    def join(self, member, kind, path, namer):
        if self.feed is None or self.feed.ended:
            self.feed = Feed(path)
        self.feed.members.add(member)
        return self.feed

    def teardown(self):
        try:
            self.check()
        finally:
            for reader in self.readers:
                reader.subscription.close()
            self.writer.close()
            self.patch.undo()
            shutil.rmtree(self.folder)

    @initialize()
    def begin(self):
        self.write(1, 0)
        self.subscribe(None)
        self.read([2, 0, 0, 0])

    @rule(count=st.integers(1, 4), pad=st.sampled_from(PADS))
    def write(self, count, pad):
        self.writer.write(count, pad)
        self.pads += [pad] * count

    @rule(counts=st.lists(st.integers(1, 4), min_size=1, max_size=3), pad=st.sampled_from(PADS))
    def write_and_feed(self, counts, pad):
        for count in counts:
            self.write(count, pad)
            self.feed_polls()

    @rule(way=st.sampled_from(["rotate", "rename", "copytruncate", "forget"]))
    def rotate(self, way):
        getattr(self.writer, way)()

    @precondition(lambda self: self.feed is not None)
    @rule(count=st.integers(0, 3), way=st.sampled_from(["rotate", "rename", None]), more=st.integers(0, 3))
    def surprise(self, count, way, more):
        """Schedule an action between a subscriber's last poll of the files and the feed's."""

        def happen():
            self.write(count, 10)
            if way:
                self.rotate(way)
            self.write(more, 10)

        self.feed.surprises.append(happen)

    @precondition(lambda self: len(self.readers) < 4)
    @rule(pad=st.sampled_from([None, None, *PADS]))
    def subscribe(self, pad):
        self.readers.append(Reader(self.log, 0, pad=pad))

    @precondition(lambda self: len(self.readers) < 4)
    @rule(pad=st.sampled_from([None, None, *PADS]))
    def subscribe_to_the_end(self, pad):
        self.readers.append(Reader(self.log, None, after="end", pad=pad))

    @precondition(lambda self: self.cursors and len(self.readers) < 4)
    @rule(data=st.data(), pad=st.sampled_from([None, None, *PADS]))
    def resume(self, data, pad):
        number = data.draw(st.sampled_from(sorted(self.cursors)))
        self.readers.append(Reader(self.log, number + 1, after=self.cursors[number], pad=pad))

    def feed_polls(self):
        if self.feed is not None:
            self.feed.poll()

    @rule(count=st.integers(1, 2))
    def read_all(self, count):
        self.read([count] * len(self.readers))

    @rule(times=st.lists(st.integers(0, 3), min_size=4, max_size=4))
    def read(self, times):
        for reader, count in zip(self.readers, times, strict=False):
            for _ in range(count):
                self.step(reader)

    @precondition(lambda self: self.readers)
    @rule(data=st.data())
    def leave(self, data):
        reader = data.draw(st.sampled_from(self.readers))
        self.readers.remove(reader)
        reader.subscription.close()

    @precondition(lambda self: self.feed is not None and self.feed.next > 4)
    @rule()
    def feed_ends(self):
        self.feed.after_fork()

    def check(self):
        """In the end every subscriber has all its events and takes from the feed."""
        deadline = time.monotonic() + 20
        while any(not r.subscription.fed or r.found != r.expected(self.pads) for r in self.readers):
            assert time.monotonic() < deadline, [(r.found, r.expected(self.pads)) for r in self.readers]
            self.feed_polls()
            for reader in self.readers:
                self.step(reader)

    def step(self, reader):
        reader.step(self.pads)
        self.cursors.update(reader.cursors)


TestInterleavings = Interleavings.TestCase
TestInterleavings.settings = settings(max_examples=soak(400), stateful_step_count=30, derandomize=True)


def test_cut_off_at_its_beginning(tmp_path):
    """A subscription whose construction Ctrl-C interrupts is closed silently."""

    def press(frame, event, argument):
        if frame.f_code is FileSubscription.__init__.__code__:
            raise KeyboardInterrupt

    before = sys.gettrace()
    sys.settrace(press)
    try:
        with pytest.raises(KeyboardInterrupt):
            FileSubscription(str(tmp_path / "app.log"), after=None, selection=Selection())
    finally:
        sys.settrace(before)
    gc.collect()

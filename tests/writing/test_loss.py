"""A live file that somebody deletes or empties: what is gone is in the record, and a gap to readers."""

from __future__ import annotations

import contextlib
import gzip
import itertools
import logging
import os
import shutil

import pytest

from chora_logging import log_files
from chora_logging.eventlog import EventLog, Gap, following
from chora_logging.eventlog.following import Follower
from chora_logging.formatting.formatter import EventFormatter
from chora_logging.telemetry import EventEmitter, TelemetryEvent
from chora_logging.writing import journal
from chora_logging.writing.buffered import BufferedEventFileHandler
from tests.eventlog.test_between_looks import READERS
from tests.eventlog.writing import Silent, Writer, numbers


@pytest.fixture(autouse=True)
def nobody_is_late(monkeypatch):
    """Make readers not wait for late writers, because these tests have none."""
    monkeypatch.setattr(following, "SETTLING_SECONDS", 0)
    monkeypatch.setattr(following, "OUR_SETTLING_SECONDS", 0)


def delete_and_create(path):
    os.unlink(path)
    with open(path, "x"):
        pass


def replace(path):
    with open(path + ".new", "x"):
        pass
    os.replace(path + ".new", path)


HARMS = {
    "deleted": os.unlink,
    "truncated": lambda path: os.truncate(path, 0),
    "created anew": delete_and_create,
    "replaced": replace,
}


@pytest.fixture(params=HARMS.values(), ids=HARMS)
def harm(request):
    return request.param


@pytest.fixture
def writer(tmp_path):
    """A log of two backups and the live file, of three events each."""
    with contextlib.closing(Writer(tmp_path / "app.log", keep=5)) as writer:
        for _ in range(2):
            writer.write(3)
            writer.rotate()
        writer.write(3)
        yield writer


def gaps(items):
    return [item for item in items if isinstance(item, Gap)]


def events(items):
    return numbers(item for item in items if not isinstance(item, Gap))


def gone(log):
    """The sizes of the live files that the record says are gone."""
    record = log_files.read_backups(str(log)).record
    return [each.size for each in record.values() if each.is_gone and each.size]


class TestReaders:
    @pytest.mark.parametrize("reader", READERS)
    def test_who_is_in_an_older_file(self, writer, harm, reader):
        """Whoever has not come to it gets one gap, with its bytes, in its place, and no second one."""
        first, *_ = EventLog(writer.log).read()
        size = os.path.getsize(writer.log)
        harm(writer.log)
        writer.write(2)
        items = reader(writer.log, first.cursor)

        assert events(items) == [1, 2, 3, 4, 5, 9, 10]
        assert [(gap.files, gap.bytes) for gap in gaps(items)] == [(1, size)]
        assert isinstance(items[5], Gap)
        assert not gaps(reader(writer.log, items[6].cursor))

    @pytest.mark.parametrize("reader", READERS)
    def test_who_is_in_it(self, writer, harm, reader):
        """Whoever has read a part of it gets a gap of the rest; whoever has read all of it gets none.

        Of an emptied file nobody knows whether another writer had written more.
        """
        *_, part, last = EventLog(writer.log).read()
        line = os.path.getsize(writer.log) // 3
        harm(writer.log)
        writer.write(2)
        items = reader(writer.log, part.cursor)

        assert events(items) == [9, 10]
        assert [(gap.files, gap.bytes) for gap in gaps(items)] == [(1, line)]
        *told, first, second = reader(writer.log, last.cursor)
        assert [first, second] == items[1:]
        assert [(type(gap), gap.bytes) for gap in told] == [(Gap, None)] * (harm is HARMS["truncated"])

    def test_who_follows(self, writer, harm):
        """A follower in an older file gets the gap; one that has read everything gets none."""
        with Follower(writer.log) as begun, Follower(writer.log) as done:
            items = list(begun.poll_items())
            list(itertools.chain.from_iterable(iter(done.poll_items, None)))
            size = os.path.getsize(writer.log)
            harm(writer.log)
            writer.write(2)
            items += itertools.chain.from_iterable(iter(begun.poll_items, None))
            newest = list(itertools.chain.from_iterable(iter(done.poll_items, None)))

        assert events(items) == [0, 1, 2, 3, 4, 5, 9, 10]
        assert [(gap.files, gap.bytes) for gap in gaps(items)] == [(1, size)]
        assert events(newest) == [9, 10]
        assert [gap.bytes for gap in gaps(newest)] == [None] * (harm is HARMS["truncated"])

    @pytest.mark.parametrize("reader", READERS)
    def test_rotations_go_on(self, writer, harm, reader):
        """The gap stays in its place as the files get other names, until retention would have deleted it."""
        harm(writer.log)
        for _ in range(3):
            writer.write(1)
            writer.rotate()
        writer.write(1)
        first, *_ = EventLog(writer.log).read()
        items = reader(writer.log, first.cursor)

        assert events(items) == [1, 2, 3, 4, 5, 9, 10, 11, 12]
        assert [index for index, item in enumerate(items) if isinstance(item, Gap)] == [5]
        for _ in range(4):
            writer.rotate()
            writer.write(1)
        first, *_ = EventLog(writer.log).read()
        assert gone(writer.log) == []
        assert not gaps(reader(writer.log, first.cursor))

    def test_no_backup(self, tmp_path, harm):
        """The first file of a log, which has never been rotated, is recorded like any other."""
        writer = Writer(tmp_path / "app.log", keep=5)
        writer.write(3)
        size = os.path.getsize(writer.log)
        harm(writer.log)
        writer.write(1)
        writer.close()

        assert gone(writer.log) == [size]


class TestWriters:
    def test_several_writers(self, writer, harm):
        """Each of several handlers notices it; it is recorded once, with the size that any of them knows."""
        other = Writer(writer.log, keep=5)
        other.count = 100
        other.write(2)
        size = os.path.getsize(writer.log)
        harm(writer.log)
        writer.write(1)
        other.write(1)
        writer.write(1)
        other.close()

        assert gone(writer.log) == [size]

    def test_it_happens_again(self, writer, harm):
        """Each time is recorded, also by a writer that another one came before."""
        sizes = []
        for _ in range(3):
            sizes.append(os.path.getsize(writer.log))
            harm(writer.log)
            writer.write(2)

        assert gone(writer.log) == sizes

    def test_while_nobody_writes(self, writer, harm):
        """A writer that opens the log later notices it, because the last one noted the size at its end."""
        size = os.path.getsize(writer.log)
        writer.close()
        harm(writer.log)
        writer.write(1)

        assert gone(writer.log) == [size]

    def test_a_buffered_handler(self, tmp_path, harm):
        """A buffered handler notices it too."""
        log = str(tmp_path / "app.log")
        handler = BufferedEventFileHandler(log, maxBytes=0, backupCount=5)
        handler.setFormatter(EventFormatter())
        handler.handle(logging.makeLogRecord({"msg": "x"}))
        handler.flush()
        size = os.path.getsize(log)
        harm(log)
        handler.handle(logging.makeLogRecord({"msg": "x"}))
        handler.close()

        assert gone(log) == [size]

    @pytest.mark.parametrize("count", [0, 1_000, 4_000])
    def test_a_killed_writer(self, writer, harm, count):
        """Of a writer that did not close the log, all but 64 KiB or three quarters of the size is known."""
        writer.write(count)
        size = os.path.getsize(writer.log)
        pid = os.fork()
        if not pid:
            os._exit(0)
        os.waitpid(pid, 0)
        other = Writer(writer.log, keep=5)
        writer.handler._log.file = writer.handler._log._usual_file = writer.handler._log._fast_file = None
        harm(writer.log)
        other.write(1)
        other.close()

        [said] = gone(writer.log)
        assert max(min(size - journal.FIRST_MARK_BYTES, size // 4), 1) <= said <= size


class TestNothingIsGone:
    def recorded(self, writer):
        writer.write(2)
        return gone(writer.log)

    def test_nothing_happens(self, writer):
        """Writing, rotating, closing and opening again record nothing."""
        for _ in range(3):
            writer.write(50)
            writer.close()
            writer.write(1)
            writer.rotate()

        assert self.recorded(writer) == []

    def test_copytruncate(self, writer):
        """What logrotate copies before it truncates is in the copy."""
        for _ in range(3):
            shutil.copyfile(writer.log, writer.log + "-20260101")
            os.truncate(writer.log, 0)
            assert self.recorded(writer) == []

    @pytest.mark.parametrize("is_open", [True, False])
    def test_renamed_and_packed(self, writer, is_open):
        """What logrotate renames and compresses is in the compressed file."""
        if not is_open:
            writer.close()
        with open(writer.log, "rb") as file, gzip.open(writer.log + "-20260101.gz", "wb") as packed:
            packed.write(file.read())
        delete_and_create(writer.log)

        assert self.recorded(writer) == []

    def test_replaced_by_a_copy(self, writer):
        """A live file that was restored, or edited, still begins as it did."""
        shutil.copyfile(writer.log, writer.log + ".new")
        os.replace(writer.log + ".new", writer.log)

        assert self.recorded(writer) == []

    def test_rotated_by_another(self, writer):
        """A writer that sleeps while another rotates, whose retention deletes its file, records nothing."""
        other = Writer(writer.log, keep=1)
        other.count = 100
        for _ in range(3):
            other.write(1)
            other.rotate()
        other.close()

        assert self.recorded(writer) == []

    def test_rotated_by_another_at_its_opening(self, writer, monkeypatch):
        """So does one that sleeps between the opening of the file and its look at the sidecar."""
        read = log_files.read_backups

        def read_late(log):
            monkeypatch.setattr(log_files, "read_backups", read)
            child = os.fork()
            if not child:
                other = Writer(writer.log, keep=1)
                for _ in range(3):
                    other.write(1)
                    other.rotate()
                os._exit(0)
            os.waitpid(child, 0)
            return read(log)

        writer.close()
        monkeypatch.setattr(log_files, "read_backups", read_late)

        assert self.recorded(writer) == []
        assert log_files.read_backups is read

    @pytest.mark.parametrize("delay", [True, False])
    def test_overwritten_by_a_handler(self, writer, delay):
        """A handler that begins the file anew records nothing, nor does another one that has it open."""
        other = Silent(writer.log, "w", maxBytes=0, delay=delay)
        other.setFormatter(EventFormatter())
        other.handle(logging.makeLogRecord({"msg": "y"}))
        other.close()

        assert self.recorded(writer) == []

    def test_clear(self, tmp_path):
        """An emitter that deletes its events records nothing, nor does another one that has the file open."""
        event = TelemetryEvent(event_type="workflow.x", status="success")
        log = tmp_path / "events.jsonl"
        with EventEmitter(log, max_bytes=500) as emitter, EventEmitter(log, max_bytes=500) as other:
            for _ in range(9):
                emitter.emit(event)
                other.emit(event)
            emitter.clear()
            emitter.emit(event)
            other.emit(event)

            assert gone(log) == []
            assert len(emitter.read_events()) == 2

    def test_a_log_that_another_tool_moves(self, tmp_path):
        """A log that is moved to another folder by another tool is not gone."""
        writer = Writer(tmp_path / "app.log", keep=5)
        for number in range(3):
            writer.write(2)
            os.rename(writer.log, tmp_path / f"moved-{number}")
            assert self.recorded(writer) == []
            writer.close()
            os.rename(writer.log, tmp_path / f"moved-again-{number}")
        writer.close()


def test_other_namers(tmp_path):
    """Where a namer gives names that readers do not look for, nothing is expected."""
    log = str(tmp_path / "app.log")
    writer = Writer(log, keep=3)
    writer.handler.namer = lambda name: name.replace("app.log", "old")
    for _ in range(5):
        writer.write(2)
        writer.rotate()
    writer.write(2)
    writer.close()
    said = log_files.read_backups(log)

    assert said.kept_from == said.state.generation

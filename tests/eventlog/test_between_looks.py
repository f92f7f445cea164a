"""A log that is changed between any two file operations of a reader.

Each case runs once for each call that opens, lists or reads files, with the change right before that call; in
an ordinary run for every third call, beginning at a different one in each case.
"""

from __future__ import annotations

import collections
import contextlib
import gzip
import itertools
import os
import shutil
import zlib
from unittest import mock

import pytest

from chora_logging.compressed_files import ZSTD
from chora_logging.eventlog import EventLog, Gap
from chora_logging.eventlog.following import Follower
from chora_logging.eventlog.rotated import file_set, stored
from chora_logging.eventlog.selection import Selection
from chora_logging.writing.compression import compress_backups
from tests.eventlog.test_paging import run
from tests.eventlog.writing import DatedWriter, Writer, alone, numbers, open_files, write
from tests.soaks import WHOLE

LOOKS = ("listdir", "stat", "open", "fstat", "pread")


@contextlib.contextmanager
def before_look(number, change, distance=1):
    """Make *change* before the call with this number; yields a list of what was made.

    A sequence of changes is made one by one, *distance* calls apart.
    """
    changes = collections.deque([change] if callable(change) else change)
    made = []
    looks = itertools.count()

    def looking(real):
        def look(*args, **kwargs):
            if changes and not changing and next(looks) == number + len(made) * distance:
                changing.append(True)
                made.append(changes.popleft())
                made[-1]()
                changing.clear()
            return real(*args, **kwargs)

        return look

    changing = []  # the change itself makes such calls

    with contextlib.ExitStack() as stack:
        for name in LOOKS:
            stack.enter_context(mock.patch.object(os, name, looking(getattr(os, name))))
        yield made


def looks(first=0, stride=1):
    """Yield the numbers of the calls before which a change is made, without end."""
    if not WHOLE:
        first, stride = first + zlib.crc32(os.environ["PYTEST_CURRENT_TEST"].encode()), 3 * stride
    return itertools.count(first % stride, stride)


@pytest.fixture(autouse=True)
def hurried(monkeypatch):
    """Only the first file is held open, and nothing waits for other programs."""
    monkeypatch.setattr(stored, "HELD_BYTES", 0)
    monkeypatch.setattr(file_set, "_ROTATION_WAIT_SECONDS", 0)
    alone(monkeypatch)


@pytest.fixture(
    params=[
        pytest.param(Writer, id="numbers"),
        pytest.param(DatedWriter, id="dates", marks=pytest.mark.whole),
    ]
)
def logs(request, tmp_path):
    """Makes logs of a live file and two backups, with events 0 to 2, 3 to 5, 6 to 9."""
    with contextlib.ExitStack() as stack:
        names = itertools.count()

        def make():
            folder = tmp_path / str(next(names))
            folder.mkdir()
            writer = request.param(folder / "app.log", keep=4)
            stack.callback(writer.close)
            for count in (3, 3):
                writer.write(count)
                writer.rename()
            writer.write(4)
            return writer

        yield make


def read(log, cursor):
    return list(EventLog(log, on_skip=lambda skipped: None).read(after=cursor))


def page(log, cursor):
    items, more = [], True
    while more:
        found, _ = run(EventLog(log).page(Selection(), after=cursor, limit=5, budget=2**20))
        items += found.events if found.gap is None else [found.gap, *found.events]
        cursor, more = found.next, found.more
    return items


def follow(log, cursor):
    with Follower(log, after=cursor) as follower:
        # Again, for the events that were written during the first poll.
        polls = itertools.chain(iter(follower.poll_items, None), iter(follower.poll_items, None))
        return list(itertools.chain.from_iterable(polls))


READERS = [read, page, follow]


def write_more(writer):
    writer.write(2)


def rename(writer):
    writer.rename()
    writer.write(1)


def copytruncate(writer):
    writer.copytruncate()


def copytruncate_and_compress(writer):
    writer.copytruncate()
    writer.compress(2)
    writer.write(1)


def compress(writer):
    writer.compress(2)
    writer.compress(1)


def compress_with_zstd(writer):
    writer.take_over()
    compress_backups(writer.log, 9, str, ZSTD)


KEEPING = [write_more, rename, copytruncate, copytruncate_and_compress, compress]


def delete(writer):
    os.unlink(writer.backup(2))


def truncate(writer):
    os.truncate(writer.log, 0)


def link_to_itself(writer):
    os.unlink(writer.backup(1))
    os.symlink(writer.backup(1), writer.backup(1))


DESTROYING = [delete, truncate, link_to_itself]


def cut_and_write_on(writer):
    """Rewrite the file in place, as an editor does."""
    os.truncate(writer.log, os.path.getsize(writer.log) // 2)
    writer.write(9)


@pytest.mark.parametrize("change", [*KEEPING, pytest.param(compress_with_zstd, marks=pytest.mark.whole)])
@pytest.mark.parametrize(
    ("reader", "index"), [(read, 1), (page, 1), (follow, 1), pytest.param(follow, 7, marks=pytest.mark.whole)]
)
def test_nothing_is_lost(logs, reader, change, index):
    """Files that are renamed, copied or compressed are found again: each event once, and no gap."""
    for look in looks():
        writer = logs()
        event = next(itertools.islice(EventLog(writer.log).read(), index, None))
        with before_look(look, lambda: change(writer)) as made:
            items = reader(writer.log, event.cursor)

        assert not [item for item in items if isinstance(item, Gap)]
        assert numbers(items) == list(range(index + 1, index + 1 + len(items)))
        assert len(items) >= 9 - index
        assert open_files(writer.log) <= 1  # the writer's
        if not made:
            break


def logrotate(writer):
    """The steps of a logrotate with `copytruncate` and `compress`: each can be seen half done."""
    backup = writer.backup(1)
    packed = backup + ".gz"

    def copy():
        shutil.copyfile(writer.log, backup)

    def truncate_and_write():
        os.truncate(writer.log, 0)
        writer.write(2)

    def pack():
        with open(backup, "rb") as source, open(packed, "wb") as target:
            target.write(gzip.compress(source.read()))

    def finish():
        os.utime(packed, ns=(os.stat(backup).st_mtime_ns,) * 2)
        os.unlink(backup)

    def create(path):
        return lambda: open(path, "xb").close()

    return [create(backup), copy, truncate_and_write, create(packed), pack, finish]


@pytest.mark.parametrize(
    ("reader", "index", "distance"),
    [(read, 4, 6), pytest.param(page, 4, 6, marks=pytest.mark.whole), (follow, 4, 1), (follow, 7, 6)],
)
def test_a_rotation_seen_in_its_middle(tmp_path, reader, index, distance):
    """Whatever step of a rotation is made between two calls, each event is given once, without a gap."""
    folders = (str(number) for number in itertools.count())
    for step in range(6):
        for look in looks(step, 2):
            folder = tmp_path / next(folders)
            folder.mkdir()
            with contextlib.closing(Writer(folder / "app.log", keep=4)) as writer:
                for _ in range(2):
                    writer.write(3)
                    writer.rename()
                writer.write(4)
                event = next(itertools.islice(EventLog(writer.log).read(), index, None))
                writer.shift()
                steps = logrotate(writer)
                for early in steps[:step]:
                    early()
                with before_look(look, steps[step:], distance) as made:
                    items = reader(writer.log, event.cursor)

            assert not [item for item in items if isinstance(item, Gap)]
            assert numbers(items) == list(range(index + 1, index + 1 + len(items)))
            assert len(items) >= 9 - index
            if not made:
                break


@pytest.mark.parametrize("reader", READERS)
def test_a_late_line_is_given_or_told(logs, reader):
    """A line that is added to a backup is given, or is a gap to whoever resumes, and never both."""
    for look in looks():
        writer = logs()
        backup = writer.backup(1)
        for number in (2, 1):  # times are compared in milliseconds
            path = writer.backup(number)
            os.utime(path, ns=(os.stat(path).st_mtime_ns - 10**9,) * 2)
        event = next(EventLog(writer.log).read())
        with before_look(look, lambda path=backup: write(path, 99)) as made:
            items = reader(writer.log, event.cursor)
        resumed = reader(writer.log, items[-1].cursor)

        found = [item for item in (*items, *resumed) if not isinstance(item, Gap)]
        gaps = len(items) + len(resumed) - len(found)
        assert sorted(number for number in numbers(found) if number != 99) == list(range(1, 10))
        assert (numbers(found).count(99), gaps) in ([(1, 0), (0, 1)] if made else [(0, 0)])
        if not made:
            break


@pytest.mark.parametrize("change", KEEPING)
def test_nothing_is_lost_newest_first(logs, change, caplog):
    """Reading from the newest end gives each event once, whatever changes between two calls."""
    for look in looks():
        writer = logs()
        with before_look(look, lambda: change(writer)) as made:
            found = numbers(EventLog(writer.log).read(newest_first=True))

        assert found == list(reversed(range(len(found))))
        assert len(found) >= 10
        assert not caplog.text
        if not made:
            break


@pytest.mark.parametrize("change", DESTROYING)
@pytest.mark.parametrize("reader", READERS)
def test_destroyed_while_it_is_opened(logs, reader, change):
    """A file that cannot be read ends no reader, and repeats no event."""
    for look in looks():
        writer = logs()
        first = next(EventLog(writer.log).read())
        with before_look(look, lambda: change(writer)) as made:
            items = reader(writer.log, first.cursor)

        found = numbers(item for item in items if not isinstance(item, Gap))
        assert found == sorted(set(found))
        if not made:
            break


@pytest.mark.parametrize("reader", READERS)
def test_compressed_and_cut_while_it_is_opened(logs, reader):
    """A compressed file that is truncated in place ends there, or is a gap."""
    for look in looks():
        writer = logs()
        first = next(EventLog(writer.log).read())
        writer.compress(2)
        with before_look(look, lambda: os.truncate(writer.backup(2) + ".gz", 30)) as made:
            items = reader(writer.log, first.cursor)

        found = numbers(item for item in items if not isinstance(item, Gap))
        assert found == sorted(set(found))
        assert len(found) == 9 or len(found) < len(items)
        if not made:
            break


@pytest.mark.parametrize("change", [delete, truncate, cut_and_write_on])
def test_destroyed_while_it_is_read(logs, change):
    """Missing events of an opened file are reported in their place."""
    for look in looks():
        writer = logs()
        writer.rename()  # so that `delete` deletes what has not been read
        writer.write(4)
        stored_now = numbers(EventLog(writer.log).read())
        reading = EventLog(writer.log).read(after=next(EventLog(writer.log).read()).cursor)
        items = [next(reading)]
        with before_look(look, lambda: change(writer)) as made:
            items += reading

        last, is_told = 0, False
        for item in [*items, {"n": len(stored_now)}]:
            if isinstance(item, Gap):
                is_told = True
                continue
            assert is_told or item["n"] == last + 1
            last, is_told = item["n"], False
        if not made:
            break


@pytest.mark.parametrize("change", [copytruncate, copytruncate_and_compress, truncate])
def test_rotated_after_it_grew_while_it_was_opened(logs, change):
    """A file that grew between two calls and is gone is searched for by the content seen before."""
    for look in looks():
        writer = logs()
        reading = EventLog(writer.log).read(after=next(EventLog(writer.log).read()).cursor)
        with before_look(look, lambda: writer.write(2)) as made:
            items = [next(reading)]
        change(writer)
        items += reading

        gaps = [item for item in items if isinstance(item, Gap)]
        assert len(gaps) == (change is truncate)
        found = numbers(item for item in items if item not in gaps)
        assert found == list(range(1, 1 + len(found)))
        assert len(found) >= (5 if gaps else 9)
        if not made:
            break

"""Backups that somebody deletes, empties, cuts or replaces: what is missing is a gap in its place, once."""

from __future__ import annotations

import gzip
import itertools
import lzma
import os
import shutil
import zlib

import pytest

from chora_logging.eventlog import EventLog, Gap
from chora_logging.eventlog.following import Follower
from chora_logging.writing.compression import compress_backups
from tests.eventlog.test_between_looks import READERS
from tests.eventlog.writing import Writer, alone, numbers, write

#: The events of a file; the middle one of seven is damaged.
COUNT, DAMAGED = 5, 3


@pytest.fixture(autouse=True)
def nobody_is_late(monkeypatch):
    """Nobody waits for other programs, because these tests have none."""
    alone(monkeypatch)


def cut(path):
    """Leave the first half of it, which ends in a line."""
    os.truncate(path, os.path.getsize(path) // 2)


def cut_between_lines(path):
    """Leave its first two lines."""
    with open(path, "rb+") as file:
        file.truncate(len(file.readline()) + len(file.readline()))


def copy_over(path):
    """Write an older file into it."""
    number = int(path.removesuffix(".gz").rpartition(".")[2])
    shutil.copyfile(path.replace(f".{number}", f".{number + 1}"), path)


def replace_by_copy(path):
    """Put a copy of an older file in its place."""
    number = int(path.removesuffix(".gz").rpartition(".")[2])
    shutil.copyfile(path.replace(f".{number}", f".{number + 1}"), path + ".new")
    os.replace(path + ".new", path)


def pack_otherwise(path):
    """Compress it in a way that is not read here, as logrotate with another `compresscmd` does."""
    with open(path, "rb") as file, lzma.open(path.removesuffix(".gz") + ".xz", "wb") as packed:
        packed.write(file.read())
    os.unlink(path)


DAMAGES = {
    "packed otherwise": (pack_otherwise, False),
    "deleted": (os.unlink, False),
    "emptied": (lambda path: os.truncate(path, 0), False),
    "replaced": (replace_by_copy, False),
    "overwritten": (copy_over, False),
    "cut in a line": (cut, False),
    "cut in its first line": (lambda path: os.truncate(path, 20), False),
    "cut at the end of a line": (cut_between_lines, False),
    "packed and deleted": (os.unlink, True),
    "packed and emptied": (lambda path: os.truncate(path, 0), True),
    "packed and cut": (cut, True),
    "packed and replaced": (replace_by_copy, True),
    "packed and overwritten": (copy_over, True),
}


@pytest.fixture(params=DAMAGES.values(), ids=DAMAGES)
def damaged(request, tmp_path):
    """A log of seven files; and a function that damages the middle one."""
    damage, is_packed = request.param
    writer = Writer(tmp_path / "app.log", keep=9)
    for _ in range(6):
        writer.write(COUNT, size=300)
        writer.rotate()
    writer.write(COUNT, size=300)
    writer.close()
    if is_packed:
        compress_backups(writer.log, 9, lambda name: name)
    yield writer, lambda: damage(f"{writer.log}.{DAMAGED}{'.gz' * is_packed}")
    writer.close()


def assert_told(items, first):
    """The events from *first* on are there but for those of the damaged file, in whose place is a gap."""
    begin = COUNT * (6 - DAMAGED)
    gaps = [index for index, item in enumerate(items) if isinstance(item, Gap)]
    assert len(gaps) == 1
    before, after = items[: gaps[0]], items[gaps[0] + 1 :]
    assert items[gaps[0]].files == 1
    kept = numbers(before)
    assert kept == list(range(first, first + len(kept)))
    assert begin <= first + len(kept) < begin + COUNT
    assert numbers(after) == list(range(begin + COUNT, 7 * COUNT))


@pytest.mark.parametrize("reader", READERS)
def test_who_resumes(damaged, reader):
    """Whoever resumes before it gets one gap, and no second one after the next event."""
    writer, damage = damaged
    first, *_ = EventLog(writer.log).read()
    damage()
    items = reader(writer.log, first.cursor)

    assert_told(items, 1)
    assert not [item for item in reader(writer.log, items[-2].cursor) if isinstance(item, Gap)]


def test_who_follows(damaged):
    """A follower that has not come to it gets one gap; one that has read it gets none."""
    writer, damage = damaged
    with Follower(writer.log) as begun, Follower(writer.log) as done:
        items = list(begun.poll_items())
        list(itertools.chain.from_iterable(iter(done.poll_items, None)))
        damage()
        items += itertools.chain.from_iterable(iter(begun.poll_items, None))
        writer.write(1)
        (newest,) = done.poll_items()

        assert_told(items, 0)
        assert newest["n"] == 7 * COUNT


def test_newest_first(damaged, caplog):
    """Reading from the newest end gives the other events, and logs that some are missing."""
    writer, damage = damaged
    damage()
    found = numbers(EventLog(writer.log, on_skip=lambda skipped: None).read(newest_first=True))

    assert found == sorted(found, reverse=True)
    assert set(range(7 * COUNT)) - set(found) <= set(range(15, 20))
    assert [record.levelname for record in caplog.records] == ["WARNING"]


@pytest.mark.parametrize("reader", READERS)
def test_who_has_read_it(damaged, reader):
    """Whoever has read the file to its end misses nothing, wherever it was damaged."""
    writer, damage = damaged
    *_, last = EventLog(writer.log).read(limit=COUNT * (7 - DAMAGED))
    damage()

    assert numbers(reader(writer.log, last.cursor)) == list(range(COUNT * (7 - DAMAGED), 7 * COUNT))


@pytest.mark.parametrize("reader", READERS)
def test_other_names(damaged, reader):
    """It does not matter which names other tools give to the files, nor that they compress them."""
    writer, damage = damaged
    first, *_ = EventLog(writer.log).read()
    damage()
    for number in range(6, 0, -1):
        for path in (f"{writer.log}.{number}", f"{writer.log}.{number}.gz"):
            if os.path.exists(path):
                os.rename(path, path.replace(f".{number}", f".{number + 3 + number % 2 * 4}"))
    items = reader(writer.log, first.cursor)

    assert_told(items, 1)
    assert [each.files for each in items if isinstance(each, Gap)] == [1]


@pytest.mark.parametrize("reader", READERS)
def test_nothing_is_missing(tmp_path, reader):
    """Backups that are compressed, copied, swapped and restored by hand are no hole."""
    writer = Writer(tmp_path / "app.log", keep=9)
    for _ in range(6):
        writer.write(COUNT, size=300)
        writer.rotate()
    writer.write(COUNT, size=300)
    writer.close()
    first, *_ = EventLog(writer.log).read()
    writer.compress(6)
    os.rename(writer.backup(5), writer.backup(5) + "~")
    os.rename(writer.backup(2), writer.backup(5))
    os.rename(writer.backup(5) + "~", writer.backup(2))
    shutil.copyfile(writer.backup(1), tmp_path / "copy")
    os.replace(tmp_path / "copy", writer.backup(1))
    shutil.copyfile(writer.backup(3), writer.backup(9))

    assert numbers(reader(writer.log, first.cursor)) == list(range(1, 7 * COUNT))


def test_a_file_with_the_inode_of_an_empty_one(tmp_path):
    """It has not the generation that its number says, and is not passed over."""
    log = str(tmp_path / "app.log")
    writer = Writer(log, 5)
    writer.write(1)
    writer.rotate()
    writer.write(1)
    writer.copy()
    os.truncate(f"{log}.1", 0)
    writer.rotate()
    cursor = EventLog(log).last(1)[0].cursor
    writer.write(2)
    # Another tool packs the log into the empty file, and deletes the one that was read.
    with open(log, "rb") as file, open(f"{log}.2", "wb") as empty:
        empty.write(gzip.compress(file.read()))
    os.rename(f"{log}.2", f"{log}.4.gz")
    os.unlink(f"{log}.1")
    os.truncate(log, 0)

    found = list(EventLog(log).read(after=cursor))
    writer.close()

    assert any(isinstance(item, Gap) for item in found) or numbers(found) == [2, 3]


def test_a_remainder_in_the_place_of_another_backup(tmp_path):
    """A file that others have emptied, moved and begun anew is a part of the set, or not, but no error."""
    log = str(tmp_path / "app.log")
    write(log, 0)
    os.rename(log, f"{log}.1")  # left by a handler of the standard library, and adopted
    writer = Writer(log, 9)
    for _ in range(2):
        writer.write(1)
        writer.rotate()
    writer.write(1)
    writer.close()
    os.rename(f"{log}.3", f"{log}.tmp")
    os.rename(f"{log}.2", f"{log}.3")
    os.rename(f"{log}.tmp", f"{log}.2")
    with open(f"{log}.2", "wb") as file:
        file.write(b"half")

    with Follower(log) as follower:
        followed = list(iter(follower.poll_items, None))

    assert numbers(itertools.chain(*followed)) == [0, 1, 2]
    assert numbers(EventLog(log).read()) == [0, 1, 2]


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("size", [400, 2000])
def test_a_whole_copy_of_a_packed_backup_that_is_cut_in_its_first_line(tmp_path, reader, size):
    """Nothing is missing, however much of the first line is left to recognise the backup by."""
    log = str(tmp_path / "app.log")
    writer = Writer(log, 3)
    writer.write(3, size)
    writer.rotate()
    writer.write(1)
    writer.close()
    first, *_ = EventLog(log).read()
    shutil.copyfile(f"{log}.1", f"{log}.8")
    compress_backups(log, 3, lambda name: name)
    cut_in_first_line(f"{log}.1.gz")

    assert numbers(EventLog(log).read()) == [0, 1, 2, 3]
    items = reader(log, first.cursor)
    assert not [item for item in items if isinstance(item, Gap)]
    assert numbers(items) == [1, 2, 3]


@pytest.mark.parametrize("reader", READERS)
def test_who_has_read_the_first_live_file_that_is_gone(tmp_path, reader):
    """Nothing is missing after its end as long as the file that followed it is kept."""
    log = str(tmp_path / "app.log")
    writer = Writer(log, 2)
    writer.write(2)
    *_, last = EventLog(log).read()
    os.unlink(log)
    for _ in range(2):
        writer.write(1)
        writer.rotate()
    writer.write(1)
    writer.close()

    items = reader(log, last.cursor)
    assert not [item for item in items if isinstance(item, Gap)]
    assert numbers(items) == [2, 3, 4]


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("other", [1, 2, 3])
def test_an_old_backup_in_the_place_of_a_newer_one(tmp_path, reader, other):
    """It outlives newer ones, which are deleted in its stead: they are a gap, and the order is as before."""
    log = str(tmp_path / "app.log")
    writer = Writer(log, 4)
    for _ in range(4):
        writer.write(1)
        writer.rotate()
    os.rename(f"{log}.4", f"{log}.tmp")
    os.rename(f"{log}.{other}", f"{log}.4")
    os.rename(f"{log}.tmp", f"{log}.{other}")
    for _ in range(4 - other):
        writer.write(1)
        writer.rotate()
    writer.write(1)
    writer.close()

    found = list(EventLog(log).read())
    assert numbers(found) == sorted(numbers(found))
    assert found[0]["n"] == 0
    gap, *items = reader(log, found[0].cursor)
    assert isinstance(gap, Gap)
    assert numbers(items) == numbers(found[1:])


def cut_in_first_line(path):
    """Leave as much of a compressed file as is unpacked to no whole line."""
    with open(path, "rb") as file:
        packed = file.read()
    unpacked = (zlib.decompressobj(31).decompress(packed[:size]) for size in range(len(packed)))
    os.truncate(path, sum(1 for data in unpacked if b"\n" not in data) - 1)

"""Random histories of a log whose files somebody deletes, empties, cuts, copies, swaps, packs and replaces.

1,000 are run by `tests/run.py --whole`, else 250, always the same ones; CHORA_HOLE_HISTORIES=20000 runs so
many. Each is made from its number alone, so a failing history fails again.
"""

from __future__ import annotations

import contextlib
import gzip
import itertools
import json
import os
import random
import shutil
import zlib

import pytest

from chora_logging import log_files
from chora_logging.compressed_files import COMPRESSED, FORMATS, GZIP, ZSTD, suffix_of, zstd_library
from chora_logging.eventlog import EventLog, Gap
from chora_logging.eventlog.following import Follower
from chora_logging.writing.backups import find_backups
from chora_logging.writing.compression import compress_backups
from tests.eventlog.test_between_looks import READERS
from tests.eventlog.writing import Writer, alone, numbers
from tests.soaks import soak

COUNT = int(os.environ.get("CHORA_HOLE_HISTORIES", soak(1000)))
#: So many histories are one test.
GROUP = 50
KEEP, STEPS = 4, 14


class Told:
    """A reader's events: each is the next one, or one gap is before it; nothing else is a gap."""

    def __init__(self, number=-1, cursor=None):
        self.number, self.cursor = number, cursor  # of the newest event
        self.is_new = cursor is None
        self.gap = None

    def take(self, items):
        for item in items:
            if isinstance(item, Gap):
                assert self.gap is None, f"two gaps after {self.number}: {self.gap}, {item}"
                self.gap = item
                continue
            number = item["n"]
            assert number > self.number, f"{number} after {self.number}"
            missing = range(self.number + 1, number)
            assert missing or self.gap is None, f"{self.gap} between {self.number} and {number}"
            assert self.gap or not missing or self.is_new, f"{missing} missing"
            self.number, self.cursor, self.gap, self.is_new = number, item.cursor, None, False

    def has_all(self, count, stored):
        """All of *count* events were given, or are missing and in the gap at the end."""
        assert not [number for number in stored if number > self.number], (self.number, stored)
        missing = self.number + 1 < count
        assert bool(self.gap) == missing or self.is_new, (self.gap, self.number, count)


class History:
    """A log with its readers, and what happens to it."""

    def __init__(self, seed, folder):
        self.random = random.Random(seed)
        self.log = os.path.join(folder, "app.log")
        self.writer = Writer(self.log, KEEP)
        self.size = self.random.choice([0, 300, 2000])
        self.cursors = {}  # of each event that has been read, by its number
        self.live = Told()
        self.follower = Follower(self.log)
        self.done = []

    def run(self):
        self.append()
        for _ in range(STEPS):
            step = self.random.choice(STEPS_ALONE * 2 + DAMAGES)
            backups = self.paths(range(1, KEEP + 1))
            if step in STEPS_ALONE:
                self.done.append(step.__name__)
                step(self)
            elif backups:
                path = self.random.choice(backups)
                self.done.append(f"{step.__name__} {path.removeprefix(self.log)}")
                step(self, path)
        self.append()
        self.look()
        self.resume()

    def close(self):
        self.follower.close()
        self.writer.close()

    def append(self):
        self.writer.write(self.random.randint(1, 4), self.size)

    def rotate(self):
        self.writer.handler.doRollover()
        self.append()

    def poll(self):
        self.live.take(self.follower.poll_items() or [])

    def lose_live(self):
        """The live file is deleted, and the writer goes on; not where another tool has files."""
        owned = log_files.read_backups(self.log).owned
        if owned is not None and not find_backups(self.log, str, KEEP, owned).foreign:
            os.unlink(self.log)
            self.append()

    def look(self):
        """Everything is told to the follower, and to readers from the beginning and from the end."""
        stored = self.stored()
        log = EventLog(self.log, on_skip=lambda skipped: None)
        found = list(log.read())
        assert numbers(found) == stored
        self.cursors.update((event["n"], event.cursor) for event in found)
        assert numbers(log.read(newest_first=True)) == stored[::-1]
        assert numbers(log.last(3)) == stored[-3:]
        while (items := self.follower.poll_items()) is not None:
            self.live.take(items)
        self.live.has_all(self.writer.count, stored)

    def resume(self):
        """Everything after an event that has been read is told to who resumes there."""
        if not self.cursors:
            return
        number = self.random.choice(list(self.cursors))
        stored = self.stored()
        for reader in READERS:
            told = Told(number, self.cursors[number])
            told.take(reader(self.log, told.cursor))
            told.has_all(self.writer.count, stored)

    def delete(self, path):
        os.unlink(path)

    def empty(self, path):
        os.truncate(path, 0)

    def cut(self, path):
        """It ends anywhere."""
        os.truncate(path, int(os.path.getsize(path) * self.random.random()))

    def cut_between_lines(self, path):
        if not suffix_of(path):
            with open(path, "rb+") as file:
                lines = file.readlines()
                file.truncate(sum(map(len, lines[: self.random.randrange(len(lines) or 1)])))

    def copy(self, path):
        """A copy has the name of a backup that is not kept."""
        shutil.copyfile(path, f"{self.log}.{self.random.randint(KEEP + 2, 9)}{suffix_of(path)}")

    def delete_copies(self, path):
        for path in self.paths(range(KEEP + 1, 10)):
            os.unlink(path)

    def overwrite(self, path):
        """It is overwritten with another one."""
        with contextlib.suppress(shutil.SameFileError):
            shutil.copyfile(self.like(path), path)

    def replace(self, path):
        """A copy of another one, or of itself, takes its place."""
        shutil.copyfile(self.like(path), path + ".new")
        os.replace(path + ".new", path)

    def swap(self, path):
        other = self.like(path)
        if other != path:
            os.rename(path, path + ".new")
            os.rename(other, path)
            os.rename(path + ".new", other)

    def pack(self, path):
        """Another tool compresses it."""
        if not suffix_of(path):
            self.writer.compress(int(path.rpartition(".")[2]))

    def compress(self, path):
        """The handler compresses the backups."""
        compress_backups(self.log, KEEP, str, self.random.choice(FORMATS))

    def like(self, path):
        """Any backup that is compressed as *path* is."""
        paths = self.paths(range(1, KEEP + 1))
        return self.random.choice([each for each in paths if suffix_of(each) == suffix_of(path)])

    def paths(self, backups):
        paths = itertools.chain.from_iterable(
            (f"{self.log}.{each}{suffix}" for suffix in ("", *COMPRESSED)) for each in backups
        )
        return [path for path in paths if os.path.exists(path)]

    def stored(self):
        """The numbers of all events in any of the files, in order."""
        found = set()
        for path in (*self.paths(range(1, 10)), self.log):
            found |= set(numbers(map(json.loads, _lines(path))))
        return sorted(found)


def _lines(path):
    """The whole lines of a file that is compressed or not, up to where it is damaged."""
    data = b""
    with open(path, "rb") as file:
        magic, zstd = file.read(4), zstd_library()
        file.seek(0)
        unpacks = {GZIP.magic: gzip.open, ZSTD.magic: zstd.open}
        opened = next((unpacks[each] for each in unpacks if magic.startswith(each)), contextlib.nullcontext)
        with opened(file) as plain, contextlib.suppress(EOFError, OSError, zlib.error, zstd.ZstdError):
            while part := plain.read1():
                data += part
    return data.split(b"\n")[:-1]


STEPS_ALONE = [
    History.append,
    History.rotate,
    History.rotate,
    History.poll,
    History.look,
    History.resume,
    History.lose_live,
]
DAMAGES = [
    History.delete,
    History.empty,
    History.cut,
    History.cut_between_lines,
    History.copy,
    History.delete_copies,
    History.overwrite,
    History.replace,
    History.swap,
    History.pack,
    History.compress,
]


@pytest.mark.timeout(600)
@pytest.mark.parametrize("first", range(0, COUNT, GROUP))
def test_every_event_is_given_or_in_one_gap(first, tmp_path, monkeypatch):
    """Each event is given once, in order, or is in one gap; and there is no gap where nothing is missing."""
    alone(monkeypatch)
    for seed in range(first, min(first + GROUP, COUNT)):
        folder = tmp_path / str(seed)
        folder.mkdir()
        history = History(seed, str(folder))
        try:
            history.run()
        except BaseException as error:
            error.add_note(f"history {seed}: {', '.join(history.done)}")
            raise
        finally:
            history.close()
        shutil.rmtree(folder)

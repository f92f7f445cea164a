"""The files of a log and their order."""

from __future__ import annotations

import contextlib
import errno
import gzip
import itertools
import json
import logging
import os
import shutil
import tempfile

import hypothesis.strategies as st
import pytest
from hypothesis import given

from chora_logging.eventlog import EventLog, following
from chora_logging.eventlog.following import Follower
from chora_logging.eventlog.rotated import file_set
from chora_logging.eventlog.rotated.file_set import paths_of
from chora_logging.formatting.formatter import EventFormatter
from chora_logging.writing.compression import compress_backups
from chora_logging.writing.handler import EventFileHandler
from tests.eventlog.writing import line, numbers, open_files, write


def compressing(source, target):
    """The rotator of the logging cookbook."""
    with open(source, "rb") as plain, gzip.open(target, "wb") as packed:
        shutil.copyfileobj(plain, packed)
    os.remove(source)


def dotted(name):
    """`app.log.3` is called `app.3.log`."""
    stem, number = name.rsplit(".", 1)
    return f"{stem.removesuffix('.log')}.{number}.log"


NAMERS = {
    "gz": (lambda name: name + ".gz", compressing, False),
    "compressed without an ending": (lambda name: name + ".old", compressing, False),
    "number in the middle": (dotted, None, False),
    "number in the middle, compressed": (dotted, None, True),
    "another folder": (
        lambda name: os.path.join(os.path.dirname(name), "old", os.path.basename(name)),
        None,
        True,
    ),
}


class TestNamer:
    @pytest.fixture(params=NAMERS.values(), ids=NAMERS)
    def handler(self, request, tmp_path):
        namer, rotator, compress = request.param
        (tmp_path / "old").mkdir()
        made = EventFileHandler(tmp_path / "app.log", maxBytes=0, backupCount=12, compress=compress)
        made.setFormatter(EventFormatter())
        made.namer = namer
        if rotator is not None:
            made.rotator = rotator
        yield made
        made.close()

    def emit(self, handler, *events):
        for number in events:
            handler.handle(logging.makeLogRecord({"msg": "x", "n": number}))

    def test_order(self, handler):
        """The backups that a namer makes are read with the log, .10 before .9, compressed or not."""
        for number in range(12):
            self.emit(handler, number)
            handler.doRollover()
        self.emit(handler, 12)
        log = EventLog(handler.baseFilename, namer=handler.namer)

        assert numbers(log.read()) == list(range(13))
        assert numbers(log.last(4)) == [9, 10, 11, 12]
        assert len(paths_of(handler.baseFilename, handler.namer)) == 13
        for event in log.read():
            assert numbers(log.read(after=event.cursor)) == list(range(event["n"] + 1, 13))

    def test_followed(self, handler):
        """A follower continues across rotations with a namer, several between two polls."""
        found = []
        with Follower(handler.baseFilename, namer=handler.namer) as follower:
            for number in range(9):
                self.emit(handler, number)
                handler.doRollover()
                if number % 3 == 0:
                    while (events := follower.poll()) is not None:
                        found += numbers(events)
            self.emit(handler, 9)
            while (events := follower.poll()) is not None:
                found += numbers(events)

        assert found == list(range(10))

    def test_what_was_named_before_is_older(self, handler):
        """Backups with the default names, from before there was a namer, come first."""
        hooks, handler.namer, handler.rotator = (handler.namer, handler.rotator), None, None
        for number in range(2):
            self.emit(handler, number)
            handler.doRollover()
        handler.namer, handler.rotator = hooks
        self.emit(handler, 2)
        handler.doRollover()
        self.emit(handler, 3)

        assert numbers(EventLog(handler.baseFilename, namer=handler.namer).read()) == [0, 1, 2, 3]


class TestBusyMachine:
    def test_a_backup_that_is_compressed_during_the_first_opening(self, tmp_path, monkeypatch):
        """A machine so busy that one opening takes all the time still counts the rotations.

        By that count a follower leaves a rotated file at once; without it, it waits for late lines.
        """
        handler = EventFileHandler(tmp_path / "app.log", maxBytes=0, backupCount=3)
        handler.setFormatter(EventFormatter())
        backup = tmp_path / "app.log.1"
        real_open, real_open_set = file_set._open, following.open_set
        is_first = True

        def open_set(*arguments, **options):
            nonlocal is_first
            is_first = True
            return real_open_set(*arguments, **options)

        def open_and_compress(*arguments):
            nonlocal is_first
            files = real_open(*arguments)
            if is_first and backup.exists():
                compress_backups(handler.baseFilename, 3, str)
                assert not backup.exists()
            is_first = False
            return files

        monkeypatch.setattr(following, "open_set", open_set)
        monkeypatch.setattr(file_set, "_open", open_and_compress)
        monkeypatch.setattr(file_set, "_ROTATION_WAIT_SECONDS", 0)
        found = []
        with contextlib.closing(handler), Follower(tmp_path / "app.log") as follower:
            for number in range(3):
                handler.handle(logging.makeLogRecord({"msg": "x", "n": number}))
                while (events := follower.poll()) is not None:
                    found += numbers(events)
                handler.doRollover()

        assert found == [0, 1, 2]


class TestNames:
    def test_logrotates_names(self, tmp_path):
        """The set holds numbered, compressed and dated names, oldest first, and nothing else."""
        log = tmp_path / "app.log"
        order = ["app.log-20250927.gz", "app.log-20250928", "app.log.2.gz", "app.log.1", "app.log"]
        for number, name in enumerate(order):
            data = line(number)
            (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        others = "app.log.bak app.log2 app.log-2025 app.log.1.tmp .app.log.gz.new app.log-20250928.new"
        for name in others.split():
            write(tmp_path / name, 99)

        assert numbers(EventLog(log).read()) == [0, 1, 2, 3, 4]

    @pytest.mark.parametrize(
        "names",
        [
            ["app.log.20250930", "app.log.20251001"],
            ["app.log.1759049651", "app.log.1759049652.gz"],
            ["app.log-2025093023", "app.log-2025100100.gz"],
            ["app.log.2025-09-30", "app.log.2025-10-01"],
            ["app.log.2025-09-30_23-59-59.gz", "app.log.2025-10-01_00-00-00"],
        ],
        ids=lambda names: names[0],
    )
    def test_dates(self, tmp_path, names):
        """Whatever a tool has for a date, its files are read, the earliest first."""
        for number, name in enumerate([*names, "app.log"]):
            data = line(number)
            (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)

        assert numbers(EventLog(tmp_path / "app.log").read()) == [0, 1, 2]

    @pytest.mark.parametrize("names", [[".1", "-20250928"], ["-20250928", ".1"]])
    def test_written_at_the_same_time(self, tmp_path, names):
        """Of a numbered and a dated file with the same time, the one with the later events is newer."""
        for moment, name in enumerate([*names, ""]):
            with open(f"{tmp_path / 'app.log'}{name}", "w") as file:
                file.write(json.dumps({"timestamp": f"2026-01-02T00:00:0{moment}Z", "n": moment}) + "\n")
            os.utime(file.name, (1e9, 1e9))

        assert numbers(EventLog(tmp_path / "app.log").read()) == [0, 1, 2]

    @pytest.mark.parametrize("older", ["", ".gz"])
    @pytest.mark.parametrize("name", ["app.log.1", "app.log-20250928"])
    def test_two_tools_gave_one_name(self, tmp_path, name, older):
        """Both the plain and the compressed file of a name are read if they have different events."""
        plain, packed = tmp_path / name, tmp_path / f"{name}.gz"
        plain.write_bytes(line(1 if older else 0))
        packed.write_bytes(gzip.compress(line(0 if older else 1), mtime=0))
        os.utime(packed if older else plain, (1e9, 1e9))
        write(tmp_path / "app.log", 2)

        assert numbers(EventLog(tmp_path / "app.log").read()) == [0, 1, 2]
        assert numbers(EventLog(tmp_path / "app.log").last(3)) == [0, 1, 2]

    @pytest.mark.parametrize("length", [0, 1, 15, 25])
    def test_begun_to_be_compressed(self, tmp_path, length):
        """While a tool compresses a backup, its events are read once, and nothing is damaged."""
        write(tmp_path / "app.log.1", 0, 1)
        packed = gzip.compress((tmp_path / "app.log.1").read_bytes())
        (tmp_path / "app.log.1.gz").write_bytes(packed[:length])
        write(tmp_path / "app.log", 2)

        assert numbers(EventLog(tmp_path / "app.log").read()) == [0, 1, 2]

    def test_compressed_whatever_it_is_called(self, tmp_path):
        """A compressed file is recognised by its content."""
        write(tmp_path / "app.log", 1)
        (tmp_path / "app.log.1").write_bytes(gzip.compress(line(0)))

        assert numbers(EventLog(tmp_path / "app.log").read()) == [0, 1]

    def test_missing(self, tmp_path):
        """A log that is missing is empty, and waited for; with must_exist it is an error at the call."""
        with pytest.raises(FileNotFoundError, match=r"app\.log"):
            EventLog(tmp_path / "app.log", must_exist=True).read()
        with pytest.raises(FileNotFoundError, match=r"app\.log"):
            EventLog(tmp_path / "app.log", must_exist=True).follow_sync()

        assert list(EventLog(tmp_path / "app.log").read()) == []
        write(tmp_path / "app.log.1", 1)
        assert numbers(EventLog(tmp_path / "app.log", must_exist=True).read()) == [1]

    @pytest.mark.parametrize("name", ["app.log.1", "app.log-20250928"])
    @pytest.mark.parametrize("found_in", [paths_of, lambda log: list(EventLog(log).read())])
    def test_compressed_after_it_was_listed(self, tmp_path, monkeypatch, name, found_in):
        """A backup that is compressed right after the folder was listed is found all the same."""
        write(tmp_path / name, 0)
        write(tmp_path / "app.log", 1)
        real = os.listdir

        def listed(folder):
            names = real(folder)
            if name in names:
                compressing(tmp_path / name, tmp_path / f"{name}.gz")
            return names

        monkeypatch.setattr(os, "listdir", listed)

        assert len(found_in(tmp_path / "app.log")) == 2

    def test_no_look_at_a_backups_name(self, tmp_path, monkeypatch):
        """A backup whose path can no longer be queried once it is open is read."""
        write(tmp_path / "app.log.1", 0)
        write(tmp_path / "app.log", 1)
        real = os.stat

        def refuse(path, *args, **kwargs):
            if str(path).endswith("app.log.1"):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
            return real(path, *args, **kwargs)

        monkeypatch.setattr(os, "stat", refuse)

        assert numbers(EventLog(tmp_path / "app.log").read()) == [0, 1]

    def test_out_of_descriptors(self, tmp_path, monkeypatch):
        """A backup that cannot be opened for lack of descriptors is not left out: reading fails."""
        write(tmp_path / "app.log.1", 0)
        write(tmp_path / "app.log", 1)
        real = os.open

        def refuse(path, *args, **kwargs):
            if str(path).endswith("app.log"):
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
            return real(path, *args, **kwargs)

        monkeypatch.setattr(os, "open", refuse)

        with pytest.raises(OSError, match="Too many open files"):
            list(EventLog(tmp_path / "app.log").read())
        assert open_files(tmp_path) == 0


class TestRotatedWhileOpened:
    """A log that is rotated all the time: no two listings of its names are the same."""

    KEEP = 30

    def steps(self, log, numbers):
        """Rename one file after the other, as a rotation does; each new file has one event."""
        while True:
            for number in range(self.KEEP, 0, -1):
                for ending in ("", ".gz"):
                    if os.path.exists(f"{log}.{number}{ending}"):
                        os.rename(f"{log}.{number}{ending}", f"{log}.{number + 1}{ending}")
                        yield
            os.rename(log, f"{log}.1")
            yield
            write(log, next(numbers))
            yield

    @given(st.lists(st.booleans(), max_size=5), st.integers(0, 50), st.integers(9, 50))
    def test_none_is_missed(self, compressed, first, each):
        """Every file that existed when the live one was opened is read once, in order."""
        with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
            log = os.path.join(folder, "app.log")
            count = len(compressed) + 1
            for number, is_compressed in enumerate(compressed, 1):
                name = f"{log}.{count - number}"
                with gzip.open(f"{name}.gz", "wb") if is_compressed else open(name, "wb") as file:
                    file.write(line(number))
            write(log, count)
            steps = self.steps(log, itertools.count(count + 1))
            calls = itertools.count(first)
            for name in ("open_content", "_list_names", "is_live"):
                real = getattr(file_set, name)

                def after_a_step(*args, real=real, often=name == "_list_names"):
                    if often or next(calls) % each == 0:
                        next(steps)
                    return real(*args)

                patch.setattr(file_set, name, after_a_step)
            patch.setattr(file_set, "_ROTATION_WAIT_SECONDS", 0)
            found = numbers(EventLog(log).read())

            assert found == list(range(found[0], found[0] + len(found)))
            assert len(found) >= count - 1  # the live one has no name between two steps

    def test_a_fifo_beside_it(self, tmp_path):
        """An entry that is not a regular file is not opened, whatever its name."""
        write(tmp_path / "app.log.1", 0)
        write(tmp_path / "app.log", 1)
        os.mkfifo(tmp_path / "app.log.2")
        (tmp_path / "app.log.3").mkdir()

        assert numbers(EventLog(tmp_path / "app.log").read()) == [0, 1]

"""`EventFileHandler` in one process: opening, sizes, backups, permissions, files that change under it."""

from __future__ import annotations

import contextlib
import fcntl
import io
import itertools
import json
import logging
import mmap
import os
import socket
import stat
import subprocess
import sys
import threading
import time

import pytest

from chora_logging import log_files
from chora_logging.errors import ConfigurationError
from chora_logging.writing import compression, loss
from chora_logging.writing.backups import find_backups
from chora_logging.writing.handler import EventFileHandler
from tests.accounting import bytes_of, events_of, files_of, lines_of, snapshot
from tests.needs import need

#: Writes two lines to a path, as another user if there is a second argument.
TO_STREAM = """
import logging, os, sys
from chora_logging.writing.handler import EventFileHandler
if sys.argv[2:]:
    os.setgroups([])
    os.setuid(int(sys.argv[2]))
logger = logging.Logger("x", 1)
logger.addHandler(EventFileHandler(sys.argv[1], maxBytes=5))
logger.info("one")
logger.info("two")
"""


@pytest.fixture
def open_log(tmp_path):
    """Make loggers with one handler each, closed after the test."""
    handlers = []

    def make(name="app.log", kind=EventFileHandler, formatter=None, **options):
        handler = kind(tmp_path / name, **options)
        handler.setFormatter(formatter or logging.Formatter("%(message)s"))
        handlers.append(handler)
        logger = logging.Logger("test", logging.DEBUG)
        logger.addHandler(handler)
        return logger

    yield make
    for handler in handlers:
        handler.close()


class TestOpening:
    """When files and folders are created, and invalid arguments."""

    def test_folders(self, tmp_path, open_log):
        """Parent folders are made at construction, with delay too."""
        open_log("a/b/app.log", delay=True)

        assert (tmp_path / "a/b").is_dir()

    @pytest.mark.parametrize("delay", [True, False])
    def test_delay(self, tmp_path, open_log, delay):
        """The file is made at construction, as the standard library does, or at the first record."""
        logger = open_log(delay=delay)

        assert (tmp_path / "app.log").exists() is not delay
        logger.info("one")
        assert lines_of(tmp_path / "app.log") == [b"one"]

    def test_defaults(self, open_log):
        """10 MB, 5 backups, UTF-8."""
        handler = open_log().handlers[0]

        assert (handler.maxBytes, handler.backupCount, handler.encoding) == (10 * 1024 * 1024, 5, "utf-8")

    @pytest.mark.parametrize(
        ("given", "bytes_"),
        [("10MB", 10 << 20), ("512 kB", 512 << 10), ("1GiB", 1 << 30), ("77", 77), (5, 5)],
    )
    def test_sizes(self, open_log, given, bytes_):
        """maxBytes takes a number or a string with a unit."""
        assert open_log(maxBytes=given).handlers[0].maxBytes == bytes_

    @pytest.mark.parametrize(
        "options",
        [
            {"maxBytes": "ten"},
            {"maxBytes": -1},
            {"maxBytes": 1.5},
            {"maxBytes": True},
            {"maxBytes": None},
            {"maxBytes": "10 XB"},
            {"backupCount": -1},
            {"backupCount": "five"},
            {"compress": "zip"},
            {"delay": "later"},
            {"fsync": None},
            {"filename": ""},
            {"filename": None},
            {"filename": "a\0b"},
            {"file_mode": "rw-r--r--"},
            {"file_mode": 0o440},
            {"file_mode": 0o17777},
            {"lock_timeout": -1},
            {"lock_timeout": float("nan")},
            {"mode": "r"},
            {"mode": "ab"},
            {"encoding": "utf-9"},
            {"encoding": "base64"},
            {"errors": "foo"},
        ],
        ids=repr,
    )
    def test_refused(self, tmp_path, options):
        """A bad argument is one clear error at construction, with its name and value; nothing is made."""
        with pytest.raises(ConfigurationError) as caught:
            EventFileHandler(**{"filename": tmp_path / "x" / "app.log", **options})

        ((name, value),) = options.items()
        assert str(caught.value).startswith(f"{name} must be ")
        assert str(caught.value).endswith(f", got {value!r}")
        assert os.listdir(tmp_path) == []

    def test_unwritable_place(self, tmp_path):
        """A folder that cannot be made is an error at construction, with delay at the first record."""
        (tmp_path / "file").touch()

        with pytest.raises(OSError, match="file"):
            EventFileHandler(tmp_path / "file" / "app.log")
        EventFileHandler(tmp_path / "file" / "app.log", delay=True).close()

    def test_mode_w_truncates_once(self, tmp_path, open_log):
        """mode="w" empties the file at construction, and not when it is reopened."""
        log = tmp_path / "app.log"
        log.write_text("old\n")
        logger = open_log(mode="w", maxBytes=0)
        logger.info("one")
        os.rename(log, tmp_path / "moved")
        log.write_text("somebody's\n")

        logger.info("two")

        assert lines_of(log) == [b"somebody's", b"two"]
        assert (tmp_path / "moved").read_text() == "one\n"

    def test_close(self, tmp_path, open_log):
        """After close() a late record is written and no descriptor stays open; with mode="w" it is not."""
        for mode, expected in (("a", [b"one", b"two"]), ("w", [b"one"])):
            logger = open_log(mode, mode=mode, maxBytes=0)
            logger.info("one")
            logger.handlers[0].close()
            logger.handlers[0].close()
            before = os.listdir("/proc/self/fd")

            logger.info("two")

            assert lines_of(tmp_path / mode) == expected
            assert len(os.listdir("/proc/self/fd")) == len(before)

    def test_other_stream(self, tmp_path, open_log):
        """A stream that replaces the handler's own is written to, as in the standard library."""
        logger = open_log()
        before = logger.handlers[0].setStream(stream := io.StringIO())
        logger.info("elsewhere")
        logger.handlers[0].setStream(before)
        logger.info("here")

        assert stream.getvalue() == "elsewhere\n"
        assert lines_of(tmp_path / "app.log") == [b"here"]


class TestEncoding:
    """Bytes, not characters."""

    def test_bytes_are_counted(self, tmp_path, open_log):
        """maxBytes counts encoded bytes."""
        logger = open_log(maxBytes=100, backupCount=9)
        for _ in range(8):
            logger.info("€" * 15)

        assert [path.stat().st_size for path in files_of(tmp_path / "app.log")] == [92, 92, 92, 92]

    def test_unencodable(self, tmp_path, open_log):
        """A lone surrogate or a character beyond the encoding is escaped; the record is kept."""
        open_log("utf8").info("a\udc80b")
        open_log("latin", encoding="latin-1").info("a€b")

        assert lines_of(tmp_path / "utf8") == [b"a\\udc80b"]
        assert lines_of(tmp_path / "latin") == [b"a\\u20acb"]

    def test_errors(self, tmp_path, open_log):
        """errors works as in open()."""
        open_log(encoding="ascii", errors="replace").info("a€b")

        assert lines_of(tmp_path / "app.log") == [b"a?b"]

    @pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig", "utf-32-le"])
    def test_byte_order_mark(self, tmp_path, open_log, encoding):
        """Each file begins with a byte order mark, and has no other."""
        logger = open_log(encoding=encoding, maxBytes=60, backupCount=99)
        for number in range(20):
            logger.info("line %d", number)

        texts = [path.read_bytes().decode(encoding) for path in files_of(tmp_path / "app.log")]
        assert "".join(texts).splitlines() == [f"line {number}" for number in range(20)]

    @pytest.mark.parametrize(("length", "files"), [(44, 1), (45, 2)])
    def test_a_mark_that_is_not_written_is_not_counted(self, tmp_path, open_log, length, files):
        """Files are filled up to the limit exactly, to the byte."""
        logger = open_log(encoding="utf-16", maxBytes=100, backupCount=9)
        logger.info("xx")
        logger.info("x" * length)

        assert len(files_of(tmp_path / "app.log")) == files

    def test_terminator(self, tmp_path, open_log):
        """A handler with another terminator, or none, writes no newlines."""
        logger = open_log()
        logger.handlers[0].terminator = ""
        other = open_log()
        other.handlers[0].terminator = ""
        for _ in range(3):
            logger.info("a")
            other.info("b")

        assert (tmp_path / "app.log").read_bytes() == b"ababab"


class TestRotation:
    """When a file is rotated, and which backups are kept."""

    def test_never_empty(self, tmp_path, open_log):
        """A line longer than maxBytes is written whole into a file of its own, and no backup is empty."""
        logger = open_log(maxBytes=50, backupCount=9)
        for text in ("x" * 100, "short", "y" * 100, "z" * 100):
            logger.info(text)

        assert [len(bytes_of(path)) for path in files_of(tmp_path / "app.log")] == [101, 6, 101, 101]

    @pytest.mark.parametrize("options", [{"maxBytes": 0}, {"maxBytes": 10, "backupCount": 0}], ids=repr)
    def test_never(self, tmp_path, open_log, options):
        """maxBytes=0 and backupCount=0 let the file grow, as the standard library does."""
        logger = open_log(**options)
        for number in range(50):
            logger.info("line %d", number)

        assert len(lines_of(tmp_path / "app.log")) == 50
        assert len(files_of(tmp_path / "app.log")) == 1

    def test_backup_count(self, tmp_path, open_log):
        """The newest backupCount backups are kept."""
        logger = open_log(maxBytes=20, backupCount=3)
        for number in range(10, 60):
            logger.info("line no. %d", number)

        assert [path.name for path in files_of(tmp_path / "app.log")] == [
            "app.log.3", "app.log.2", "app.log.1", "app.log",
        ]  # fmt: skip
        assert lines_of(tmp_path / "app.log") == [b"line no. %d" % number for number in range(56, 60)]

    def test_surplus(self, tmp_path, open_log):
        """After backupCount was lowered the next rotation deletes surplus backups; other files stay."""
        for number in range(1, 9):
            (tmp_path / f"app.log.{number}").write_text("old line\n")
        others = ["app.log.bak", "app.log.01", "app.log.7x", "app.log2", "app.log.8.tmp"]
        for name in others:
            (tmp_path / name).touch()
        logger = open_log(maxBytes=10, backupCount=2)

        logger.info("first")
        logger.info("second")

        assert sorted(snapshot(tmp_path)) == sorted([*others, "app.log", "app.log.1", "app.log.2"])

    def test_compressed_backups_count(self, tmp_path, open_log):
        """A compressed backup keeps its place in the order, and is deleted when it is the oldest."""
        packing = open_log(maxBytes=10, backupCount=3, compress=True)
        for text in ("old 2", "old 1", "first"):
            packing.info(text)
        packing.handlers[0].close()
        logger = open_log(maxBytes=10, backupCount=3)

        logger.info("second")
        assert sorted(snapshot(tmp_path)) == ["app.log", "app.log.1", "app.log.2.gz", "app.log.3.gz"]
        logger.info("third")

        assert sorted(snapshot(tmp_path)) == ["app.log", "app.log.1", "app.log.2", "app.log.3.gz"]
        assert lines_of(tmp_path / "app.log") == [b"old 1", b"first", b"second", b"third"]

    def test_holes(self, tmp_path, open_log):
        """A deleted backup leaves a hole that moves up with the others, as in the standard library."""
        logger = open_log(maxBytes=10, backupCount=5)
        for number in range(4):
            logger.info("line %d", number)
        (tmp_path / "app.log.2").unlink()
        logger.info("line 4")

        assert sorted(snapshot(tmp_path)) == ["app.log", "app.log.1", "app.log.2", "app.log.4"]

    def test_by_hand(self, tmp_path, open_log):
        """doRollover() rotates a file immediately, and leaves an empty one."""
        logger = open_log()
        logger.handlers[0].doRollover()
        logger.info("one")
        logger.handlers[0].doRollover()
        logger.handlers[0].doRollover()
        logger.info("two")

        assert [bytes_of(path) for path in files_of(tmp_path / "app.log")] == [b"one\n", b"two\n"]

    def test_overrides(self, tmp_path, open_log):
        """A subclass's own shouldRollover and doRollover are called."""

        class Each(EventFileHandler):
            rotations = 0

            def shouldRollover(self, record):
                return "rotate" in record.getMessage()

            def doRollover(self):
                self.rotations += 1
                super().doRollover()

        logger = open_log(kind=Each, maxBytes=1)
        for text in ("a", "b", "rotate", "c"):
            logger.info(text)

        assert logger.handlers[0].rotations == 1
        assert [bytes_of(path) for path in files_of(tmp_path / "app.log")] == [b"a\nb\n", b"rotate\nc\n"]

    @pytest.mark.parametrize("where", ["handler", "class"])
    @pytest.mark.parametrize("name", ["doRollover", "rotation_filename", "rotate", "namer", "rotator"])
    def test_set_later(self, tmp_path, open_log, monkeypatch, name, where):
        """What a program sets in a handler or in its class between two rotations is called."""
        logger, calls = open_log(maxBytes=10, backupCount=3), []
        logger.info("line 1")
        logger.info("line 2")
        owner = logger.handlers[0] if where == "handler" else EventFileHandler
        usual = getattr(owner, name) or {"namer": str, "rotator": os.rename}[name]

        def own(*args):
            calls.append(args)
            return usual(*args)

        is_function = where == "class" and name in ("namer", "rotator")
        monkeypatch.setattr(owner, name, staticmethod(own) if is_function else own)
        logger.info("line 3")

        assert calls
        assert lines_of(tmp_path / "app.log") == [b"line 1", b"line 2", b"line 3"]

    def test_own_rollover(self, tmp_path, open_log):
        """A subclass that renames and opens by itself, as old recipes do, loses nothing."""

        class Old(EventFileHandler):
            def doRollover(self):
                self.stream.close()
                os.rename(self.baseFilename, f"{self.baseFilename}.{len(os.listdir(tmp_path))}")
                self.stream = self._open()

        logger = open_log(kind=Old, maxBytes=10)
        for number in range(10, 20):
            logger.info("line %d", number)

        found = sorted(path.read_text() for path in tmp_path.glob("app.log*"))
        assert found == [f"line {number}\n" for number in range(10, 20)]

    def test_generation(self, tmp_path, open_log):
        """The sidecar counts rotations, and its random id identifies the log."""
        logger = open_log(maxBytes=10, backupCount=2)
        logger.info("line 0")
        first = log_files.read_sidecar(str(tmp_path / "app.log"))
        for number in range(1, 8):
            logger.info("line %d", number)

        state = log_files.read_sidecar(str(tmp_path / "app.log"))
        assert (first.generation, state.generation) == (0, 7)
        assert first.log_id == state.log_id
        assert not state.under_way

    def test_sidecar_is_dispensable(self, tmp_path, open_log):
        """Deleting or garbling the sidecar costs no event, and it is created again."""
        logger = open_log(maxBytes=30, backupCount=99)
        path = tmp_path / ".app.log.lock"
        for number in range(30):
            logger.info("line %d", number)
            if number % 3 == 0:
                path.unlink()
            if number % 5 == 0:
                path.write_bytes(b"garbage")

        lines = [line for line in lines_of(tmp_path / "app.log") if b"is not the sidecar" not in line]
        assert lines == [b"line %d" % number for number in range(30)]
        path.unlink(missing_ok=True)
        logger.handlers[0].doRollover()
        assert log_files.read_sidecar(str(tmp_path / "app.log")) is not None

    def test_clock(self, tmp_path, open_log, monkeypatch):
        """A clock that steps back changes nothing about order and rotation."""
        logger = open_log(maxBytes=30, backupCount=99)
        now = time.time()
        for number in range(20):
            monkeypatch.setattr(time, "time", lambda number=number: now - 1000 * number)
            logger.info("line %d", number)

        assert lines_of(tmp_path / "app.log") == [b"line %d" % number for number in range(20)]

    def test_two_handlers(self, tmp_path, open_log):
        """Two handlers on one path in one process write and rotate as one."""
        pair = [open_log(maxBytes=40, backupCount=99) for _ in range(2)]
        for number in range(40):
            pair[number % 2].info("line %d", number)

        assert lines_of(tmp_path / "app.log") == [b"line %d" % number for number in range(40)]
        assert all(len(bytes_of(path)) < 40 for path in files_of(tmp_path / "app.log"))


class TestBlockedRotation:
    """A rename that fails never costs a record."""

    def test_goes_on_appending(self, tmp_path, open_log):
        """While a folder has a backup's name, every record is written and the log reports the reason once."""
        (tmp_path / "app.log.1").mkdir()
        from chora_logging.formatting.formatter import EventFormatter

        logger = open_log(maxBytes=300, backupCount=1, formatter=EventFormatter())
        for number in range(30):
            logger.info("line", extra={"n": number})

        events = [json.loads(line) for line in (tmp_path / "app.log").read_bytes().splitlines()]
        assert [event["n"] for event in events if "n" in event] == list(range(30))
        (notice,) = [event for event in events if event["logger"] == "chora_logging"]
        assert notice["event"] == "rotation_failed"
        assert "app.log.1" in notice["error"]

    def test_resumes(self, tmp_path, open_log, monkeypatch):
        """When the folder is gone, the rotation continues from where it stopped."""
        oldest = "oldest".ljust(40, "-")
        for number in (1, 2):
            (tmp_path / f"app.log.{number}").write_text(f"{oldest}\n")
        logger = open_log(maxBytes=50, backupCount=3)
        logger.info("line 0")
        (tmp_path / "app.log.1").unlink()
        (tmp_path / "app.log.1").mkdir()
        for number in range(1, 10):
            logger.info("line %d", number)
        (tmp_path / "app.log.1").rmdir()
        clock = time.monotonic() + 100
        monkeypatch.setattr(time, "monotonic", lambda: clock)

        logger.info("after")

        kept = [
            line for line in lines_of(tmp_path / "app.log") if line.startswith((b"old", b"line", b"after"))
        ]
        assert kept == [oldest.encode(), *(b"line %d" % number for number in range(10)), b"after"]
        assert bytes_of(tmp_path / "app.log") == b"after\n"

    @pytest.mark.parametrize("attribute", ["namer", "rotator"])
    def test_broken_hook(self, tmp_path, open_log, attribute):
        """A namer or rotator that raises costs no record."""

        def broken(*names):
            raise RuntimeError("no")

        logger = open_log(maxBytes=50, backupCount=3)
        setattr(logger.handlers[0], attribute, broken)
        for number in range(20):
            logger.info("line %d", number)

        lines = (tmp_path / "app.log").read_bytes().splitlines()
        assert [line for line in lines if line.startswith(b"line")] == [b"line %d" % n for n in range(20)]
        assert sum(b"could not be rotated" in line for line in lines) == 1


class TestChangedUnderIt:
    """Files that others move, delete, replace or truncate."""

    def test_moved(self, tmp_path, open_log):
        """A file that was moved away (logrotate's create) gets no further record."""
        logger = open_log()
        logger.info("one")
        os.rename(tmp_path / "app.log", tmp_path / "app.log-20260101")
        (tmp_path / "app.log").touch()
        logger.info("two")

        assert (tmp_path / "app.log-20260101").read_text() == "one\n"
        assert (tmp_path / "app.log").read_text() == "two\n"

    def test_moved_by_who_makes_the_next_one(self, tmp_path, open_log, monkeypatch):
        """The next file may come from the program that moved the log: the handler waits, and writes to it.

        logrotate's `create` moves a file aside that another process created before it.
        """
        log = tmp_path / "app.log"
        logger = open_log()
        logger.info("before")
        os.rename(log, tmp_path / "app.log.1")
        made = []

        def rotator_goes_on(seconds):
            if not made:
                made.append(os.open(log, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))

        monkeypatch.setattr("chora_logging.writing.live_file.sleep", rotator_goes_on)
        logger.info("after")

        assert os.fstat(made[0]).st_ino == log.stat().st_ino
        assert log.read_text() == "after\n"
        os.close(made[0])

    def test_copytruncate(self, tmp_path, open_log):
        """After a truncation the next record is at the beginning, without a hole."""
        logger = open_log()
        logger.info("one")
        os.truncate(tmp_path / "app.log", 0)
        logger.info("two")

        assert (tmp_path / "app.log").read_bytes() == b"two\n"

    def test_deleted(self, tmp_path, open_log):
        """A deleted file is created again with its former permissions."""
        logger = open_log(file_mode=0o640)
        logger.info("one")
        os.unlink(tmp_path / "app.log")
        logger.info("two")

        assert (tmp_path / "app.log").read_bytes() == b"two\n"
        assert stat.S_IMODE((tmp_path / "app.log").stat().st_mode) == 0o640

    def test_folder_removed(self, tmp_path, open_log):
        """A folder that was removed is created again."""
        logger = open_log("folder/app.log")
        logger.info("one")
        for name in os.listdir(tmp_path / "folder"):
            os.unlink(tmp_path / "folder" / name)
        os.rmdir(tmp_path / "folder")
        logger.info("two")

        assert (tmp_path / "folder/app.log").read_bytes() == b"two\n"

    def test_replaced(self, tmp_path, open_log):
        """A file that replaced the log is appended to."""
        logger = open_log()
        logger.info("one")
        (tmp_path / "new").write_text("theirs\n")
        os.replace(tmp_path / "new", tmp_path / "app.log")
        logger.info("two")

        assert lines_of(tmp_path / "app.log") == [b"theirs", b"two"]

    def test_symbolic_link(self, tmp_path, open_log):
        """Rotation keeps a symbolic link and puts the backups beside its target."""
        (tmp_path / "data").mkdir()
        os.symlink("data/real.log", tmp_path / "app.log")
        logger = open_log(maxBytes=15, backupCount=9)
        for number in range(4):
            logger.info("line no. %d", number)

        assert os.readlink(tmp_path / "app.log") == "data/real.log"
        assert sorted(snapshot(tmp_path / "data")) == ["real.log", "real.log.1", "real.log.2", "real.log.3"]
        assert lines_of(tmp_path / "data/real.log") == [b"line no. %d" % number for number in range(4)]

    def test_link_turned(self, tmp_path, open_log):
        """When the link is changed to another file, the next record goes there."""
        os.symlink("first.log", tmp_path / "app.log")
        logger = open_log()
        logger.info("one")
        os.symlink("second.log", tmp_path / "new")
        os.replace(tmp_path / "new", tmp_path / "app.log")
        logger.info("two")

        assert (tmp_path / "first.log").read_text() == "one\n"
        assert (tmp_path / "second.log").read_text() == "two\n"

    def test_hard_link(self, tmp_path, open_log):
        """A second hard link to the log (by a backup program) is not taken for a crash."""
        logger = open_log(maxBytes=60, backupCount=9)
        logger.info("line 0")
        os.link(tmp_path / "app.log", tmp_path / "copy")
        for number in range(1, 20):
            logger.info("line %d", number)

        assert lines_of(tmp_path / "app.log") == [b"line %d" % number for number in range(20)]
        assert len(files_of(tmp_path / "app.log")) == 3

    def test_half_line(self, tmp_path, open_log):
        """A crashed writer's partial line gets a newline, before the first record and between records."""
        log = tmp_path / "app.log"
        log.write_bytes(b'{"message": "half')
        logger = open_log()
        logger.info("one")
        with open(log, "ab") as file:
            file.write(b"half\xe2")
        logger.info("two")

        assert log.read_bytes() == b'{"message": "half\none\nhalf\xe2\ntwo\n'

    @pytest.mark.parametrize("pages", [1, 2, 300])
    def test_cut_write(self, tmp_path, open_log, pages):
        """A write that a kill cut off at the end of a page gets a newline: it may be under way still."""
        log = tmp_path / "app.log"
        cut = (b'{"whole": 1}\n{"half": "' + b"x" * mmap.PAGESIZE * pages)[: mmap.PAGESIZE * pages]
        log.write_bytes(cut)
        open_log().info("one")

        assert log.read_bytes() == cut + b"\none\n"

    @pytest.mark.parametrize("line", [b'{"whole": "%s"}', b"text %s"], ids=["object", "text"])
    def test_not_a_cut_write(self, tmp_path, open_log, line):
        """A whole object or a text that lacks its newline is kept, wherever it ends."""
        log = tmp_path / "app.log"
        line = line % (b"x" * (mmap.PAGESIZE - len(line) + 2))
        assert len(line) == mmap.PAGESIZE
        log.write_bytes(line)
        open_log().info("one")

        assert log.read_bytes() == line + b"\none\n"

    def test_existing_log(self, tmp_path, open_log):
        """A file of the standard library's handler is continued, and its backups belong to the set."""
        (tmp_path / "app.log").write_text("old live\n")
        (tmp_path / "app.log.1").write_text("old backup\n")
        logger = open_log(maxBytes=12, backupCount=5)
        logger.info("new")

        assert lines_of(tmp_path / "app.log") == [b"old backup", b"old live", b"new"]


class TestPermissions:
    """The permissions and descriptors of the files."""

    @pytest.mark.parametrize("umask", [0o022, 0o077, 0o000])
    @pytest.mark.parametrize("mode", [0o600, 0o640, 0o666])
    def test_survive_rotation(self, tmp_path, open_log, umask, mode):
        """A file after a rotation has the permissions of the one before it, whatever the umask."""
        before = os.umask(umask)
        try:
            logger = open_log(maxBytes=10, backupCount=3)
            os.chmod(tmp_path / "app.log", mode)
            for number in range(4):
                logger.info("line %d", number)
        finally:
            os.umask(before)

        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
        assert modes == dict.fromkeys(
            [".app.log.lock", "app.log", "app.log.1", "app.log.2", "app.log.3"], mode
        )

    def test_file_mode(self, tmp_path, open_log):
        """file_mode sets the permissions of the first file, and of a file that exists."""
        (tmp_path / "old.log").touch(0o644)
        open_log("new.log", file_mode="0620").info("x")
        open_log("old.log", file_mode=0o600).info("x")

        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
        assert modes == {".new.log.lock": 0o620, "new.log": 0o620, ".old.log.lock": 0o600, "old.log": 0o600}

    def test_not_inherited(self, tmp_path, open_log):
        """Child programs inherit none of the descriptors."""
        logger = open_log()
        logger.info("x")
        seen = subprocess.run(
            ["ls", "-l", "/proc/self/fd"], capture_output=True, text=True, check=True, close_fds=False
        )

        assert "app.log" not in seen.stdout


class TestNotAFile:
    """A special file is written to and never rotated."""

    def test_null(self, open_log):
        """/dev/null takes everything, and nothing is created beside it."""
        before = set(os.listdir("/dev"))
        logger = open_log("/dev/null", maxBytes=1)
        for _ in range(3):
            logger.info("x")

        assert set(os.listdir("/dev")) == before

    def test_fifo(self, tmp_path, open_log):
        """A FIFO's reader gets each line, and the FIFO stays."""
        os.mkfifo(tmp_path / "app.log")
        reader = os.open(tmp_path / "app.log", os.O_RDONLY | os.O_NONBLOCK)
        logger = open_log(maxBytes=1)
        for number in range(3):
            logger.info("line %d", number)

        assert os.read(reader, 1000) == b"line 0\nline 1\nline 2\n"
        assert os.listdir(tmp_path) == ["app.log"]
        os.close(reader)

    @pytest.mark.parametrize("fsync", [False, True])
    @pytest.mark.parametrize("device", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", "link"])
    def test_stdout(self, tmp_path, device, fsync):
        """/dev/stdout is written to, whether it is a pipe or a file, and never renamed."""
        if device == "link":
            device = str(tmp_path.with_name(f"{tmp_path.name}.log"))
            os.symlink("/dev/stdout", device)
        program = (
            "import logging; from chora_logging.writing.handler import EventFileHandler as H;"
            "l = logging.Logger('x', 1);"
            f"l.addHandler(H({device!r}, maxBytes=5, fsync={fsync})); l.info('one'); l.info('two')"
        )
        piped = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
        with open(tmp_path / "out", "wb") as file:
            subprocess.run([sys.executable, "-c", program], stdout=file, check=True)

        assert (piped.stdout, piped.stderr) == (b"one\ntwo\n", b"")
        assert (tmp_path / "out").read_bytes() == b"one\ntwo\n"
        assert os.listdir(tmp_path) == ["out"]

    @pytest.mark.parametrize("device", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", "link"])
    def test_stdout_that_cannot_be_opened(self, tmp_path, device):
        """Where stdout is a socket, as under systemd, its path cannot be opened: its descriptor is used."""
        if device == "link":
            device = str(tmp_path / "app.log")
            os.symlink("/dev/stdout", device)
        ours, theirs = socket.socketpair()
        with ours, theirs:
            program = [sys.executable, "-c", TO_STREAM, device]
            subprocess.run(program, stdout=theirs, stderr=subprocess.PIPE, check=True)

            assert ours.recv(1000) == b"one\ntwo\n"

    @pytest.mark.parametrize("user", [65534, 77777], ids=["nobody", "without a name"])
    def test_stdout_after_rights_were_dropped(self, user):
        """A process may write to the pipe that it got as root, though it may not open it any more."""
        need("root")
        command = [sys.executable, "-c", TO_STREAM, "/dev/stdout", str(user)]
        done = subprocess.run(command, capture_output=True)

        assert (done.stdout, done.stderr) == (b"one\ntwo\n", b"")


def interrupted(*args):
    """A call that a signal interrupts."""
    raise KeyboardInterrupt


class TestCompression:
    """Backups compressed in the background."""

    @pytest.mark.parametrize(("compress", "suffix"), [(True, ".gz"), ("zstd", ".zst")])
    def test_backups_are_packed(self, tmp_path, open_log, compress, suffix):
        """Each backup is compressed with the same content, permissions and place in the order."""
        logger = open_log(maxBytes=200, backupCount=50, compress=compress, file_mode=0o640)
        for number in range(300):
            logger.info("line %d", number)
        logger.handlers[0].close()

        *backups, live = files_of(tmp_path / "app.log")
        assert live.name == "app.log"
        assert {path.suffix for path in backups} == {suffix}
        assert {stat.S_IMODE(path.stat().st_mode) for path in backups} == {0o640}
        assert lines_of(tmp_path / "app.log") == [b"line %d" % number for number in range(300)]
        assert not (tmp_path / f".app.log{suffix}.new").exists()

    def test_closing_does_not_interrupt_it(self, tmp_path, open_log, monkeypatch):
        """A backup is packed though its compression ends while the handler is being closed."""
        closing = threading.Event()
        pack, open_journal = compression.pack, loss.open_journal

        def compress_later(*args):
            assert closing.wait(20)
            return pack(*args)

        @contextlib.contextmanager
        def open_long(*args):
            with open_journal(*args) as journal:
                closing.set()
                for thread in threading.enumerate():
                    if thread.name == "chora-logging-gzip":
                        thread.join(0.5)
                yield journal

        monkeypatch.setattr(compression, "pack", compress_later)
        logger = open_log(maxBytes=20, backupCount=9, compress=True)
        for number in range(3):
            logger.info("line %d", number)
        monkeypatch.setattr(loss, "open_journal", open_long)
        logger.handlers[0].close()

        assert [path.name for path in files_of(tmp_path / "app.log")] == ["app.log.1.gz", "app.log"]

    def test_one_thread_compresses(self, monkeypatch):
        """Rotations at any point of the thread have one thread compress, for whose end `join` waits."""
        running, most, wanted = 0, 0, 0

        def compress(*_):
            nonlocal running, most, wanted
            wanted, running = 0, running + 1
            most = max(most, running)
            time.sleep(0.02)
            running -= 1

        def start():
            nonlocal wanted
            wanted = 1
            compressor.start("app.log", 1, str)

        def trace(frame, event, arg):
            return at_line if frame.f_code is run else None

        def at_line(frame, event, arg):
            if event == "line" and next(lines) == at:
                start()
                time.sleep(0.001)
                start()
            return at_line

        run = compression.BackupCompressor._run.__code__
        monkeypatch.setattr(compression, "compress_backups", compress)
        for at in itertools.count():
            lines, compressor = itertools.count(), compression.BackupCompressor()
            threading.settrace(trace)
            try:
                start()
            finally:
                threading.settrace(None)
            for _ in range(2):  # the thread that was traced, and the one that it has started
                compressor.join()
            assert (running, wanted, most) == (0, 0, 1)
            if next(lines) <= at:
                break

    def test_leftovers(self, tmp_path, open_log, monkeypatch):
        """Backups that a killed process left plain, half compressed or in both forms are compressed."""
        logger = open_log(maxBytes=10, backupCount=9)
        for text in ("plain", "both", "first"):
            logger.info(text)
        logger.handlers[0].close()
        found = find_backups(str(tmp_path / "app.log"), str, 9, {}).backups
        found.sort(key=lambda backup: backup.number)
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(compression, "_plain_backup", lambda *_: found[0])
            patch.setattr(compression.os, "unlink", interrupted)
            compression.compress_backups(str(tmp_path / "app.log"), 9, str)
        (tmp_path / ".app.log.gz.new").write_bytes((tmp_path / "app.log.1.gz").read_bytes()[:20])
        assert sorted(snapshot(tmp_path)) == ["app.log", "app.log.1", "app.log.1.gz", "app.log.2"]

        logger = open_log(maxBytes=10, backupCount=9, compress=True)
        logger.info("second")
        logger.handlers[0].close()

        assert sorted(path.name for path in tmp_path.iterdir()) == [
            ".app.log.lock", "app.log", "app.log.1.gz", "app.log.2.gz", "app.log.3.gz",
        ]  # fmt: skip
        assert lines_of(tmp_path / "app.log") == [b"plain", b"both", b"first", b"second"]


class TestReentrance:
    """Logging from places that interrupt a record."""

    def test_patched_sleep(self, tmp_path, open_log, monkeypatch):
        """A `time.sleep` that runs other greenlets of this thread, as gevent's, runs none during a record."""
        logger = open_log(lock_timeout=0.01)
        logger.info("one")
        slept = []
        monkeypatch.setattr(time, "sleep", slept.append)
        with open(tmp_path / "app.log") as other:
            fcntl.flock(other, fcntl.LOCK_EX)
            logger.info("two")
        os.unlink(tmp_path / "app.log")
        logger.info("three")

        assert not slept
        assert (tmp_path / "app.log").read_text() == "three\n"

    def test_from_the_formatter(self, tmp_path, open_log):
        """A formatter that logs to the same handler gets both lines written."""

        class Chatty(logging.Formatter):
            def format(self, record):
                if record.args:
                    logger.info(f"inner of outer {record.args[0]}")
                return super().format(record)

        logger = open_log(formatter=Chatty("%(message)s"))
        for number in range(3):
            logger.info("outer %d", number)

        assert sorted(lines_of(tmp_path / "app.log")) == sorted(
            line for n in range(3) for line in (b"outer %d" % n, b"inner of outer %d" % n)
        )

    def test_from_str(self, tmp_path, open_log):
        """An argument whose __str__ logs gets both lines written."""

        class Chatty:
            def __str__(self):
                logger.info("inner")
                return "outer"

        logger = open_log()
        logger.info("%s", Chatty())

        assert lines_of(tmp_path / "app.log") == [b"inner", b"outer"]

    def test_no_stream(self, tmp_path, open_log):
        """A handler that lost its stream, to an exception in the middle of opening, still writes."""
        logger = open_log(delay=True)
        logger.info("one")
        logger.handlers[0].stream.flush()
        logger.handlers[0].stream = None
        logger.info("two")

        assert lines_of(tmp_path / "app.log") == [b"one", b"two"]

    @pytest.mark.parametrize("call", ["write", "stat", "lstat", "rename", "link", "pwrite"])
    def test_in_the_middle_of_a_record(self, tmp_path, open_log, monkeypatch, call):
        """A record logged in the middle of a write or rotation, as by __del__, is written after it; through
        another handler on the same file too.
        """
        first, second = (open_log(maxBytes=60, backupCount=99) for _ in range(2))
        original = getattr(os, call)
        inner = []

        def interrupted(*args, **kwargs):
            if len(inner) < 20:
                inner.append(b"inner %d" % len(inner))
                (first, second)[len(inner) % 2].info(inner[-1].decode())
            return original(*args, **kwargs)

        monkeypatch.setattr(os, call, interrupted)
        for number in range(60):
            first.info("outer %d", number)
        monkeypatch.undo()

        lines = lines_of(tmp_path / "app.log")
        assert len(inner) > 5
        assert [line for line in lines if line.startswith(b"outer")] == [b"outer %d" % n for n in range(60)]
        assert sorted(line for line in lines if line.startswith(b"inner")) == sorted(inner)
        assert all(len(bytes_of(path)) < 60 for path in files_of(tmp_path / "app.log"))


def test_records_stay_as_they_were(tmp_path, open_log):
    """Writing a record changes neither the record nor the caller's objects."""
    logger = open_log(maxBytes=100)
    extra = {"n": [1, 2]}
    seen = []
    logger.handlers[0].addFilter(lambda record: seen.append((record, dict(record.__dict__))) or True)
    logger.handlers[0].setFormatter(None)
    from chora_logging.formatting.formatter import EventFormatter

    logger.handlers[0].setFormatter(EventFormatter())
    logger.info("x %s", 1, extra=extra)

    ((record, before),) = seen
    assert record.__dict__ == before
    assert extra == {"n": [1, 2]}
    assert events_of(tmp_path / "app.log")[0]["n"] == [1, 2]

"""`Rollover`: which files a rotation may touch, and what a rotation that fails leaves behind."""

from __future__ import annotations

import contextlib
import errno
import gzip
import json
import logging
import logging.handlers
import os
import shutil
import subprocess
import sys
import threading
import time

import pytest

from chora_logging import log_files
from chora_logging.compressed_files import FORMATS, GZIP, ZSTD
from chora_logging.errors import ForeignBackupsError, RotationBlockedError
from chora_logging.eventlog import EventLog
from chora_logging.eventlog.following import Follower
from chora_logging.formatting.formatter import EventFormatter
from chora_logging.writing import compression, locking, opening
from chora_logging.writing.handler import EventFileHandler
from chora_logging.writing.journal import open_journal, pack_sidecar
from chora_logging.writing.retention import Retention
from chora_logging.writing.rotation import Rollover
from tests.accounting import lines_of, snapshot
from tests.eventlog.writing import until
from tests.needs import need


@pytest.fixture
def log(tmp_path):
    """The path of a log in an empty folder."""
    (tmp_path / "log").mkdir()
    return tmp_path / "log" / "app.jsonl"


@pytest.fixture
def writer(log):
    """A writer on the log."""
    return Writer(log)


@pytest.fixture(autouse=True)
def close_writers():
    """Close every writer after the test."""
    yield
    while made:
        made.pop().close()


made = []


class Writer:
    """Writes numbered events with a handler that rotates after each one."""

    def __init__(self, log, **options):
        self.log, self.number = log, 0
        self.handler = None
        self.open(**options)
        made.append(self)

    def open(self, **options):
        """Close the handler and make one with these options."""
        self.close()
        self.handler = EventFileHandler(self.log, **{"maxBytes": 1, "backupCount": 3, **options})
        self.handler.setFormatter(EventFormatter())

    def write(self, count=1):
        """Write so many events."""
        for _ in range(count):
            self.handler.handle(logging.makeLogRecord({"msg": "event", "n": self.number, "event": "one"}))
            self.number += 1

    def close(self):
        """Close the handler."""
        if self.handler is not None:
            self.handler.close()


def rollover(log, count=3, rotate=os.rename, **options):
    """Return a rotation of *log*."""
    options = {"name_of": str, "rotate": rotate, "mode": None, "timeout": 1, "max_bytes": 1, **options}
    return Rollover(str(log), Retention(count), **options)


def numbers(log):
    """The numbers of the events of the log and its backups, oldest first."""
    return [event["n"] for event in map(json.loads, lines_of(log)) if "n" in event]


def notices(log, event="rotation_failed"):
    """The notices in the log."""
    return [found for found in map(json.loads, lines_of(log)) if found["event"] == event]


FOREIGN = [
    *("app.jsonl.1", "app.jsonl.2.gz", "app.jsonl.4", "app.jsonl.4.gz", "app.jsonl.4.zst", "app.jsonl.4.xz"),
    *("app.jsonl-20260101", "app.jsonl-20260101.gz", "app.jsonl-20260101-1767225600.zst"),
    *("app.jsonl.20260101", "app.jsonl-2026010112", "app.jsonl.1767225600"),
    *("app.jsonl.2026-01-01", "app.jsonl.2026-01-01_12-30-05.bz2"),
]
NO_BACKUPS = [
    *("app.jsonl.bak", "app.jsonl.01", "app.jsonl2", "app.jsonl.1.tmp", "app.jsonl.1.gz.new"),
    *("app.jsonl-old", "app.jsonl-2026", "app.jsonl.txt.1", "other.jsonl.1"),
]
OTHERS = [["1", "3"], ["2"], ["1", "2.gz"], ["1", "1.gz"], ["1700000000"]]


class TestForeignFiles:
    """Files of other tools."""

    @pytest.mark.parametrize("name", FOREIGN)
    def test_stop_rotation(self, log, writer, name):
        """Beside a file of another tool nothing is renamed or deleted; the log grows and says so once."""
        writer.write(5 if name == "app.jsonl.4" else 1)
        for path in log.parent.glob(name):
            path.unlink()
        log.with_name(name).write_bytes(b"somebody's")
        before = snapshot(log.parent)

        writer.write(20)

        after = snapshot(log.parent)
        grown = after.pop("app.jsonl")
        assert grown.startswith(before.pop("app.jsonl"))
        assert after == before
        (notice,) = [json.loads(line) for line in grown.splitlines() if b"rotation_failed" in line]
        assert name in notice["message"]
        for way_out in ("maxBytes=0", "backupCount=0", "CHORA_EVENTS_MAX_BYTES=0", "LOG_MAX_BYTES=0", "move"):
            assert way_out in notice["message"]

    @pytest.mark.parametrize("name", NO_BACKUPS)
    def test_other_names(self, log, writer, name):
        """A file whose name no tool gives to a rotated log does not stop rotation, and stays."""
        log.with_name(name).write_bytes(b"somebody's")
        writer.write(9)

        assert log.with_name(name).read_bytes() == b"somebody's"
        assert numbers(log) == [5, 6, 7, 8]

    def test_gone(self, log, writer, monkeypatch):
        """When the files of the other tool are gone, rotation goes on at the next retry."""
        writer.write(2)
        log.with_name("app.jsonl-20260101").touch()
        writer.write(2)
        log.with_name("app.jsonl-20260101").unlink()
        clock = time.monotonic() + 100
        monkeypatch.setattr(time, "monotonic", lambda: clock)
        writer.write(2)

        assert numbers(log) == list(range(6))
        assert log.with_name("app.jsonl.3").exists()

    def test_live_file_moved_to_a_backup(self, log, writer):
        """The file that was live, under a number that we did not give it, is a file of another tool."""
        writer.write(2)
        os.rename(log.with_name("app.jsonl.1"), log.with_name("app.jsonl.2"))
        os.rename(log, log.with_name("app.jsonl.1"))
        writer.write(9)

        assert numbers(log) == list(range(11))
        assert "did not make app.jsonl.1. " in notices(log)[0]["message"]

    def test_inode_is_used_again(self, log):
        """A file that has got the inode of a deleted backup is not taken for it."""
        Writer(log).write(2)
        state = log_files.read_sidecar(str(log))
        backup = log.with_name("app.jsonl.1")
        other = log.with_name("other")
        other.write_bytes(b"somebody's\n")
        with open_journal(str(log), log.stat(), None, 1) as opened:
            (line,) = opened.owned.values()
            opened.write(state, {other.stat().st_ino: line})
        os.replace(other, backup)

        with pytest.raises(ForeignBackupsError):
            rollover(log).run()
        assert backup.read_bytes() == b"somebody's\n"

    def test_late_lines(self, log, writer):
        """A backup stays ours when a writer that had it open appends to it."""
        writer.write(2)
        with log.with_name("app.jsonl.1").open("ab") as late:
            late.write(b'{"n": 99}\n')
        writer.write(2)

        assert numbers(log) == [0, 99, 1, 2, 3]


class TestFirstDay:
    """A log without a sidecar that lists the backups."""

    def test_of_the_standard_library(self, log, writer):
        """The backups of a RotatingFileHandler are taken over, surplus included."""
        for number in range(1, 7):
            log.with_name(f"app.jsonl.{number}").write_text(json.dumps({"n": -number, "event": ""}) + "\n")
        writer.write(2)

        assert numbers(log) == [-2, -1, 0, 1]
        assert len(snapshot(log.parent)) == 4

    @pytest.mark.parametrize(
        ("former", "present", "traceback"),
        [
            *((2_000, 2_000, False), (10_000, 10_000, False), (10_000, 10_000, True)),
            *((10_000, 1_000, False), (10 * 1024, 1_000_000, False)),
        ],
    )
    def test_of_a_rotating_file_handler(self, log, writer, former, present, traceback):
        """So are those that one has really left, with the same limit or another."""
        writer.close()
        handler = logging.handlers.RotatingFileHandler(log, maxBytes=former, backupCount=6)
        handler.setFormatter(logging.Formatter('{"n": -1, "event": "%(message)s"}'))
        number = 0
        while not log.with_name("app.jsonl.6").exists():
            record = logging.makeLogRecord({"msg": "e" * (number * 7 % 50)})
            if traceback and number % 5 == 0:
                record.exc_text = "Traceback (most recent call last):\n  File\nValueError"
            handler.handle(record)
            number += 1
        handler.handle(logging.makeLogRecord({"msg": "last"}))
        handler.close()
        before = log.with_name("app.jsonl.1").read_bytes()
        writer.open(maxBytes=present)
        writer.write()
        writer.handler.doRollover()

        assert log.with_name("app.jsonl.2").read_bytes() == before
        assert sorted(snapshot(log.parent)) == ["app.jsonl", "app.jsonl.1", "app.jsonl.2", "app.jsonl.3"]

    @pytest.mark.parametrize("sizes", [[141] * 6, [30, 80, 20, 90], [200, 200], [1] * 9, [160]])
    @pytest.mark.parametrize("is_started", [False, True])
    def test_days(self, log, writer, sizes, is_started):
        """Files that a tool has rotated by the day are not, even if they are of one size."""
        writer.close()
        for number, lines in enumerate(sizes, 1):
            log.with_name(f"app.jsonl.{number}").write_text(("x" * 60 + "\n") * lines)
        before = snapshot(log.parent)
        before.pop("app.jsonl")
        if is_started:
            log.write_text("x" * 60 + "\n")
        writer.open(maxBytes=10_000)
        writer.write(200)

        after = snapshot(log.parent)
        assert after.pop("app.jsonl").count(b"rotation_failed") == 1
        assert after == before

    def test_without_sidecar(self, log, writer):
        """A process knows which backups it has made, also where there is no sidecar."""
        log.with_name(".app.jsonl.lock").unlink(missing_ok=True)
        log.with_name(".app.jsonl.lock").mkdir()
        writer.open(maxBytes=1_000_000)
        for _ in range(5):
            writer.write()
            writer.handler.doRollover()
        writer.write()

        assert [number for number in numbers(log) if number is not None] == [2, 3, 4, 5]

    @pytest.mark.parametrize(
        "others", [["1", "3"], ["2"], ["1", "2.gz"], ["1", "1.gz"], ["1700000000"]], ids=str
    )
    def test_of_another_tool(self, log, writer, others):
        """Numbers with a hole and files that another tool has packed are not taken over."""
        for number in others:
            log.with_name(f"app.jsonl.{number}").write_bytes(b"somebody's")
        before = snapshot(log.parent)
        before.pop("app.jsonl")
        writer.write(9)

        after = snapshot(log.parent)
        assert after.pop("app.jsonl").count(b"rotation_failed") == 1
        assert after == before

    @pytest.mark.parametrize("compress", [False, True])
    def test_deleted_sidecar(self, log, writer, compress):
        """After the sidecar was deleted our own backups are known as ours, packed ones too."""
        writer.open(compress=compress, backupCount=100)
        for _ in range(12):
            writer.write()
            writer.handler._log._schedule.join()
            os.unlink(log_files.sidecar_path(str(log)))
        writer.close()

        assert numbers(log) == list(range(12))
        assert log.with_name("app.jsonl.11.gz" if compress else "app.jsonl.11").exists()

    @pytest.mark.parametrize("generation", [2, 3])
    def test_sidecar_of_an_older_version(self, log, writer, generation):
        """The backups up to its generation are ours, packed too; a higher number is another tool's."""
        writer.write(1)
        for number in (1, 3):
            log.with_name(f"app.jsonl.{number}.gz").write_bytes(gzip.compress(b'{"n": 1, "event": ""}\n'))
        sidecar = log.parent / ".app.jsonl.lock"
        state = log_files.parse_sidecar(sidecar.read_bytes())
        sidecar.write_bytes(pack_sidecar(state._replace(sequence=2 * generation)))
        writer.write(1)

        assert log.with_name("app.jsonl.2.gz").exists() is (generation == 3)

    def test_rotations_of_an_older_version(self, log, writer):
        """Backups that an older version has made since the list was written are ours."""
        writer.write(2)
        sidecar = log.parent / ".app.jsonl.lock"
        data = sidecar.read_bytes()
        state = log_files.parse_sidecar(data)
        os.rename(log.with_name("app.jsonl.1"), log.with_name("app.jsonl.2"))
        os.rename(log, log.with_name("app.jsonl.1"))
        log.touch()
        sidecar.write_bytes(pack_sidecar(state._replace(sequence=4)) + data[64:])
        writer.write(2)

        assert numbers(log) == [0, 1, 2, 3]
        assert not notices(log)


def fail(*args):
    """A rotator or call that fails."""
    raise RuntimeError("no")


def fail_after_copying(source, target):
    """A rotator that fails after half of its work."""
    with open(source, "rb") as read, open(target, "wb") as written:
        written.write(read.read(10))
    raise RuntimeError("no")


class TestFailure:
    """A rotation that fails."""

    @pytest.mark.parametrize("rotator", [fail, fail_after_copying])
    @pytest.mark.parametrize("has_sidecar", [True, False])
    def test_undone(self, log, writer, rotator, has_sidecar):
        """However often it fails, every file is as it was, with and without a sidecar."""
        writer.write(4)
        if not has_sidecar:
            os.unlink(log_files.sidecar_path(str(log)))
            os.mkdir(log_files.sidecar_path(str(log)))
        state = log_files.read_sidecar(str(log))
        before = snapshot(log.parent)

        for _ in range(6):
            with pytest.raises(RuntimeError):
                rollover(log, rotate=rotator).run()
            assert snapshot(log.parent) == before
            assert log_files.read_sidecar(str(log)) == state
        rollover(log).run()

        assert numbers(log) == [1, 2, 3]
        assert log.stat().st_size == 0
        assert not (log.parent / ".app.jsonl.rotating").exists()

    @pytest.mark.parametrize("call", range(1, 6))
    def test_failed_rename(self, log, writer, monkeypatch, call):
        """Whichever rename fails, those before it are undone, and no backup has been deleted."""
        writer.write(4)
        before = snapshot(log.parent)
        calls = []
        rename = os.rename

        def failing(*args):
            calls.append(args)
            if len(calls) == call:
                raise PermissionError
            rename(*args)

        with monkeypatch.context() as patch:
            patch.setattr(os, "rename", failing)
            if call <= 4:
                with pytest.raises(PermissionError):
                    rollover(log, rotate=failing).run()

        assert snapshot(log.parent) == before

    @pytest.mark.parametrize("links", [True, False])
    def test_no_next_file(self, log, writer, monkeypatch, links):
        """If the next file cannot be made the log keeps its name, and grows."""
        writer.write(3)
        before = snapshot(log.parent)

        def refused(*args, **options):
            raise OSError(errno.ENOSPC, "no inodes")

        with monkeypatch.context() as patch:
            patch.setattr(opening, "create", refused)
            if not links:
                patch.setattr(os, "link", refused)
            with pytest.raises(OSError, match="no inodes"):
                rollover(log).run()
            assert snapshot(log.parent) == before
            writer.write(5)

        assert numbers(log) == list(range(8))
        assert len(log.read_bytes().splitlines()) == 7
        assert not log_files.read_sidecar(str(log)).under_way

    def test_moved_before_it_failed(self, log, writer):
        """A rotator that has moved the log before it fails has rotated it: nothing is undone."""
        writer.write(2)

        def rotate(*args):
            os.rename(*args)
            fail()

        with pytest.raises(RuntimeError):
            rollover(log, rotate=rotate).run()
        writer.write(2)

        assert numbers(log) == [0, 1, 2, 3]
        assert not log_files.read_sidecar(str(log)).under_way


def fifo(path):
    os.mkfifo(path)


def folder(path):
    os.mkdir(path)


def link_to_a_file(path):
    os.symlink(somebodys_file(path), path)


def link_to_nothing(path):
    os.symlink("nothing", path)


def hard_link(path):
    os.link(somebodys_file(path), path)


def somebodys_file(path):
    """Make a file of somebody else outside of the log's folder."""
    target = path.parent.parent / "somebody's"
    target.write_bytes(b"secret\n")
    target.chmod(0o640)
    return target


def device(path):
    os.symlink("/dev/zero", path)


def garbage(path):
    path.write_bytes(b"somebody's text")


def huge(path):
    with open(path, "wb") as file:
        file.write(b"somebody's")
        os.truncate(path, 2**40)


TRAPS = [fifo, folder, link_to_a_file, link_to_nothing, hard_link, device, garbage, huge]


def described(path):
    """What *path* is, without following it."""
    status = os.lstat(path)
    return status.st_mode, status.st_ino, status.st_size, status.st_nlink, status.st_mtime_ns


@pytest.mark.parametrize("trap", TRAPS, ids=lambda trap: trap.__name__)
@pytest.mark.parametrize(
    "name", [".app.jsonl.lock", ".app.jsonl.gz.new", ".app.jsonl.zst.new", ".app.jsonl.rotating"]
)
class TestTraps:
    """Something else has the name of a file that a rotation makes."""

    def test_left_alone(self, log, trap, name):
        """It is neither followed, waited for, changed nor deleted; records are written and rotated."""
        path = log.with_name(name)
        trap(path)
        before = described(path), os.path.exists(path) and os.stat(path).st_mode
        writer = Writer(log, compress=True, backupCount=9)
        writer.write(5)
        writer.close()

        assert numbers(log) == list(range(5))
        assert (described(path), os.path.exists(path) and os.stat(path).st_mode) == before
        assert len(list(log.parent.glob("app.jsonl.*"))) >= 4  # a notice may take one
        target = log.parent.parent / "somebody's"
        assert not target.exists() or target.read_bytes() == b"secret\n"


@pytest.mark.parametrize("trap", TRAPS, ids=lambda trap: trap.__name__)
def test_unusable_sidecar_is_reported(log, trap):
    """Why the log is rotated without a sidecar is reported."""
    trap(log.with_name(".app.jsonl.lock"))
    log.write_bytes(b"{}\n")
    reports = []
    rollover(log, report=reports.append).run()

    assert len(reports) == 1
    assert str(log.with_name(".app.jsonl.lock")) in reports[0]
    assert log.with_name("app.jsonl.1").exists()


@pytest.mark.parametrize("content", [b"", b"\0" * 64, b"chora.1\n damaged"])
def test_new_or_damaged_sidecar(log, content):
    """An empty, zeroed or damaged sidecar is written anew."""
    log.with_name(".app.jsonl.lock").write_bytes(content)
    Writer(log).write(3)

    assert log_files.read_sidecar(str(log)).generation == 2


@pytest.mark.parametrize("trap", TRAPS, ids=lambda trap: trap.__name__)
@pytest.mark.parametrize("number", [1, 2, 3])
def test_trap_for_a_backup(log, trap, number):
    """What we did not make in the place of a backup stops rotation, and stays."""
    path = log.with_name(f"app.jsonl.{number}")
    writer = Writer(log)
    writer.write(1)
    trap(path)
    before = described(path)
    writer.write(5)

    assert described(path) == before
    assert len(log.read_bytes().splitlines()) == 7
    with pytest.raises(RotationBlockedError):
        rollover(log).run()


def test_a_file_that_no_listing_has(log, writer, monkeypatch):
    """A file is not replaced by the live file though it was not found: names may differ only by case."""
    garbage(log.with_name("app.jsonl.1"))
    before = described(log.with_name("app.jsonl.1"))
    names = os.listdir
    monkeypatch.setattr(
        os, "listdir", lambda folder: [name for name in names(folder) if name != "app.jsonl.1"]
    )
    writer.write(5)

    assert described(log.with_name("app.jsonl.1")) == before
    assert len(log.read_bytes().splitlines()) == 6


def test_stdio_is_closed(log, tmp_path):
    """Where standard input, output and error are closed, no file of a rotation takes their place."""
    log.write_bytes(b"{}\n")
    pid = os.fork()
    if not pid:
        os.closerange(0, 3)
        used = []
        opened = os.pread, os.pwrite

        def watched(call):
            return lambda fd, *args: used.append(fd) or call(fd, *args)

        os.pread, os.pwrite = map(watched, opened)
        rollover(log).run()
        os._exit(0 if used and min(used) > 2 else 1)

    assert os.waitpid(pid, 0)[1] == 0


class TestCompression:
    """What may happen to a compression."""

    @pytest.mark.parametrize("error", [MemoryError, RuntimeError, SystemExit, KeyboardInterrupt])
    @pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
    def test_goes_on_after_an_exception(self, log, writer, monkeypatch, error):
        """Whatever is raised in the thread, or when it is made, the next rotation compresses."""
        writer.open(compress=True, backupCount=9)

        def fail(*args, **options):
            raise error

        for place, name in ((compression, "compress_backups"), (threading.Thread, "start")):
            with monkeypatch.context() as patch:
                patch.setattr(place, name, fail)
                with contextlib.suppress(error):
                    writer.write(3)
        writer.write(2)
        writer.close()

        assert numbers(log) == list(range(writer.number))
        assert sum(path.suffix == ".gz" for path in log.parent.glob("app.jsonl.*")) == writer.number - 1

    def test_sidecar_is_deleted_meanwhile(self, log, writer, monkeypatch):
        """Between its two last steps a deleted sidecar lets no rotation in: no backup is lost."""
        writer.write(3)
        unlink, lock, children = os.unlink, locking.lock, []
        waits, says = os.pipe()

        def waiting(fd, timeout):
            os.write(says, b"!")
            return lock(fd, timeout)

        def interrupted(path):
            if str(path).endswith(".1") or str(path).endswith(".2"):
                monkeypatch.undo()
                unlink(log_files.sidecar_path(str(log)))
                children.append(os.fork())
                if not children[0]:
                    locking.lock = waiting
                    writer.write(1)
                    os._exit(0)
                assert os.read(waits, 1)
            unlink(path)

        monkeypatch.setattr(os, "unlink", interrupted)
        compression.compress_backups(str(log), 9, str)
        os.waitpid(children[0], 0)

        assert numbers(log) == list(range(4))

    @pytest.mark.parametrize("format", FORMATS)
    @pytest.mark.parametrize("trap", TRAPS, ids=lambda trap: trap.__name__)
    def test_obstacle_is_reported(self, log, writer, trap, format):
        """Why backups are not compressed is reported at the next rotation."""
        trap(log.with_name(f".app.jsonl{format.suffix}.new"))
        writer.write(3)
        compressor, reports = compression.BackupCompressor(format.name), []
        for _ in range(2):
            compressor.start(str(log), 9, str, reports.append)
            compressor.join()

        assert len(reports) == 1
        assert str(log.with_name(f".app.jsonl{format.suffix}.new")) in reports[0]

    @pytest.mark.parametrize("format", FORMATS)
    @pytest.mark.parametrize(
        "content",
        [b"", gzip.compress(b"somebody's"), b"\x1f\x8b\x08\x04", b"\x28\xb5\x2f\xfd\x20\x00\x01\x00\x00"],
        ids=["empty", "gzip", "beginning", "zstd"],
    )
    def test_file_of_somebody_else(self, log, writer, content, format):
        """An empty file and a compressed file that we have not made are left alone, too, and reported."""
        path = log.with_name(f".app.jsonl{format.suffix}.new")
        path.write_bytes(content)
        writer.write(3)
        with pytest.raises(compression.ObstacleError, match="somebody else's"):
            compression.compress_backups(str(log), 9, str, format)

        assert path.read_bytes() == content
        assert not list(log.parent.glob(f"app.jsonl.*{format.suffix}"))


def test_copied_folder(log, writer):
    """In a copy of the folder, whose inodes are others, the backups are taken over as on the first day."""
    writer.write(4)
    writer.close()
    copy = log.parent.with_name("copy") / log.name
    shutil.copytree(log.parent, copy.parent)
    Writer(copy).write(1)

    assert sorted(snapshot(copy.parent)) == ["app.jsonl", "app.jsonl.1", "app.jsonl.2", "app.jsonl.3"]
    assert not notices(copy)


@pytest.mark.parametrize("count", [999_999, 2**32, 10**30])
def test_keep_all(log, writer, count):
    """A large backupCount costs nothing, also with a namer, and every backup is kept."""
    writer.open(backupCount=count, compress=True)
    named = []
    writer.handler.namer = lambda name: named.append(name) or f"{name}.old"
    writer.write(30)
    writer.close()

    packed = [gzip.decompress(path.read_bytes()) for path in log.parent.glob("app.jsonl.*.old.gz")]
    lines = b"".join([*packed, log.read_bytes()]).splitlines()
    assert sorted(json.loads(line)["n"] for line in lines) == list(range(30))
    assert len(named) < 100_000


@pytest.mark.parametrize(
    ("length", "reported"),
    [(246, []), (248, ["compression_blocked"]), (250, ["sidecar_unusable"]), (253, ["sidecar_unusable"])],
)
def test_long_names(log, length, reported):
    """A log with so long a name that its sidecar, or another file of a rotation, has none, is rotated."""
    log = log.with_name("a" * length)
    writer = Writer(log, compress=True)
    writer.write(4)
    writer.handler._log._schedule.join()
    writer.write(1)
    writer.close()

    events = [json.loads(line) for line in lines_of(log)]
    assert [event["n"] for event in events if "n" in event][-2:] == [3, 4]
    assert len(list(log.parent.glob("a*"))) == 4
    assert [event["event"] for event in events if event["logger"] == "chora_logging"] == reported


@pytest.mark.parametrize("length", [247, 250, 255])
def test_long_name_without_rotation(log, length):
    """Nothing is reported if it is not rotated."""
    log = log.with_name("a" * length)
    writer = Writer(log, maxBytes=0)
    writer.write(4)
    writer.close()

    assert len(log.read_bytes().splitlines()) == 4


def test_snapshot_of_hard_links(log, writer):
    """A snapshot of the folder that consists of hard links changes nothing."""
    writer.write(3)
    subprocess.run(["cp", "-al", log.parent, log.parent.with_name("snapshot")], check=True)
    writer.write(3)
    shutil.rmtree(log.parent.with_name("snapshot"))
    writer.write(3)

    assert numbers(log) == [5, 6, 7, 8]


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("more", [0, 2, 6])
def test_rolled_back_folder(log, writer, compress, more):
    """A folder over which an earlier copy of itself is copied, file by file, is rotated as before."""
    copy = log.parent.with_name("copy")
    writer.open(compress=compress, backupCount=20, maxBytes=500)
    writer.write(20)
    writer.close()
    subprocess.run(["cp", "-a", log.parent, copy], check=True)
    writer.open(compress=compress, backupCount=20, maxBytes=500)
    writer.write(more)
    writer.close()
    subprocess.run(["cp", "-a", f"{copy}/.", log.parent], check=True)
    writer.open(compress=compress, backupCount=3, maxBytes=500)
    writer.write(10)
    writer.close()

    assert not notices(log)
    assert sorted(path.name.removesuffix(".gz") for path in log.parent.glob("app.jsonl.*")) == [
        "app.jsonl.1",
        "app.jsonl.2",
        "app.jsonl.3",
    ]


def test_a_namer_is_introduced(log, writer):
    """While old processes rotate without a namer and new ones with one, both go on, and then the new ones."""
    new = Writer(log)
    new.handler.namer = lambda name: f"{name}.old"
    for _ in range(3):
        writer.write(2)
        new.write(2)
    writer.close()
    new.write(6)

    assert not notices(log)
    assert len(log.read_bytes().splitlines()) == 1


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("number", [4, 9])
def test_copy_of_a_backup(log, writer, compress, number):
    """A copy that an administrator keeps of a backup beside it, under a backup's name, stays as it is."""
    writer.open(compress=compress, backupCount=3, maxBytes=500)
    writer.write(20)
    writer.close()
    ending = ".gz" if compress else ""
    kept = log.with_name(f"{log.name}.{number}{ending}")
    shutil.copy(log.with_name(f"{log.name}.2{ending}"), kept)
    before = kept.read_bytes()
    writer.open(compress=compress, backupCount=3, maxBytes=500)
    writer.write(10)
    writer.close()

    assert kept.read_bytes() == before
    assert [event["event"] for event in notices(log)] == ["rotation_failed"]


@pytest.mark.parametrize(
    ("format", "command"),
    [
        (GZIP, "gunzip app.jsonl.2.gz"),
        (GZIP, "gunzip *.gz"),
        (GZIP, "gunzip *.gz && gzip app.jsonl.?"),
        (ZSTD, "unzstd --quiet --rm app.jsonl.2.zst"),
    ],
    ids=lambda param: param if isinstance(param, str) else param.name,
)
def test_an_unpacked_backup(log, writer, format, command):
    """A backup that an administrator unpacks, or packs again, is rotated as before."""
    need("zstd")
    writer.open(compress=format.name, backupCount=3, maxBytes=500)
    writer.write(20)
    writer.close()
    before = numbers(log)
    subprocess.run(command, shell=True, cwd=log.parent, check=True)
    assert numbers(log) == before
    writer.open(compress=format.name, backupCount=3, maxBytes=500)
    writer.write(10)
    writer.close()

    assert not notices(log)
    assert sorted(path.name for path in log.parent.glob("app.jsonl.*")) == [
        f"app.jsonl.{number}{format.suffix}" for number in (1, 2, 3)
    ]


HIDDEN = [".app.jsonl.lock", ".app.jsonl.gz.new", ".app.jsonl.rotating"]
NO_FILES = [fifo, folder, link_to_a_file, link_to_nothing, device]


@pytest.mark.parametrize(
    ("name", "trap"),
    [*((name, trap) for name in HIDDEN for trap in TRAPS), *(("app.jsonl.2", trap) for trap in NO_FILES)],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_readers_pass_traps(log, writer, name, trap):
    """Readers neither follow nor wait for what has the name of a log's file, and give every event."""
    writer.write(2)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(log.with_name(name))
    trap(log.with_name(name))
    before = described(log.with_name(name))
    given = []
    with Follower(str(log)) as follower:
        until(lambda: given.extend(follower.poll() or []) or len(given) == 2)
    checked = subprocess.run(
        [sys.executable, "-m", "chora_logging", "check", "--log", str(log)], capture_output=True, timeout=60
    )

    assert [event["n"] for event in given] == [0, 1]
    assert [event["n"] for event in EventLog(log).read()] == [0, 1]
    assert checked.returncode == 0, checked.stdout
    assert described(log.with_name(name)) == before

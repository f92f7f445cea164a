"""`chora-logging check` of a log of which somebody has deleted files: what is missing is damage, no more."""

from __future__ import annotations

import contextlib
import gzip
import logging
import os
import shutil

import pytest

from chora_logging.cli import amounts
from chora_logging.formatting.formatter import EventFormatter
from chora_logging.telemetry import EventEmitter, TelemetryEvent
from chora_logging.writing.compression import compress_backups
from tests.eventlog.writing import Silent, Writer

KEEP = 3


@pytest.fixture
def writer(tmp_path):
    """A log of which retention has deleted files, with three backups and the live file."""
    with contextlib.closing(Writer(tmp_path / "app.log", keep=KEEP)) as writer:
        for _ in range(KEEP + 3):
            writer.write(3)
            writer.rotate()
        writer.write(3)
        yield writer


@pytest.fixture
def missing(call):
    """Checks a log: what is missing, as file and reason; nothing else is wrong, and the status says it."""

    def check(log, kind="missing"):
        status, *_ = call("check", "--json", "--log", log)
        [verdict] = call.json("check", "--json", "--log", log, status=status)["logs"]
        damage = {name: count for name, count in verdict["damage"].items() if count}
        told = [
            (os.path.basename(problem["path"]), problem["reason"])
            for problem in verdict["problems"]
            if problem["kind"] == kind
        ]
        assert damage == ({"missing": len(told)} if told and kind == "missing" else {})
        assert (status, verdict["sound"]) == ((1, False) if damage else (0, True))
        return told

    return check


def size_of(*paths):
    return amounts.size(sum(map(os.path.getsize, paths)))


class TestBackups:
    @pytest.mark.parametrize("packed", [False, True])
    @pytest.mark.parametrize("is_open", [True, False])
    def test_the_oldest(self, writer, missing, packed, is_open):
        """The oldest backup that is to be kept is gone."""
        size = size_of(writer.backup(3))
        if packed:
            compress_backups(writer.log, KEEP, str)
        if not is_open:
            writer.close()
        assert missing(writer.log) == []
        os.unlink(writer.backup(3) + ".gz" * packed)

        reason = f"app.log.3 ({size}) deleted, emptied or replaced: restore from a copy"
        assert missing(writer.log) == [("app.log.2" + ".gz" * packed, reason)]

    def test_all(self, writer, missing):
        """All backups are gone; they are missing until retention would have deleted them."""
        size = size_of(*map(writer.backup, (1, 2, 3)))
        for number in (1, 2, 3):
            os.unlink(writer.backup(number))

        reason = f"app.log.3 to app.log.1 ({size}) deleted, emptied or replaced: restore from a copy"
        assert missing(writer.log) == [("app.log", reason)]
        left = []
        for _ in range(KEEP):
            writer.rotate()
            left.append(len(missing(writer.log)))
            writer.write(1)
        assert left == [1, 1, 0]

    def test_copied(self, writer, missing, tmp_path):
        """In a copy of the folder it is missing as well."""
        os.unlink(writer.backup(3))
        shutil.copytree(tmp_path, tmp_path / "copy")

        assert len(missing(tmp_path / "copy" / "app.log")) == 1

    def test_restored(self, writer, missing):
        """A backup that was restored from a copy is there again."""
        shutil.copyfile(writer.backup(3), writer.log + ".copy")
        os.unlink(writer.backup(3))
        os.rename(writer.log + ".copy", writer.backup(3))

        assert missing(writer.log) == []


class TestTheLiveFile:
    @pytest.mark.parametrize("rotations", [0, 1])
    @pytest.mark.parametrize("is_open", [True, False])
    @pytest.mark.parametrize("harm", [os.unlink, lambda path: os.truncate(path, 0)], ids=["rm", "truncate"])
    def test_gone(self, tmp_path, missing, harm, is_open, rotations):
        """Deleted or emptied, before and after the next record, while a writer has it open and after it."""
        writer = Writer(tmp_path / "app.log", keep=KEEP)
        for _ in range(rotations):
            writer.write(3)
            writer.rotate()
        writer.write(5)
        if not is_open:
            writer.close()
        size, inode = size_of(writer.log), os.stat(writer.log).st_ino
        harm(writer.log)
        if rotations or os.path.exists(writer.log):  # else there is no log
            assert [name for name, _ in missing(writer.log)] == ["app.log"]
        writer.write(1)

        reason = f"1 file older than this one ({size}) deleted, emptied or replaced: restore from a copy"
        told = [("app.log", reason)]
        if not is_open and not rotations and os.stat(writer.log).st_ino != inode:
            told = []  # another file of this machine has its inode: it may as well have been moved away
        assert missing(writer.log) == told
        writer.close()
        assert missing(writer.log) == told

    @pytest.mark.parametrize("is_open", [True, False])
    def test_perhaps_moved(self, tmp_path, missing, is_open):
        """Gone where this package never rotates: only a writer that has it open knows that it was deleted."""
        writer = Writer(tmp_path / "app.log", keep=KEEP)
        writer.write(5)
        if is_open:
            os.unlink(writer.log)
        else:
            writer.close()
            os.rename(writer.log, tmp_path / "other")
        writer.write(1)

        assert len(missing(writer.log)) == is_open

    def test_cut(self, writer, missing):
        """A live file that has lost its end, before and after it is rotated."""
        writer.close()
        size = os.path.getsize(writer.log)
        os.truncate(writer.log, size // 3)
        told = missing(writer.log)
        writer.rotate()

        lost = amounts.size(size - size // 3)
        assert told == [("app.log", f"at least {lost} cut off its end: restore from a copy")]
        reason = f"{lost} cut off its end since it was rotated: restore from a copy"
        assert missing(writer.log) == [("app.log.1", reason)]

    def test_replaced(self, tmp_path, missing):
        """Where this package never rotates, a replaced file may be in another folder: it is no damage."""
        writer = Writer(tmp_path / "app.log", keep=KEEP)
        writer.write(3)
        writer.close()
        size = size_of(writer.log)
        os.rename(writer.log, tmp_path / "elsewhere")
        (tmp_path / "app.log").write_bytes(b'{"n": 1}\n')

        reason = f"at least {size} that it had deleted, emptied or moved away"
        assert missing(writer.log, "gone") == [("app.log", reason)]


class TestNoDamage:
    @pytest.mark.parametrize("keeps", [(1,), (9,), (1, 9, 2, 9)])
    def test_another_backup_count(self, writer, missing, keeps):
        """Fewer or more backups are kept than before."""
        for keep in keeps:
            writer.handler.backupCount = keep
            for _ in range(4):
                assert missing(writer.log) == []
                writer.write(2)
                writer.rotate()
        writer.close()

        assert missing(writer.log) == []

    def test_two_backup_counts(self, writer, missing):
        """Two programs keep different numbers of backups."""
        other = Writer(writer.log, keep=1)
        for one in (writer, other) * 3:
            one.count = max(writer.count, other.count)
            one.write(2)
            one.rotate()
            assert missing(writer.log) == []
        other.close()

    def test_clear(self, tmp_path, missing):
        """An emitter has deleted its events."""
        log = tmp_path / "events.jsonl"
        with EventEmitter(log, max_bytes=500) as emitter:
            for _ in range(9):
                emitter.emit(TelemetryEvent(event_type="workflow.x", status="success"))
            assert missing(log) == []
            emitter.clear()
            emitter.emit(TelemetryEvent(event_type="workflow.x", status="success"))
            assert missing(log) == []

        assert missing(log) == []

    @pytest.mark.parametrize("delay", [True, False])
    def test_begun_anew(self, tmp_path, missing, delay):
        """A handler overwrites the log."""
        writer = Writer(tmp_path / "app.log")
        writer.write(9)
        writer.close()
        other = Silent(writer.log, "w", maxBytes=0, delay=delay)
        assert missing(writer.log) == []
        other.setFormatter(EventFormatter())
        other.handle(logging.makeLogRecord({"msg": "y"}))
        assert missing(writer.log) == []
        other.close()

        assert missing(writer.log) == []

    @pytest.mark.parametrize("is_open", [True, False])
    @pytest.mark.parametrize("way", ["rename", "copytruncate"])
    def test_another_tool_rotates(self, tmp_path, missing, way, is_open):
        """Another tool rotates, packs and deletes the files by its own count."""
        writer = Writer(tmp_path / "app.log", keep=2)
        for _ in range(5):
            writer.write(9)
            if not is_open:
                writer.close()
            getattr(writer, way)()
            assert missing(writer.log) == []
            writer.compress(2)
            assert missing(writer.log) == []
        writer.write(1)

        assert missing(writer.log) == []
        writer.close()
        assert missing(writer.log) == []

    def test_no_sidecar(self, writer, missing):
        """Without a sidecar nothing is known; with a new one, what is there is all."""
        writer.close()
        os.unlink(writer.backup(3))
        writer.forget()
        assert missing(writer.log) == []
        writer.write(1)
        writer.rotate()

        assert missing(writer.log) == []

    def test_an_adopted_set(self, tmp_path, missing):
        """The backups of a standard handler are taken over, and then deleted by retention."""
        log = str(tmp_path / "app.log")
        plain = logging.handlers.RotatingFileHandler(log, maxBytes=400, backupCount=KEEP)
        for number in range(60):
            plain.handle(logging.makeLogRecord({"msg": '{"n": %d, "pad": "%s"}', "args": (number, "x" * 60)}))
        plain.close()
        writer = Writer(log, keep=KEEP)
        writer.handler.maxBytes = 400
        for _ in range(KEEP + 2):
            assert missing(log) == []
            writer.write(1)
            writer.handler.doRollover()
        writer.close()

        assert missing(log) == []

    def test_restored(self, writer, missing, tmp_path):
        """Every file was replaced by a copy of itself."""
        writer.close()
        for path in (writer.log, *map(writer.backup, (1, 2, 3))):
            shutil.copyfile(path, tmp_path / "copy")
            os.replace(tmp_path / "copy", path)

        assert missing(writer.log) == []

    def test_a_namer(self, tmp_path, missing):
        """Backups whose names only the handler knows."""
        log = str(tmp_path / "app.log")
        writer = Writer(log, keep=2)
        writer.handler.namer = lambda name: name.replace("app.log", "old")
        for _ in range(4):
            writer.write(2)
            writer.rotate()
        writer.close()

        assert missing(log) == []

    def test_packed_by_another(self, writer, missing):
        """Another tool compresses the backups."""
        for number in (1, 2, 3):
            with (
                open(writer.backup(number), "rb") as file,
                gzip.open(writer.backup(number) + ".gz", "wb") as to,
            ):
                to.write(file.read())
            os.unlink(writer.backup(number))

        assert missing(writer.log) == []

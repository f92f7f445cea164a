"""`chora-logging check`: every line of a log is an event, or is reported with its place."""

from __future__ import annotations

import gzip
import json
import logging
import os
import shutil
import tempfile
import threading
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chora_logging.cli.check.examining import DAMAGE, Examination, Examiner, Window
from chora_logging.cli.check.verdict import judge, retention_of
from chora_logging.cli.logs import Log
from chora_logging.compressed_files import FORMATS
from chora_logging.eventlog import EventLog
from chora_logging.eventlog.rotated.file_set import close_all, open_set
from chora_logging.formatting.formatter import EventFormatter
from chora_logging.settings import BACKUP_COUNT, MAX_BYTES
from chora_logging.writing.handler import EventFileHandler
from tests.cli.calling import HOSTILE, assert_tame
from tests.eventlog.writing import Writer, write_packed

NOON = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)


def line_at(seconds, **fields):
    timestamp = (NOON + timedelta(seconds=seconds, microseconds=123)).isoformat()
    return json.dumps({"timestamp": timestamp, "event": "tick", **fields}).encode() + b"\n"


def written(path, *lines, age=60):
    """A file with these lines that was last written to some time ago."""
    path.write_bytes(b"".join(lines))
    moment = time.time() - age
    os.utime(path, (moment, moment))
    return path


@pytest.fixture
def log(tmp_path):
    """A sound log of two files with ten events."""
    written(tmp_path / "app.log.1", *(line_at(n) for n in range(6)))
    return written(tmp_path / "app.log", *(line_at(n) for n in range(6, 10)))


def found_in(call, log, *arguments, status=1):
    """The verdict on one log, which must have that status."""
    [verdict] = call.json("check", "--log", log, "--json", *arguments, status=status)["logs"]
    assert verdict["sound"] == (status == 0)
    return verdict


def problems_in(call, log, status=1):
    """Each problem as file, line, kind and reason."""
    return [
        (os.path.basename(problem["path"]), problem["line"], problem["kind"], problem["reason"])
        for problem in found_in(call, log, status=status)["problems"]
    ]


class TestSound:
    def test_what_writers_write(self, tmp_path, call):
        """A log that several threads wrote and rotated is sound."""
        log = tmp_path / "app.log"
        handler = EventFileHandler(log, maxBytes=5000, backupCount=50, delay=True)
        handler.setFormatter(EventFormatter())

        def write(writer):
            for number in range(100):
                handler.handle(logging.makeLogRecord({"msg": "x", "writer": writer, "number": number}))

        threads = [threading.Thread(target=write, args=(writer,)) for writer in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        handler.close()

        verdict = found_in(call, log, status=0)
        assert (verdict["events"], verdict["lines"]) == (400, 400)
        assert len(verdict["files"]) > 5

    def test_blank_lines_are_no_damage(self, log, call):
        """Blank lines and carriage returns are neither events nor damage."""
        with open(log, "ab") as file:
            file.write(b"\n  \r\n" + line_at(11).replace(b"\n", b"\r\n"))
        verdict = found_in(call, log, status=0)

        assert (verdict["lines"], verdict["events"], verdict["blank"]) == (13, 11, 2)

    def test_a_compressed_backup(self, log, call):
        """A compressed backup is checked like the others."""
        backup = log.with_name("app.log.1")
        backup.with_name("app.log.2.gz").write_bytes(gzip.compress(line_at(-1)))

        assert found_in(call, log, status=0)["events"] == 11


class TestDamage:
    @pytest.mark.parametrize(
        ("line", "kind", "reason"),
        [
            (b'{"timestamp": "2026-03-01T12:00:00Z", "ev\n', "torn", "not JSON"),
            (b'vent": "tick", "n": {"a": 1}}\n', "torn", "not JSON"),
            (b'{"n": {"timestamp": "2026-03-01T12:00:00Z"}\n', "torn", "not JSON"),
            (b"\0\0\0\0\0\0\n", "torn", "zeros, as a crashed file system leaves them"),
            (b'{"a": 1}{"a": 2}\n', "torn", "2 events on one line"),
            (b'{"a": "\xff"}\n', "torn", "not UTF-8"),
            (b"Traceback (most recent call last):\n", "foreign", "not JSON"),
            (b"[1, 2]\n", "foreign", "JSON, but not an object"),
            (b"\xff\xfe\n", "foreign", "not UTF-8"),
        ],
        ids=lambda value: repr(value)[:30],
    )
    def test_lines(self, log, call, line, kind, reason):
        """A line that is not a whole event is reported with file, number, kind and reason; status 1."""
        written(log.with_name("app.log.1"), line_at(0), b"\n", line, line_at(1))

        assert problems_in(call, log) == [("app.log.1", 3, kind, reason)]

    def test_a_duplicated_line(self, log, call):
        """A repeated line, also in another file, is reported at its second place."""
        with open(log, "ab") as file:
            file.write(line_at(9) + line_at(3))
        told = [problem for problem in problems_in(call, log) if problem[2] == "duplicated"]

        assert told == [
            ("app.log", 5, "duplicated", "the same as an earlier line"),
            ("app.log", 6, "duplicated", "the same as an earlier line"),
        ]

    def test_events_on_one_line(self, log, call):
        """Events that were run together are no duplicates of each other."""
        written(log, line_at(7).strip() + line_at(8), line_at(9))

        assert problems_in(call, log) == [("app.log", 1, "torn", "2 events on one line")]

    def test_a_file_whose_lines_are_in_another(self, log, call):
        """A part of a file that was added to the set again is reported line by line."""
        lines = log.with_name("app.log.1").read_bytes().splitlines(keepends=True)
        written(log.with_name("app.log.2"), *lines[2:], line_at(-1))

        assert found_in(call, log)["damage"]["duplicated"] == 4

    def test_a_copy_of_a_file(self, log, call):
        """A file that is in the set twice is reported; no reader reads it twice, so it is not damage."""
        shutil.copy2(log.with_name("app.log.1"), log.with_name("app.log.2"))

        assert problems_in(call, log, status=0) == [
            ("app.log.2", 0, "copy", "all of its content is in a newer file too")
        ]

    def test_a_link(self, log, call):
        """A link that has the name of a backup is not read, and that is said."""
        os.rename(log.with_name("app.log.1"), log.with_name("moved"))
        os.symlink("moved", log.with_name("app.log.1"))

        assert problems_in(call, log, status=0) == [
            ("app.log.1", 0, "link", "a symbolic link, which readers do not follow")
        ]

    @pytest.mark.parametrize(
        "harm",
        [
            os.unlink,
            lambda path: os.truncate(path, 0),
            lambda path: shutil.copyfile(path.replace(".3", ".4"), path),
            lambda path: (os.unlink(path), shutil.copyfile(path.replace(".3", ".4"), path)),
        ],
        ids=["deleted", "emptied", "overwritten", "replaced"],
    )
    def test_a_hole_between_backups(self, tmp_path, call, harm):
        """A backup that is gone from the middle is damage, named with the file after it; status 1."""
        writer = Writer(tmp_path / "app.log", keep=9)
        for _ in range(6):
            writer.write(3)
            writer.rotate()
        writer.write(3)
        writer.close()
        assert not [found for found in problems_in(call, writer.log, status=0) if found[2] != "out of order"]
        size = os.path.getsize(f"{writer.log}.3")
        harm(f"{writer.log}.3")

        told = [found for found in problems_in(call, writer.log) if found[2] == "missing"]
        reason = f"app.log.3 ({size} B) deleted, emptied or replaced: restore from a copy"
        assert told == [("app.log.2", 0, "missing", reason)]

    def test_a_backup_that_was_cut(self, tmp_path, call):
        """A backup without its last lines, and all of them emptied, as by a power cut, are damage."""
        writer = Writer(tmp_path / "app.log", keep=9)
        for _ in range(3):
            writer.write(3)
            writer.rotate()
        writer.write()
        writer.close()
        size = os.path.getsize(writer.backup(2))
        line = size // 3
        os.truncate(writer.backup(2), 2 * line)

        reason = f"{line} B cut off its end since it was rotated: restore from a copy"
        assert problems_in(call, writer.log) == [("app.log.2", 2, "missing", reason)]
        for number in range(1, 4):
            os.truncate(writer.backup(number), 0)
        told = [found for found in problems_in(call, writer.log) if found[2] == "missing"]
        gone = f"app.log.3 to app.log.1 ({3 * size} B) deleted, emptied or replaced: restore from a copy"
        assert told == [("app.log", 0, "missing", gone)]

    def test_an_empty_backup(self, log, call):
        """An empty backup of other tools is reported, and is no damage: logrotate rotates empty logs."""
        log.with_name("app.log.2").touch()

        assert problems_in(call, log, status=0) == [("app.log.2", 0, "empty", "it has no line")]

    def test_a_backup_that_retention_deletes_meanwhile(self, log):
        """Bytes that were deleted before the check reached them are reported, and are not damage."""
        told = []
        files = open_set(str(log))
        files[0].release()  # as large files are that come later
        os.unlink(f"{log}.1")
        found = [Examiner(told.append).examine(file) for file in files]
        close_all(files)

        assert [file.events for file in found] == [0, 4]
        assert [(problem.kind, problem.kind in DAMAGE) for problem in told] == [("gone", False)]
        assert "were deleted before they were checked" in told[0].reason

    def test_a_backup_that_may_not_be_read(self, call):
        """A backup that may not be read is damage: its events are missing."""
        root = not os.geteuid()
        with tempfile.TemporaryDirectory() as folder:
            os.chmod(folder, 0o755)
            log = written(Path(folder, "app.log"), line_at(1))
            written(log.with_name("app.log.1"), line_at(0)).chmod(0)
            call("check", "--help")  # imports modules that another user may not read
            try:
                os.seteuid(65534 if root else os.geteuid())
                status, output, _ = call("check", "--log", log)
            finally:
                os.seteuid(0 if root else os.geteuid())

        assert status == 1
        assert "\napp.log.1  unreadable  Permission denied\n" in output

    @pytest.mark.parametrize(
        "line",
        [
            b'{"event": "tick"}\n',
            b'{"timestamp": "2026-03-01T12:00:00Z", "event": "tick"}\n',
            b'{"level": 30, "time": 1772366400123, "msg": "tick"}\n',
        ],
        ids=["no time", "whole seconds", "milliseconds"],
    )
    def test_what_may_be_said_twice(self, tmp_path, call, line):
        """Equal lines without an exact time are not duplicates: they may be different events."""
        found_in(call, written(tmp_path / "app.log", line, line), status=0)

    def test_half_a_line_at_the_end(self, log, call):
        """A file that ends in the middle of a line is torn there, if no writer is still writing it."""
        written(log, line_at(6), line_at(7)[:30])

        assert problems_in(call, log) == [("app.log", 2, "torn", "no newline at its end")]

    def test_a_line_that_is_being_written(self, log, call):
        """Half a line at the end of a file that was just written to is reported, and is not damage."""
        written(log, line_at(6), line_at(7)[:30], age=-3600)

        assert problems_in(call, log, status=0) == [("app.log", 2, "unfinished", "no newline at its end yet")]

    @pytest.mark.parametrize("age", [5, 3600])
    def test_a_line_that_goes_on(self, log, age):
        """A line of which more has come since the file was opened is not torn, however old it is."""
        written(log, line_at(6), line_at(7)[:30], age=age)
        told = []
        files = open_set(str(log))
        written(log, line_at(6), line_at(7)[:40], age=age)
        Examiner(told.append).examine(files[-1])
        close_all(files)

        assert [problem.kind for problem in told] == ["unfinished"]

    def test_a_write_that_takes_long(self, log):
        """While a file that was written to a few seconds ago may still grow, it is looked at again."""
        written(log, line_at(6), line_at(7)[:30], age=5)
        told = []
        files = open_set(str(log))
        grow = threading.Timer(0.1, lambda: written(log, line_at(6), line_at(7)[:40], age=5))
        grow.start()
        Examiner(told.append).examine(files[-1])
        close_all(files)
        grow.join()
        written(log, line_at(6), line_at(7)[:40], age=5)
        files = open_set(str(log))
        Examiner(told.append).examine(files[-1])
        close_all(files)

        assert [problem.kind for problem in told] == ["unfinished", "torn"]

    @pytest.mark.parametrize("harm", ["cut", "changed"])
    @pytest.mark.parametrize("format", FORMATS, ids=lambda format: format.name)
    def test_a_broken_compressed_file(self, log, call, format, harm):
        """A compressed backup that cannot be read to its end is reported."""
        backup = log.with_name(f"app.log.2{format.suffix}")
        write_packed(backup, format, b"".join(line_at(-n) for n in range(3000, 0, -1)))
        data = backup.read_bytes()
        backup.write_bytes(data[: len(data) // 2] if harm == "cut" else data[:-8] + b"\0" * 8)
        [(name, _, kind, reason)] = problems_in(call, log)

        assert (name, kind) == (backup.name, "unreadable")
        assert "damaged" in reason

    def test_one_that_is_rotated_meanwhile(self, log):
        """A file that was listed, and has another name when it is to be looked at, is no damage."""
        told = []
        Examiner(told.append).examine_left_out(str(log.with_name("app.log.9")))

        assert told == []

    @pytest.mark.parametrize("name", ["app.log.2.xz", "app.log.3.zst", "app.log-20260102.bz2"])
    def test_another_format(self, log, call, name):
        """A backup that is compressed in a way that is not read here is reported, with what to do."""
        log.with_name(name).write_bytes(b"\xfd7zXZ\x00")
        [(found, _, kind, reason)] = problems_in(call, log)

        assert (found, kind) == (name, "unreadable")
        assert "unpack it, or compress with gzip" in reason


class TestOrder:
    def test_several_writers(self, tmp_path, call):
        """Events that are milliseconds out of order are counted, and are not a problem."""
        log = written(tmp_path / "app.log", line_at(1), line_at(0.976), line_at(2))
        verdict = found_in(call, log, status=0)

        assert verdict["problems"] == []
        assert verdict["out_of_order"]["events"] == 1
        assert verdict["out_of_order"]["most_seconds"] == pytest.approx(0.024, abs=1e-6)

    def test_a_clock_that_was_set_back(self, tmp_path, call):
        """It is reported once, where it happened, and is not damage."""
        log = written(tmp_path / "app.log", *(line_at(n) for n in (100, 101, 40, 41, 42)))

        assert problems_in(call, log, status=0) == [
            ("app.log", 3, "out of order", "1 min 1 s older than an event before it")
        ]

    def test_files_are_judged_by_themselves(self, tmp_path, call):
        """A file may begin before the one before it ends: writers are in different files for a moment."""
        written(tmp_path / "app.log.1", line_at(10))
        log = written(tmp_path / "app.log", line_at(5))

        assert found_in(call, log, status=0)["out_of_order"]["events"] == 0


class TestList:
    def test_the_first_problems(self, tmp_path, call):
        """As many problems as requested are listed, and all are counted."""
        log = written(tmp_path / "app.log", *(b"line %d\n" % n for n in range(30)))
        verdict = found_in(call, log, "--limit", "3")
        _, output, _ = call("check", "--log", log, "--limit", "3")

        assert verdict["damage"]["foreign"] == 30
        assert [problem["text"] for problem in verdict["problems"]] == ["line 0", "line 1", "line 2"]
        assert "app.log:3  foreign  not JSON  line 2\n… and 27 more: --limit shows more of them\n" in output

    def test_the_files(self, log, call):
        """Each file is listed with its size, events, skipped lines and time span."""
        written(log.with_name("app.log.1"), line_at(0), b"what?\n", line_at(5))
        files = found_in(call, log)["files"]

        assert [(os.path.basename(file["path"]), file["events"], file["skipped"]) for file in files] == [
            ("app.log.1", 2, 1),
            ("app.log", 4, 0),
        ]
        assert files[0]["bytes"] == os.path.getsize(f"{log}.1")
        assert files[0]["first"] == "2026-03-01T12:00:00.000123Z"
        assert files[0]["last"] == "2026-03-01T12:00:05.000123Z"


def examined(number, size, first, last):
    return Examination(f"app.log.{number}", number, size, 1, 0, 1, first=first, last=last)


class TestRetention:
    def test_what_the_backups_show(self):
        """If the settings are unknown, the backups show the size and the number of files."""
        files = [examined(2, 1000, 0, 10), examined(1, 990, 10, 20), examined(0, 500, 20, 25)]
        found = retention_of(files, is_expected=False)

        assert (found.files, found.file_size, found.is_assumed) == (3, 1000, False)
        assert found.rate == pytest.approx(1490 / 15)
        assert found.lasts == pytest.approx(3000 / (1490 / 15))
        assert (found.first, found.last) == (0, 25)

    def test_a_log_of_the_environment(self):
        """A log that programs here write has the default settings, unless its backups contradict them."""
        found = retention_of([examined(0, 3600, 0, 3600)], is_expected=True)

        assert (found.files, found.file_size, found.is_assumed) == (BACKUP_COUNT + 1, MAX_BYTES, True)
        assert found.lasts == (BACKUP_COUNT + 1) * MAX_BYTES

    def test_backups_that_contradict_the_defaults(self):
        """Backups much smaller than the default size show that another size is set."""
        files = [examined(1, 5000, 0, 10), examined(0, 100, 10, 11)]

        assert retention_of(files, is_expected=True).file_size == 5000

    def test_nothing_is_known(self):
        """Another log that was never rotated may grow without limit: no estimate is made."""
        found = retention_of([examined(0, 3600, 0, 3600)], is_expected=False)

        assert (found.files, found.lasts, found.rate) == (None, None, 1.0)

    def test_no_time_passed(self):
        """One event has no rate."""
        assert retention_of([examined(0, 100, 5, 5)], is_expected=True).lasts is None

    def test_it_is_shown(self, log, call):
        """The retained time, the rate and the time that the log lasts are printed."""
        status, output, _ = call("check", "--log", log)

        assert status == 0
        assert "\nretained  9 s, from 2026-" in output
        assert "\nlasts     " in output
        size = os.path.getsize(f"{log}.1")
        assert f"at that rate: 2 files of {size} B (as its backups show)" in output


class TestScreen:
    def test_sound(self, log, call):
        """The last line says that the log is sound."""
        status, output, errors = call("check", "--log", log)

        assert (status, errors) == (0, "")
        assert output.endswith("\nSound: 10 events, each on a whole line of its own.\n")

    def test_nothing(self, log, call):
        """A log without an event is sound, and the last line says that it has none."""
        written(log)
        os.remove(f"{log}.1")

        assert call("check", "--log", log)[1].endswith("\n\nSound: there is no event yet.\n")

    @pytest.mark.parametrize("width", [20, 40])
    def test_a_narrow_terminal(self, log, call, width):
        """The names of the files are whole, and the lines about the log are not cut."""
        output = call("check", "--log", log, width=width)[1]

        assert_tame(output, width)
        assert [line.split()[0] for line in output.splitlines()[2:4]] == ["app.log.1", "app.log"]
        words = " ".join(output.split())
        assert words.endswith("Sound: 10 events, each on a whole line of its own.")
        assert "(as its backups show)" in words

    def test_damaged(self, log, call):
        """The last line counts the damaged lines by kind."""
        with open(log, "ab") as file:
            file.write(b"what?\n" + line_at(9))
        status, output, errors = call("check", "--log", log)

        assert (status, errors) == (1, "")
        assert output.endswith("\nDamaged: 1 foreign, 1 duplicated; 11 events.\n")

    @pytest.mark.parametrize("width", [30, 40, 80, 120])
    @pytest.mark.parametrize("text", HOSTILE, ids=ascii)
    def test_hostile_lines(self, tmp_path, call, text, width):
        """No control character of a line reaches the terminal, whether it is an event or not."""
        data = text.encode("utf-8", "surrogatepass")
        log = written(tmp_path / "app.log", data + b"\n", line_at(1, event=text, **{text: text}), b"{" + data)
        _, output, errors = call("check", "--log", log, width=width)

        assert_tame(output + errors, width)
        assert "foreign" in output

    def test_many_files(self, tmp_path, call):
        """If there are many files, the newest are shown, and each one with a problem."""
        for number in range(30, 0, -1):
            written(tmp_path / f"app.log.{number}", line_at(-number), b"what?\n" if number == 20 else b"")
        log = written(tmp_path / "app.log", line_at(0))
        output = call("check", "--log", log)[1]

        assert "\napp.log.20 " in output
        assert "\napp.log.21 " not in output
        assert "\n… and 22 older files without a problem\n" in output

    def test_several_logs(self, log, tmp_path, call):
        """Each log has its own verdict; one that is damaged makes the status 1."""
        other = written(tmp_path / "other.log", b"what?\n")
        status, output, _ = call("check", "--log", log, "--log", other)

        assert status == 1
        assert output.index("Sound: ") < output.index("Damaged: ")


class TestAgainstTheReader:
    @given(
        st.lists(
            st.one_of(
                st.binary(max_size=20).filter(lambda data: b"\n" not in data and data[:2] != b"\x1f\x8b"),
                st.sampled_from(
                    [b"{}", b'{"a": 1}', b'{"a": 1}{"b": 2}', b'{"a"', b"", b" ", b"\0{}", b"[]"]
                ),
            ),
            max_size=12,
        )
    )
    def test_the_same_events(self, lines):
        """For any lines, a check counts exactly the events that a reader yields."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "app.log")
            path.write_bytes(b"".join(line + b"\n" for line in lines))
            skipped = []
            events = list(EventLog(path, on_skip=skipped.append).read())
            verdict = judge(Log("app", str(path)), 100, is_expected=False)

        assert verdict.events == len(events)
        assert sum(file.skipped for file in verdict.files) >= len(skipped)
        assert sum(file.lines for file in verdict.files) == len(lines)


class TestWindow:
    def test_reach(self):
        """A line is remembered until as many others as the reach have come."""
        window = Window(reach=100)
        first = b"first"
        window.add(first)
        for number in range(99):
            assert not window.add(b"%d" % number)

        assert window.add(first)

    def test_it_forgets(self):
        """It does not grow without limit: a line twice as far away is new again."""
        window = Window(reach=100)
        for number in range(300):
            assert not window.add(b"%d" % number)

        assert not window.add(b"0")
        assert window.add(b"299")

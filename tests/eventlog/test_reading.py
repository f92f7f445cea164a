"""Reading the rotated files of a log once, and following it."""

from __future__ import annotations

import contextlib
import gzip
import itertools
import logging
import multiprocessing
import os
import threading
import time

import pytest

from chora_logging.eventlog import EventLog, following
from chora_logging.eventlog.following import Follower
from chora_logging.eventlog.lines import parse
from chora_logging.eventlog.rotated import stored
from chora_logging.eventlog.rotated.file_set import open_set, paths_of
from chora_logging.eventlog.selection import Selection
from chora_logging.formatting.formatter import EventFormatter
from chora_logging.writing.handler import EventFileHandler
from tests.eventlog.writing import line, numbers, open_files, write

DEADLINE = 20


def read_stored(path):
    return EventLog(path).read()


@pytest.fixture
def log(tmp_path):
    return str(tmp_path / "app.log")


@pytest.fixture
def follower(log, monkeypatch):
    # Readers do not wait for late writers, because these tests have none.
    monkeypatch.setattr(following, "SETTLING_SECONDS", 0)
    with Follower(log) as made:
        yield made


def drain(follower):
    found = []
    while (events := follower.poll()) is not None:
        found += numbers(events)
    return found


class Rotating:
    """A writer that numbers its events and rotates as the standard library does."""

    def __init__(self, log, keep=100):
        self.log, self.keep, self.count = log, keep, 0

    def write(self, count=1):
        write(self.log, *range(self.count, self.count + count))
        self.count += count

    def rotate(self):
        for number in range(self.keep - 1, 0, -1):
            for ending in ("", ".gz"):
                with contextlib.suppress(FileNotFoundError):
                    os.replace(f"{self.log}.{number}{ending}", f"{self.log}.{number + 1}{ending}")
        os.replace(self.log, f"{self.log}.1")

    def compress(self, number):
        path = f"{self.log}.{number}"
        with open(path, "rb") as source, open(path + ".gz", "wb") as target:
            target.write(gzip.compress(source.read()))
        os.unlink(path)


class TestTheSet:
    def test_files_stand_in_order(self, tmp_path, log):
        """The set is the log and its numbered backups, .10 before .9, and nothing else."""
        for name in [
            "app.log",
            "app.log.1",
            "app.log.2.gz",
            "app.log.9",
            "app.log.10",
            "app.log.bak",
            "app.log.01",
            "app.log2",
            "app.log.1.tmp",
            ".app.log.lock",
            "other.log.1",
        ]:
            (tmp_path / name).touch()
        (tmp_path / "app.log.3").mkdir()

        assert [os.path.basename(path) for path in paths_of(log)] == [
            "app.log.10",
            "app.log.9",
            "app.log.2.gz",
            "app.log.1",
            "app.log",
        ]

    def test_special_characters_in_the_path(self, tmp_path):
        """A path with [ and * means itself."""
        folder = tmp_path / "a[1]*"
        folder.mkdir()
        write(folder / "app[1].log", 2)
        write(folder / "app[1].log.1", 1)
        write(folder / "app1.log.1", 0)

        assert numbers(read_stored(str(folder / "app[1].log"))) == [1, 2]

    def test_a_symbolic_link_stands_for_its_target(self, tmp_path):
        """The set of a link is that of the file it points at, where the backups are."""
        (tmp_path / "real").mkdir()
        write(tmp_path / "real" / "app.log", 2)
        write(tmp_path / "real" / "app.log.1", 1)
        (tmp_path / "link.log").symlink_to(tmp_path / "real" / "app.log")

        assert numbers(read_stored(str(tmp_path / "link.log"))) == [1, 2]

    def test_an_interrupted_compression_is_read_once(self, log):
        """Where NAME.1 and NAME.1.gz both exist, the plain one is read."""
        write(log + ".1", 1, 2)
        with open(log + ".1.gz", "wb") as file:
            file.write(gzip.compress(line(1))[:20])
        write(log, 3)

        assert numbers(read_stored(log)) == [1, 2, 3]

    def test_an_unreadable_backup_is_told_and_left_out(self, log, caplog, monkeypatch):
        """A backup that cannot be opened does not keep the others from being read."""
        write(log + ".2", 1)
        write(log + ".1", 2)
        write(log, 3)
        real = os.open

        def refuse(path, *args, **kwargs):
            if str(path).endswith(".2"):
                raise PermissionError(13, "Permission denied")
            return real(path, *args, **kwargs)

        monkeypatch.setattr(os, "open", refuse)

        assert numbers(read_stored(log)) == [2, 3]
        assert "app.log.2 cannot be read" in caplog.text

    def test_an_unreadable_log_is_an_error(self, log, monkeypatch):
        """A live file that cannot be opened is raised, and nothing stays open."""
        write(log + ".1", 1)
        write(log, 2)
        real = os.open

        def refuse(path, *args, **kwargs):
            if str(path) == log:
                raise PermissionError(13, "Permission denied")
            return real(path, *args, **kwargs)

        monkeypatch.setattr(os, "open", refuse)

        with pytest.raises(PermissionError):
            list(read_stored(log))
        assert open_files(log) == 0


class TestOnePass:
    def test_nothing_there(self, tmp_path):
        """A log, or a folder, that does not exist has no events."""
        assert list(read_stored(str(tmp_path / "no" / "app.log"))) == []

    def test_backups_plain_and_compressed(self, log):
        """Plain and compressed backups and the live file come as one sequence."""
        writer = Rotating(log)
        for number in range(1, 6):
            writer.write(3)
            writer.rotate()
            if number == 3:
                writer.compress(1)
        writer.write(3)

        assert numbers(read_stored(log)) == list(range(18))

    def test_lines_that_are_not_events(self, log, caplog):
        """Lines that are not JSON objects are skipped and logged once, until their number changes."""
        write(log, 1)
        with open(log, "ab") as file:
            file.write(b"\n  \ntext\n[1]\n\xff\xfe\n\0\0\0\n" + b"[" * 200_000 + b"\n")
        write(log, 2)

        assert numbers(read_stored(log)) == [1, 2]
        assert "skipped 5 lines that are not JSON objects" in caplog.text

        caplog.clear()
        list(read_stored(log))

        assert caplog.text == ""

    def test_a_half_line_waits(self, log):
        """A last line without a newline, also cut inside a character, is not read until it has one."""
        whole = '{"n": 1, "pad": "ä"}\n'.encode()
        for cut in range(1, len(whole)):
            with open(log, "wb") as file:
                file.write(line(0) + whole[:cut])

            assert numbers(read_stored(log)) == [0]

    def test_a_line_longer_than_a_chunk(self, log):
        """A line of megabytes is read in full, and the lines after it too."""
        write(log, 1)
        write(log, 2, size=3_000_000)
        write(log, 3)

        assert numbers(read_stored(log)) == [1, 2, 3]

    def test_broken_compression_ends_that_file_only(self, log):
        """A truncated compressed backup gives its readable events."""
        lines = b"".join(line(number, size=50) for number in range(10_000))
        with open(log + ".1.gz", "wb") as file:
            file.write(gzip.compress(lines)[:-2000])
        write(log, 10_000)

        found = numbers(read_stored(log))

        assert found[-1] == 10_000
        assert found[:-1] == list(range(len(found) - 1))

    def test_what_is_appended_meanwhile_is_not_read(self, log):
        """A pass over a growing log ends where the log ended when it began."""
        write(log, 1, 2)
        events = read_stored(log)
        first = next(events)
        write(log, 3)

        assert [first["n"], *numbers(events)] == [1, 2]

    def test_a_half_line_is_finished_and_rotated_meanwhile(self, log, monkeypatch):
        """A line that was in the middle of its write when the log was opened is not torn."""
        monkeypatch.setattr(stored, "HELD_BYTES", 0)
        skipped = []
        write(f"{log}.1", 1, 2)
        with open(log, "ab", 0) as file:
            file.write(b'{"event": "half')
            events = EventLog(log, on_skip=skipped.append).read()
            first = next(events)
            file.write(b'"}\n')
        os.rename(f"{log}.1", f"{log}.2")
        os.rename(log, f"{log}.1")

        assert len([first, *events]) == 2
        assert skipped == []

    def test_files_are_closed(self, log):
        """No descriptor stays open, whether the pass is finished or given up."""
        write(log + ".1", *range(100))
        write(log, *range(100))

        list(read_stored(log))
        given_up = read_stored(log)
        next(given_up)
        given_up.close()

        assert open_files(log) == 0

    def test_a_pass_while_writers_rotate_fast(self, log):
        """Passes over a log that is rotated all the time have no gap and repeat nothing."""
        context = multiprocessing.get_context("fork")
        stop = context.Event()
        writer = context.Process(target=write_until, args=(log, stop))
        writer.start()
        try:
            passes, deadline = 0, time.monotonic() + DEADLINE
            while passes < 400 and time.monotonic() < deadline:
                found = numbers(read_stored(log))
                assert found == list(range(found[0], found[0] + len(found))) if found else True
                passes += os.path.exists(log + ".5")
        finally:
            stop.set()
            writer.join()

        assert (passes, writer.exitcode) == (400, 0)


def write_fast(log, count, keep=5, size=3000):
    """The body of a writer process: numbered events, with a rotation every few dozen."""
    with contextlib.closing(EventFileHandler(log, maxBytes=size, backupCount=keep)) as handler:
        handler.setFormatter(EventFormatter())
        for number in range(count):
            handler.emit(logging.makeLogRecord({"msg": "x", "n": number}))


def write_until(log, stop):
    """The same without end, with several hundred rotations a second."""
    with contextlib.closing(EventFileHandler(log, maxBytes=3000, backupCount=5)) as handler:
        handler.setFormatter(EventFormatter())
        for number in itertools.count():
            handler.emit(logging.makeLogRecord({"msg": "x", "n": number}))
            if stop.is_set():
                return


class TestFollowing:
    def test_a_log_that_is_not_there_yet(self, log, follower):
        """A missing log is waited for."""
        assert follower.poll() is None

        write(log, 1)

        assert drain(follower) == [1]

    def test_stored_then_live(self, log, follower):
        """Backups come first, then the live file, then new events."""
        write(log + ".1", 1)
        write(log, 2)

        assert drain(follower) == [1, 2]

        write(log, 3)

        assert drain(follower) == [3]
        assert follower.poll() is None

    @pytest.mark.parametrize("rotations", range(1, 8))
    def test_rotations_between_two_looks(self, log, follower, rotations):
        """Any number of rotations between two polls loses and repeats nothing."""
        writer = Rotating(log)
        writer.write(3)
        found = drain(follower)
        for _ in range(rotations):
            writer.write(2)
            writer.rotate()
            writer.write(1)

        assert found + drain(follower) == list(range(writer.count))

    def test_rotated_and_not_begun_again(self, log, follower):
        """Between the rename and the new file nothing is missed."""
        writer = Rotating(log)
        writer.write(2)
        found = drain(follower)
        writer.write(2)
        writer.rotate()
        found += drain(follower)
        writer.write(2)

        assert found + drain(follower) == list(range(6))

    def test_rotated_and_compressed_between_two_looks(self, log, follower):
        """A file that was rotated and compressed is recognised by its first bytes."""
        writer = Rotating(log)
        writer.write(5)
        found = drain(follower)
        for _ in range(3):
            writer.write(5)
            writer.rotate()
            writer.compress(1)
            writer.write(5)

        assert found + drain(follower) == list(range(writer.count))

    def test_truncated(self, log, follower):
        """A log that was truncated is read from its new beginning, smaller, equal or larger."""
        write(log, 10, 11)
        found = drain(follower)
        for count, start in [(1, 20), (1, 30), (2, 40), (4, 50)]:
            os.truncate(log, 0)
            write(log, *range(start, start + count))
            found += drain(follower)

        assert found == [10, 11, 20, 30, 40, 41, 50, 51, 52, 53]

    def test_deleted_and_made_anew(self, log, follower):
        """A deleted log continues in the re-created file; the backups are not read twice."""
        write(log + ".1", 1)
        write(log, 2)
        found = drain(follower)
        os.unlink(log)
        found += drain(follower)
        write(log, 3)

        assert found + drain(follower) == [1, 2, 3]

    def test_deleted_with_all_backups(self, log, follower):
        """A cleared log continues with the events written afterwards."""
        writer = Rotating(log)
        writer.write(2)
        writer.rotate()
        writer.write(2)
        found = drain(follower)
        for path in paths_of(log):
            os.unlink(path)
        writer.write(2)

        assert found + drain(follower) == list(range(6))

    def test_a_half_line_comes_once_when_it_is_whole(self, log, follower):
        """A line that is written in pieces is one event, at its newline."""
        whole = line(1)
        found = []
        for byte in whole:
            with open(log, "ab") as file:
                file.write(bytes([byte]))
            found.append(drain(follower))

        assert found == [[]] * (len(whole) - 1) + [[1]]

    def test_bad_lines_are_counted(self, log, follower):
        """Lines that are not events are counted and do not stop the follower."""
        with open(log, "ab") as file:
            file.write(b"bad\n" * 3 + line(1) + b"\n")

        assert drain(follower) == [1]
        assert follower.skipped == 3

    def test_only_unread_files_are_held(self, log):
        """A follower that has caught up holds one descriptor, and none after close."""
        writer = Rotating(log)
        for _ in range(5):
            writer.write(2)
            writer.rotate()
        writer.write(2)

        follower = Follower(log)
        drain(follower)

        assert open_files(log) == 1

        follower.close()
        follower.close()

        assert open_files(log) == 0
        assert follower.poll() is None

    def test_closing_waits_for_a_poll_in_another_thread(self, log):
        """Closing while another thread reads leaves no descriptor open."""
        write(log, *range(5000))
        follower = Follower(log)
        thread = threading.Thread(target=lambda: [follower.poll() for _ in range(200)])
        thread.start()
        follower.close()
        thread.join()

        assert open_files(log) == 0

    def test_while_processes_rotate_fast(self, log, follower):
        """Events of several processes that write and rotate are neither missing nor repeated."""
        context = multiprocessing.get_context("fork")
        writers = [context.Process(target=write_fast, args=(log, 1500, 1000, 20_000)) for _ in range(4)]
        for writer in writers:
            writer.start()
        found: list[int] = []
        deadline = time.monotonic() + DEADLINE
        while len(found) < 6000 and time.monotonic() < deadline:
            found += drain(follower)
        for writer in writers:
            writer.join()

        assert sorted(found + drain(follower)) == sorted(list(range(1500)) * 4)
        assert follower.skipped == 0


class TestLines:
    @pytest.mark.parametrize(
        "text",
        [b"", b"null", b"1", b'"a"', b"{", b"{}x", b"\xff", b"{" * 100_000, b'{"a": ' + b"9" * 5000],
        ids=lambda text: repr(text[:8]),
    )
    def test_no_event(self, text):
        """A line that is not a JSON object is no event, and no error."""
        assert parse(text) is None

    def test_lenient(self):
        """Lines of older writers are read: NaN, lone surrogates, a carriage return."""
        event = parse(b'{"a": NaN, "b": "\\ud800"}\r')

        assert event is not None
        assert event["b"] == "\ud800"

    def test_fields_compare_as_text(self):
        """A filter finds a value whether it was logged as text or as a number."""
        is_wanted = Selection(task_id="5", run_id=None).matches

        assert is_wanted({"task_id": 5, "run_id": "x"})
        assert is_wanted({"task_id": "5"})
        assert not is_wanted({"run_id": "5"})
        assert not Selection(task_id="None").matches({})

    def test_open_set_of_nothing(self, tmp_path):
        """The set of a log that does not exist is empty."""
        assert open_set(str(tmp_path / "app.log")) == []

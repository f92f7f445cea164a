"""A log and its copy in one set, as during a copytruncate or after an interrupted one."""

from __future__ import annotations

import gzip
import os
import shutil

import pytest

from chora_logging.eventlog import EventLog, Gap, reading
from chora_logging.eventlog.following import Follower
from chora_logging.eventlog.rotated import file_set
from tests.eventlog.writing import Writer, alone, line, numbers, write


@pytest.fixture(autouse=True)
def nobody_is_late(monkeypatch):
    """Nobody waits for other programs, because these tests have none."""
    alone(monkeypatch)


@pytest.fixture
def writer(tmp_path):
    made = Writer(tmp_path / "app.log", keep=5)
    yield made
    made.close()


def drain(follower):
    found = []
    while (items := follower.poll_items()) is not None:
        assert not [item for item in items if isinstance(item, Gap)]
        found += numbers(items)
    return found


class TestBetweenCopyAndTruncate:
    def test_once(self, writer):
        """Between copy and truncation each line is read once, by read, last and with a cursor."""
        writer.write(3)
        writer.rotate()
        writer.write(3)
        (*_, cursor) = [event.cursor for event in EventLog(writer.log).read(limit=5)]
        writer.copy()
        writer.write(2)
        log = EventLog(writer.log)

        assert numbers(log.read()) == list(range(8))
        assert numbers(log.last(99)) == list(range(8))
        assert numbers(log.read(after=cursor)) == [5, 6, 7]

    @pytest.mark.parametrize("part", [0.01, 0.4, 0.99])
    def test_unfinished_copies(self, writer, part):
        """Several unfinished copies, plain and compressed, are read once with their original."""
        writer.write(30, size=100)
        for _ in range(2):
            writer.copy()
            os.truncate(writer.log + ".1", int(os.path.getsize(writer.log) * part))
        writer.compress(2)
        writer.write(1)

        assert numbers(EventLog(writer.log).read()) == list(range(31))
        os.rename(writer.log, writer.log + "-20250928")
        assert numbers(EventLog(writer.log).read()) == list(range(31))

    def test_followed(self, writer):
        """A follower that polls at every step of copytruncate gives each line once."""
        writer.write(2)
        with Follower(writer.log) as follower:
            found = drain(follower)
            for _ in range(3):
                writer.write(2)
                writer.copy()
                found += drain(follower)
                os.truncate(writer.log, 0)
                found += drain(follower)
                writer.write(1)
                found += drain(follower)

        assert found == list(range(11))

    def test_followed_from_the_beginning(self, writer):
        """A follower that begins between copy and truncation gives each line once."""
        writer.write(2)
        writer.rotate()
        writer.write(2)
        writer.copy()
        with Follower(writer.log) as follower:
            found = numbers(follower.poll_items())
            os.truncate(writer.log, 0)
            writer.write(1)

            assert found + drain(follower) == [0, 1, 2, 3, 4]

    def test_while_a_pass_goes_on(self, writer):
        """A pass over a file that is truncated meanwhile finishes in the copy, forwards and backwards."""
        writer.write(3000, size=300)
        log = EventLog(writer.log)
        forwards, backwards = log.read(), log.read(newest_first=True)
        found, last = [next(forwards)["n"]], [next(backwards)["n"]]
        writer.copy()
        os.truncate(writer.log, 0)
        writer.write(1)
        writer.rotate()

        assert found + numbers(forwards) == list(range(3000))
        assert (last + numbers(backwards))[::-1] == list(range(3000))

    def test_not_all_is_in_the_copy(self, writer, caplog):
        """Bytes that a pass had seen and copytruncate lost are reported with their number."""
        writer.write(3000, size=300)
        (cursor,) = [event.cursor for event in EventLog(writer.log).read(limit=1)]
        writer.copy()
        size = os.path.getsize(writer.log)
        writer.write(2)
        lost = os.path.getsize(writer.log) - size
        reading = EventLog(writer.log).read(after=cursor)
        found = [next(reading)["n"]]
        os.truncate(writer.log, 0)
        *events, gap = reading

        assert found + numbers(events) == list(range(1, 3000))
        assert isinstance(gap, Gap)
        assert (gap.files, gap.bytes, gap.resumes) == (1, lost, None)


class TestTruncatedAtTheWorstMoment:
    """The log is truncated right after a reader has opened it."""

    @pytest.fixture
    def truncated(self, writer, monkeypatch):
        """Truncates the next set that is opened, with or without a copy."""
        writer.write(30)

        def prepare(module, copied):
            real = file_set.open_set
            if copied:
                writer.copy()
            writer.write(2)

            def opened(*args, **options):
                files = real(*args, **options)
                monkeypatch.setattr(module, "open_set", real)
                os.truncate(writer.log, 0)
                writer.write(1)
                return files

            monkeypatch.setattr(module, "open_set", opened)

        return prepare

    def test_with_a_cursor(self, writer, truncated):
        """A reader with a cursor continues in the copy, and gets a gap for the missing rest."""
        (*_, newest) = EventLog(writer.log).read(limit=5)
        truncated(file_set, copied=True)
        *events, gap = EventLog(writer.log).read(after=newest.cursor)

        assert numbers(events) == list(range(5, 30))
        assert isinstance(gap, Gap)
        assert gap.bytes > 0

    def test_without_a_copy(self, writer, truncated):
        """Without a copy a reader with a cursor gets a gap and the remaining events."""
        (*_, newest) = EventLog(writer.log).read(limit=5)
        truncated(file_set, copied=False)
        gap, *events = EventLog(writer.log).read(after=newest.cursor)

        assert isinstance(gap, Gap)
        assert numbers(events) == [32]

    @pytest.mark.parametrize("copied", [True, False])
    def test_from_the_beginning(self, writer, truncated, copied, caplog):
        """A pass reads the copy from its beginning, and logs the number of missing bytes."""
        truncated(reading, copied)

        assert numbers(EventLog(writer.log).read()) == list(range(30)) * copied
        assert "overwritten while they were read (" in caplog.text


class TestEqualFiles:
    def test_put_back(self, tmp_path):
        """A backup that was restored beside its original, under any name of the set, is read once."""
        log = str(tmp_path / "app.log")
        write(log + ".1", *range(5))
        write(log, 5)
        for name in (".2", ".7", "-20250101"):
            shutil.copyfile(log + ".1", log + name)

        assert numbers(EventLog(log).read()) == list(range(6))

    @pytest.mark.parametrize("lines", [["beat"], ["beat", "beat"], ["tick", "tock"]])
    def test_heartbeats(self, tmp_path, lines):
        """Equal lines, as of a log without times, are events in each of the files that are equal."""
        log = str(tmp_path / "app.log")
        content = b"".join(b'{"event": "%b"}\n' % name.encode() for name in lines) * 2
        for name in (".3", ".2", ".1", ""):
            with open(log + name, "wb") as file:
                file.write(content)
        with gzip.open(log + ".4.gz", "wb") as file:
            file.write(content)
        events = list(EventLog(log).read())
        with Follower(log) as follower:
            found = [item for items in iter(follower.poll_items, None) for item in items]

        assert [event["event"] for event in events] == lines * 10
        assert found == events
        assert EventLog(log).last(99) == events
        assert list(EventLog(log).read(after=events[2].cursor)) == events[3:]

    def test_heartbeats_while_they_are_compressed(self, tmp_path):
        """A backup of equal lines and its compressed form are the same events."""
        log = str(tmp_path / "app.log")
        content = b'{"event": "beat"}\n' * 5
        for name in (".1", ""):
            with open(log + name, "wb") as file:
                file.write(content)
        with gzip.open(log + ".1.gz", "wb") as file:
            file.write(content)

        assert len(list(EventLog(log).read())) == 10

    def test_empty_files(self, tmp_path):
        """Empty files are no copies of anything."""
        log = str(tmp_path / "app.log")
        for name in (".3", ".1", ""):
            write(log + name)
        write(log + ".2", 1)

        assert numbers(EventLog(log).read()) == [1]

    def test_what_is_left_of_a_damaged_one(self, tmp_path):
        """A compressed file that is truncated in its first line is not taken for a copy, but reported."""
        log = str(tmp_path / "app.log")
        with open(log + ".2.gz", "wb") as file:
            file.write(gzip.compress(line(0)[:5])[:-8])
        write(log + ".1", 1)
        write(log, 2)
        skipped = []

        assert numbers(EventLog(log, on_skip=skipped.append).read()) == [1, 2]
        assert ["damaged" in line.reason for line in skipped] == [True]

    def test_the_same_beginning(self, tmp_path):
        """Files that differ after a long common beginning are different files."""
        log = str(tmp_path / "app.log")
        for number, name in enumerate((".2", ".1", "")):
            with open(log + name, "wb") as file:
                file.write(b"#" * 5000 + b"\n" + line(number))

        assert numbers(EventLog(log, on_skip=lambda skipped: None).read()) == [0, 1, 2]

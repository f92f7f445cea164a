"""A pass over a log whose files are renamed, compressed and deleted, and the disk space that it holds."""

from __future__ import annotations

import os

import pytest

from chora_logging.eventlog import EventLog, Gap
from chora_logging.eventlog.rotated import stored
from tests.eventlog.writing import Writer, numbers, open_files


@pytest.fixture
def writer(tmp_path):
    made = Writer(tmp_path / "app.log", keep=4)
    yield made
    made.close()


@pytest.fixture
def large_files(monkeypatch):
    """Files of 30 kB count as large."""
    monkeypatch.setattr(stored, "HELD_BYTES", 10_000)


def fill(writer, files=4, count=100):
    for _ in range(files):
        writer.write(count, size=300)
        writer.rotate()
    writer.write(count, size=300)
    writer.close()


class TestPinning:
    @pytest.mark.parametrize("newest_first", [False, True])
    def test_one_deleted_file(self, writer, large_files, newest_first):
        """A paused pass keeps only one deleted file on the disk, whatever is rotated."""
        fill(writer)
        reading = EventLog(writer.log).read(newest_first=newest_first)
        next(reading)
        for _ in range(6):
            writer.write(1)
            writer.rotate()
        writer.close()

        assert open_files(writer.log) == 1
        reading.close()
        assert open_files(writer.log) == 0

    def test_small_files_are_read_whole(self, writer):
        """Small files are held open: a pass over them is complete although all were deleted meanwhile."""
        fill(writer)
        reading = EventLog(writer.log).read()
        found = [next(reading)["n"]]
        for _ in range(6):
            writer.write(1)
            writer.rotate()

        assert found + numbers(reading) == list(range(500))


class TestWhatBecomesOfTheFiles:
    @pytest.mark.parametrize("newest_first", [False, True])
    @pytest.mark.parametrize("sidecar", [True, False])
    def test_renamed_and_compressed(self, writer, large_files, sidecar, newest_first):
        """Files that were rotated and compressed before they were read are found again."""
        fill(writer, files=2)
        if not sidecar:
            writer.forget()
        reading = EventLog(writer.log).read(newest_first=newest_first)
        found = [next(reading)["n"]]
        (writer.rotate if sidecar else writer.rename)()
        writer.compress(1)
        writer.compress(2)
        writer.write(1)
        found += numbers(reading)

        assert sorted(found) == list(range(300))
        assert found == sorted(found, reverse=newest_first)

    def test_deleted_with_a_cursor(self, writer, large_files):
        """Files deleted before they were read are a gap with files, bytes, times and the next file."""
        fill(writer)
        log = EventLog(writer.log)
        first = next(log.read())
        size = sum(os.path.getsize(f"{writer.log}.{number}") for number in (2, 3))
        reading = log.read(after=first.cursor)
        found = [next(reading)]
        for number in (2, 3):
            os.unlink(f"{writer.log}.{number}")
        items = found + list(reading)
        (gap,) = [item for item in items if isinstance(item, Gap)]

        assert items.index(gap) == 99
        assert (gap.files, gap.bytes, gap.resumes) == (2, size, writer.log + ".1")
        assert gap.since <= os.stat(writer.log + ".1").st_mtime
        assert gap.since - 1 < gap.until < gap.since + 100
        events = [item for item in items if item is not gap]
        assert numbers(events) == [*range(1, 100), *range(300, 500)]

    def test_deleted_without_a_cursor(self, writer, large_files, caplog):
        """A pass without a cursor logs how much it could not read, and ends."""
        fill(writer)
        reading = EventLog(writer.log).read()
        found = [next(reading)["n"]]
        os.unlink(writer.log + ".3")
        found += numbers(reading)

        assert found == [*range(100), *range(200, 500)]
        assert "files were deleted or overwritten while they were read (" in caplog.text

    def test_newest_first(self, writer, large_files, caplog):
        """So does a pass that reads newest first."""
        fill(writer)
        reading = EventLog(writer.log).read(newest_first=True)
        found = [next(reading)["n"]]
        os.unlink(writer.log + ".3")
        found += numbers(reading)

        assert found == [*range(499, 199, -1), *range(99, -1, -1)]
        assert "files were deleted or overwritten" in caplog.text

    def test_truncated_without_a_copy(self, writer):
        """A pass over a log that is truncated meanwhile ends with a gap of the missing bytes."""
        writer.write(3000, size=300)
        log = EventLog(writer.log)
        reading = log.read(after=next(log.read()).cursor)
        found = [next(reading)["n"]]
        size = os.path.getsize(writer.log)
        os.truncate(writer.log, 0)
        writer.write(5000, size=300)
        *events, gap = reading
        read = found + numbers(events)

        assert read == list(range(1, len(read) + 1))
        assert isinstance(gap, Gap)
        assert 0 < gap.bytes < size

"""The distance of a shipper behind its log, and the time for which the files last."""

from __future__ import annotations

import pytest

from chora_logging.eventlog import EventLog
from chora_logging.shipping import pressure
from chora_logging.shipping.pressure import Pressure, behind
from tests.jetstream.blocks import blocks_of
from tests.jetstream.shippers import written


@pytest.fixture
def rotated(tmp_path):
    """A log that has deleted files, and the cursor of the end of each of its blocks."""
    path = tmp_path / "app.log"
    written(path, 1000, size=20_000, keep=3)
    return EventLog(path), [block.cursor(block.length) for block in blocks_of(path)]


class TestBehind:
    def test_of_any_position(self, rotated):
        """The bytes after a position are those of its file and of the newer ones."""
        log, ends = rotated
        sizes = list(map(_size, log.files()))

        assert behind(log, ends[-1]) == (0, sum(sizes), True)
        assert behind(log, ends[0]) == (sum(sizes[1:]), sum(sizes), True)
        assert behind(log, None) == (sum(sizes), sum(sizes), True)
        assert behind(log, "nonsense").unread == sum(sizes)

    def test_young_log(self, tmp_path):
        """A log that has not deleted anything yet is not full."""
        written(tmp_path / "app.log", 10)

        assert not behind(EventLog(tmp_path / "app.log"), None).is_full

    def test_no_log(self, tmp_path):
        """A log that does not exist has nothing unread."""
        assert behind(EventLog(tmp_path / "app.log"), None)[:2] == (0, 0)


class TestSecondsLeft:
    def test_rate_of_the_last_minute(self, rotated, monkeypatch):
        """The time left is what the files still hold of the shipped, at the rate at which the log grows."""
        log, ends = rotated
        now = 1000.0
        monkeypatch.setattr(pressure.time, "monotonic", lambda: now)
        measured = Pressure(log)
        assert measured.seconds_left(ends[-1]) is None
        now += 10
        with open(log.path, "ab") as file:
            file.write(b"x" * 999 + b"\n")
        total, unread = sum(map(_size, log.files())), 1000

        assert measured.seconds_left(ends[-1]) == pytest.approx((total - unread) / 100)
        measured.forget()
        assert measured.seconds_left(ends[-1]) is None


def _size(path):
    with open(path, "rb") as file:
        return len(file.read())

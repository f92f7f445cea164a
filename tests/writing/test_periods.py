"""Rotation by time, and the limits of a log's backups: when a file ends, and what a rotation keeps."""

from __future__ import annotations

import datetime
import json
import os
import time
import zoneinfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chora_logging import ConfigurationError, EventFileHandler, EventFormatter, log_files
from chora_logging.eventlog import EventLog
from chora_logging.writing.backups import find_backups
from chora_logging.writing.periods import WHEN, Periods
from chora_logging.writing.retention import Retention
from tests.accounting import bytes_of, events_of, files_of
from tests.faults.writer import logger_on, write

BERLIN, BEIRUT, HAVANA = "Europe/Berlin", "Asia/Beirut", "America/Havana"
LORD_HOWE, NEPAL = "Australia/Lord_Howe", "Asia/Kathmandu"
#: Clocks that change at night, at midnight, to midnight, by half an hour, and that are 5:45 from UTC.
ZONES = (BERLIN, BEIRUT, HAVANA, LORD_HOWE, NEPAL, "UTC")


@pytest.fixture
def zone(monkeypatch):
    """Sets the time zone of this process."""

    def use(name):
        monkeypatch.setenv("TZ", name)
        time.tzset()

    yield use
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still; its readings are those of `time.time`, and of written files."""
    reading = [datetime.datetime(2026, 11, 30, 12, tzinfo=datetime.timezone.utc).timestamp()]
    monkeypatch.setattr(time, "time", lambda: reading[0])

    def set_to(path, *moment):
        if path.exists():  # what was written until now
            os.utime(path, (reading[0], reading[0]))
        reading[0] = datetime.datetime(*moment, tzinfo=datetime.timezone.utc).timestamp()

    return set_to


def moment_of(zone_name, *parts):
    return datetime.datetime(*parts, tzinfo=zoneinfo.ZoneInfo(zone_name)).timestamp()


def numbers_by_file(log):
    """The numbers in each file, oldest first."""
    return [[json.loads(line)["seq"] for line in bytes_of(path).splitlines()] for path in files_of(log)]


class TestEnds:
    @pytest.mark.parametrize(
        ("name", "moment", "end"),
        [
            (BERLIN, (2026, 11, 30, 0, 0), (2026, 12, 1)),
            (BERLIN, (2026, 11, 30, 23, 59, 59), (2026, 12, 1)),
            (BERLIN, (2024, 3, 31, 1, 30), (2024, 4, 1)),  # a day of 23 hours
            (BERLIN, (2024, 10, 27, 0, 30), (2024, 10, 28)),  # one of 25
            (BEIRUT, (2024, 3, 30, 12, 0), (2024, 3, 31, 1)),  # there is no midnight
            (BEIRUT, (2024, 3, 31, 12, 0), (2024, 4, 1)),
            (HAVANA, (2024, 11, 2, 12, 0), (2024, 11, 3)),  # the first of two midnights
            (HAVANA, (2024, 11, 3, 0, 30), (2024, 11, 4)),
        ],
    )
    def test_midnight(self, zone, name, moment, end):
        """A day ends at its own midnight, however long it is."""
        zone(name)

        assert Periods("midnight").end_of(moment_of(name, *moment)) == moment_of(name, *end)

    @pytest.mark.parametrize(
        ("when", "interval", "end"),
        [
            ("S", 30, (2026, 11, 30, 13, 45, 30)),
            ("m", 1, (2026, 11, 30, 13, 46)),
            ("M", 15, (2026, 11, 30, 14, 0)),
            ("H", 1, (2026, 11, 30, 14, 0)),
            ("h", 6, (2026, 11, 30, 18, 0)),
            ("D", 1, (2026, 12, 1)),
            ("Midnight", 1, (2026, 12, 1)),
            ("W0", 1, (2026, 12, 7)),  # it is a Monday
            ("w1", 1, (2026, 12, 1)),
            ("W6", 1, (2026, 12, 6)),
        ],
    )
    @pytest.mark.parametrize("name", [BERLIN, NEPAL])
    def test_each_unit(self, zone, name, when, interval, end):
        """Periods begin at multiples of their length by the local clock."""
        zone(name)
        moment = moment_of(name, 2026, 11, 30, 13, 45, 29)

        assert Periods(when, interval).end_of(moment) == moment_of(name, *end)

    def test_utc(self, zone):
        """With `utc` the local clock does not matter."""
        zone(BERLIN)
        moment = moment_of(BERLIN, 2026, 11, 30, 0, 30)

        assert Periods("midnight", utc=True).end_of(moment) == moment_of("UTC", 2026, 11, 30)

    @pytest.mark.parametrize("name", ZONES)
    def test_they_follow_each_other(self, zone, name):
        """Every moment is in one period: its end is later, and the same for all moments up to it."""
        zone(name)

        @given(
            st.sampled_from(WHEN),
            st.integers(1, 400),
            st.booleans(),
            st.floats(moment_of("UTC", 2020, 1, 1), moment_of("UTC", 2037, 1, 1)),
            st.floats(0, 1, exclude_max=True),
        )
        def check(when, interval, utc, moment, share):
            periods = Periods(when, interval, utc)
            end = periods.end_of(moment)
            assert moment < end
            later = moment + (end - moment) * share
            assert later >= end or periods.end_of(later) == end
            assert periods.end_of(end) > end

        check()


class TestRotation:
    def test_at_midnight(self, tmp_path, clock):
        """The first record of a new day begins a new file; a smaller size than the limit does not matter."""
        log = tmp_path / "app.log"
        logger = logger_on(log, when="midnight", utc=True)
        write(logger, "w", 2)
        clock(log, 2026, 11, 30, 23, 59, 59)
        write(logger, "w", 3, first=2)
        clock(log, 2026, 12, 1)
        write(logger, "w", 5, first=3)
        clock(log, 2026, 12, 4)
        write(logger, "w", 6, first=5)

        assert numbers_by_file(log) == [[0, 1, 2], [3, 4], [5]]

    def test_a_process_that_begins_later(self, tmp_path, clock):
        """A file is of the day of its last line, whoever wrote it; an empty one waits for its first line."""
        log = tmp_path / "app.log"
        write(logger_on(log, when="midnight", utc=True), "w", 1)
        clock(log, 2026, 12, 2)
        logger = logger_on(log, when="midnight", utc=True)
        write(logger, "w", 2, first=1)
        logger.handlers[0].doRollover()
        clock(log, 2026, 12, 3)
        write(logger, "w", 3, first=2)
        clock(log, 2026, 12, 3, 1)
        write(logger_on(log, when="midnight", utc=True), "w", 4, first=3)

        assert numbers_by_file(log) == [[0], [1], [2, 3]]

    def test_the_size_counts_too(self, tmp_path, clock):
        """A file ends at its size or with its period, whichever is first; without a size by time alone."""
        log, timed = tmp_path / "app.log", tmp_path / "timed.log"
        sized, alone = logger_on(log, when="H", maxBytes=1000), logger_on(timed, when="H", maxBytes=0)
        for logger in (sized, alone):
            write(logger, "w", 9, size=200)
        clock(log, 2026, 11, 30, 13)
        write(sized, "w", 10, first=9)

        assert len(files_of(log)) > 3
        assert [event["seq"] for event in events_of(log)] == list(range(10))
        assert len(files_of(timed)) == 1

    def test_clocks_that_jump(self, tmp_path, clock):
        """A clock that goes back rotates nothing, and one that goes forth once."""
        log = tmp_path / "app.log"
        logger = logger_on(log, when="midnight", utc=True)
        for number, day in enumerate([1, 1, 9, 2, 3, 9, 10]):
            clock(log, 2026, 12, day)
            write(logger, "w", number + 1, first=number)

        assert numbers_by_file(log) == [[0, 1], [2, 3, 4, 5], [6]]

    def test_should_rollover(self, tmp_path, clock):
        """A subclass that asks the rule gets its answer for the time as well."""
        log = tmp_path / "app.log"

        class Asking(EventFileHandler):
            def shouldRollover(self, record):
                return super().shouldRollover(record)

        handler = Asking(log, when="D", utc=True, maxBytes=0)
        handler.setFormatter(EventFormatter())
        logger = logger_on(tmp_path / "other.log")
        logger.handlers[:] = [handler]
        write(logger, "w", 1)
        clock(log, 2026, 12, 1)
        write(logger, "w", 2, first=1)
        handler.close()

        assert numbers_by_file(log) == [[0], [1]]

    def test_buffered(self, tmp_path, clock):
        """Lines are in the file of the time when they are written."""
        log = tmp_path / "app.log"
        logger = logger_on(log, buffered=True, when="D", utc=True)
        write(logger, "w", 1)
        logger.handlers[0].flush()
        clock(log, 2026, 12, 1)
        write(logger, "w", 3, first=1)
        logger.handlers[0].close()

        assert numbers_by_file(log) == [[0], [1, 2]]

    def test_a_closed_handler(self, tmp_path):
        """With a period nothing is overwritten: a closed handler writes a late record, in any mode."""
        log = tmp_path / "app.log"
        logger = logger_on(log, mode="w", when="D", maxBytes=0)
        write(logger, "w", 1)
        logger.handlers[0].close()
        write(logger, "w", 2, first=1)

        assert numbers_by_file(log) == [[0, 1]]


class TestLimits:
    def test_total(self, tmp_path):
        """The files together are never larger than the limit; the newest backup stays in any case."""
        log = tmp_path / "app.log"
        logger = logger_on(log, maxBytes=2000, backupCount=50, maxTotalBytes=9000)
        for number in range(200):
            write(logger, "w", number + 1, first=number, size=number % 700)
            assert sum(path.stat().st_size for path in files_of(log)) <= 9000

        kept = [event["seq"] for event in events_of(log)]
        assert kept == list(range(kept[0], 200))
        assert sum(path.stat().st_size for path in files_of(log)) > 4000

    def test_the_newest_stays(self, tmp_path):
        """A line longer than the limit is not deleted by its own rotation."""
        log = tmp_path / "app.log"
        logger = logger_on(log, maxBytes=1000, maxTotalBytes=1000)
        write(logger, "w", 1, size=5000)
        write(logger, "w", 2, first=1)

        assert numbers_by_file(log) == [[0], [1]]

    def test_age(self, tmp_path, clock):
        """Backups whose last line is older than the limit are deleted by the next rotation."""
        log = tmp_path / "app.log"
        logger = logger_on(log, when="D", utc=True, backupCount=50, maxAge="2d")
        for number in range(6):
            clock(log, 2026, 12, 1 + number)
            write(logger, "w", number + 1, first=number)

        assert numbers_by_file(log) == [[3], [4], [5]]

    def test_one_that_is_deleted_meanwhile(self, tmp_path):
        """A backup that somebody deletes while it is looked at is of no age: those after it stay."""
        log = tmp_path / "app.log"
        logger = logger_on(log, maxBytes=200)
        write(logger, "w", 4, size=100)
        found = find_backups(str(log), str, 9, log_files.read_backups(str(log)).owned)
        os.unlink(f"{log}.1")

        assert len(found.ours) == 3
        assert Retention(age=60).kept(found, 1, 0) == 4

    def test_readers_know(self, tmp_path):
        """What a limit has deleted is a gap for a reader that had not read it, as what the count deletes."""
        log = tmp_path / "app.log"
        logger = logger_on(log, maxBytes=1000, backupCount=50, maxTotalBytes=3000)
        write(logger, "w", 1)
        (first,) = EventLog(log).read()
        write(logger, "w", 60, first=1, size=100)

        gap, *rest = EventLog(log).read(after=first.cursor)
        assert gap.reason
        assert [event["seq"] for event in rest] == [event["seq"] for event in events_of(log)]


class TestConfiguration:
    @pytest.mark.parametrize(
        ("options", "said"),
        [
            ({"when": "noon"}, 'when must be "midnight" or "D" or "H" or "M" or "S" or "W0"'),
            ({"when": "W7"}, "when must be"),
            ({"when": 3}, "when must be"),
            ({"when": "H", "interval": 0}, "interval must be a whole number, 1 or more, for"),
            ({"when": "H", "interval": -1}, "interval must be a whole number, 1 or more, for"),
            ({"when": "midnight", "interval": 10**9}, "interval must be a whole number, 1 or more, for a"),
            ({"interval": 2}, "interval must be 1 without when, got 2"),
            ({"utc": True}, "utc must be False without when, got True"),
            ({"when": "H", "utc": "Europe/Berlin"}, "utc must be true or false"),
            (
                {"maxTotalBytes": "1MB", "maxBytes": "10MB"},
                "maxTotalBytes must be maxBytes (10485760) or more",
            ),
            ({"maxTotalBytes": "much"}, "maxTotalBytes must be a number of bytes"),
            ({"maxAge": "old"}, "maxAge must be a number of seconds, 0 or more, or a string like"),
            ({"maxAge": -1}, "maxAge must be"),
        ],
        ids=str,
    )
    def test_refused(self, tmp_path, options, said):
        """A value that cannot be meant is refused with what is allowed, before any file is made."""
        with pytest.raises(ConfigurationError) as caught:
            EventFileHandler(tmp_path / "app.log", **options)

        assert str(caught.value).startswith(said)
        assert not list(tmp_path.iterdir())

    def test_text(self, tmp_path):
        """Values may be text, as in files of configuration."""
        handler = EventFileHandler(
            tmp_path / "app.log", when="h", interval="6", utc="yes", maxTotalBytes="100MB", maxAge="90d"
        )
        handler.close()

        assert handler._log.retention[1:] == (100 * 2**20, 90 * 86400)

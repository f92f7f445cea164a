"""Where no sidecar tells which file came after the one that is gone, times do: a gap covers no more."""

from __future__ import annotations

import json
import os
import shutil
from datetime import datetime, timedelta, timezone

import pytest

from chora_logging.eventlog import EventLog, Gap, following
from tests.eventlog.test_between_looks import READERS
from tests.eventlog.writing import numbers

NOON = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)


@pytest.fixture(autouse=True)
def nobody_is_late(monkeypatch):
    """Make readers not wait for late writers, because these tests have none."""
    monkeypatch.setattr(following, "SETTLING_SECONDS", 0)


@pytest.fixture
def log(tmp_path):
    """Makes a log as logrotate does; the events of each file have these seconds after noon."""

    def make(*files, pad=0):
        number = 0
        for age, moments in zip(range(len(files) - 1, -1, -1), files, strict=True):
            path = tmp_path / f"app.log{f'.{age}' * (age > 0)}"
            with open(path, "w") as file:
                for moment in moments:
                    time = (NOON + timedelta(seconds=moment)).isoformat()
                    file.write(json.dumps({"timestamp": time, "pad": "x" * pad, "n": number}) + "\n")
                    number += 1
            written = NOON.timestamp() + moments[-1] + 0.001
            os.utime(path, (written, written))
        return str(tmp_path / "app.log")

    return make


def after_deletion(log, reader, number, gone):
    """What is read after the event *number* if the files *gone* are deleted."""
    cursor = next(event.cursor for event in EventLog(log).read() if event["n"] == number)
    for path in gone:
        os.unlink(path)
    first, *events = reader(log, cursor)
    assert isinstance(first, Gap)
    return numbers(events)


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("pad", [0, 3000])
@pytest.mark.parametrize("later", [0.003, 0.0, 5.0])
def test_files_that_end_together(log, reader, pad, later):
    """The next file ends in the same tick of the clock as the one that is gone."""
    path = log([0, 1], [2, 3], [3 + later, 3 + later], [20, 21], pad=pad)

    assert after_deletion(path, reader, 2, [path + ".2"]) == [4, 5, 6, 7]


@pytest.mark.parametrize("reader", READERS)
def test_a_clock_that_was_set_back(log, reader):
    """The next file ends before the one that is gone, but not before it began."""
    path = log([0, 1], [10, 20], [12, 15], [16, 30])

    assert after_deletion(path, reader, 2, [path + ".2"]) == [4, 5, 6, 7]


@pytest.mark.parametrize("reader", READERS)
def test_older_files_are_not_repeated(log, reader):
    """An older file, a copy of one, and a part of the file that is gone have been read."""
    path = log([0, 1], [2, 3], [4, 5], [20, 21], pad=3000)
    cursor = next(event.cursor for event in EventLog(path).read() if event["n"] == 5)
    shutil.copyfile(path + ".3", path + ".4")
    os.truncate(path + ".1", 3500)
    first, *events = reader(path, cursor)

    assert isinstance(first, Gap)
    assert numbers(events) == [6, 7]

"""Another tool rotates the log between any two file operations of a writer."""

from __future__ import annotations

import contextlib
import gzip
import itertools
import logging
import os

import pytest

from chora_logging.eventlog import EventLog
from chora_logging.formatting.formatter import EventFormatter
from chora_logging.writing.handler import EventFileHandler
from tests.eventlog.test_between_looks import before_look


def rename(log, number):
    with contextlib.suppress(FileNotFoundError):  # `missingok`
        os.rename(log, f"{log}-2026010{number}")


def pack(log, number):
    rename(log, number)
    with open(f"{log}-2026010{number}", "rb") as file, gzip.open(f"{log}-2026010{number}.gz", "wb") as packed:
        packed.write(file.read())
    os.unlink(f"{log}-2026010{number}")


def write(handler, message):
    handler.handle(logging.makeLogRecord({"msg": message}))


@pytest.mark.parametrize("is_rotated", [False, True])
def test_nothing_is_lost_or_reported(tmp_path, is_rotated):
    """All lines are in the files, and no failure is reported: the writer did not have to rotate."""
    for look in itertools.count():
        log = str(tmp_path / f"{look}.log")
        handler = EventFileHandler(log, maxBytes=0)
        handler.setFormatter(EventFormatter())
        write(handler, "0")
        if is_rotated:
            pack(log, 1)
        with before_look(look, lambda log=log: rename(log, 2)) as made:
            write(handler, "1")
        write(handler, "2")
        handler.close()

        assert [event["message"] for event in EventLog(log).read()] == ["0", "1", "2"]
        if not made:
            break


def test_a_rotator_that_loses_the_log(tmp_path):
    """A rotation that fails after the log was moved is reported: it was no other tool."""

    def rotate(source, target):
        os.rename(source, tmp_path / "elsewhere")
        raise RuntimeError("no room there")

    log = str(tmp_path / "app.log")
    handler = EventFileHandler(log, maxBytes=1, backupCount=3)
    handler.setFormatter(EventFormatter())
    handler.rotator = rotate
    for message in ("0", "1", "2"):
        write(handler, message)
    handler.close()

    assert "rotation_failed" in [event.get("event") for event in EventLog(log).read()]

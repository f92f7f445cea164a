"""The real logrotate works on a log that is being written."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import time

import pytest

from chora_logging.eventlog import EventLog
from chora_logging.formatting.formatter import EventFormatter
from chora_logging.telemetry import ContentGeneratedEvent, EventEmitter
from chora_logging.writing.handler import EventFileHandler
from tests.accounting import lines_of
from tests.faults.test_many_writers import start_writer
from tests.needs import find_program, need

CONFIGURATION = """
{log} {{
    rotate 1000
    size 1
    missingok
    {mode}
}}
"""


def logrotate(tmp_path, log, mode):
    """Run logrotate once."""
    configuration = tmp_path / "logrotate.conf"
    configuration.write_text(CONFIGURATION.format(log=log, mode=mode))
    configuration.chmod(0o644)
    command = [find_program("logrotate"), "-s", tmp_path / "state", configuration]
    subprocess.run(command, check=True, capture_output=True)


def test_create(tmp_path):
    """While 3 processes write, logrotate moves the file away (create): nothing is lost or doubled."""
    need("logrotate")
    folder = tmp_path / "log"
    folder.mkdir(mode=0o755)
    log = folder / "events.log"
    programs = [start_writer(log, n, 8000, maxBytes=0) for n in range(3)]
    rotations = 0
    while any(program.poll() is None for program in programs):
        if log.exists() and log.stat().st_size:
            logrotate(tmp_path, log, "create 0644")
            rotations += 1
    assert [program.returncode for program in programs] == [0, 0, 0]

    # logrotate moves aside a log that was created between its two steps.
    lines = [*lines_of(log), *(line for path in folder.glob("*.backup") for line in lines_of(path))]
    found = sorted((int(event["writer"]), event["seq"]) for event in map(json.loads, lines))
    assert found == [(writer, number) for writer in range(3) for number in range(8000)]
    assert rotations > 5


def test_copytruncate(tmp_path):
    """After logrotate's copytruncate the file continues without a hole of NULs, in whole lines."""
    need("logrotate")
    folder = tmp_path / "log"
    folder.mkdir(mode=0o755)
    log = folder / "events.log"
    programs = [start_writer(log, n, 4000, maxBytes=0) for n in range(3)]
    while any(program.poll() is None for program in programs):
        if log.exists() and log.stat().st_size:
            logrotate(tmp_path, log, "copytruncate")

    assert [program.returncode for program in programs] == [0, 0, 0]
    assert b"\0" not in log.read_bytes()
    assert all(
        line.startswith(b'{"timestamp"') and line.endswith(b"}") for line in log.read_bytes().splitlines()
    )


TELEMETRY = """
{log} {{
    daily
    rotate {count}
    compress
    {later}
    notifempty
    {mode}
    {names}
}}
"""
#: More than the default maxBytes of the handlers and the emitter.
BIG_DAY_BYTES = 10 * 1024 * 1024 + 1


class Days:
    """Days of a log that logrotate rotates beside our handler, which has limits of its own."""

    def __init__(self, folder, *, count=30, later="delaycompress", mode="create 0644", names=""):
        need("logrotate")
        self.log = folder / "log" / "events.jsonl"
        self.log.parent.mkdir(mode=0o755)
        self.state = folder / "state"
        self.configuration = folder / "logrotate.conf"
        self.configuration.write_text(
            TELEMETRY.format(log=self.log, count=count, later=later, mode=mode, names=names)
        )
        self.configuration.chmod(0o644)
        self.number = 0
        self.days = [[]]

    def write(self, write, count, size=0):
        """Have *write* write so many events, with so many bytes of padding."""
        for _ in range(count):
            write({"n": self.number, "pad": "x" * size})
            self.days[-1].append(self.number)
            self.number += 1

    def end(self):
        """Rotate with logrotate, as at midnight."""
        command = [find_program("logrotate"), "--force", "-s", self.state, self.configuration]
        subprocess.run(command, check=True, capture_output=True)
        self.days.append([])

    def kept(self, count):
        """The numbers of the events of today and the last *count* days."""
        return [number for day in self.days[-count - 1 :] for number in day]

    def found(self):
        """The numbers of the events that a reader finds, and those of the notices, by name."""
        events = list(EventLog(self.log).read())
        notices = [event["event"] for event in events if event.get("logger") == "chora_logging"]
        return [event["n"] for event in events if "n" in event], notices


@pytest.fixture
def handler_on():
    """Make handlers that are closed at the end; the function writes a record with fields."""
    made = []

    def make(log, **options):
        handler = EventFileHandler(log, **options)
        handler.setFormatter(EventFormatter())
        made.append(handler)
        return lambda fields: handler.handle(logging.makeLogRecord({"msg": "event", **fields}))

    yield make
    for handler in made:
        handler.close()


def test_forty_days(tmp_path, handler_on):
    """With the telemetry document's stanza and our limits on, each event is kept until logrotate deletes it.

    Some days are over the limit. Our handler yields, and says so once, until logrotate deletes that day.
    """
    days = Days(tmp_path)
    write = handler_on(days.log, maxBytes=50_000)
    for day in range(40):
        if day % 9 == 3:
            days.write(write, 60, size=1000)
        days.write(write, 5)
        days.end()
        numbers, notices = days.found()
        assert numbers == days.kept(30)
    days.write(write, 5)

    assert days.found()[0] == days.kept(30)
    assert notices == ["rotation_failed"] * (len(days.days) - 1 - 3 <= 30)


@pytest.mark.parametrize(
    "options",
    [
        {"later": ""},
        {"names": "dateext\ndateformat -%Y%m%d-{day}"},
        {"names": "dateext\ndateformat .%Y-%m-%d_{day}", "later": ""},
        {"mode": "copytruncate"},
        {"mode": "copytruncate", "later": ""},
        {"mode": "nocreate"},
    ],
    ids=str,
)
def test_other_stanzas(tmp_path, handler_on, options):
    """So with other ways and names."""
    days = Days(tmp_path, **options)
    stanza = days.configuration.read_text()
    write = handler_on(days.log, maxBytes=50_000, backupCount=100)
    for day in range(9):
        days.configuration.write_text(stanza.replace("{day}", str(day + 1)))
        if day in (4, 6):
            days.write(write, 60, size=1000)
        days.write(write, 3)
        days.end()

        assert days.found()[0] == days.kept(30)


@pytest.mark.parametrize("names", ["", "dateext\ndateformat -%Y%m%d-%s"])
def test_ours_rotated_first(tmp_path, handler_on, names):
    """If ours has rotated before logrotate did, every event is read once; in their order if one has dates.

    With numbers, logrotate leaves our plain backups where they are and gives its packed ones the same.
    """
    days = Days(tmp_path, names=names)
    write = handler_on(days.log, maxBytes=50_000, backupCount=100)
    days.write(write, 120, size=1000)
    for _ in range(1 if names else 9):  # dates are by the second
        days.write(write, 60, size=1000)
        days.end()

    found, _ = days.found()
    assert (found if names else sorted(found)) == days.kept(30)


@pytest.mark.parametrize("names", ["", "dateext\ndateformat -%Y%m%d-{day}"])
def test_first_start_after_logrotate(tmp_path, handler_on, names):
    """Plain days that logrotate has left before our first start are kept, and it is said once."""
    days = Days(tmp_path, later="nocompress", names=names)
    stanza = days.configuration.read_text()
    days.log.touch()
    for day in range(12):
        days.configuration.write_text(stanza.replace("{day}", f"{day:02}"))
        with days.log.open("a") as file:
            days.write(lambda fields, file=file: file.write(json.dumps(fields) + "\n"), 1 + day % 3)
        days.end()
    write = handler_on(days.log, maxBytes=2_000)
    days.write(write, 40)

    assert days.found() == (days.kept(30), ["rotation_failed"])


def test_deleted_sidecar(tmp_path, handler_on):
    """So if ours has yielded to it, and its sidecar is deleted."""
    days = Days(tmp_path, later="nocompress")
    write = handler_on(days.log, maxBytes=3_000)
    for _ in range(12):
        days.write(write, 3)
        days.end()
    days.write(write, 30)
    assert days.found() == (days.kept(30), ["rotation_failed"])
    (days.log.parent / ".events.jsonl.lock").unlink()
    write = handler_on(days.log, maxBytes=3_000)
    days.write(write, 30)

    assert days.found() == (days.kept(30), ["rotation_failed"] * 2)


@pytest.mark.parametrize("first", ["logrotate", "ours"])
def test_both_at_midnight(tmp_path, handler_on, monkeypatch, first):
    """With a handler that rotates at midnight too, each event is kept, whichever of both is first."""
    days = Days(tmp_path, names="dateext\ndateformat -%Y%m%d-{day}")
    stanza = days.configuration.read_text()
    now = [time.time()]
    monkeypatch.setattr(time, "time", lambda: now[0])
    write = handler_on(days.log, when="midnight", backupCount=100)
    for day in range(9):
        days.configuration.write_text(stanza.replace("{day}", str(day + 1)))
        days.write(write, 3)
        os.utime(days.log, (now[0], now[0]))
        now[0] += 86_400
        if first == "ours":
            days.write(write, 2)
        days.end()
        os.utime(days.log, (now[0], now[0]))

        numbers, notices = days.found()
        assert numbers == days.kept(30)
        assert len(notices) <= 1


def test_defaults(tmp_path):
    """An emitter with its defaults beside logrotate loses nothing, also of a day over 10 MB."""
    days = Days(tmp_path)
    with EventEmitter(days.log) as emitter:

        def write(fields):
            emitter.emit(
                ContentGeneratedEvent(
                    content_config_id=str(fields["n"]),
                    generator_type=fields["pad"],
                    status="success",
                    duration_ms=1,
                )
            )

        for day in range(5):
            if day == 2:
                days.write(write, BIG_DAY_BYTES // 100_000 + 1, size=100_000)
            days.write(write, 5)
            days.end()
        days.write(write, 5)

    found = [int(event["content_config_id"]) for event in EventLog(days.log).read()]
    assert found == days.kept(30)
    assert len(list(days.log.parent.glob("*.gz"))) == 4

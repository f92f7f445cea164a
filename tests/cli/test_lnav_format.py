"""`chora-logging lnav-format`, as the real lnav reads the logs with it."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import subprocess

import pytest

from chora_logging import EventFileHandler, EventFormatter, EventLog
from tests.cli.running import COMMAND, DEADLINE, environment
from tests.needs import need

EVENTS = 6000
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
#: The columns that are compared, by the field that they have.
COLUMNS = {
    "message": "log_body",
    "trace_id": "log_opid",
    "level": "level",
    "logger": "logger",
    "event": "event",
    "task_id": "task_id",
    "run_id": "run_id",
    "exception": "exception",
}


class Lnav:
    """An lnav with a home folder of its own, into which the format is installed."""

    def __init__(self, folder, text):
        self._folder = folder
        (folder / "home").mkdir()
        (folder / "chora_logging.json").write_bytes(text)
        self.run("-i", "chora_logging.json")

    def run(self, *arguments):
        """What it prints, on both streams; the time zone of the machine does not matter."""
        kept = {name: value for name, value in os.environ.items() if name != "XDG_CONFIG_HOME"}
        done = subprocess.run(
            ["lnav", *map(str, arguments)],
            cwd=self._folder,
            env={**kept, "HOME": str(self._folder / "home"), "TZ": "America/New_York", "TERM": "dumb"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=DEADLINE,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout

    def select(self, question, *paths):
        """The rows of a question in SQL."""
        return json.loads(self.run("-n", "-c", f";{question}", "-c", ":write-json-to -", *paths))


@pytest.fixture(scope="module")
def lnav(tmp_path_factory):
    need("lnav")
    printed = subprocess.run([*COMMAND, "lnav-format"], env=environment(), stdout=subprocess.PIPE, check=True)
    return Lnav(tmp_path_factory.mktemp("lnav"), printed.stdout)


def write(path, log, size=10_000_000):
    """Call *log* with a logger on a file."""
    with contextlib.closing(EventFileHandler(path, maxBytes=size)) as handler:
        handler.setFormatter(EventFormatter())
        logger = logging.Logger("shop.orders", 1)
        logger.addHandler(handler)
        log(logger)
    return path


def log_everything(logger):
    """Log events of every level, with and without ids, messages, fields of one's own and tracebacks."""
    for n in range(EVENTS):
        level = logging.getLevelName(LEVELS[n % 5])
        ids = {"trace_id": f"req-{n // 7}", "task_id": f"task-{n % 11}", "run_id": "r1"} if n % 3 else {}
        if n % 4 == 0:
            logger.log(level, {"event": "order_placed", "n": n, "duration_ms": n / 8, **ids})
        elif n % 100 == 1:
            try:
                raise ValueError(f"order {n}\nis bad")
            except ValueError:
                logger.log(level, "Order %d\nfailed", n, exc_info=True, extra={"n": n, **ids})
        else:
            logger.log(level, 'Order %d is "ü"', n, extra={"n": n, "order_id": n * 3, **ids})


def test_every_event(lnav, tmp_path):
    """Each event of a rotated log is there once, with its time, level, message, opid and fields."""
    log = write(tmp_path / "shop.log", log_everything, size=180_000)
    files = sorted(tmp_path.glob("shop.log*"))
    assert len(files) == 6

    columns = [f"{column} AS {field}" for field, column in COLUMNS.items()]
    columns += [f"jget(log_raw_text, '/{field}') AS {field}" for field in ("n", "order_id")]
    columns += ["log_time", "log_level", "duration_ms"]
    rows = lnav.select(f"SELECT {', '.join(columns)} FROM chora_logging ORDER BY n", *files)

    events = list(EventLog(log).read())
    assert [row["n"] for row in rows] == [event["n"] for event in events] == list(range(EVENTS))
    for row, event in zip(rows, events, strict=True):
        assert {field: row[field] for field in COLUMNS} == {field: event.get(field) for field in COLUMNS}
        assert row["log_level"] == event["level"].lower()
        assert row["log_time"] == event["timestamp"].replace("T", " ")[:23]  # in milliseconds
        # Lnav prints numbers as text in a column that begins with a null.
        for field in ("duration_ms", "order_id"):
            assert (None if row[field] is None else float(row[field])) == event.get(field)


def test_levels(lnav, tmp_path):
    """Each level is that of lnav with the same meaning, also a number; an unknown one is the highest."""
    log = tmp_path / "shop.log"
    names = ("warn", "Fatal", "NOTICE", "TRACE", "AUDIT")
    numbers = (5, 10, 15, 20, 22, 25, 30, 35, 40, 45, 50, 60, 120)
    write(log, lambda logger: [logger.log(number, "%d", number) for number in numbers])
    with open(log, "a", encoding="utf-8") as file:
        for name in names:
            file.write(
                json.dumps({"timestamp": "2040-01-01T00:00:00Z", "level": name, "message": name}) + "\n"
            )

    rows = lnav.select("SELECT log_body, log_level FROM chora_logging", log)

    assert {row["log_body"]: row["log_level"] for row in rows} == {
        "5": "trace",
        "10": "debug",
        "15": "debug",
        "20": "info",
        "22": "info",
        "25": "notice",
        "30": "warning",
        "35": "warning",
        "40": "error",
        "45": "error",
        "50": "critical",
        "60": "critical",
        "120": "critical",
        "warn": "warning",
        "Fatal": "critical",
        "NOTICE": "notice",
        "TRACE": "trace",
        "AUDIT": "fatal",
    }


def test_lines_of_others(lnav, tmp_path):
    """Lines that are no events, and events that would control a terminal, hide no other event."""
    log = tmp_path / "shop.log"
    log.write_bytes(b"Started by hand\n")
    write(log, lambda logger: logger.info("first"))
    with open(log, "ab") as file:
        file.write(b'Traceback (most recent call last):\n  \x1b[2J\0\n\xff\n\n{"a": 1}\n{"timestamp": "20')
    write(
        log, lambda logger: logger.error("\x1b[2J\x1b]0;title\x07\0\u2028\ud800", extra={"\x1b[31m": "\x9b"})
    )
    write(log, lambda logger: logger.info("last", extra={"event_type": "order_placed", "lines": [{"id": 8}]}))

    rows = lnav.select("SELECT log_level, log_body, event_type FROM chora_logging", log)
    shown = lnav.run("-n", log)

    found = [(row["log_level"], row["log_body"], row["event_type"]) for row in rows if row["log_body"]]
    assert [found[0], found[-1]] == [("info", "first", None), ("info", "last", "order_placed")]
    assert [level for level, body, _ in found if body.startswith("\x1b[2J")] == ["error"]
    assert 'order_placed last\n  lines: [{"id":8}]\n' in shown


def test_it_is_valid(lnav):
    """Lnav has nothing to say against the file."""
    assert lnav.run("-C") == ""

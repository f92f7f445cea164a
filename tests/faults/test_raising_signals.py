"""Signal handlers that raise a thousand times a second, in the middle of whatever runs, as time limits do."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys

import pytest

from chora_logging.formatting.values import UNENCODABLE
from tests.accounting import assert_exact, events_of
from tests.faults.writer import logger_on, write
from tests.soaks import soak

RAISES = soak(1000)
#: Before Python 3.11 a signal handler may run between any two bytecodes, also after a `with` has ended and
#: before its lock is released. So only the compiled path, which has no bytecodes, is tested there.
PURE = ("", "1") if sys.version_info >= (3, 11) else ("",)

#: Prints which numbers were written by a call that returned, which were reported lost, and how often the
#: log was still locked after a call that was left; then waits.
PROGRAM = """
import builtins, faulthandler, fcntl, json, os, signal, sys, time
faulthandler.dump_traceback_later(100, exit=True)
from tests.faults.writer import logger_on
log, kind, base, raises = sys.argv[1:]
Limit = type("Limit", (getattr(builtins, base),), {})
lost = []
if kind == "emitter":
    from chora_logging.telemetry import EventEmitter, TelemetryEvent
    class Numbered(TelemetryEvent):
        event_type: str = "test.numbered"
        seq: int
    emitter = EventEmitter(log, max_bytes=50_000, backup_count=5000)
    prepare, send = (lambda number: Numbered(status="success", seq=number)), emitter.emit
else:
    logger = logger_on(log, maxBytes=50_000, backupCount=5000, buffered=kind == "buffered")
    def note(record):
        lost.append(record.seq if hasattr(record, "seq") else int(record.msg.split("seq=")[1].split('"')[0]))
    logger.handlers[0].handleError = note
    def send(number):
        logger.info(f"seq={number}", extra={"seq": number})
    prepare = int
def is_held():
    for _ in range(1000):
        try:
            with open(log, "rb") as file:
                return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.001)  # another thread may be writing
        except FileNotFoundError:  # a rotation was left before it made the next file
            return False
    return True
armed, raised, held, number, returned = False, 0, 0, 0, []
def on_alarm(*_):
    global raised
    if armed:
        raised += 1
        raise Limit
send(prepare(0))
signal.signal(signal.SIGALRM, on_alarm)
signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
while raised < int(raises):
    number += 1
    event = prepare(number)
    try:
        try:
            armed = True
            send(event)
        finally:  # where the next signal may come, before Python 3.11
            armed = False
    except Limit:
        armed = False
        held += bool(is_held())
    except OSError:  # what an emitter raises for a record that was not written; a logger never raises
        if kind != "emitter":
            raise
        lost.append(number)
    else:
        returned.append(number)
signal.setitimer(signal.ITIMER_REAL, 0)
print(json.dumps([returned, lost, held]), flush=True)
sys.stdin.read()
"""


def number_of(event):
    """The number in an event; in one whose formatting a signal handler has ended, it is in the text."""
    return event["seq"] if "seq" in event else int(re.findall(r"seq=(\d+)", event["message"])[-1])


@pytest.mark.parametrize("base", ["BaseException", "OSError"])
@pytest.mark.parametrize("kind", ["plain", "buffered", "emitter"])
@pytest.mark.parametrize("pure", PURE, ids=lambda pure: "pure" if pure else "compiled")
def test_a_thousand_times_a_second(tmp_path, pure, kind, base):
    """The lock is free after each call that is left so, and every record is written once or reported lost.

    A call that is left may have written its record. One that returned has, and one that was reported has not.
    """
    log = tmp_path / "events.log"
    program = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(log), kind, base, str(RAISES)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "CHORA_LOGGING_PURE": pure},
    )
    assert program.stdin is not None
    assert program.stdout is not None
    answer = program.stdout.readline()
    if answer:
        write(logger_on(log), "other", 1)
    _, errors = program.communicate()
    assert program.returncode == 0, errors
    returned, lost, held = json.loads(answer)

    events = [event for event in events_of(log) if "writer" not in event]
    notices = {event.get("event") for event in events if event.get("logger") == "chora_logging"}
    own = [event for event in events if event.get("logger") != "chora_logging"]
    # Of a record whose formatting was left three or more times on end, only that may be written.
    nameless = [
        event
        for event in own
        if event.get("event") == UNENCODABLE or ("format_error" in event and not event.get("message"))
    ]
    written = [number_of(event) for event in own if event not in nameless]
    assert held == 0
    assert written == sorted(set(written))
    assert len(set(returned) - {*written, *lost}) <= len(nameless)
    assert not set(lost) & set(written)
    assert len(lost) == len(set(lost))
    assert "lock_timeout" not in notices


@pytest.mark.parametrize("call", range(5))
def test_a_rename_that_was_left(tmp_path, monkeypatch, call):
    """An exception right after any rename of a rotation costs no backup."""
    log = tmp_path / "events.log"
    logger = logger_on(log, backupCount=10)
    for number in range(5):
        write(logger, "before", number + 1, first=number)
        logger.handlers[0].doRollover()
    write(logger, "before", 6, first=5)
    renames, rename = [], os.rename

    def left(*paths):
        rename(*paths)
        renames.append(paths)
        if len(renames) == call + 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(os, "rename", left)
    with pytest.raises(KeyboardInterrupt):
        logger.handlers[0].doRollover()
    monkeypatch.undo()
    write(logger, "after", 1)

    assert_exact(log, {"before": 6, "after": 1})


@pytest.mark.parametrize("end", ["left", "killed"])
def test_the_name_that_was_put_back(tmp_path, monkeypatch, end):
    """A rotation that ends while the live file gets its name back, and so has two, doubles nothing."""
    log = tmp_path / "events.log"
    logger = logger_on(log, backupCount=10)
    write(logger, "first", 1)
    logger.handlers[0].doRollover()
    write(logger, "before", 1)
    links, link = [], os.link

    def ending(source, target, **options):
        links.append(target)
        number = links.count(str(log))  # the first one is that of the next live file
        if number != 1:
            link(source, target, **options)
        if number == 2 and end == "killed":
            os._exit(9)
        if number:
            raise KeyboardInterrupt

    child = os.fork() if end == "killed" else 0
    if child:
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
        assert os.path.samefile(log, tmp_path / "events.log.1")
    else:
        monkeypatch.setattr(os, "link", ending)
        with pytest.raises(KeyboardInterrupt):
            logger.handlers[0].doRollover()
        monkeypatch.undo()
        assert links.count(str(log)) == 2
    write(logger, "after", 1)
    logger.handlers[0].doRollover()
    write(logger, "last", 1)

    assert_exact(log, {"first": 1, "before": 1, "after": 1, "last": 1})


@pytest.mark.parametrize("act", ["write", "rotate"])
def test_a_record_that_was_left(tmp_path, act):
    """A record that an exception has left just before its end does not hold back those that follow."""
    log = tmp_path / "events.log"
    logger = logger_on(log)
    write(logger, "first", 1)
    handler = logger.handlers[0]
    handler._log.mutex.busy = True
    if act == "rotate":
        handler.doRollover()
    write(logger, "second", 2)

    assert [(event["writer"], event["seq"]) for event in events_of(log)] == [
        ("first", 0),
        ("second", 0),
        ("second", 1),
    ]
    assert (tmp_path / "events.log.1").exists() == (act == "rotate")


@pytest.mark.parametrize("kind", ["plain", "buffered"])
@pytest.mark.parametrize(
    "options", [{}, {"maxBytes": 30_000, "backupCount": 1000, "when": "S"}], ids=["", "rotated"]
)
def test_a_handler_that_a_signal_closes(tmp_path, capfd, kind, options):
    """A signal handler that closes the handler, in the middle of whatever runs, loses no record."""
    log = tmp_path / "events.log"
    logger = logger_on(log, buffered=kind == "buffered", **options)
    closed = []

    def close(*_):
        closed.append(logger.handlers[0].close())

    before = signal.signal(signal.SIGALRM, close)
    signal.setitimer(signal.ITIMER_REAL, 0.003, 0.003)
    try:
        number = 0
        while len(closed) < soak(1600):
            write(logger, "w", number + 1, first=number, size=100)
            number += 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    logger.handlers[0].close()

    assert_exact(log, {"w": number})
    assert "Error" not in capfd.readouterr().err

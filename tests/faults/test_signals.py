"""Signals: handlers that log, and a lock holder that is stopped."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from chora_logging.writing import locking
from tests.accounting import assert_exact, assert_small, events_of
from tests.faults.writer import logger_on, wait_for, write

#: Logs from a timer's signal handler while the main thread logs, until both have logged enough.
INTERRUPTED = """
import signal, sys
from tests.faults.writer import logger_on, wait_for, write
logger = logger_on(sys.argv[1], maxBytes=20_000, backupCount=5000)
count, inside = 0, False
def on_timer(*_):
    global count, inside
    if not inside:  # the next signal may come before this one is done
        inside = True
        write(logger, "signal", count + 1, first=count)
        count += 1
        inside = False
signal.signal(signal.SIGALRM, on_timer)
signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
number = 0
while count < 500 or number < 5000:
    write(logger, "main", number + 1, first=number)
    number += 1
signal.setitimer(signal.ITIMER_REAL, 0)
print(number, count)
"""

#: Is ended by SIGTERM, whose handler logs and raises SystemExit in the middle of records.
TERMINATED = """
import signal, sys
from tests.faults.writer import logger_on, wait_for, write
logger = logger_on(sys.argv[1], maxBytes=20_000, backupCount=5000)
def on_term(*_):
    # Again later: Python itself swallows an exception in a callback of a weak reference.
    signal.setitimer(signal.ITIMER_REAL, 5)
    write(logger, "last", 1)
    sys.exit(7)
signal.signal(signal.SIGTERM, on_term)
signal.signal(signal.SIGALRM, on_term)
write(logger, "main", 10**9, acknowledge=True)
"""


def test_logging_in_a_signal_handler(tmp_path):
    """Thousands of events from a signal handler and from the code that it interrupts are there, whole."""
    log = tmp_path / "events.log"
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, str(log)], capture_output=True, text=True, check=True
    )
    main, handler = map(int, done.stdout.split())

    assert done.stderr == ""
    assert_exact(log, {"main": main, "signal": handler})
    assert_small(log, 20_000)


@pytest.mark.parametrize("attempt", range(5))
def test_leaving_from_a_signal_handler(tmp_path, attempt):
    """A SIGTERM handler that logs and raises SystemExit loses nothing, wherever it interrupts."""
    log = tmp_path / "events.log"
    program = subprocess.Popen([sys.executable, "-c", TERMINATED, str(log)], stdout=subprocess.PIPE)
    assert program.stdout is not None
    assert program.stdout.readline() == b"0\n"
    time.sleep(0.01 + attempt * 0.0037)  # some moment
    program.terminate()
    acknowledged = [0, *map(int, program.stdout.read().split())]
    program.stdout.close()

    assert program.wait() == 7
    written = [event["seq"] for event in events_of(log) if event["writer"] == "main"]
    assert written[: len(acknowledged)] == acknowledged
    assert written == list(range(len(written)))
    assert events_of(log)[-1]["writer"] == "last"


#: A signal handler raises into the main thread at random moments, as time limits of task queues do.
RAISING = """
import os, random, signal, sys
from tests.faults.writer import logger_on, wait_for, write
logger = logger_on(sys.argv[1], maxBytes=3_000, backupCount=5000)
class Limit(BaseException): pass
def on_alarm(*_): raise Limit
signal.signal(signal.SIGALRM, on_alarm)
number, returned, interrupted = 0, [], 0
while interrupted < 1500:
    try:
        try:
            # Again later: Python itself swallows an exception in a callback of a weak reference.
            signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-6, 3e-4), 0.01)
            while True:
                number += 1
                write(logger, "limited", number + 1, first=number)
                returned.append(number)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    except Limit:
        interrupted += 1
print(returned, number)
"""


def test_exceptions_from_signal_handlers(tmp_path):
    """1,500 exceptions into logging calls: each call that returned is a line, none is doubled or torn."""
    log = tmp_path / "events.log"
    done = subprocess.run(
        [sys.executable, "-c", RAISING, str(log)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    returned, last = json.loads(done.stdout.replace("] ", "] , ").join("[]"))

    written = [event["seq"] for event in events_of(log)]
    assert len(written) == len(set(written))
    assert written == sorted(written)
    assert set(returned) <= set(written)
    assert set(written) <= set(range(1, last + 1))


@pytest.fixture
def stopped_holder(tmp_path):
    """Stops a process that holds the log's lock; yields the log and a function that resumes the process."""
    log = tmp_path / "events.log"
    write(logger_on(log, maxBytes=2_000, backupCount=50), "first", 1)
    pid = os.fork()
    if not pid:
        fd = os.open(log, os.O_WRONLY)
        locking.lock(fd, 10)
        os.kill(os.getpid(), signal.SIGSTOP)
        os._exit(0)
    assert os.WIFSTOPPED(os.waitpid(pid, os.WUNTRACED)[1])
    yield log, lambda: os.kill(pid, signal.SIGCONT)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def test_stopped_lock_holder(stopped_holder):
    """A stopped process delays another one once; all records are written, and rotation waits for the lock."""
    log, resume = stopped_holder
    waits = []
    logger = logger_on(log, maxBytes=2_000, backupCount=50, lock_timeout=0.2)
    original = locking.lock

    def counted(fd, timeout):
        waits.append(timeout)
        return original(fd, timeout)

    locking.lock = counted
    try:
        write(logger, "other", 40)
    finally:
        locking.lock = original
    assert waits == [0.2]
    assert sum(event.get("event") == "lock_timeout" for event in events_of(log)) == 1
    assert log.stat().st_size > 4_000

    resume()
    deadline = time.monotonic() + 10
    count = 40
    while not (log.parent / "events.log.1").exists():
        assert time.monotonic() < deadline
        write(logger, "other", count + 1, first=count)
        count += 1
    events = [event for event in events_of(log) if "writer" in event]
    assert [event["seq"] for event in events if event["writer"] == "other"] == list(range(count))


@pytest.fixture
def holding(tmp_path):
    """A log whose lock another process holds while the file `held` is there."""
    log, held = tmp_path / "events.log", tmp_path / "held"
    write(logger_on(log, maxBytes=0), "first", 1)
    pid = os.fork()
    if not pid:
        fd = os.open(log, os.O_WRONLY)
        while True:
            wait_for(held)
            locking.lock(fd, 10)
            (tmp_path / "locked").touch()
            while held.exists():
                time.sleep(0.001)
            locking.flock(fd, locking.UNLOCK)
            (tmp_path / "locked").unlink()

    def hold(*, wanted):
        held.touch() if wanted else held.unlink()
        deadline = time.monotonic() + 10
        while (tmp_path / "locked").exists() != wanted:
            assert time.monotonic() < deadline
            time.sleep(0.001)

    yield log, hold
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


@pytest.mark.parametrize(("timeout", "said"), [(0.05, 3), (0, 1)])
def test_lock_held_again_and_again(holding, timeout, said):
    """Each time the lock cannot be had is reported, and once if no line is ever to wait for it."""
    log, hold = holding
    logger = logger_on(log, maxBytes=0, lock_timeout=timeout)
    write(logger, "other", 1)
    for number in range(1, 7, 2):
        hold(wanted=True)
        write(logger, "other", number + 1, first=number)
        hold(wanted=False)
        write(logger, "other", number + 2, first=number + 1)

    events = list(events_of(log))
    assert [event["seq"] for event in events if event.get("writer") == "other"] == list(range(7))
    assert sum(event.get("event") == "lock_timeout" for event in events) == said


def test_killed_parent_with_forked_child(tmp_path):
    """A killed holder frees the lock, although its forked child lives on with what it inherited."""
    log = tmp_path / "events.log"
    logger = logger_on(log, maxBytes=2_000, backupCount=50)
    write(logger, "first", 1)
    here, there = os.pipe()
    parent = os.fork()
    if not parent:
        handler = logger.handlers[0]
        with handler.lock:
            write(logger, "parent", 1)
            fd = handler.stream.fileno()
            locking.lock(fd, 1)
            child = os.fork()
            if child:
                os.write(there, b"%d" % child)
                os.kill(os.getpid(), signal.SIGKILL)
            signal.pause()
    os.waitpid(parent, 0)
    child = int(os.read(here, 20))
    try:
        assert not [event for event in events_of(log) if event["logger"] == "chora_logging"]
        write(logger, "other", 40)

        assert not [event for event in events_of(log) if event["logger"] == "chora_logging"]
        assert_exact(log, {"first": 1, "parent": 1, "other": 40})
    finally:
        os.kill(child, signal.SIGKILL)
        os.close(here)
        os.close(there)

"""Losses of buffered writers: the last interval at a `kill -9`, nothing at another end, fork or full disk."""

from __future__ import annotations

import concurrent.futures
import json
import logging
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from chora_logging.writing.buffered import BufferedEventFileHandler
from tests.accounting import assert_exact, assert_small, events_of
from tests.faults.test_disk import run
from tests.faults.test_many_writers import KEEP, finish, start_writer
from tests.faults.writer import logger_on, write

#: How late a thread may be scheduled on a busy machine, in seconds.
SCHEDULING = 2.0

#: Logs, and records number and time of each call that returned, and the start time of each write.
WATCHED = """
import os, sys, time
from chora_logging.writing.buffered import BufferedEventFileHandler
from tests.faults.writer import logger_on
log, when_full, pause, killed_by = sys.argv[1:5]
calls = os.open(log + "-calls", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
writes = os.open(log + "-writes", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
class Watched(BufferedEventFileHandler):
    def _write_lines(self):
        began = time.monotonic()
        super()._write_lines()
        os.write(writes, b"%.6f\\n" % began)
logger = logger_on(log, buffered=True)
logger.handlers[0].__class__ = Watched
logger.handlers[0].when_full = when_full
number = 0
while True:
    logger.info("event", extra={"writer": "main", "seq": number})
    os.write(calls, b"%d %.6f\\n" % (number, time.monotonic()))
    number += 1
    if float(pause):
        time.sleep(float(pause))
"""


@pytest.mark.parametrize("signal_", [signal.SIGKILL, signal.SIGTERM], ids=lambda number: number.name)
@pytest.mark.parametrize("pause", [0, 0.003, 0.07])
@pytest.mark.parametrize("when_full", ["block", "drop"])
def test_killed(tmp_path, when_full, pause, signal_):
    """A killed writer loses nothing older than its last write or than the interval."""
    log = tmp_path / "events.log"
    command = [sys.executable, "-c", WATCHED, str(log), when_full, str(pause), signal_.name]
    program = subprocess.Popen(command)
    deadline = time.monotonic() + 60
    writes = tmp_path / "events.log-writes"
    while not writes.exists() or writes.read_bytes().count(b"\n") < 3:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    killed = time.monotonic()
    program.send_signal(signal_)
    program.wait()

    lines = (tmp_path / "events.log-calls").read_text().splitlines()
    returned = {int(number): float(moment) for number, moment in map(str.split, lines)}
    last_write = float(writes.read_text().split()[-1])
    written = [event["seq"] for event in events_of(log)]
    lost = [moment for number, moment in returned.items() if number not in set(written)]
    assert written == list(range(len(written)))
    assert all(moment >= last_write for moment in lost)
    assert killed - min(lost, default=killed) <= 0.05 + SCHEDULING


@pytest.mark.parametrize("when_full", ["block", "drop"])
def test_many_programs(tmp_path, when_full):
    """8 programs with 4,000 events each, rotated at 100 kB: 0 lost, 0 doubled, 0 torn, each in order."""
    log = tmp_path / "events.log"
    go = tmp_path / "go"
    options = {"buffered": True, "maxBytes": 100_000, "backupCount": KEEP, "when_full": when_full}
    programs = [start_writer(log, n, 4000, start=str(go), **options) for n in range(8)]
    go.touch()
    for program in programs:
        assert program.wait(100) == 0

    assert_exact(log, dict.fromkeys(range(8), 4000))
    assert_small(log, 100_000)


def test_beside_others(tmp_path):
    """Buffered and other writers, of one thread and of four, share a log that is rotated every few lines."""
    log = tmp_path / "events.log"
    programs = [
        start_writer(
            log,
            n,
            250,
            threads=1 + n % 2 * 3,
            buffered=n < 4,
            flush_size=900,
            maxBytes=2_000,
            backupCount=KEEP,
        )
        if n < 4
        else start_writer(log, n, 250, threads=1 + n % 2 * 3, maxBytes=2_000, backupCount=KEEP)
        for n in range(6)
    ]
    for program in programs:
        assert program.wait(100) == 0

    writers = {f"{n}.{t}": 250 for n in (1, 3, 5) for t in range(4)}
    assert_exact(log, writers | dict.fromkeys((0, 2, 4), 250))
    assert_small(log, 2_000)


def task(number):
    """One task of a worker; nothing is flushed at its end."""
    write(logging.getLogger("work"), f"task-{number}", 50)


def start_worker(log):
    """The initializer of each worker of a pool."""
    logger = logging.getLogger("work")
    logger.setLevel(logging.INFO)
    logger.handlers = logger_on(
        log, buffered=True, flush_interval=1000, maxBytes=20_000, backupCount=KEEP
    ).handlers


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_workers_of_a_pool(tmp_path, method):
    """A worker process writes its buffer when it ends, however it was started."""
    log = tmp_path / "events.log"
    with concurrent.futures.ProcessPoolExecutor(
        3, multiprocessing.get_context(method), initializer=start_worker, initargs=(log,)
    ) as pool:
        list(pool.map(task, range(20), chunksize=1))

    assert_exact(log, {f"task-{number}": 50 for number in range(20)})
    assert_small(log, 20_000)


def inherited(logger, number):
    """Body of a forked worker with its parent's handler; a thread of it outlives the worker's function."""
    write(logger, f"child-{number}", 100)
    threading.Timer(0.05, write, args=(logger, f"thread-{number}", 10)).start()
    if number % 2:
        sys.exit(0)


def test_forked_workers(tmp_path):
    """Children that inherit a handler with buffered lines write their own lines, all of them, none twice."""
    log = tmp_path / "events.log"
    logger = logger_on(log, buffered=True, flush_interval=1000, maxBytes=50_000, backupCount=KEEP)
    write(logger, "parent", 100)
    context = multiprocessing.get_context("fork")
    children = [context.Process(target=inherited, args=(logger, number)) for number in range(6)]
    for child in children:
        child.start()
        write(
            logger, "parent", 100 + 10 * (1 + children.index(child)), first=100 + 10 * children.index(child)
        )
    finish(children)
    logger.handlers[0].flush()

    workers = {f"{kind}-{n}": count for n in range(6) for kind, count in (("child", 100), ("thread", 10))}
    assert_exact(log, {"parent": 160, **workers})


def test_fork_under_logging_threads(tmp_path):
    """40 forks while 6 threads log: no child hangs, nothing is lost or doubled in parent or children."""
    log = tmp_path / "events.log"
    logger = logger_on(log, buffered=True, maxBytes=50_000, backupCount=KEEP)
    done = threading.Event()
    counts = [0] * 6

    def work(number):
        while not done.is_set():
            write(logger, f"thread {number}", counts[number] + 1, first=counts[number])
            counts[number] += 1

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    children = []
    for number in range(40):
        pid = os.fork()
        if not pid:
            write(logger, f"child {number}", 5)
            logger.handlers[0].flush()
            os._exit(0)
        children.append(pid)
    statuses = [os.waitpid(pid, 0)[1] for pid in children]
    done.set()
    for thread in threads:
        thread.join()
    logger.handlers[0].flush()

    assert statuses == [0] * 40
    assert_exact(
        log,
        {f"child {n}": 5 for n in range(40)} | {f"thread {n}": count for n, count in enumerate(counts)},
    )


#: Ways to end a program; each has written the events 0 … n-1 and prints n.
ENDS = {
    "return": ("write(logger, 'w', 5)\nprint(5)", 0),
    "sys.exit": ("write(logger, 'w', 5)\nprint(5)\nsys.exit(3)", 3),
    "exception": ("write(logger, 'w', 5)\nprint(5)\n1 / 0", 1),
    "SIGTERM": (
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(4))\nwrite(logger, 'w', 5)\nprint(5)\n"
        "os.kill(os.getpid(), signal.SIGTERM)",
        4,
    ),
    "SIGINT": ("write(logger, 'w', 5)\nprint(5)\nos.kill(os.getpid(), signal.SIGINT)", -signal.SIGINT),
    "first record at exit": ("atexit.register(write, logger, 'w', 5)\nprint(5)", 0),
    "further records at exit": (
        "atexit.register(write, logger, 'w', 9, first=5)\nwrite(logger, 'w', 5)\nprint(9)",
        0,
    ),
    "records after logging.shutdown": (
        "write(logger, 'w', 5)\nlogging.shutdown()\nwrite(logger, 'w', 9, first=5)\nprint(9)\nos._exit(0)",
        0,
    ),
    "__del__ while modules are torn down": (
        "class Late:\n    def __del__(self): self.write(logger, 'w', 9, first=5)\n"
        "Late.write = staticmethod(write)\nkept = Late()\nwrite(logger, 'w', 5)\nprint(9)",
        0,
    ),
    "a thread that outlives the main one": (
        "threading.Timer(0.1, write, (logger, 'w', 9), {'first': 5}).start()\n"
        "write(logger, 'w', 5)\nprint(9)",
        0,
    ),
    "a daemon thread that goes on logging": (
        "other = logger_on(log + '2', buffered=True)\n"
        "threading.Thread(target=write, args=(other, 'd', 10**9), daemon=True).start()\n"
        "write(logger, 'w', 5)\nprint(5)",
        0,
    ),
    "fork and leave, as daemons do": (
        "write(logger, 'w', 5)\nif not os.fork():\n    write(logger, 'w', 9, first=5)\n"
        "    print(9, flush=True)\n    sys.exit(0)\nos.wait()\nos._exit(0)",
        0,
    ),
}
PROGRAM = """
import atexit, logging, os, signal, sys, threading
from tests.faults.writer import logger_on, write
log = sys.argv[1]
mode = sys.argv[2]
options = {} if mode == "unbuffered" else {"buffered": True, "flush_interval": 1000, "when_full": mode}
logger = logger_on(log, **options)
"""


@pytest.mark.parametrize("mode", ["block", "drop", "unbuffered"])
@pytest.mark.parametrize(("end", "status"), ENDS.values(), ids=ENDS)
def test_ends(tmp_path, end, status, mode):
    """At every end of a program except os._exit and unhandled signals, all is written, once."""
    log = tmp_path / "events.log"
    program = [sys.executable, "-W", "ignore", "-c", PROGRAM + end, str(log), mode]
    done = subprocess.run(program, capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == status, done.stderr
    assert_exact(log, {"w": int(done.stdout)})


#: A signal handler raises into the main thread at random moments, as time limits of task queues do.
RAISING = """
import json, os, random, signal, sys
from tests.faults.writer import logger_on, write
options = {"flush_size": 2_000, "flush_interval": 0.002, "maxBytes": 3_000, "backupCount": 9_000}
logger = logger_on(sys.argv[1], buffered=True, **options)
class Limit(BaseException): pass
def on_alarm(*_): raise Limit
signal.signal(signal.SIGALRM, on_alarm)
number, returned, interrupted = 0, [], 0
while interrupted < 1500:
    try:
        # Again later: Python ignores what is raised in a `__del__`.
        signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-6, 6e-4), 0.5)
        while True:
            number += 1
            write(logger, "limited", number + 1, first=number)
            returned.append(number)
    except Limit:
        interrupted += 1
signal.setitimer(signal.ITIMER_REAL, 0)
print(json.dumps([returned, number]))
"""


def test_exceptions_from_signal_handlers(tmp_path):
    """1,500 exceptions into logging calls: each call that returned is a line, none twice or out of order."""
    log = tmp_path / "events.log"
    done = subprocess.run(
        [sys.executable, "-c", RAISING, str(log)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    returned, last = json.loads(done.stdout)

    written = [event["seq"] for event in events_of(log)]
    assert written == sorted(set(written))
    assert set(returned) <= set(written) <= set(range(1, last + 1))
    assert_small(log, 3_000)


#: Logs from a timer's signal handler while the main thread logs, until both have logged enough.
INTERRUPTED = """
import logging, signal, sys
from tests.faults.writer import logger_on, write
logger = logger_on(sys.argv[1], buffered=True, flush_size=5_000, maxBytes=20_000, backupCount=5000)
count, inside = 0, False
def on_timer(*_):
    global count, inside
    if not inside:
        inside = True
        logger.log(40 if count % 5 else 20, "event", extra={"writer": "signal", "seq": count})
        count += 1
        inside = False
signal.signal(signal.SIGALRM, on_timer)
signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
number = 0
while count < 500 or number < 20000:
    write(logger, "main", number + 1, first=number)
    number += 1
signal.setitimer(signal.ITIMER_REAL, 0)
print(number, count)
"""


def test_logging_in_a_signal_handler(tmp_path):
    """Thousands of events, errors among them, from a signal handler and the interrupted code are there."""
    log = tmp_path / "events.log"
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, str(log)], capture_output=True, text=True, check=True
    )
    main, handler = map(int, done.stdout.split())

    assert done.stderr == ""
    assert_exact(log, {"main": main, "signal": handler})
    assert_small(log, 20_000)


@pytest.mark.parametrize("when_full", ["block", "drop"])
def test_full_disk(tmp_path, when_full):
    """A full disk costs the events that exceed the buffer; each is reported, and the log has their number."""
    found, _ = run(
        tmp_path,
        f"""
from chora_logging.writing.buffered import BufferedEventFileHandler
class Buffered(BufferedEventFileHandler):
    handleError = Handler.handleError
logger = logger_on(LOG, Buffered, maxBytes=0, max_buffer=30_000, flush_size=10_000, when_full={when_full!r})
for first in range(0, 2000, 100):
    write(logger, range(first, first + 100))
    logger.handlers[0].flush()
full = lines()
with open(LOG, "r+b") as file:
    file.truncate(0)
logger.handlers[0].flush()
write(logger, range(2000, 2003))
logger.handlers[0].close()
done(before=full, after=lines())
""",
    )

    events = found["before"] + found["after"]
    assert found["refused"]
    assert [event["seq"] for event in events if "seq" in event] == found["written"]
    told = [event for event in events if "lost" in event]
    assert sum(event["lost"] for event in told) == len(found["refused"])
    assert any("No space left" in event["error"] for event in told)


def test_full_disk_until_the_end(tmp_path):
    """Lines that fail until close() are reported one by one; only the first is printed."""
    found, errors = run(
        tmp_path,
        """
from chora_logging.writing.buffered import BufferedEventFileHandler
logger = logger_on(LOG, BufferedEventFileHandler, maxBytes=0, flush_interval=1000)
write(logger, range(1000))
logger.handlers[0].close()
done(kept=[event["seq"] for event in lines()])
""",
    )

    assert 0 < len(found["kept"]) < 1000
    assert found["kept"] == list(range(len(found["kept"])))
    assert errors.count("--- Logging error ---") == 1
    assert "No space left on device" in errors


def test_stopped_lock_holder(tmp_path):
    """While a stopped process holds the lock, calls with when_full="drop" do not wait, and all is written."""
    from chora_logging.writing import locking

    log = tmp_path / "events.log"
    write(logger_on(log), "first", 1)
    pid = os.fork()
    if not pid:
        locking.lock(os.open(log, os.O_WRONLY), 10)
        os.kill(os.getpid(), signal.SIGSTOP)
        os._exit(0)
    assert os.WIFSTOPPED(os.waitpid(pid, os.WUNTRACED)[1])
    try:
        logger = logger_on(log, buffered=True, when_full="drop", lock_timeout=60, flush_interval=0.001)
        write(logger, "other", 500)
        logger.error("event", extra={"writer": "other", "seq": 500})
        assert log.read_bytes().count(b"\n") == 1
    finally:
        os.kill(pid, signal.SIGCONT)
        os.waitpid(pid, 0)
    logger.handlers[0].flush()

    assert_exact(log, {"first": 1, "other": 501})
    assert isinstance(logger.handlers[0], BufferedEventFileHandler)


DROPPED = """
import gc, logging, pathlib, sys
from chora_logging import BufferedEventFileHandler, EventFormatter

def make():
    handler = BufferedEventFileHandler("app.log", flush_interval=3600)
    handler.setFormatter(EventFormatter())
    return handler

logger = logging.getLogger("app")
logger.setLevel("INFO")
logger.addHandler(make())
for number in range(3):
    logger.info("line", extra={"n": number})
how = sys.argv[1]
if how == "clear":
    logger.handlers.clear()
elif how == "remove":
    logger.removeHandler(logger.handlers[0])
else:
    logger.handlers[0].itself = logger.handlers[0]
    logger.handlers.clear()
gc.collect()
print(pathlib.Path("app.log").read_text().count("line"))
"""


@pytest.mark.parametrize("how", ["clear", "remove", "cycle"])
def test_dropped_without_close(tmp_path, how):
    """The end of a handler's life is an end: what it has buffered is written."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", DROPPED, how],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert (done.stdout, done.stderr) == ("3\n", "")


FROZEN = """
import fcntl, logging, os, sys, time
import freezegun
from chora_logging import BufferedEventFileHandler, EventFormatter

handler = BufferedEventFileHandler("app.log", lock_timeout=0.2)
handler.setFormatter(EventFormatter())
logger = logging.getLogger("app")
logger.setLevel("INFO")
logger.addHandler(handler)

def written(count):
    for _ in range(10_000):
        if open("app.log").read().count('"line"') == count:
            return
        time.sleep(0.001)
    raise SystemExit(f"{count} lines are not written")

with freezegun.freeze_time("2026-01-01"):
    logger.info("line")
    written(1)
    holder = os.open("app.log", os.O_RDWR)
    fcntl.flock(holder, fcntl.LOCK_EX)
    logger.info("line")
    written(2)
    os.close(holder)
    logger.info("line")
logger.info("line")
written(4)
"""


def test_a_clock_that_stands_still(tmp_path):
    """Lines are written, and a lock that is held is not waited for without end, while the clock is frozen."""
    done = subprocess.run(
        [sys.executable, "-c", FROZEN], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )

    assert (done.returncode, done.stderr) == (0, "")


GREEN = """
import logging, sys, time
from chora_logging import BufferedEventFileHandler, EventFormatter

handler = BufferedEventFileHandler("app.log")
handler.setFormatter(EventFormatter())
logger = logging.getLogger("app")
logger.setLevel("INFO")
logger.addHandler(handler)
if sys.argv[1] == "after the first line":
    logger.info("line")
    handler.flush()

import gevent.monkey
gevent.monkey.patch_all()

def work():
    for _ in range(50):
        logger.info("line")
        gevent.sleep(0.0005)

gevent.joinall([gevent.spawn(work) for _ in range(5)])
for _ in range(10_000):
    if open("app.log").read().count("line") >= 250:
        break
    time.sleep(0.001)
else:
    raise SystemExit("nothing is written")
"""


@pytest.mark.parametrize("when", ["before the first line", "after the first line"])
def test_patched_by_gevent(tmp_path, when):
    """`gevent.monkey.patch_all` after the handler was made."""
    done = subprocess.run(
        [sys.executable, "-c", GREEN, when], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )

    assert (done.returncode, done.stderr) == (0, "")

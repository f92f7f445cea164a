"""Objects whose `__del__` logs, collected at any time: in the middle of records and rotations."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.accounting import assert_exact, assert_small

#: Threads log through two handlers on one file. The calls on the way leave cycles behind. The collector
#: runs at the next allocation, in the middle of the record, and each `__del__` logs, too.
PROGRAM = """
import collections, faulthandler, gc, itertools, os, sys, threading
from chora_logging.writing.shared_log import SharedLog
from tests.faults.writer import logger_on, write

class Ending:
    def __init__(self):
        self.me = self

    def __del__(self):
        # Any of the threads may run it: the order is that of the thread.
        name = f"ends in {threading.current_thread().name}"
        number = ended[name]
        ended[name] += 1
        write(loggers[number % 2], name, number + 1, first=number)

def littering(call):
    def littered(*args, **kwargs):
        global left
        if left and threading.current_thread() in threads and next(calls) % 5 == 0:
            left -= 1
            Ending()
        return call(*args, **kwargs)
    return littered

def counted(log, *args, defer=SharedLog._defer):
    global interrupted
    interrupted += log.mutex.busy
    defer(log, *args)

def work(name):
    for number in range(500):
        write(loggers[number % 2], name, number + 1, first=number)

faulthandler.dump_traceback_later(60, exit=True)
options = {"maxBytes": 20_000, "backupCount": 5000, "lock_timeout": 60}
options["compress"] = sys.argv[2] == "compressed"
loggers = [logger_on(sys.argv[1], **options) for _ in range(2)]
ended, calls, left, interrupted, threads = collections.Counter(), itertools.count(), 900, 0, []
for name in ("stat", "write", "replace", "rename", "link", "unlink", "pwrite", "open"):
    setattr(os, name, littering(getattr(os, name)))
SharedLog._defer = counted
gc.set_threshold(1)
threads += [threading.Thread(target=work, args=(f"thread {n}",), name=f"thread {n}") for n in range(3)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
left = 0
for logger in loggers:
    logger.handlers[0].close()
gc.collect()  # now that no other thread collects, nothing is left for the time after the counts are printed
print(f"interrupted={interrupted}", *(f"{name}={count}" for name, count in ended.items()), sep="\\n")
"""


@pytest.mark.parametrize("backups", ["plain", "compressed"])
def test_collected_in_the_middle(tmp_path, backups):
    """A record logged by `__del__` during another one is written after it; nothing hangs or gets lost."""
    interrupted = 0
    for attempt in range(10):  # when the collector comes is luck: until it came amid a record often enough
        log = tmp_path / str(attempt) / "events.log"
        command = [sys.executable, "-c", PROGRAM, str(log), backups]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""

        counts = {name: int(count) for name, count in (line.split("=") for line in done.stdout.splitlines())}
        interrupted += counts.pop("interrupted")
        assert sum(counts.values()) > 500
        assert_exact(log, counts | {f"thread {number}": 500 for number in range(3)})
        assert_small(log, 20_000)
        if interrupted > 10:
            break
    assert interrupted > 10

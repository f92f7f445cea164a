"""Children that are forked in the middle of what another thread does, and live on."""

from __future__ import annotations

import itertools
import os
import signal
import threading

import pytest

from tests.accounting import assert_exact, assert_small, files_of
from tests.faults.writer import logger_on, write

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")


@pytest.fixture
def fork():
    """Fork children that do nothing but live until the test ends."""
    children = []

    def make():
        pid = os.fork()
        if not pid:
            signal.pause()
        children.append(pid)

    yield make
    for pid in children:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def fork_while(monkeypatch, fork, call, number, work):
    """Do *work* in another thread, and fork in this one when that comes to its *number*-th call of *call*."""
    reached, forked = threading.Event(), threading.Event()
    original = getattr(os, call)
    calls = itertools.count(1)

    def watched(*args, **kwargs):
        if threading.current_thread() is thread and next(calls) == number:
            reached.set()
            assert forked.wait(60)
        return original(*args, **kwargs)

    thread = threading.Thread(target=work)
    monkeypatch.setattr(os, call, watched)
    thread.start()
    assert reached.wait(60)
    fork()
    forked.set()
    thread.join()
    monkeypatch.undo()


@pytest.mark.parametrize(
    ("call", "number"), [("pwrite", 1), ("pwrite", 4), ("rename", 1), ("link", 1), ("link", 2), ("unlink", 1)]
)
def test_forked_in_the_middle_of_a_rotation(tmp_path, monkeypatch, fork, call, number):
    """A child that was forked while a thread rotated, and lives on, does not keep anybody from rotating."""
    log = tmp_path / "events.log"
    logger = logger_on(log, maxBytes=1_000, backupCount=1000)
    write(logger, "before", 10)

    fork_while(monkeypatch, fork, call, number, lambda: write(logger, "thread", 20))

    write(logger, "after", 20)
    assert_exact(log, {"before": 10, "thread": 20, "after": 20})
    assert_small(log, 1_000)
    assert len(files_of(log)) > 5


def test_forked_in_the_middle_of_a_write(tmp_path, monkeypatch, fork):
    """A child that was forked while a thread held the lock of the log does not hold it."""
    log = tmp_path / "events.log"
    logger = logger_on(log, maxBytes=1_000, backupCount=1000)

    fork_while(monkeypatch, fork, "write", 1, lambda: write(logger, "thread", 20))

    write(logger, "after", 20)
    assert_exact(log, {"thread": 20, "after": 20})
    assert_small(log, 1_000)

"""Children that are forked in the middle of another thread's work, and live on."""

from __future__ import annotations

import fcntl
import itertools
import os
import signal
import threading

import pytest

from chora_logging.writing import compression, locking, opening
from tests.accounting import assert_exact, assert_small, files_of
from tests.faults.writer import logger_on, write


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
    """Do *work* in another thread, and fork in this one at its *number*-th call of *call*."""
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
    """A child that was forked during a rotation, and lives on, blocks nobody's rotation."""
    log = tmp_path / "events.log"
    logger = logger_on(log, maxBytes=1_000, backupCount=1000)
    write(logger, "before", 10)

    fork_while(monkeypatch, fork, call, number, lambda: write(logger, "thread", 20))

    write(logger, "after", 20)
    assert_exact(log, {"before": 10, "thread": 20, "after": 20})
    assert_small(log, 1_000)
    assert len(files_of(log)) > 5


@pytest.mark.parametrize("number", range(1, 7))
def test_forked_while_a_file_is_closed(tmp_path, monkeypatch, fork, number):
    """A child that is forked while a thread closes a rotated file does not have its lock."""
    log = tmp_path / "events.log"
    logger = logger_on(log, maxBytes=1_000, backupCount=1000)
    write(logger, "before", 1)

    fork_while(monkeypatch, fork, "close", number, lambda: write(logger, "thread", 60))

    for path in tmp_path.iterdir():
        with open(path) as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert_exact(log, {"before": 1, "thread": 60})


def test_forked_in_the_middle_of_a_write(tmp_path, monkeypatch, fork):
    """A child that was forked while a thread held the lock of the log does not hold it."""
    log = tmp_path / "events.log"
    logger = logger_on(log, maxBytes=1_000, backupCount=1000)

    fork_while(monkeypatch, fork, "write", 1, lambda: write(logger, "thread", 20))

    write(logger, "after", 20)
    assert_exact(log, {"thread": 20, "after": 20})
    assert_small(log, 1_000)


def test_while_another_thread_makes_a_handler(tmp_path, monkeypatch):
    """A child that is forked while another thread makes a handler can make handlers of its own."""
    reached, forked = threading.Event(), threading.Event()

    class Slow(locking.LogMutex):
        def __init__(self):
            if threading.current_thread() is thread:
                reached.set()
                assert forked.wait(60)
            super().__init__()

    monkeypatch.setattr(locking, "LogMutex", Slow)
    thread = threading.Thread(target=logger_on, args=(tmp_path / "events.log",))
    thread.start()
    assert reached.wait(60)
    pid = os.fork()
    if not pid:
        signal.alarm(10)
        write(logger_on(tmp_path / "child.log"), "child", 3)
        os._exit(0)
    forked.set()
    thread.join()

    assert os.waitpid(pid, 0)[1] == 0
    assert_exact(tmp_path / "child.log", {"child": 3})


def test_parent_killed_in_the_middle_of_a_rotation(tmp_path):
    """A rotator that is killed blocks nobody's rotation, even if its forked child lives on."""
    log = tmp_path / "events.log"
    here, there = os.pipe()
    parent = os.fork()
    if not parent:
        logger = logger_on(log, maxBytes=1_000, backupCount=1000)
        write(logger, "parent", 5)

        def fork():
            pid = os.fork()
            if not pid:
                signal.pause()
            os.write(there, b"%d" % pid)

        def killed(*_):
            thread = threading.Thread(target=fork)
            thread.start()
            thread.join()
            os.kill(os.getpid(), signal.SIGKILL)

        os.rename = killed
        logger.handlers[0].doRollover()
    os.waitpid(parent, 0)
    child = int(os.read(here, 20))
    try:
        write(logger_on(log, maxBytes=1_000, backupCount=1000), "next", 30)

        assert_exact(log, {"parent": 5, "next": 30})
        assert_small(log, 1_000)
    finally:
        os.kill(child, signal.SIGKILL)
        os.close(here)
        os.close(there)


@pytest.mark.parametrize("mode", ["w", "x"])
def test_delayed_and_never_opened_by_the_parent(tmp_path, mode):
    """Children that are the first to open a log empty no line of each other, whatever the mode."""
    log = tmp_path / "events.log"
    if mode == "w":
        log.write_text("old\n")
    logger = logger_on(log, mode=mode, maxBytes=0, delay=True)
    for writer in range(4):
        pid = os.fork()
        if not pid:
            write(logger, writer, 10)
            os._exit(0)
        os.waitpid(pid, 0)
    if mode == "w":
        write(logger, "parent", 10)

    assert_exact(log, dict.fromkeys([*range(4), *(["parent"] if mode == "w" else [])], 10))


def test_forked_in_the_middle_of_a_compression(tmp_path, monkeypatch):
    """The child has neither the backup open nor the unfinished file, whose lock would outlive the parent."""
    log = tmp_path / "events.log"
    logger = logger_on(log, maxBytes=1_500, backupCount=100)
    write(logger, "first", 20, size=100)
    begun, go_on = threading.Event(), threading.Event()
    fsync = os.fsync

    def slow(fd):
        begun.set()
        assert go_on.wait(60)
        fsync(fd)

    monkeypatch.setattr(os, "fsync", slow)
    thread = threading.Thread(target=compression.compress_backups, args=(str(log), 100, str))
    thread.start()
    assert begun.wait(60)
    here, there = os.pipe()
    child = os.fork()
    if not child:
        files = [os.path.realpath(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")]
        os.write(there, "\n".join(path for path in files if path.startswith(str(tmp_path))).encode())
        os._exit(0)
    os.close(there)
    os.waitpid(child, 0)
    go_on.set()
    thread.join()

    with os.fdopen(here) as answer:
        assert answer.read() == str(log)
    assert_exact(log, {"first": 20})
    assert {path.suffix for path in files_of(log)[:-1]} == {".gz"}


@pytest.mark.parametrize("may_open", [True, False])
def test_a_child_leaves_its_parent_the_lock(tmp_path, monkeypatch, may_open):
    """A forked child, which shares the open file of its parent, does not release the lock of that."""
    log = tmp_path / "app.log"
    logger = logger_on(log)
    write(logger, "parent", 1)
    fcntl.flock(logger.handlers[0]._log.file.fd, fcntl.LOCK_EX)
    if not may_open:  # as a child that has dropped its rights
        monkeypatch.setattr(opening, "open_again", lambda fd, path: None)
    child = os.fork()
    if not child:
        logger.handlers[0].close()
        os._exit(0)
    os.waitpid(child, 0)

    with open(log) as file, pytest.raises(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)

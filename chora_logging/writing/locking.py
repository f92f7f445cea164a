"""Locks for writing a log: an advisory `flock` between processes, a `LogMutex` between threads.

A lock belongs to the open file description (flock(2)): it ends with the process that holds it,
however that ends, and a forked child that keeps its parent's descriptor shares the parent's lock
and excludes nobody. Whoever locks therefore opens the file anew after a fork.
"""

from __future__ import annotations

import collections
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable
from types import CodeType, FrameType
from typing import ClassVar

try:
    import fcntl
except ImportError as error:  # pragma: no cover - Windows has no flock
    raise ImportError(
        "chora_logging writes files on POSIX systems only (Linux, macOS, BSD): "
        "this Python has no fcntl module. EventFormatter and TraceIdFilter work everywhere."
    ) from error

#: The first and the longest pause between two looks at a lock that somebody else holds, in seconds.
FIRST_PAUSE_SECONDS = 0.00005
LONGEST_PAUSE_SECONDS = 0.001

#: How many timeouts a wait may last while others write.
LONGEST_WAIT_TIMEOUTS = 10

#: `flock(fd, EXCLUSIVE)` takes a lock or raises at once, `flock(fd, UNLOCK)` gives it back.
EXCLUSIVE = fcntl.LOCK_EX | fcntl.LOCK_NB
UNLOCK = fcntl.LOCK_UN
flock = fcntl.flock


def try_lock(fd: int) -> bool:
    """Take the exclusive lock of *fd* if nobody else has it; say whether it is ours now.

    A file system without locks answers no, like a lock that is held.
    """
    try:
        flock(fd, EXCLUSIVE)
    except OSError:
        return False
    return True


def lock(fd: int, timeout: float) -> bool:
    """Take the exclusive lock of *fd*, waiting for it; say whether it is ours now.

    The wait ends when the file has not changed for *timeout* seconds, for then its holder is stopped
    or stuck, and in any case after `LONGEST_WAIT_TIMEOUTS` times *timeout*. It is a series of looks and
    not a blocking `flock`, which could not be given a limit: a stopped process (SIGSTOP) keeps its locks
    for as long as it is stopped.
    """
    if try_lock(fd):
        return True
    start = moved = time.monotonic()
    seen = _signature(fd)
    pause = FIRST_PAUSE_SECONDS
    while (now := time.monotonic()) < min(moved + timeout, start + LONGEST_WAIT_TIMEOUTS * timeout):
        time.sleep(pause)
        if try_lock(fd):
            return True
        if pause < LONGEST_PAUSE_SECONDS:
            pause *= 2
        elif seen != (seen := _signature(fd)):
            moved = now
    return False


def _signature(fd: int) -> tuple[int, int, int]:
    status = os.fstat(fd)
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


def unlock(fd: int) -> None:
    """Give the lock of *fd* back; nothing happens if it was not held."""
    flock(fd, UNLOCK)


class LogMutex:
    """The turns of the threads of one process at one log, whichever handler they come through.

    Threads could exclude each other with `flock` alone, but they would starve: whoever holds it
    lets the others run just while it is in a system call, holding it.

    Attributes:
        lock: Held by the thread that writes; re-entrant, as `logging.Handler.lock` is.
        busy: Set while that thread is in the middle of a record; `is_interrupted` says the truth.
        busy_code: The code of the functions that set it, those of this module apart.
        deferred: What such an interruption wants written, for when the record is finished.
    """

    busy_code: ClassVar[set[CodeType]] = set()

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.busy = False
        self.deferred: collections.deque[Callable[[], None]] = collections.deque()

    def is_interrupted(self) -> bool:
        """Whether the thread that has the mutex is in the middle of a record further up its stack.

        It comes again then because a signal handler or a `__del__` interrupted it, and logs. The
        flag alone does not do: an exception from a signal handler can come just before it is reset.
        """
        frame: FrameType | None = sys._getframe()
        while frame is not None and frame.f_code not in self.busy_code:
            frame = frame.f_back
        self.busy = frame is not None
        return self.busy

    def catch_up(self) -> None:
        """Do what was put off, in its order; what is put off meanwhile comes after it."""
        while self.deferred:
            try:
                self.busy = True
                while self.deferred:
                    self.deferred.popleft()()
            finally:
                self.busy = False

    def reset(self) -> None:
        """Begin anew, in a forked child: what was going on was the parent's."""
        self.busy = False
        self.deferred.clear()


LogMutex.busy_code.add(LogMutex.catch_up.__code__)

_mutexes: weakref.WeakValueDictionary[str, LogMutex] = weakref.WeakValueDictionary()
_mutexes_lock = threading.RLock()


def _new_lock_after_fork() -> None:
    # Another thread of the parent may have been holding it; there is none here to give it back.
    global _mutexes_lock
    _mutexes_lock = threading.RLock()


os.register_at_fork(after_in_child=_new_lock_after_fork)


def mutex_of(path: str) -> LogMutex:
    """Return the mutex of the file *path*, the same one for every caller in this process."""
    with _mutexes_lock:
        mutex = _mutexes.get(path)
        if mutex is None:
            mutex = _mutexes[path] = LogMutex()
        return mutex

"""Locks for writing a log: an advisory `flock` between processes, a `LogMutex` between threads.

A `flock` belongs to the open file description (flock(2)). It ends with the process that holds it,
however that process ends. A forked child that keeps its parent's descriptor shares the parent's lock
and excludes nobody, so it must reopen the file before it locks.
"""

from __future__ import annotations

import collections
import contextlib
import io
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from types import CodeType
from typing import ClassVar

from chora_logging.errors import RotationBusyError

try:
    import fcntl
except ImportError as error:  # pragma: no cover - Windows has no flock
    raise ImportError(
        "chora_logging writes files on POSIX systems only (Linux, macOS, BSD): "
        "this Python has no fcntl module. EventFormatter and TraceIdFilter work everywhere."
    ) from error

#: The first and the longest pause between two attempts to take a lock, in seconds.
FIRST_PAUSE_SECONDS = 0.00005
LONGEST_PAUSE_SECONDS = 0.001

#: The longest wait for a lock while others write, in timeouts.
LONGEST_WAIT_TIMEOUTS = 10

#: `flock(fd, EXCLUSIVE)` takes a lock or raises without waiting, `flock(fd, UNLOCK)` releases it.
EXCLUSIVE = fcntl.LOCK_EX | fcntl.LOCK_NB
UNLOCK = fcntl.LOCK_UN
flock = fcntl.flock

#: Not the one of a gevent that is imported later: greenlets that share this thread's locks would run.
_sleep = time.sleep


def try_lock(fd: int) -> bool:
    """Take the exclusive lock of *fd* if it is free; return whether it was taken.

    Raises:
        OSError: this file system, or a sandbox, has no locks.
    """
    try:
        flock(fd, EXCLUSIVE)
    except (BlockingIOError, InterruptedError):
        return False
    return True


def lock(fd: int, timeout: float) -> bool:
    """Wait for the exclusive lock of *fd*; return whether it was taken.

    The wait ends when the file has not changed for *timeout* seconds, because its holder is then stopped
    or stuck, and in any case after `LONGEST_WAIT_TIMEOUTS` times *timeout*. The lock is polled, because
    a blocking `flock` has no timeout and a stopped process (SIGSTOP) keeps its locks.

    Raises:
        OSError: as `try_lock`.
    """
    if try_lock(fd):
        return True
    waited = moved = 0.0  # the pauses are added up, because a clock may stand still in tests
    seen = _signature(fd)
    pause = FIRST_PAUSE_SECONDS
    while waited < min(moved + timeout, LONGEST_WAIT_TIMEOUTS * timeout):
        _sleep(pause)
        waited += pause
        if try_lock(fd):
            return True
        if pause < LONGEST_PAUSE_SECONDS:
            pause *= 2
        elif seen != (seen := _signature(fd)):
            moved = waited
    return False


def _signature(fd: int) -> tuple[int, int, int]:
    status = os.fstat(fd)
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


@contextlib.contextmanager
def locked(file: io.FileIO, timeout: float) -> Iterator[None]:
    """Lock *file* while the block runs, and close it; a child that is forked meanwhile closes it, too.

    Raises:
        RotationBusyError: another process holds its lock for longer than *timeout* seconds.
    """
    fd = file.fileno()
    with closed_in_children(file):
        try:
            if not lock(fd, timeout):
                raise RotationBusyError(file.name, "another process is rotating this log")
            yield
        finally:
            try:  # noqa: SIM105  # as in `LiveFile.append_fast`
                flock(fd, UNLOCK)  # closing is not enough: a forked child may share it
            except OSError:
                pass


@contextlib.contextmanager
def closed_in_children(file: io.FileIO) -> Iterator[io.FileIO]:
    """Close *file* at the end of the block, and in a child that is forked meanwhile.

    Otherwise a lock of the parent's would outlive the parent in the child.
    """
    reference = weakref.ref(file)
    _open_files.add(reference)
    try:
        yield file
    finally:
        _open_files.discard(reference)
        file.close()


#: Weak references: a file that a signal handler's exception left open is closed with its last one.
_open_files: set[weakref.ref[io.FileIO]] = set()


def _close_files_after_fork() -> None:
    while _open_files:
        file = _open_files.pop()()
        if file is not None:
            file.close()


os.register_at_fork(after_in_child=_close_files_after_fork)


#: Gets an item at the moment at which a line is written: an exception that comes later is not its error.
Written = list[int]
#: Called with the error of a line that could not be written after all, because it had to wait.
Failed = Callable[[Exception], None]


class Deferred:
    """A write that waits for the end of the record that its request has interrupted."""

    def __init__(self, write: Callable[[Written], None], failed: Failed | None) -> None:
        self._write = write
        self._failed = failed
        self._done: Written = []

    def run(self) -> None:
        """Write, or report the error; do nothing if that is done: a signal handler may have raised then."""
        done = self._done
        if done:
            return
        try:
            self._write(done)
        except Exception as error:
            if done:
                raise
            done += (0,)
            if self._failed is not None:
                self._failed(error)


class LogMutex:
    """The mutex of one log in one process, shared by all handlers on that log.

    `flock` alone would exclude threads, too, but starve them: the thread that holds it lets others
    run only while it is in a system call, still holding it.

    Attributes:
        lock: Held by the thread that writes; re-entrant, as `logging.Handler.lock` is.
        busy: Set while that thread is in the middle of a record; `is_interrupted` verifies it.
        busy_code: The code objects of the functions that set `busy`.
        deferred: Writes requested by an interruption, to run when the record is finished.
    """

    busy_code: ClassVar[set[CodeType]] = set()

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.busy = False
        self.deferred: collections.deque[Deferred] = collections.deque()

    def is_interrupted(self) -> bool:
        """Return whether the calling function was called in the middle of a record.

        Then a signal handler or a `__del__` that logs has interrupted that record. `busy` alone is not
        enough, and is corrected: an exception from a signal handler can come just before its reset.
        """
        frame = sys._getframe(1).f_back
        while frame is not None and frame.f_code not in self.busy_code:
            frame = frame.f_back
        self.busy = frame is not None
        return self.busy

    def catch_up(self) -> None:
        """Run the deferred writes in their order, and after them those deferred meanwhile."""
        while self.deferred:
            try:
                self.busy = True
                while self.deferred:
                    first = self.deferred[0]  # it stays: a signal handler may raise
                    first.run()
                    if self.deferred and self.deferred[0] is first:  # not in a child forked meanwhile
                        self.deferred.popleft()
            finally:
                self.busy = False

    def reset(self) -> None:
        """Start anew in a forked child: a record under way is the parent's, and so is a held lock."""
        self.lock._at_fork_reinit()  # type: ignore[attr-defined]  # as `logging` does with its locks
        self.busy = False
        self.deferred.clear()


LogMutex.busy_code.add(LogMutex.catch_up.__code__)

_mutexes: weakref.WeakValueDictionary[str, LogMutex] = weakref.WeakValueDictionary()
_mutexes_lock = threading.RLock()


def _new_lock_after_fork() -> None:
    # Another thread of the parent may have held it; in the child nothing would release it.
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

"""Runs the thread that flushes buffered lines on a timer, and a callback at the exit of a worker process."""

from __future__ import annotations

import sys
import threading
import weakref
from collections.abc import Callable
from functools import partial


class Flusher:
    """A thread that the first line starts, and that sleeps while there is nothing to do.

    It refers to the owner of *watch* weakly. Its methods may interrupt each other, as signal handlers
    and `__del__` do: they try a lock, and never wait for one as `threading.Event` would.

    Args:
        watch: The work, a bound method, called after `wake`. It returns when nothing is left to do:
            True to sleep until the next `wake`, False to end the thread, which `start` then starts anew.
            Its argument is a function that waits for the given number of seconds or until `wake`.
        at_worker_exit: Called at the end of this process, if it is a child of multiprocessing or billiard
            that has started the thread.
    """

    def __init__(
        self, watch: Callable[[Callable[[float], object]], bool], at_worker_exit: Callable[[], None]
    ) -> None:
        self._at_worker_exit = at_worker_exit
        self._watch = weakref.WeakMethod(watch, self.wake)
        self._wakeup: threading.Lock | None = None
        self._unstarted = threading.Lock()

    def start(self) -> bool:
        """Start the thread if needed, and wake it; return False if the interpreter is shutting down."""
        if self._unstarted.acquire(blocking=False):
            # Made with the thread: `gevent.monkey.patch_all` replaces the kinds of both.
            self._wakeup = wakeup = threading.Lock()
            wakeup.acquire()
            run = partial(self._run, wakeup)
            try:
                threading.Thread(target=run, name="chora_logging flusher", daemon=True).start()
            except (RuntimeError, MemoryError):
                self._unstarted.release()
                return False
            _at_worker_exit(self._at_worker_exit)
        self.wake()
        return True

    def wake(self, _: object = None) -> None:
        """Wake the thread if it is asleep."""
        try:
            if self._wakeup is not None:
                self._wakeup.release()
        except RuntimeError:  # it has been woken already
            return

    def _run(self, wakeup: threading.Lock) -> None:
        wait = partial(wakeup.acquire, True)
        while True:
            wakeup.acquire()
            watch = self._watch()
            if watch is None:
                return
            if not watch(wait):
                self._unstarted.release()
                if not (wakeup.acquire(False) and self._unstarted.acquire(False)):
                    return
                wakeup.release()  # started again meanwhile
            del watch


def _at_worker_exit(callback: Callable[[], None]) -> None:
    # Such a child ends with `os._exit`, which skips Python's exit handlers. Celery's are those of billiard.
    for package in ("multiprocessing", "billiard"):
        process, util = (sys.modules.get(f"{package}.{name}") for name in ("process", "util"))
        if process is not None and util is not None and _is_child(process.current_process()):
            util.Finalize(None, callback, exitpriority=-1000)  # after those of the program, which may log


def _is_child(process: object) -> bool:
    """Return whether *process*, the current one, is a child and not the main process of its package."""
    return getattr(process, "_parent_pid", None) is not None

"""What happens though nobody calls: a thread that watches the clock, and the end of a worker process."""

from __future__ import annotations

import sys
import threading
import weakref
from collections.abc import Callable
from functools import partial


class Flusher:
    """A thread that is started by the first line and asleep while there is nothing to watch.

    It keeps nothing alive that nobody else has. Its methods may interrupt each other, as signal handlers
    and `__del__` do: they find a lock taken or not, and never wait for one, as `threading.Event` would.

    Args:
        watch: The work, a method. It is called when there is something to watch and returns when there is
            not any more, saying whether there may be later. Its argument waits, for as many seconds as
            it is given or until `wake`.
        at_worker_exit: Called when this process ends, if it is a child of multiprocessing that has
            started the thread.
    """

    def __init__(
        self, watch: Callable[[Callable[[float], object]], bool], at_worker_exit: Callable[[], None]
    ) -> None:
        self._at_worker_exit = at_worker_exit
        self._watch = weakref.WeakMethod(watch, self.wake)
        self._wakeup = threading.Lock()
        self._wakeup.acquire()
        self._unstarted = threading.Lock()

    def start(self) -> bool:
        """Have it watched from now on; whether that is possible: not while the interpreter goes down."""
        if self._unstarted.acquire(blocking=False):
            try:
                threading.Thread(target=self._run, name="chora_logging flusher", daemon=True).start()
            except RuntimeError:
                self._unstarted.release()
                return False
            _at_worker_exit(self._at_worker_exit)
        self.wake()
        return True

    def wake(self, _: object = None) -> None:
        """Wake the thread if it is asleep."""
        try:
            self._wakeup.release()
        except RuntimeError:  # it has been rung already
            return

    def _run(self) -> None:
        wait = partial(self._wakeup.acquire, True)
        while True:
            self._wakeup.acquire()
            watch = self._watch()
            if watch is None or not watch(wait):
                return
            del watch


def _at_worker_exit(callback: Callable[[], None]) -> None:
    # A child of multiprocessing ends with `os._exit`, and runs none of the exit handlers of Python.
    process, util = (sys.modules.get(f"multiprocessing.{name}") for name in ("process", "util"))
    if process is not None and util is not None and process.parent_process() is not None:
        util.Finalize(None, callback, exitpriority=-1000)  # after those of the program, which may log

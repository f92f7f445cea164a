"""Ends a command as soon as the reader of its output has ended (`head`, a pager), whatever it waits for."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import stat
import sys
import threading
from collections.abc import Iterator
from types import FrameType

#: The interval at which the main thread is interrupted until it ends, in seconds: an exception that a
#: finaliser swallows ends nothing.
REPEAT_SECONDS = 0.05


@contextlib.contextmanager
def ended_with_reader() -> Iterator[None]:
    """Raise `BrokenPipeError` in the block once nobody can read from stdout any more.

    Without this, a command would notice only when it writes the next time. It does nothing if stdout is not
    a pipe or a socket, and outside of the main thread, which alone may handle signals.
    """
    fd = _pipe_of_stdout()
    if fd is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    watched = [fd]

    def interrupt(number: int, frame: FrameType | None) -> None:
        if watched:
            raise BrokenPipeError

    ending, end = os.pipe()
    watcher = threading.Thread(target=_watch, args=(fd, ending, threading.get_ident()), daemon=True)
    before = signal.signal(signal.SIGPIPE, interrupt)
    try:
        watcher.start()
        yield
    finally:
        watched.clear()
        os.close(end)
        watcher.join()
        os.close(ending)
        signal.signal(signal.SIGPIPE, before)


def _watch(fd: int, ending: int, main: int) -> None:
    poll = select.poll()
    poll.register(fd, 0)  # errors are reported in any case
    poll.register(ending, 0)
    repeated = select.poll()
    repeated.register(ending, 0)
    found = poll.poll()
    while all(which != ending for which, _ in found):
        signal.pthread_kill(main, signal.SIGPIPE)
        found = repeated.poll(REPEAT_SECONDS * 1000)


def _pipe_of_stdout() -> int | None:
    try:
        fd = sys.stdout.fileno()
        mode = os.fstat(fd).st_mode
    except (AttributeError, OSError, ValueError):
        return None
    return fd if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) else None

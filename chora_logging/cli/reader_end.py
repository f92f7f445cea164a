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

#: How long the main thread has to notice it by itself because it writes, in seconds; and after which time
#: it is interrupted again, in case that a finaliser has swallowed the exception, or that it was importing.
GRACE_SECONDS, REPEAT_SECONDS = 0.02, 0.5

#: The signal that interrupts. By default it does nothing, so it does not matter if it comes too late; and no
#: write to a closed pipe sends it, as it does SIGPIPE.
_SIGNAL = signal.SIGURG


class ReaderEnded(BaseException):
    """Interrupts the main thread, like `KeyboardInterrupt`: nobody takes it for an error of a file."""


@contextlib.contextmanager
def ended_with_reader() -> Iterator[None]:
    """Raise `ReaderEnded` in the block, or soon after it, once nobody can read from stdout any more.

    Without this, a command would notice only when it writes the next time. It does nothing if stdout is not
    a pipe or a socket, and outside of the main thread, which alone may handle signals.
    """
    fd = pipe_of_stdout()
    if fd is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    watched = [fd]

    def interrupt(number: int, frame: FrameType | None) -> None:
        if watched and not _is_importing(frame):  # else after `REPEAT_SECONDS`
            raise ReaderEnded

    ending, end = os.pipe()
    watcher = threading.Thread(target=_watch, args=(fd, ending, threading.get_ident()), daemon=True)
    before = signal.signal(_SIGNAL, interrupt)
    try:
        watcher.start()
        yield
    finally:
        watched.clear()
        os.close(end)
        watcher.join()
        os.close(ending)
        signal.signal(_SIGNAL, before)


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Let the block end before `ReaderEnded` or `KeyboardInterrupt` is raised in the main thread.

    An extension module that is interrupted while it is imported may end the process.
    """
    held = {_SIGNAL, signal.SIGINT}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, held)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _is_importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def _watch(fd: int, ending: int, main: int) -> None:
    both, block = select.poll(), select.poll()
    both.register(fd, 0)  # errors are reported in any case
    both.register(ending, 0)
    block.register(ending, 0)
    both.poll()
    pause = GRACE_SECONDS
    while not block.poll(pause * 1000):
        signal.pthread_kill(main, _SIGNAL)
        pause = REPEAT_SECONDS


def pipe_of_stdout() -> int | None:
    """Return the descriptor of stdout if it is a pipe or a socket, else None."""
    try:
        fd = sys.stdout.fileno()
        mode = os.fstat(fd).st_mode
    except (AttributeError, OSError, ValueError):
        return None
    return fd if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) else None

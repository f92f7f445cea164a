"""A progress bar on stderr for reading that takes more than a second, if stderr is a terminal."""

from __future__ import annotations

import contextlib
import os
import stat
import sys
import threading
from collections.abc import Callable, Iterator, Sequence

from chora_logging.cli import amounts
from chora_logging.cli.logs import Log
from chora_logging.eventlog.source import is_address

#: The delay before the bar is shown, and the interval at which it is drawn, in seconds.
SHOWN_AFTER_SECONDS = 1.0
DRAW_SECONDS = 0.1

#: The narrowest screen that shows sizes and the time left instead of a percentage.
WIDE_BAR_COLUMNS = 60


def progress(logs: Sequence[Log]) -> contextlib.AbstractContextManager[None]:
    """Show how much of *logs* has been read so far, if that takes long and stderr is a terminal.

    Args:
        logs: The logs, which are read once from one end to the other. For pipes nothing is shown.
    """
    if not _is_watched() or any(log.is_pipe for log in logs):
        return (
            contextlib.nullcontext()
        )  # a stream is not asked for its size in vain; that of a pipe is unknown
    streams = [log.events for log in logs if is_address(log.address)]

    def received() -> int:
        return sum(getattr(stream, "bytes_read", 0) for stream in streams)

    return progress_over(sum(log.events.size() for log in logs), received)


@contextlib.contextmanager
def progress_over(size: int, received: Callable[[], int] = int) -> Iterator[None]:
    """Show in the same way how much of *size* bytes has been read.

    Args:
        size: How many bytes are read from files and servers.
        received: Returns how many came from servers so far.
    """
    if not _is_watched():
        yield
        return

    def read() -> int | None:
        return None if (of_files := _bytes_read()) is None else of_files + received()

    done = threading.Event()
    thread = threading.Thread(target=_show, args=(size, read, read(), done), daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def goes_to_file() -> bool:
    """Return whether stdout is a regular file, so that the output does not disturb a bar."""
    try:
        return stat.S_ISREG(os.fstat(sys.stdout.fileno()).st_mode)
    except (OSError, ValueError, AttributeError):
        return False


def _show(size: int, read: Callable[[], int | None], start: int | None, done: threading.Event) -> None:
    if done.wait(SHOWN_AFTER_SECONDS):
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    # Red is reserved for failures.
    bar_column = BarColumn(
        console.width // 2, complete_style="green", finished_style="green", pulse_style="green"
    )
    columns = [bar_column, TextColumn("{task.fields[amount]}")]
    if console.width >= WIDE_BAR_COLUMNS:
        columns.append(TimeRemainingColumn())
    with Progress(*columns, console=console, auto_refresh=False, transient=True) as bar:
        task = bar.add_task("", total=None if start is None else size, amount="")
        while not done.wait(DRAW_SECONDS):
            if start is not None:
                completed = min((read() or 0) - start, size)
                bar.update(task, completed=completed, amount=_amount(completed, size, console.width))
            bar.refresh()


def _amount(completed: int, size: int, width: int) -> str:
    if width < WIDE_BAR_COLUMNS:
        return f"{completed / max(size, 1):.0%}"
    return f"{amounts.size(completed)} of {amounts.size(size)}"


def _bytes_read() -> int | None:
    """Return how many bytes of files this process has read so far, or None if the kernel does not say.

    The kernel counts all reads, so that readers of files need no counter, but not what comes from sockets.
    Compressed files count with their size on disk.
    """
    try:
        with open("/proc/self/io", "rb") as file:
            return int(file.readline().split()[1])
    except (OSError, ValueError, IndexError):
        return None


def _is_watched() -> bool:
    return (
        sys.stderr is not None and sys.stderr.isatty() and os.environ.get("TERM") not in ("dumb", "unknown")
    )

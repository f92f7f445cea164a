"""A bar on stderr for what takes more than a second, where somebody is there to see it."""

from __future__ import annotations

import contextlib
import os
import stat
import sys
import threading
from collections.abc import Iterator, Sequence

from chora_logging.cli.logs import Log
from chora_logging.eventlog.rotated_set import paths_of

#: How long nothing is shown, and how often the bar is drawn, in seconds.
PATIENCE = 1.0
INTERVAL = 0.1


@contextlib.contextmanager
def progress(logs: Sequence[Log], *, streams: bool = False) -> Iterator[None]:
    """Show how much of *logs* has been read since, if that takes long and stderr is a terminal.

    Args:
        logs: What is read once, from one end to the other.
        streams: Whether events are printed while they are read; a bar between them would be in the
            way, so there is none then unless they go to a file.
    """
    if not _is_watched() or (streams and not _goes_to_file()):
        yield
        return
    done = threading.Event()
    thread = threading.Thread(target=_show, args=(logs, done), daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _show(logs: Sequence[Log], done: threading.Event) -> None:
    start = _bytes_read()
    if done.wait(PATIENCE):
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, SpinnerColumn, TimeRemainingColumn

    total = sum(_size(path) for log in logs for path in paths_of(log.path))
    columns = (SpinnerColumn(), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, auto_refresh=False, transient=True) as bar:
        task = bar.add_task("", total=None if start is None else total)
        while not done.wait(INTERVAL):
            if start is not None:
                bar.update(task, completed=min((_bytes_read() or 0) - start, total))
            bar.refresh()


def _bytes_read() -> int | None:
    """How much this process has read so far, compressed files as they lie on the disk.

    Asked of the kernel: nothing has to be counted while reading, whatever the filters leave out. None
    where the kernel does not say.
    """
    try:
        with open("/proc/self/io", "rb") as file:
            return int(file.readline().split()[1])
    except (OSError, ValueError, IndexError):
        return None


def _size(path: str) -> int:
    try:
        return os.path.getsize(path)
    except OSError:
        return 0


def _is_watched() -> bool:
    return (
        sys.stderr is not None and sys.stderr.isatty() and os.environ.get("TERM") not in ("dumb", "unknown")
    )


def _goes_to_file() -> bool:
    try:
        return stat.S_ISREG(os.fstat(sys.stdout.fileno()).st_mode)
    except (OSError, ValueError, AttributeError):
        return False

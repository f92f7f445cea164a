"""The distance of a shipper behind its log, and the time for which the files still have what is missing."""

from __future__ import annotations

import collections
import contextlib
import os
import time
from typing import NamedTuple

from chora_logging.errors import CursorError
from chora_logging.eventlog.log import EventLog
from chora_logging.eventlog.rotated import cursor
from chora_logging.log_files import read_sidecar, real_path

#: How far back the rate of a log is measured, in seconds.
RATE_SECONDS = 60.0


class Behind(NamedTuple):
    """The distance from a position to the end of a log.

    Attributes:
        unread: The bytes after the position, of compressed files as they are stored.
        total: The bytes of all files.
        is_full: Whether the next rotations delete files, as far as is known.
    """

    unread: int
    total: int
    is_full: bool


def behind(log: EventLog, end: str | None) -> Behind:
    """Return how far the position of the cursor *end* is behind the end of *log*; None is its beginning."""
    position = None
    with contextlib.suppress(CursorError):
        position = None if end is None else cursor.decode(end)
    unread = total = 0
    is_found = False
    files = log.files()
    for path in reversed(files):
        with contextlib.suppress(OSError):
            status = os.stat(path)
            total += status.st_size
            if is_found:
                continue
            if position is not None and status.st_ino & 0xFFFFFFFF == position.inode:
                unread += max(0, status.st_size - position.offset)
                is_found = True
            else:
                unread += status.st_size
    state = read_sidecar(real_path(log.path))
    return Behind(unread, total, state is None or state.generation >= len(files))


class Pressure:
    """Measures how fast a log grows, and says how long its files still hold what has not been shipped.

    Args:
        log: The log.
    """

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._seen: collections.deque[tuple[float, int]] = collections.deque()

    def seconds_left(self, end: str | None) -> float | None:
        """Return in how many seconds the first unshipped line is deleted; None if that is not known.

        Call it every few seconds while nothing can be shipped.

        Args:
            end: The cursor of the last line that was shipped.
        """
        now, found = time.monotonic(), behind(self._log, end)
        self._seen.append((now, found.unread))
        while now - self._seen[0][0] > RATE_SECONDS:
            self._seen.popleft()
        since, unread = self._seen[0]
        rate = (found.unread - unread) / (now - since) if now > since else 0.0
        if rate <= 0 or not found.is_full:
            return None
        return max(0.0, found.total - found.unread) / rate

    def forget(self) -> None:
        """Begin a new measurement."""
        self._seen.clear()

"""Remembers the backups that a follower comes to next, so that it does not open all files after each."""

from __future__ import annotations

import collections
import contextlib
import os
import time
from collections.abc import Iterable, Iterator

from chora_logging import log_files
from chora_logging.eventlog.rotated.file import LogFile
from chora_logging.eventlog.rotated.file_set import close_all
from chora_logging.eventlog.rotated.plain import Moved

#: How long ago the folder was changed last, at least, in seconds, if its time is to show the next change: the
#: clock of a file system ticks.
_TICK_SECONDS = 0.1


class FilesAhead:
    """The backups after the one that is read, closed, as long as nothing in the folder is renamed or created.

    Args:
        log: The live file. Make this before its files are opened.
    """

    def __init__(self, log: str) -> None:
        self._log, self._folder = log, os.path.dirname(log)
        self._files: collections.deque[LogFile] = collections.deque()
        self._state = self._look()
        self._is_certain = self._state is not None and time.time() - self._state[2] / 1e9 > _TICK_SECONDS

    def hold(self, files: Iterable[LogFile]) -> None:
        """Remember the backups among *files*, which are in order; close the others."""
        for file in files:
            if self._is_certain and file.place.number and os.path.dirname(file.path) == self._folder:
                file.suspend()
                self._files.append(file)
            else:
                file.close()

    def next(self) -> LogFile | None:
        """Return the next file, open; None if all of them have to be looked at again."""
        if not self._files or self._look() != self._state:
            self.close()
            return None
        file = self._files.popleft()
        try:
            file.resume()
            if file.is_as_opened() and file.head():
                return file
        except Moved:
            pass
        file.close()
        self.close()
        return None

    def close(self) -> None:
        """Forget the files."""
        while self._files:
            self._files.popleft().close()

    def _look(self) -> tuple[int, int, int, log_files.Sidecar | None] | None:
        try:
            status = os.stat(self._folder)
        except OSError:
            return None
        return status.st_dev, status.st_ino, status.st_mtime_ns, log_files.read_sidecar(self._log)


@contextlib.contextmanager
def closed_if_moved(files: Iterable[LogFile]) -> Iterator[None]:
    """Close *files* if one of them turns out to have moved while it was suspended."""
    try:
        yield
    except Moved:
        close_all(files)
        raise

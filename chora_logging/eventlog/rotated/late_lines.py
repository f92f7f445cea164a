"""Finds the lines that are added to rotated files after a follower has read them.

A process that keeps the file open may write to it long after the rotation: a shell's redirection, a
service whose output systemd appends to the log, a writer that was suspended before its `write`.
"""

from __future__ import annotations

import collections

from chora_logging.eventlog.events import Block
from chora_logging.eventlog.rotated.file import LogFile, Replaced

#: How many files are watched; each has a descriptor open.
WATCHED_FILES = 8


class LateLines:
    """The newest rotated files that a follower has read to their ends, held open."""

    def __init__(self) -> None:
        self._files: collections.deque[LogFile] = collections.deque()

    def watch(self, file: LogFile) -> None:
        """Take over *file*, which was read to its end; the oldest one beyond the limit is closed."""
        self._files.append(file)
        if len(self._files) > WATCHED_FILES:
            self._files.popleft().close()

    def next_block(self) -> tuple[LogFile, Block] | None:
        """Return a file that has grown, and its next complete lines; None if no file has.

        A file that was deleted, truncated or rewritten is no longer watched.
        """
        for file in tuple(self._files):
            is_deleted = file.is_deleted()
            try:
                block = file.read_block() if file.length() > file.offset else None
            except Replaced:
                block, is_deleted = None, True
            if block is not None:
                return file, block
            if is_deleted:
                self._files.remove(file)
                file.close()
        return None

    def __bool__(self) -> bool:
        return bool(self._files)

    def __contains__(self, file: LogFile) -> bool:
        return file in self._files

    def close(self) -> None:
        """Close the files."""
        while self._files:
            self._files.pop().close()

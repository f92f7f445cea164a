"""Finds the lines that are added to rotated files after a follower has read them.

A process that keeps the file open may write to it long after the rotation: a shell's redirection, a
service whose output systemd appends to the log, a writer that was suspended before its `write`.
"""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from chora_logging.eventlog.events import Block
from chora_logging.eventlog.rotated.content import CHUNK
from chora_logging.eventlog.rotated.file import LogFile, Replaced

#: How many files are held open: those left last, and those that have grown.
_OPEN_FILES = 8

#: How many checks of the open files pass before all the files of the log are looked at.
_CHECKS_PER_LISTING = 32


class _Read(NamedTuple):
    """How much of a file was read, and its first bytes, because inodes are reused."""

    size: int
    head: bytes


class LateLines:
    """The rotated files that a follower has passed.

    Args:
        open_files: Opens all files of the log.
    """

    def __init__(self, open_files: Callable[[], Iterable[LogFile]]) -> None:
        self._open_files = open_files
        self._open: collections.deque[LogFile] = collections.deque()
        self._passed: dict[tuple[int, int], _Read] = {}
        self._checks = 0

    def watch(self, file: LogFile) -> None:
        """Take over *file*, which was read to its end."""
        self._open.append(file)
        if len(self._open) > _OPEN_FILES:
            oldest = self._open.popleft()
            self._passed[oldest.place.identity] = _Read(oldest.offset, oldest.head_as_read())
            oldest.close()

    def hold(self, older: Iterable[LogFile]) -> None:
        """Record that *older* are the files before the current one; those seen first now count as read."""
        now = {file.place.identity: file for file in older if not file.compressed}
        for file in self._open:
            now.pop(file.place.identity, None)
        self._passed = {
            identity: self._passed.get(identity) or _Read(file.size(), file.head_as_read())
            for identity, file in now.items()
        }

    def next_block(self) -> tuple[LogFile, Block] | None:
        """Return a file that has grown, and its next complete lines; None if no file has.

        A file that was truncated or rewritten, and one that was deleted and read to its end, is forgotten.
        """
        self._checks += 1
        if self._passed and self._checks % _CHECKS_PER_LISTING == 0:
            for file in self._grown():
                self.watch(file)
        for file in tuple(self._open):
            is_gone = file.is_deleted()
            try:
                block = file.read_block() if file.length() > file.offset else None
            except Replaced:
                block, is_gone = None, True
            if block is not None:
                return file, block
            if is_gone:
                self._open.remove(file)
                file.close()
        return None

    def close(self) -> None:
        """Close the files."""
        while self._open:
            self._open.pop().close()

    def _grown(self) -> Iterator[LogFile]:
        for file in self._open_files():
            read = self._passed.get(file.place.identity)
            if read is None or file.size() <= read.size or not file.head().startswith(read.head):
                file.close()
                continue
            del self._passed[file.place.identity]
            start = max(0, read.size - CHUNK)
            file.seek(start + file.peek(read.size - start, start).rfind(b"\n") + 1)
            yield file

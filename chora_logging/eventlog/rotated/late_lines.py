"""Finds the lines that are added to rotated files after a follower has read them.

A process that keeps the file open may write to it long after the rotation: a shell's redirection, a
service whose output systemd appends to the log, a writer that was suspended before its `write`.
"""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterable
from typing import NamedTuple

from chora_logging.eventlog.events import Block
from chora_logging.eventlog.rotated.cursor import GUARD
from chora_logging.eventlog.rotated.file import LogFile, Replaced
from chora_logging.eventlog.rotated.plain import CHUNK, Moved

#: How many files that have grown are held open.
_OPEN_FILES = 8


class _Read(NamedTuple):
    """How much of a file was read, its first bytes and the last of these, because inodes are reused.

    What counts as read without having been read may end within a line.
    """

    size: int
    head: bytes
    tail: bytes
    is_exact: bool = False


class LateLines:
    """The rotated files that a follower has passed.

    Args:
        open_files: Opens all files of the log.
    """

    def __init__(self, open_files: Callable[[], Iterable[LogFile]]) -> None:
        self._open_files = open_files
        self._passed: dict[tuple[int, int], _Read] = {}
        self._grown: collections.deque[LogFile] = collections.deque()

    def leave(self, file: LogFile) -> None:
        """Record that *file* was read up to its offset."""
        self._passed[file.place.identity] = _Read(file.offset, file.head_as_read(), file.tail, is_exact=True)

    def hold(self, older: Iterable[LogFile]) -> None:
        """Record that *older* are the files before the current one; those seen first now count as read."""
        now = {file.place.identity: file for file in older if not file.compressed}
        for file in self._grown:
            now.pop(file.place.identity, None)
        self._passed = {
            identity: self._passed.get(identity) or _as_it_is(file) for identity, file in now.items()
        }

    def next_block(self, *, look: bool) -> tuple[LogFile, Block] | None:
        """Return a file that has grown, and its next complete lines; None if no file has.

        A file that was truncated or rewritten, and one that was deleted and read to its end, is forgotten.

        Args:
            look: Look at all files, and not only at those that have grown before.
        """
        if look and self._passed:
            self._find_grown()
        for file in tuple(self._grown):
            is_gone = file.is_deleted()
            try:
                block = file.read_block() if file.length() > file.offset else None
            except Replaced:
                block, is_gone = None, True
            if block is not None:
                return file, block
            if is_gone:
                self._grown.remove(file)
                file.close()
        return None

    def close(self) -> None:
        """Close the files."""
        while self._grown:
            self._grown.pop().close()

    def _find_grown(self) -> None:
        for file in self._open_files():
            try:
                is_grown = self._has_grown(file)
            except Moved:  # the next look finds it
                is_grown = False
            if is_grown:
                self._grown.append(file)
            else:
                file.close()
        while len(self._grown) > _OPEN_FILES:
            oldest = self._grown.popleft()
            self.leave(oldest)
            oldest.close()

    def _has_grown(self, file: LogFile) -> bool:
        """Return whether *file* has more bytes than were read; it is then open, at the line after these."""
        read = self._passed.get(file.place.identity)
        if read is None or file.size() <= read.size or not file.head().startswith(read.head):
            return False
        start = max(0, read.size - CHUNK)
        before = file.peek(read.size - start, start)
        if not before.endswith(read.tail):
            return False
        file.resume()
        del self._passed[file.place.identity]
        file.seek(read.size if read.is_exact else start + before.rfind(b"\n") + 1)
        return True


def _as_it_is(file: LogFile) -> _Read:
    size = file.size()
    start = max(0, size - GUARD)
    return _Read(size, file.head_as_read(), file.peek(size - start, start))

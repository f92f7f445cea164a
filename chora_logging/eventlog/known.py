"""Files that have been read or are older than what has been read, known again under any name."""

from __future__ import annotations

import collections
from typing import NamedTuple

from chora_logging.eventlog.cursor import GUARD
from chora_logging.eventlog.files import LogFile

#: How many are remembered.
_REMEMBERED = 200


class KnownFiles:
    """The newest of them: by inode nothing is known, for that is given to new files again."""

    def __init__(self) -> None:
        self._files: collections.deque[_Known] = collections.deque(maxlen=_REMEMBERED)

    def add(self, file: LogFile) -> None:
        """Remember *file*; an empty one has nothing by which to know it."""
        if not file.head() or file in self:
            return
        length, guard = file.length(), None
        if not file.compressed:
            guard = file.peek(GUARD, max(0, length - GUARD))
        self._files.append(_Known(file.place.identity, file.head(), length, guard))

    def __contains__(self, file: LogFile) -> bool:
        return self.length_of(file) > 0

    def length_of(self, file: LogFile) -> int:
        """How many bytes of *file* are known; 0 if it is not."""
        return max((known.length for known in self._files if known.is_file(file)), default=0)


class _Known(NamedTuple):
    identity: tuple[int, int]
    head: bytes
    length: int
    guard: bytes | None  # what it ended with; None of a compressed one, which had to be unpacked for that

    def is_file(self, file: LogFile) -> bool:
        if not file.head().startswith(self.head):
            return False
        if file.compressed or self.guard is None:
            if file.length() != self.length:
                return False
            if self.guard is None or file.place.identity == self.identity:
                return True
        elif file.length() < self.length:
            return False
        return file.peek(len(self.guard), self.length - len(self.guard)) == self.guard

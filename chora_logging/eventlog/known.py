"""Files that have been read or are older than what has been read, known again under any name."""

from __future__ import annotations

import collections
import struct
import zlib
from typing import NamedTuple

from chora_logging.eventlog.rotated.content import CHUNK
from chora_logging.eventlog.rotated.cursor import GUARD
from chora_logging.eventlog.rotated.file import LogFile

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
        length = file.length()
        guard = b"" if file.compressed else file.peek(GUARD, max(0, length - GUARD))
        self._files.append(_Known(file.head(), length, guard, file.fingerprint()[1]))

    def __contains__(self, file: LogFile) -> bool:
        return self.length_of(file) > 0

    def length_of(self, file: LogFile) -> int:
        """How many bytes of *file* are known; 0 if it is not."""
        return max((known.length for known in self._files if known.is_file(file)), default=0)


class _Known(NamedTuple):
    head: bytes
    length: int
    guard: bytes  # what a plain one ended with
    trailer: bytes  # what a compressed one ends with: checksum and length; nothing of a plain one

    def is_file(self, file: LogFile) -> bool:
        if not file.head().startswith(self.head):
            return False
        if self.trailer:
            return self.trailer == (file.fingerprint()[1] if file.compressed else _trailer(file, self.length))
        if file.length() < self.length or (file.compressed and file.length() > self.length):
            return False
        return file.peek(len(self.guard), self.length - len(self.guard)) == self.guard


def _trailer(file: LogFile, length: int) -> bytes:
    """What *file* would end with if it were compressed; nothing if it has not this length."""
    if file.length() != length:
        return b""
    checksum = offset = 0
    while data := file.peek(CHUNK, offset):
        checksum = zlib.crc32(data, checksum)
        offset += len(data)
    return struct.pack("<II", checksum, offset & 0xFFFFFFFF)

"""The bytes of an open file, plain or compressed, from any offset."""

from __future__ import annotations

import gzip
import os
import stat
import time
import zlib
from typing import Protocol

#: How many bytes are read at once.
CHUNK = 256 * 1024

_MAGIC = b"\x1f\x8b"

#: What the end of a compressed file holds: checksum and length of what was compressed.
_TRAILER_BYTES = 8


class Content(Protocol):
    """What a file holds.

    Attributes:
        packed: Whether it is compressed: then it does not change, and is best read forwards.
        damage: Why it cannot be read to its end; empty as long as that is not known.
    """

    packed: bool
    damage: str

    def read(self, size: int, offset: int) -> bytes:
        """At most *size* bytes from *offset* on; fewer only at the end."""

    def size(self) -> int:
        """How many bytes there are; for a compressed file it is unpacked to know."""

    def length(self) -> int:
        """The same, as a compressed file itself says: below 4 GiB, and not checked."""

    def time(self) -> int:
        """When it was last written to, in milliseconds since 1970."""

    def age(self) -> float:
        """How long ago it was last written to or renamed, in seconds."""

    def fingerprint(self) -> tuple[int, bytes]:
        """Of a compressed file: what no other one has."""

    def close(self) -> None:
        """Close it; once more does nothing."""


def open_content(path: str) -> tuple[Content, os.stat_result] | None:
    """The content of the file *path*, and which file it is; None if it is no regular file.

    Raises:
        OSError: it cannot be opened.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a FIFO has no end to wait for
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode):
        os.close(fd)
        return None
    # No JSON begins so. The name says nothing: a rotator may compress without an ending.
    packed = os.pread(fd, len(_MAGIC), 0) == _MAGIC
    return (PackedContent(fd) if packed else PlainContent(fd)), status


class PlainContent:
    """A file as it was written; it may grow and be truncated."""

    packed = False
    damage = ""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def read(self, size: int, offset: int) -> bytes:
        """At most *size* bytes from *offset* on."""
        return os.pread(self._fd, size, offset)

    def size(self) -> int:
        """How many bytes there are now."""
        return os.fstat(self._fd).st_size

    def length(self) -> int:
        """How many bytes there are now."""
        return self.size()

    def time(self) -> int:
        """When it was last written to, in milliseconds since 1970."""
        return os.fstat(self._fd).st_mtime_ns // 1_000_000

    def age(self) -> float:
        """How long ago it was last written to or renamed, in seconds."""
        return time.time() - os.fstat(self._fd).st_ctime

    def fingerprint(self) -> tuple[int, bytes]:
        """Nothing: it may change."""
        return 0, b""

    def close(self) -> None:
        """Close it; once more does nothing."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class PackedContent:
    """A gzip file; it ends where it is damaged."""

    packed = True

    def __init__(self, fd: int) -> None:
        status = os.fstat(fd)
        length = min(_TRAILER_BYTES, status.st_size)
        self.damage = ""
        self._fingerprint = status.st_size, os.pread(fd, length, status.st_size - length)
        self._time = _time_before_compression(fd, status)
        self._raw = os.fdopen(fd, "rb")
        self._file = gzip.GzipFile(fileobj=self._raw)
        self._begin = 0  # where the buffer begins
        self._buffer = (
            b""  # so that reading on from a little before the end of the last part unpacks nothing again
        )
        self._size: int | None = None

    def read(self, size: int, offset: int) -> bytes:
        """At most *size* bytes from *offset* on."""
        end = self._begin + len(self._buffer)
        if not self._begin <= offset <= end:
            self._begin, self._buffer = offset, b""
            end = offset
            if not self._seek(offset):
                return b""
        parts = [self._buffer[offset - self._begin :]]
        while end < offset + size and (data := self._unpack(CHUNK)):
            parts.append(data)
            end += len(data)
        self._begin, self._buffer = offset, b"".join(parts)
        return self._buffer[:size]

    def size(self) -> int:
        """How many bytes there are unpacked, up to where it is damaged."""
        if self._size is None:
            offset = 0
            while data := self.read(CHUNK, offset):
                offset += len(data)
            self._size = offset
        return self._size

    def length(self) -> int:
        """How many bytes it says that there are."""
        return int.from_bytes(self._fingerprint[1][4:], "little")

    def time(self) -> int:
        """When what was compressed had last been written to, in milliseconds since 1970."""
        return self._time

    def age(self) -> float:
        """How long ago it was last written to or renamed, in seconds."""
        return time.time() - os.fstat(self._raw.fileno()).st_ctime

    def fingerprint(self) -> tuple[int, bytes]:
        """Its length, and the checksum and length that it ends with."""
        return self._fingerprint

    def close(self) -> None:
        """Close it; once more does nothing."""
        self._file.close()
        self._raw.close()

    def _seek(self, offset: int) -> bool:
        try:
            return self._file.seek(offset) == offset
        except (OSError, EOFError, zlib.error) as error:
            self.damage = str(error)
            return False

    def _unpack(self, size: int) -> bytes:
        try:
            return self._file.read1(size)
        except (OSError, EOFError, zlib.error) as error:
            self.damage = str(error)
            return b""


def _time_before_compression(fd: int, status: os.stat_result) -> int:
    """When the file in a compressed one was last written to, in milliseconds: to the second in its header."""
    written = status.st_mtime_ns // 1_000_000
    seconds = int.from_bytes(os.pread(fd, 4, 4), "little")
    return written if seconds in (0, written // 1000) else seconds * 1000

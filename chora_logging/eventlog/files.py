"""An open file of a log, plain or compressed, read in blocks of complete lines from any offset."""

from __future__ import annotations

import contextlib
import gzip
import os
import tempfile
import zlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

from chora_logging.eventlog.cursor import GUARD, HEAD, NO_LOG, Origin, Position, digest
from chora_logging.eventlog.items import Block

#: How many bytes are read at once; a line that is longer is read whole all the same …
CHUNK = 256 * 1024

#: … up to this length. Longer ones are passed over.
LONGEST = 32 * 1024 * 1024

ReadAt = Callable[[int, int], bytes]


class Place(NamedTuple):
    """Where a file of the set stands: its backup number (0 is the live file) and its identity."""

    number: int
    device: int
    inode: int

    @property
    def identity(self) -> tuple[int, int]:
        """What stays the same under any name."""
        return self.device, self.inode


class Replaced(Exception):  # noqa: N818  # it is news, not an error
    """What was read is not in the file any more: it was truncated or written anew."""


class LogFile:
    """An open file of the set.

    Args:
        path: The name under which it was found.
        place: Where it was found.
    """

    compressed = False

    def __init__(self, path: str, place: Place) -> None:
        self.path = path
        self.place = place
        self.offset = 0
        self.log_id = NO_LOG
        self.generation: int | None = None
        self.tail = b""
        self._head = b""
        self._stamp = 0

    def read_block(self, stop: int | None = None) -> Block | None:
        """The next complete lines, up to the offset *stop* if it is given; None at the end.

        Raises:
            Replaced: the file is not what it was; `seek` goes on somewhere.
        """
        size = CHUNK
        while True:
            data = self._next(size)
            if stop is not None:
                data = data[: max(0, stop - self.offset)]
            end = data.rfind(b"\n") + 1
            if end:
                return self._advance(data[:end])
            if len(data) < size:
                return None
            if size >= LONGEST:
                return self._pass_over()
            size *= 2

    def seek(self, offset: int) -> None:
        """Go to *offset*."""
        start = max(0, offset - GUARD)
        self.tail = self._at(offset - start, start)
        self.offset = start + len(self.tail)
        self._stamp = self.time()

    def holds(self, position: Position) -> bool:
        """Whether *position* is in this file, by content."""
        length = min(HEAD, position.offset)
        if not length or digest(self._first(length)) != position.head:
            return False
        start = max(0, position.offset - GUARD)
        before = self._at(position.offset - start, start)
        return len(before) == position.offset - start and digest(before) == position.guard

    def position(self) -> Position:
        """Where it is read from next, as it was when it was read up to there."""
        return self._origin()._replace(time=self._stamp or self.time()).position(self.offset, self.tail)

    def head(self) -> bytes:
        """Its first bytes."""
        return self._first(HEAD)

    def time(self) -> int:
        """When it was last written to, in milliseconds since 1970."""
        return 0

    @contextlib.contextmanager
    def at_random(self) -> Iterator[tuple[ReadAt, int]]:
        """A function that reads so many bytes from an offset, and how many there are."""
        yield self._at, self.size()

    def origin_at(self, offset: int) -> Origin:
        """What positions up to *offset* have in common."""
        return self._as_origin(self._first(min(HEAD, offset)))

    def size(self) -> int:
        """How many bytes there are to read."""
        raise NotImplementedError

    def close(self) -> None:
        """Close it; once more does nothing."""

    def _next(self, size: int) -> bytes:
        raise NotImplementedError

    def _at(self, size: int, offset: int) -> bytes:
        raise NotImplementedError

    def _first(self, length: int) -> bytes:
        return self._at(length, 0)

    def _moved(self, length: int) -> None:
        """*length* bytes have been handed out."""

    def _advance(self, data: bytes) -> Block:
        start, before = self.offset, self.tail
        self.offset += len(data)
        self.tail = (before + data)[-GUARD:] if len(data) < GUARD else data[-GUARD:]
        self._moved(len(data))
        origin = self._origin(data if not start else b"")
        self._stamp = origin.time
        return Block(self.path, start, data, before, origin)

    def _pass_over(self) -> Block | None:
        raise NotImplementedError

    def _origin(self, beginning: bytes = b"") -> Origin:
        if len(self._head) < min(HEAD, self.offset):
            self._head = beginning[:HEAD] or self._first(min(HEAD, self.offset))
        return self._as_origin(self._head)

    def _as_origin(self, head: bytes) -> Origin:
        if self.generation is None:
            return Origin(NO_LOG, 0, self.place.inode, self.time(), head)
        return Origin(self.log_id, self.generation, self.place.inode, self.time(), head)


class PlainFile(LogFile):
    """A file as it was written, which may grow.

    Args:
        fd: An open descriptor; it is closed by `close`.
        path: The name under which it was found.
        place: Where it was found.
        until: Read only that many bytes; None follows a file that grows.
    """

    def __init__(self, fd: int, path: str, place: Place, until: int | None = None) -> None:
        super().__init__(path, place)
        self._fd = fd
        self._until = until
        self._scanned = 0

    def seek(self, offset: int) -> None:
        """Go to *offset*."""
        super().seek(offset)
        self._scanned = 0
        self._head = self._first(min(HEAD, self.offset))

    def time(self) -> int:
        """When it was last written to, in milliseconds since 1970."""
        return os.fstat(self._fd).st_mtime_ns // 1_000_000

    def size(self) -> int:
        """How many bytes there are to read."""
        return os.fstat(self._fd).st_size if self._until is None else self._until

    def close(self) -> None:
        """Close it; once more does nothing."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _next(self, size: int) -> bytes:
        if self._until is not None:
            size = max(0, min(size, self._until - self.offset))
        length = len(self.tail)
        data = os.pread(self._fd, size + length, self.offset - length)
        if not data.startswith(self.tail):
            if self._until is not None:
                return b""
            raise Replaced
        return data[length:]

    def _at(self, size: int, offset: int) -> bytes:
        return os.pread(self._fd, size, offset)

    def _pass_over(self) -> Block | None:
        """Find the end of a line that is too long, without keeping it."""
        start, before = self.offset, self.tail
        scan = max(self._scanned, start)
        while data := os.pread(self._fd, CHUNK, scan):
            found = data.find(b"\n")
            if found >= 0:
                self.seek(scan + found + 1)
                return Block(self.path, start, b"", before, self._origin(), self.offset - start)
            scan += len(data)
        self._scanned = scan
        return None


class CompressedFile(LogFile):
    """A compressed backup; what is broken in it ends it."""

    compressed = True

    def __init__(self, fd: int, path: str, place: Place) -> None:
        super().__init__(path, place)
        self._time = _time_before_compression(fd)
        self._raw = os.fdopen(fd, "rb")
        self._file = gzip.GzipFile(fileobj=self._raw)
        self._rest = b""
        self._beginning: bytes | None = None

    def time(self) -> int:
        """When it was last written to, in milliseconds since 1970."""
        return self._time

    def close(self) -> None:
        """Close it; once more does nothing."""
        self._file.close()
        self._raw.close()

    def seek(self, offset: int) -> None:
        """Go to *offset*."""
        super().seek(offset)
        self._rest = b""

    @contextlib.contextmanager
    def at_random(self) -> Iterator[tuple[ReadAt, int]]:
        """As for other files; it is unpacked into a temporary file, for it can only be read forwards."""
        with tempfile.TemporaryFile() as unpacked:
            self.seek(0)
            while data := self._read(CHUNK):
                unpacked.write(data)
            unpacked.flush()
            fd = unpacked.fileno()
            yield (lambda size, offset: os.pread(fd, size, offset)), unpacked.tell()

    def size(self) -> int:
        """One if there is anything: how much is known only when all of it has been read."""
        return len(self._first(1))

    def _next(self, size: int) -> bytes:
        while len(self._rest) < size and (data := self._read(CHUNK)):
            self._rest += data
        return self._rest[:size]

    def _moved(self, length: int) -> None:
        self._rest = self._rest[length:]

    def _first(self, length: int) -> bytes:
        if self._beginning is None:
            self._beginning = self._at(HEAD, 0)
            self.seek(self.offset)
        return self._beginning[:length]

    def _at(self, size: int, offset: int) -> bytes:
        try:
            self._file.seek(offset)
        except (OSError, EOFError, zlib.error):
            return b""
        return self._read(size)

    def _read(self, size: int) -> bytes:
        try:
            return self._file.read(size)
        except (OSError, EOFError, zlib.error):
            return b""

    def _pass_over(self) -> Block | None:
        start, before, length = self.offset, self.tail, 0
        while data := self._next(CHUNK):
            found = data.find(b"\n") + 1
            taken = found or len(data)
            self._moved(taken)
            self.tail = (self.tail + data[:taken])[-GUARD:]
            self.offset += taken
            length += taken
            if found:
                return Block(self.path, start, b"", before, self._origin(), length)
        return None


def _time_before_compression(fd: int) -> int:
    """When the file in a compressed one was last written to, in milliseconds: to the second in its header."""
    time = os.fstat(fd).st_mtime_ns // 1_000_000
    seconds = int.from_bytes(os.pread(fd, 4, 4), "little")
    return time if seconds in (0, time // 1000) else seconds * 1000

"""A file of a log, read in blocks of complete lines from any offset."""

from __future__ import annotations

import contextlib
import functools
import os
import tempfile
from collections.abc import Callable, Iterator
from typing import NamedTuple

from chora_logging.eventlog.events import Block, Skipped
from chora_logging.eventlog.lines import SHOWN_LINE_BYTES
from chora_logging.eventlog.rotated.content import CHUNK as CHUNK
from chora_logging.eventlog.rotated.content import Content
from chora_logging.eventlog.rotated.cursor import GUARD, HEAD, NO_LOG, Origin, Position, digest

#: A line that is longer than what is read at once is read whole all the same, up to this length in bytes.
#: Longer ones are passed over.
LONGEST_LINE_BYTES = 32 * 1024 * 1024

ReadAt = Callable[[int, int], bytes]


class Place(NamedTuple):
    """Where a file of the set stands.

    Attributes:
        number: Its backup number; 0 is the live file.
        device, inode: Which file it is.
        is_ours: Whether our handler gives such names, so that the number tells the generation.
    """

    number: int
    device: int
    inode: int
    is_ours: bool = True

    @property
    def identity(self) -> tuple[int, int]:
        """What stays the same under any name."""
        return self.device, self.inode


class Replaced(Exception):  # noqa: N818  # it is news, not an error
    """What was read is not in the file any more: it was truncated or written anew."""


class LogFile:
    """An open file of the set, which may grow.

    Args:
        path: The name under which it was found.
        place: Where it was found.
        content: Its bytes; they are closed by `close`.

    Attributes:
        missing: How many bytes that it had cannot be read any more.
    """

    missing = 0

    def __init__(self, path: str, place: Place, content: Content) -> None:
        self.path = path
        self.place = place
        self.offset = 0
        self.log_id = NO_LOG
        self.generation: int | None = None
        self.tail = b""
        self._content = content
        self._head = content.read(HEAD, 0)
        self._stamp = 0
        self._scanned = 0
        self._counted = 0, 0  # an offset, and how many newlines are before it

    @property
    def compressed(self) -> bool:
        """Whether it is a compressed file."""
        return self._content.packed

    @property
    def damage(self) -> str:
        """Why a compressed file cannot be read to its end, as far as that is known; else empty."""
        return self._content.damage

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
                return self._advance(data, end)
            if len(data) < size:
                return None
            if size >= LONGEST_LINE_BYTES:
                return self._pass_over()
            size *= 2

    def rest(self) -> Skipped | None:
        """What is left of a finished file after its last line and cannot be read; None if nothing is."""
        data = self._read(SHOWN_LINE_BYTES, self.offset)
        if self.damage:
            reason = f"the compressed file is damaged from here on: {self.damage}"
        elif data.strip():
            reason = "torn: the file ends in the middle of the line"
        else:
            return None
        return Skipped(self.path, self.offset, reason, data)

    def seek(self, offset: int) -> None:
        """Go to *offset*. If the file has been truncated meanwhile, `read_block` says so."""
        start = max(0, offset - GUARD)
        self.tail = self._read(offset - start, start)
        self.offset = offset
        self._stamp = self.time()
        self._scanned = 0
        head = self._first(HEAD)
        if head.startswith(self._head):  # else it is not the file any more that was opened
            self._head = head

    def holds(self, position: Position) -> bool:
        """Whether *position* is in this file, by content."""
        length = min(HEAD, position.offset)
        if not length or digest(self._first(length)) != position.head:
            return False
        start = max(0, position.offset - GUARD)
        before = self._read(position.offset - start, start)
        return len(before) == position.offset - start and digest(before) == position.guard

    def position(self) -> Position:
        """Where it is read from next, as it was when it was read up to there."""
        origin = self._origin(self._head)._replace(time=self._stamp or self.time())
        return origin.position(self.offset, self.tail)

    def stands_at(self, position: Position) -> bool:
        """Whether it is read from *position* next, by what was read when it went there."""
        here = self.position()
        if not position.offset:  # before the first line nothing has been read that could differ
            return not here.offset
        return (here.offset, here.head, here.guard) == (position.offset, position.head, position.guard)

    def head(self) -> bytes:
        """Its first bytes."""
        return self._first(HEAD)

    def head_as_read(self) -> bytes:
        """Its first bytes as they were when they were read."""
        return self._head

    def time(self) -> int:
        """When it was last written to, in milliseconds since 1970."""
        return self._content.time()

    def age(self) -> float:
        """How long ago it was last written to or renamed, in seconds."""
        return self._content.age()

    def fingerprint(self) -> tuple[int, bytes]:
        """Of a compressed file: what no other one has."""
        return self._content.fingerprint()

    def size(self) -> int:
        """How many bytes there are to read; for a compressed file it is unpacked to know."""
        return self._content.size()

    def length(self) -> int:
        """The same, as a compressed file itself says: below 4 GiB, and not checked."""
        return self._content.length()

    def peek(self, size: int, offset: int) -> bytes:
        """At most *size* bytes from *offset* on, as they are now."""
        return self._content.read(size, offset)

    def is_as_opened(self) -> bool:
        """Whether it begins as when it was opened; a compressed one is not looked at."""
        return self.compressed or self._content.read(len(self._head), 0) == self._head

    @contextlib.contextmanager
    def at_random(self) -> Iterator[tuple[ReadAt, int]]:
        """A function that reads so many bytes from an offset, and how many there are.

        A compressed file is unpacked into a temporary one, for it can only be read forwards.
        """
        if not self.compressed:
            yield self._read, self.size()
            return
        with tempfile.TemporaryFile() as unpacked:
            length = 0
            while data := self._read(CHUNK, length):
                length += unpacked.write(data)
            unpacked.flush()
            fd = unpacked.fileno()
            yield (lambda size, offset: os.pread(fd, size, offset)), length

    def origin_at(self, offset: int) -> Origin:
        """What positions up to *offset* have in common."""
        return self._origin(self._first(min(HEAD, offset)))

    def take_content(self) -> Content:
        """Its bytes, for somebody else to close."""
        return self._content

    def close(self) -> None:
        """Close it; once more does nothing."""
        self._content.close()

    def _read(self, size: int, offset: int) -> bytes:
        return self._content.read(size, offset)

    def _first(self, length: int) -> bytes:
        return self._head[:length] if length <= len(self._head) else self._read(length, 0)

    def _next(self, size: int) -> bytes:
        length = len(self.tail)
        data = self._read(size + length, self.offset - length)
        is_tail_whole = length == min(GUARD, self.offset)
        if not (is_tail_whole and data.startswith(self.tail) and self.is_as_opened()):
            raise Replaced
        return data[length:]

    def _advance(self, chunk: bytes, size: int) -> Block:
        start, before = self.offset, self.tail
        self.offset += size
        self.tail = chunk[size - GUARD : size] if size >= GUARD else (before + chunk[:size])[-GUARD:]
        if len(self._head) < min(HEAD, self.offset):
            self._head = (self._head[:start] + chunk[:size])[:HEAD]
        origin = self._origin(self._head)
        self._stamp = origin.time
        line = self._line(start, chunk.count(b"\n", 0, size) if self.compressed else 0)
        return Block(self.path, start, chunk, size, before, origin, first_line=line)

    def _line(self, start: int, count: int) -> Callable[[], int | None]:
        """What tells the number of the line at *start*, from which *count* lines have been read.

        It is asked for seldom. A plain file is read for it, a compressed one would have to be unpacked.
        """
        counted, lines = self._counted
        if not self.compressed:
            return functools.partial(self._line_at, start)
        if counted != start:
            return lambda: None
        self._counted = self.offset, lines + count
        return lambda: lines + 1

    def _line_at(self, offset: int) -> int:
        counted, lines = self._counted if self._counted[0] <= offset else (0, 0)
        while counted < offset and (data := self._read(min(CHUNK, offset - counted), counted)):
            lines += data.count(b"\n")
            counted += len(data)
        self._counted = counted, lines
        return lines + 1

    def _pass_over(self) -> Block | None:
        """Find the end of a line that is too long, without keeping it."""
        start, before = self.offset, self.tail
        scan = max(self._scanned, start)
        while data := self._read(CHUNK, scan):
            found = data.find(b"\n")
            if found >= 0:
                self.seek(scan + found + 1)
                length, origin = self.offset - start, self._origin(self._head)
                return Block(self.path, start, b"", 0, before, origin, length, self._line(start, 1))
            scan += len(data)
        self._scanned = scan
        return None

    def _origin(self, head: bytes) -> Origin:
        if self.generation is None:
            return Origin(NO_LOG, 0, self.place.inode, self.time(), head)
        return Origin(self.log_id, self.generation, self.place.inode, self.time(), head)

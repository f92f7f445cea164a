"""Reads a file of a log in blocks of complete lines, from any offset."""

from __future__ import annotations

import contextlib
import functools
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import NamedTuple

from chora_logging.eventlog.events import Block, Skipped
from chora_logging.eventlog.lines import SHOWN_LINE_BYTES
from chora_logging.eventlog.rotated.content import Content
from chora_logging.eventlog.rotated.cursor import GUARD, HEAD, NO_LOG, FileOrigin, Position
from chora_logging.eventlog.rotated.plain import CHUNK as CHUNK
from chora_logging.log_files import LONGEST_LINE_BYTES as LONGEST_LINE_BYTES
from chora_logging.log_files import Rotated, digest, first_line_checksum

ReadAt = Callable[[int, int], bytes]

#: How many bytes before the next read are compared with what was read: more than a cursor has, because lines
#: may be equally long and end alike.
_TAIL = 4096

#: How much of a line that is too long is read, in bytes.
_SHOWN_BYTES = 64 * 1024


class Place(NamedTuple):
    """The place of a file in the set.

    Attributes:
        number: Its backup number; 0 is the live file.
        device, inode: The identity of the file.
        is_ours: Whether its name is one that our handler gives, so that its number shows its generation.
    """

    number: int
    device: int
    inode: int
    is_ours: bool = True

    @property
    def identity(self) -> tuple[int, int]:
        """Device and inode, which stay the same under any name."""
        return self.device, self.inode


class Replaced(Exception):  # noqa: N818  # an event, not an error
    """The bytes that were read are no longer in the file: it was truncated or rewritten."""


class LogFile:
    """An open file of the set, which may grow.

    Args:
        path: The path at which it was found.
        place: Its place in the set.
        content: Its content; `close` closes it.

    Attributes:
        missing: How many of its bytes can no longer be read.
        missing_before, missing_bytes: How many files between the one before it in the set and this one are
            missing, and their bytes, as far as they are known.
        expected: The size that it had when it was rotated, in bytes; None if it is unknown.
        record: What the last rotations of the log have made, by generation.
        older: The time of the last write to an older file of the set, in milliseconds since 1970; None
            without one.
    """

    missing = 0
    missing_before = missing_bytes = 0
    expected: int | None = None
    record: Mapping[int, Rotated] = MappingProxyType({})
    older: int | None = None

    def __init__(self, path: str, place: Place, content: Content) -> None:
        self.path = path
        self.place = place
        self.offset: int = 0
        self.log_id = NO_LOG
        self.generation: int | None = None
        self.tail: bytes = b""
        self._content = content
        self._head = content.read(HEAD, 0)
        self._stamp = 0
        self._scanned = 0
        self._counted = 0, 0  # an offset and the number of newlines before it

    @property
    def compressed(self) -> bool:
        """Whether it is a compressed file."""
        return self._content.packed

    @property
    def damage(self) -> str:
        """Why a compressed file cannot be read to its end; empty unless a read has failed."""
        return self._content.damage

    def read_block(self, stop: int | None = None) -> Block | None:
        """Return the next complete lines, up to the offset *stop* if there is one; None at the end.

        Raises:
            Replaced: the bytes read last have changed; `seek` to continue.
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
                return self._skip_line()
            size *= 2

    def rest(self) -> Skipped | None:
        """Return the unreadable rest of a finished file after its last line; None if there is none."""
        return self.rest_after(self.offset, self._read)

    def rest_after(self, end: int, read_at: ReadAt) -> Skipped | None:
        """Return the same of a file whose last line ends at *end*; *read_at* is from `at_random`."""
        data = read_at(SHOWN_LINE_BYTES, end)
        if self.damage:
            reason = f"the compressed file is {self.damage}"
        elif data.strip():
            reason = "torn: the file ends in the middle of the line"
        else:
            return None
        return Skipped(self.path, end, reason, data)

    def unended(self) -> Block | None:
        """Return the rest after the last line, with a newline; None if there is none that can be read."""
        data = self._read(LONGEST_LINE_BYTES, self.offset)
        if self.damage or not data.strip() or len(data) == LONGEST_LINE_BYTES:
            return None
        origin, line = self._origin(self._head), self._line(self.offset, 1)
        return Block(self.path, self.offset, data + b"\n", len(data) + 1, self.tail, origin, first_line=line)

    def read_unended(self, stop: int | None = None) -> Block | None:
        """Return the rest after the last line, as it stands in the file; None if none can be read.

        Call it for a finished file, when `read_block` returns None.

        Raises:
            Replaced: as for `read_block`.
        """
        data = self._next(LONGEST_LINE_BYTES)
        if len(data) == LONGEST_LINE_BYTES:
            start, before = self.offset, self.tail
            self.seek(self.size() if stop is None else stop)
            return self._overlong(start, before)
        if stop is not None:
            data = data[: max(0, stop - self.offset)]
        return None if self.damage or not data.strip() else self._advance(data, len(data))

    def seek(self, offset: int) -> None:
        """Go to *offset*; `read_block` raises if the file was truncated meanwhile."""
        start = max(0, offset - _TAIL)
        self.tail = self._read(offset - start, start)
        self.offset = offset
        self._stamp = self.time()
        self._scanned = 0
        head = self._first(HEAD)
        if head.startswith(self._head):  # else the file was replaced since it was opened
            self._head = head

    def holds(self, position: Position) -> bool:
        """Return whether *position* is in this file, by content."""
        length = min(HEAD, position.offset)
        if not length or digest(self._first(length)) != position.head:
            return False
        start = max(0, position.offset - GUARD)
        before = self._read(position.offset - start, start)
        return len(before) == position.offset - start and digest(before) == position.guard

    def position(self) -> Position:
        """Return the position of the next read, with the state of the file at the last one."""
        origin = self._origin(self._head)._replace(time=self._stamp or self.time())
        return origin.position(self.offset, self.tail)

    def is_at(self, position: Position) -> bool:
        """Return whether the next read is at *position*, by the content read when `seek` went there."""
        here = self.position()
        if not position.offset:  # before the first line there is no content to compare
            return not here.offset
        return (here.offset, here.head, here.guard) == (position.offset, position.head, position.guard)

    def head(self) -> bytes:
        """Return its first bytes, at most `HEAD`."""
        return self._first(HEAD)

    def first_line(self) -> int:
        """Return the checksum of its first line, also if that cannot be read; 0 if it is unknown."""
        return self._content.first_line or first_line_checksum(self.head())

    def head_as_read(self) -> bytes:
        """Return its first bytes as they were when they were read."""
        return self._head

    def time(self) -> int:
        """Return the time of the last write, in milliseconds since 1970."""
        return self._content.time()

    def age(self) -> float:
        """Return the time since the last write or rename, in seconds."""
        return self._content.age()

    def is_deleted(self) -> bool:
        """Return whether no name leads to it any more."""
        return self._content.is_deleted()

    def fingerprint(self) -> tuple[int, bytes]:
        """Return what identifies a compressed file; see `Content.fingerprint`."""
        return self._content.fingerprint()

    def size(self) -> int:
        """Return the number of bytes to read; a compressed file is unpacked to count them."""
        return self._content.size()

    def length(self) -> int:
        """Return the number of bytes; for a compressed file the unchecked one in its trailer (mod 4 GiB)."""
        return self._content.length()

    def cut_off(self) -> int:
        """Return how many bytes at its end have been cut off since it was rotated, and were not read."""
        if self.expected is None or self.offset >= self.expected:
            return 0
        if self.compressed and (self.damage or self.length() < self.expected):  # the trailer is not its end
            return max(0, self.expected - self.size())
        return max(0, self.expected - self.length())

    def is_growing(self, pause: float, longest: float) -> bool:
        """Return whether somebody is writing to it: it has grown since it was opened, or does within *pause*.

        Args:
            pause: How long to look, in seconds, and how long ago the last write was.
            longest: How long ago the last write began, at most, so that it is worth it.
        """
        begun = time.monotonic()
        try:
            while not self.compressed and self._content.size() <= self.size():
                age = time.time() - self._content.time() / 1000
                if age <= pause:
                    return True
                if age > longest or time.monotonic() - begun >= pause:
                    return False
                time.sleep(pause / 20)
        except OSError:  # it was rotated meanwhile
            return True
        return not self.compressed

    def peek(self, size: int, offset: int) -> bytes:
        """Return at most *size* bytes from *offset* on, as they are now."""
        return self._content.read(size, offset)

    def has_line(self) -> bool:
        """Return whether a whole line can be read in its first `CHUNK` bytes, or there is no end in them."""
        # Most have one in their beginning; to unpack more takes long.
        if b"\n" in self.peek(HEAD, 0):
            return True
        data = self.peek(CHUNK, 0)
        return b"\n" in data or len(data) == CHUNK

    def is_as_opened(self) -> bool:
        """Return whether its first bytes are unchanged since it was opened; True for a compressed file."""
        return self.compressed or self._content.read(len(self._head), 0) == self._head

    @contextlib.contextmanager
    def at_random(self) -> Iterator[tuple[ReadAt, int]]:
        """Provide a function `(size, offset) -> bytes` for random access, and the number of bytes.

        A compressed file is unpacked into a temporary file, because it can only be read forwards.
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

    def origin_at(self, offset: int) -> FileOrigin:
        """Return the part that positions up to *offset* share."""
        return self._origin(self._first(min(HEAD, offset)))

    def suspend(self) -> None:
        """Close its descriptor; what is read then may be `Moved`."""
        self._content.suspend()

    def resume(self) -> None:
        """Open its descriptor again, to keep it open.

        Raises:
            Moved: it has another name now, or none.
        """
        self._content.resume()

    def take_content(self) -> Content:
        """Return its content; the caller closes it."""
        return self._content

    def close(self) -> None:
        """Close it; a second call does nothing."""
        self._content.close()

    def _read(self, size: int, offset: int) -> bytes:
        return self._content.read(size, offset)

    def _first(self, length: int) -> bytes:
        return self._head[:length] if length <= len(self._head) else self._read(length, 0)

    def _next(self, size: int) -> bytes:
        length = len(self.tail)
        data = self._read(size + length, self.offset - length)
        is_tail_whole = length == min(_TAIL, self.offset)
        if not (is_tail_whole and data.startswith(self.tail) and self.is_as_opened()):
            raise Replaced
        return data[length:]

    def _advance(self, chunk: bytes, size: int) -> Block:
        start, before = self.offset, self.tail
        self.offset += size
        self.tail = chunk[size - _TAIL : size] if size >= _TAIL else (before + chunk[:size])[-_TAIL:]
        if len(self._head) < min(HEAD, self.offset):
            self._head = (self._head[:start] + chunk[:size])[:HEAD]
        origin = self._origin(self._head)
        self._stamp = origin.time
        line = self._line(start, chunk.count(b"\n", 0, size) if self.compressed else 0)
        return Block(self.path, start, chunk, size, before, origin, first_line=line)

    def _line(self, start: int, count: int) -> Callable[[], int | None]:
        """Return a function that gives the number of the line at *start*; *count* lines follow it.

        The number is rarely needed. A plain file is read to count the lines; a compressed one would
        have to be unpacked, so its lines are counted as they are read.
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

    def _skip_line(self) -> Block | None:
        """Skip a line that is too long without holding it in memory."""
        start, before = self.offset, self.tail
        scan = max(self._scanned, start)
        while data := self._read(CHUNK, scan):
            found = data.find(b"\n")
            if found >= 0:
                self.seek(scan + found + 1)
                return self._overlong(start, before)
            scan += len(data)
        self._scanned = scan
        return None

    def _overlong(self, start: int, before: bytes) -> Block:
        """Return the line from *start* up to the offset, which is too long to be read."""
        length, origin = self.offset - start, self._origin(self._head)
        # A packed file would have to be unpacked again from its beginning.
        beginning = b"" if self.compressed else self._read(_SHOWN_BYTES, start)
        line = self._line(start, 1)
        return Block(self.path, start, self.tail, 0, before, origin, length, line, beginning=beginning)

    def _origin(self, head: bytes) -> FileOrigin:
        if self.generation is None:
            return FileOrigin(NO_LOG, 0, self.place.inode, self.time(), head, self.older)
        return FileOrigin(self.log_id, self.generation, self.place.inode, self.time(), head, self.older)

"""Reads a file of a log up to its end when the set was opened, even if it is rotated meanwhile."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

from chora_logging.eventlog.rotated.content import Content
from chora_logging.eventlog.rotated.cursor import GUARD, HEAD, Position
from chora_logging.eventlog.rotated.file import LogFile, Place
from chora_logging.eventlog.rotated.plain import Moved

#: How many bytes of the next files are held open. Files that are rotated fast are small, so they are
#: all read at any speed. Large files are opened when they are read: a reader that pauses keeps only its
#: current file and these few bytes on the disk.
HELD_BYTES = 8 * 1024 * 1024

#: How many files are held open at most.
HELD_FILES = 16

#: How often a file is looked at until nobody writes to it between its time and its end. A line from between
#: would be given, and be a gap to whoever resumes.
_LOOKS = 10


class Lost(NamedTuple):
    """A description of a file whose bytes have moved; the file is found again by this alone.

    Attributes:
        end: The position at its end; None for a compressed file.
        read: The position up to which it was read; None if it was not read.
        head: Its first bytes.
        fingerprint: The fingerprint of a compressed file; see `Content.fingerprint`.
        siblings: The identities of all files that were opened with it.
    """

    end: Position | None
    read: Position | None
    head: bytes
    fingerprint: tuple[int, bytes]
    siblings: frozenset[tuple[int, int]]


#: Returns the lost file, open, and whether it is complete; None if it is gone.
Find = Callable[[Lost], tuple[LogFile, bool] | None]


class StoredFile(LogFile):
    """A snapshot of a file, found again after it was rotated, copied or compressed.

    Each read is followed by a check that the end is unchanged; if it is, the bytes read are valid too.
    The bytes that identify the file are read once, when it is opened.

    Args:
        path: The path at which it was found.
        place: Its place in the set.
        content: Its content; `close` closes it.
        find: Finds the file when it is no longer there.

    Attributes:
        siblings: The identities of all files that were opened with it.
    """

    def __init__(self, path: str, place: Place, content: Content, find: Find) -> None:
        super().__init__(path, place, content)
        self.siblings: frozenset[tuple[int, int]] = frozenset()
        self._find = find
        self._is_held = True
        self._is_gone = False
        for _ in range(_LOOKS):
            self._time = content.time()
            self._remember_end(None if content.packed else content.size())
            if content.time() == self._time:
                break

    def time(self) -> int:
        """Return the time of the last write before it was opened, in milliseconds since 1970."""
        return self._time

    def size(self) -> int:
        """Return the number of bytes to read; a compressed file is unpacked to count them."""
        if self._until is not None:
            return self._until
        with contextlib.suppress(Moved):
            return super().size()
        self.release()
        return super().size() if self._open_again() else 0

    def length(self) -> int:
        """Return the number of bytes; for a compressed file the unchecked one in its trailer (mod 4 GiB)."""
        return super().length() if self._until is None else self._until

    def is_as_opened(self) -> bool:
        """Return whether it is held open and its beginning and end are unchanged."""
        try:
            return self._is_held and not self.missing and super().is_as_opened() and self._is_whole()
        except Moved:
            return False

    def peek(self, size: int, offset: int) -> bytes:
        """Return at most *size* bytes from *offset* on, as they are now; none if it is not held open."""
        try:
            return super().peek(size, offset) if self._is_held else b""
        except Moved:
            return b""

    def disk_size(self) -> int:
        """Return the number of bytes that it occupies on the disk."""
        return self.fingerprint()[0] if self._until is None else self._until

    def release(self) -> None:
        """Close the descriptor until the next read."""
        self._is_held = False
        self._content.close()

    def close(self) -> None:
        """Close it; a second call does nothing."""
        self.release()

    def _remember_end(self, until: int | None) -> None:
        self._until = until
        self._guard = b""
        if until is not None:
            self._head = self._content.read(min(HEAD, until), 0)
            start = max(0, until - GUARD)
            self._guard = self._content.read(until - start, start)

    def _first(self, length: int) -> bytes:
        return self._head[:length]

    def _read(self, size: int, offset: int) -> bytes:
        while (left := size if self._until is None else min(size, self._until - offset)) > 0:
            if self._is_held:
                with contextlib.suppress(Moved):
                    data = self._content.read(left, offset)
                    if self._is_whole():
                        return data
                self.release()
            elif not self._open_again():
                break
        return b""

    def _is_whole(self) -> bool:
        if self._until is None:
            return True
        length = min(GUARD, self._until)
        guard = self._content.read(length, self._until - length)
        return len(guard) == length and guard == self._guard

    def _next(self, size: int) -> bytes:
        return self._read(size, self.offset)  # `_read` checks that it is still the same file

    def _open_again(self) -> bool:
        found = None if self._is_gone else self._find(self._lost())
        if found is None:
            if not self._is_gone:
                self.missing += max(0, self.length() - self.offset)
            self._is_gone = True
            return False
        file, is_whole = found
        self._content = file.take_content()
        self.path, self.place = file.path, file.place
        self._is_held = True
        if self._until is not None and not is_whole:
            shorter = min(self._until, file.size())
            self.missing += self._until - shorter
            self._remember_end(shorter)
        return True

    def _lost(self) -> Lost:
        end = None if self._until is None else self._origin(self._head).position(self._until, self._guard)
        read = self.position() if self.offset else None
        return Lost(end, read, self._head, self.fingerprint(), self.siblings)


def hold_next(files: Sequence[LogFile]) -> None:
    """Hold the first of *files*, in the order of reading, and some of the next ones open.

    The latter are at most `HELD_FILES`, and have at most `HELD_BYTES`.
    """
    held = 0
    for number, file in enumerate(files):
        if isinstance(file, StoredFile):
            held += file.disk_size() if number else 0
            with contextlib.suppress(Moved):
                file.suspend() if number and (number >= HELD_FILES or held > HELD_BYTES) else file.resume()

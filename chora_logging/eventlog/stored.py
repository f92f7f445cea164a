"""A file of a log up to where it ended when the set was opened, whatever becomes of it meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from chora_logging.eventlog.content import Content
from chora_logging.eventlog.cursor import GUARD, HEAD, Position
from chora_logging.eventlog.files import LogFile, Place

#: How many bytes of files that come next are held open. What is rotated fast is small: it is read
#: whole at any speed. What is large is opened when its turn comes: a reader that stands still then
#: keeps the disk from getting back the file that it reads, and these few bytes.
HELD = 8 * 1024 * 1024


class Lost(NamedTuple):
    """What is known of a file whose bytes are not where they were. It is found again by this alone.

    Attributes:
        end: The position at its end; None of a compressed file.
        read: The position that it has been read to; None if none of it has been read.
        head: Its first bytes.
        fingerprint: Of a compressed file: what no other one has.
        siblings: The identities of all files that were opened with it.
    """

    end: Position | None
    read: Position | None
    head: bytes
    fingerprint: tuple[int, bytes]
    siblings: frozenset[tuple[int, int]]


#: Gives what was lost as it is now, open, and whether that is all of it; None if it is gone.
Find = Callable[[Lost], tuple[LogFile, bool] | None]


class StoredFile(LogFile):
    """A file as it was at one moment, found again where it has been rotated, copied or compressed since.

    Each read is followed by a look whether the end is still what it was: then what was read is too.
    What it is known by is read once, when it is opened.

    Args:
        path: The name under which it was found.
        place: Where it was found.
        content: Its bytes; they are closed by `close`.
        find: Looks for it when it is not there any more.

    Attributes:
        siblings: The identities of all files that were opened with it.
    """

    def __init__(self, path: str, place: Place, content: Content, find: Find) -> None:
        super().__init__(path, place, content)
        self.siblings: frozenset[tuple[int, int]] = frozenset()
        self._find = find
        self._is_held = True
        self._is_gone = False
        self._time = content.time()
        self._remember_end(None if content.packed else content.size())

    def time(self) -> int:
        """When it had last been written to when it was opened, in milliseconds since 1970."""
        return self._time

    def size(self) -> int:
        """How many bytes there are to read; for a compressed file it is unpacked to know."""
        return super().size() if self._until is None else self._until

    def length(self) -> int:
        """The same, as a compressed file itself says: below 4 GiB, and not checked."""
        return super().length() if self._until is None else self._until

    def is_as_opened(self) -> bool:
        """Whether it is held, and begins and goes on as when it was opened."""
        return self._is_held and not self.missing and super().is_as_opened() and self._is_whole()

    def peek(self, size: int, offset: int) -> bytes:
        """At most *size* bytes from *offset* on, as they are now; none if it is not held."""
        return super().peek(size, offset) if self._is_held else b""

    def disk_size(self) -> int:
        """How many bytes it keeps on the disk."""
        return self.fingerprint()[0] if self._until is None else self._until

    def release(self) -> None:
        """Close the descriptor until it is needed."""
        self._is_held = False
        self._content.close()

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
        return self._read(size, self.offset)  # `_read` has looked whether it is still the same file

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
    """Of *files*, in the order of reading, hold the first and a few bytes of those that come next."""
    held = 0
    for file in files[1:]:
        if isinstance(file, StoredFile):
            held += file.disk_size()
            if held > HELD:
                file.release()

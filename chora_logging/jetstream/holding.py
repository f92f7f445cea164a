"""The files of a log as they are now, and which of their bytes a stream has.

A block of a stream is found in them by its position, as a follower finds a cursor, and by its content.
Nothing is kept of a block but its range, and ranges that touch are one.
"""

from __future__ import annotations

import bisect
import functools
from collections.abc import Callable, Iterator
from typing import NamedTuple

from chora_logging.eventlog.events import Block
from chora_logging.eventlog.lines import parse
from chora_logging.eventlog.rotated.cursor import HEAD, NO_LOG, Position
from chora_logging.eventlog.rotated.file import LogFile
from chora_logging.eventlog.rotated.file_set import close_all, open_at, open_set
from chora_logging.eventlog.rotated.stored import hold_next
from chora_logging.log_files import digest, read_sidecar

_Search = Callable[[LogFile, bytes, int, int | None], int | None]


class Amount(NamedTuple):
    """A number of lines, and their bytes."""

    lines: int = 0
    bytes: int = 0

    def plus(self, other: Amount) -> Amount:
        """Return the sum."""
        return Amount(self.lines + other.lines, self.bytes + other.bytes)


NOTHING = Amount()


class Spot(NamedTuple):
    """A place in the files.

    Attributes:
        file: The index of the file, in order of age.
        offset: The offset in it, in bytes.
    """

    file: int
    offset: int


class Part(NamedTuple):
    """Whole lines of one file, one after the other.

    Attributes:
        path: The path of the file when it was opened.
        start: Where they begin.
        amount: How many they are.
        is_tail: Whether they follow others in a file that has been rotated, up to its end.
        time: When the file was written to last, in milliseconds since 1970.
    """

    path: str
    start: Spot
    amount: Amount
    is_tail: bool
    time: int

    @property
    def end(self) -> int:
        """The offset after the last of them."""
        return self.start.offset + self.amount.bytes


class Ranges:
    """Ranges of offsets, which do not touch each other."""

    def __init__(self) -> None:
        self._found: list[tuple[int, int]] = []

    def has(self, start: int, end: int) -> bool:
        """Return whether a part of the range is in one of them."""
        at = bisect.bisect_right(self._found, start, key=_end)
        return at < len(self._found) and self._found[at][0] < end

    def add(self, start: int, end: int) -> None:
        """Add a range."""
        first = after = bisect.bisect_left(self._found, start, key=_end)
        while after < len(self._found) and self._found[after][0] <= end:
            start, end = min(start, self._found[after][0]), max(end, self._found[after][1])
            after += 1
        self._found[first:after] = [(start, end)]

    def outside(self) -> Iterator[tuple[int, int | None]]:
        """Yield the ranges between them; the end of the last one is None."""
        start = 0
        for begin, end in self._found:
            if start < begin:
                yield start, begin
            start = end
        yield start, None


def _end(found: tuple[int, int]) -> int:
    return found[1]


class Holding:
    """The files of a log, open, with what a stream has of each.

    What is appended later does not count. The files may be rotated meanwhile. Nothing is written.

    Args:
        path: The live file.
        after: The position up to which a shipper has stored them; None before the beginning.

    Attributes:
        files: The files, oldest first.
        shipped: Where a shipper goes on.
        log_id: The beginning of the log's id, or `NO_LOG`.
        is_other: Whether *after* is not where these files would have it: they were rewritten, or are another
            log's.

    Raises:
        OSError: the live file cannot be opened.

    `close` it.
    """

    def __init__(self, path: str, after: Position | None) -> None:
        if after is None:
            self.files, self.shipped, self.is_other = open_set(path), Spot(0, 0), False
        else:
            self.files, index, gap = open_at(path, after)
            self.shipped = Spot(len(self.files), 0)
            if index is not None:  # else all files are older
                self.shipped = Spot(index, self.files[index].offset)
            self.is_other = gap is not None and self._is_before(index, after)
        hold_next(self.files)
        sidecar = read_sidecar(path)
        self.log_id = NO_LOG if sidecar is None else sidecar.log_id[:8]
        self._has = [Ranges() for _ in self.files]
        self._sizes: dict[int, int] = {}  # a compressed file is unpacked to count its bytes
        self._read: tuple[int, Block] | None = None  # the last read for comparing

    def _is_before(self, index: int | None, position: Position) -> bool:
        """Return whether the file at *index* may be the one of *position*, or one before it."""
        if index is None:
            return False
        generation = self.files[index].generation
        return generation is None or generation <= position.generation

    def close(self) -> None:
        """Close the files; a second call does nothing."""
        close_all(self.files)

    def find(self, start: Position, end: Position, lines: bytes) -> tuple[Spot | None, bool]:
        """Return where a block is, None if it is in no file, and whether its content is the same there.

        Args:
            start: The position before it.
            end: The position after it.
            lines: Its lines, or the marked event in place of a line that no message can hold.
        """
        candidates = self._candidates(end)
        length = end.offset - start.offset
        equal = [
            index
            for index in candidates
            if length == len(lines) and self._bytes(index, start.offset, length) == lines
        ]
        if not equal and length == len(lines) - 1:  # a last line without its newline
            equal = [i for i in candidates if self.files[i].peek(length, start.offset) == lines[:-1]]
        if equal:  # of equal files each has its turn
            new = (index for index in equal if not self._has[index].has(start.offset, end.offset))
            return Spot(next(new, equal[0]), start.offset), True
        for index in candidates:
            self.files[index].seek(end.offset)
            if self.files[index].is_at(end):
                return Spot(index, start.offset), _replaced_bytes(lines) == length
        return None, False

    def has_begin(self, start: Position, end: Position) -> bool:
        """Return whether the line after *start* is in one of the files, if *end* is a later position."""
        if start.offset:
            return any(self.files[index].holds(start) for index in self._candidates(start))
        if start.log_id == NO_LOG:  # before the first line there is no content to compare
            return any(self.files[index].holds(end) for index in self._candidates(end))
        return any((file.log_id, file.generation) == start[:2] for file in self.files)

    def find_late(self, lines: bytes, before: int) -> tuple[Spot | None, int]:
        """Return where lines without a position are, None if they are in no file, and their length there.

        Args:
            lines: As for `find`.
            before: Only files with a lower index may have them.
        """
        searches: list[tuple[_Search, int]] = [(_search, len(lines))]
        if (replaced := _replaced_bytes(lines)) is not None:
            searches.append((_search_replaced, replaced))
        for search, length in searches:
            for index in range(min(before, len(self.files))):
                for start, end in self._outside(index):
                    offset = search(self.files[index], lines, start, end)
                    if offset is not None:
                        return Spot(index, offset), length
        return None, len(lines)

    def add(self, start: Spot, length: int) -> bool:
        """Note that the stream has *length* bytes; return whether it was known of any of them."""
        has = self._has[start.file]
        was_known = has.has(start.offset, start.offset + length)
        has.add(start.offset, start.offset + length)
        return was_known

    def parts(self, *cuts: Spot) -> Iterator[Part]:
        """Yield what the stream does not have, oldest first; no part goes beyond any of *cuts*."""
        for index, file in enumerate(self.files):
            for start, end in self._outside(index):
                inside = {cut.offset for cut in cuts if cut.file == index and cut.offset > start}
                stops = sorted(offset for offset in inside if end is None or offset < end)
                for stop in (*stops, end):
                    amount = functools.reduce(
                        Amount.plus, map(amount_of, self._lines(index, start, stop)), NOTHING
                    )
                    if amount.bytes:
                        is_tail = stop is None and start > 0 and index < len(self.files) - 1
                        yield Part(file.path, Spot(index, start), amount, is_tail, file.time())
                    start = stop or 0

    def blocks(self, part: Part) -> Iterator[Block]:
        """Yield the lines of *part*."""
        yield from self._lines(part.start.file, part.start.offset, part.end)

    def size(self, index: int) -> int:
        """Return the number of bytes in a file."""
        if index not in self._sizes:
            self._sizes[index] = self.files[index].size()
        return self._sizes[index]

    def _outside(self, index: int) -> list[tuple[int, int | None]]:
        """Return the ranges of a file that the stream does not have; the end of the last one is None."""
        outside = self._has[index].outside()
        return [(start, end) for start, end in outside if end is not None or start < self.size(index)]

    def _candidates(self, position: Position) -> list[int]:
        """Return the indexes of the files that begin like that of *position*, the likeliest first."""
        length = min(HEAD, position.offset)
        found = [i for i, file in enumerate(self.files) if digest(file.head()[:length]) == position.head]
        return sorted(found, key=lambda index: _is_unlike(self.files[index], position))

    def _bytes(self, index: int, start: int, length: int) -> bytes:
        """Return lines of a file, of which more than asked for are read and kept: the next ones follow."""
        if self._read is None or self._read[0] != index or not _is_in(self._read[1], start, length):
            self.files[index].seek(start)
            block = self.files[index].read_block()
            if block is None:
                return b""
            self._read = index, block
        block = self._read[1]
        if _is_in(block, start, length):
            return block.chunk[start - block.start : start - block.start + length]
        parts = self._lines(index, start, start + length)  # longer than a read
        return b"".join(part.chunk[: part.size] for part in parts)

    def _lines(self, index: int, start: int, end: int | None) -> Iterator[Block]:
        file = self.files[index]
        file.seek(start)
        while (block := file.read_block(end)) is not None:
            yield block
        if file is self.files[-1] or (end is not None and end <= file.offset):
            return
        if (rest := file.read_unended(end)) is not None:  # of a rotated file
            yield rest


def _is_unlike(file: LogFile, position: Position) -> tuple[bool, bool]:
    is_same = NO_LOG != position.log_id == file.log_id and file.generation == position.generation
    return not is_same, file.place.inode & 0xFFFFFFFF != position.inode


def _is_in(block: Block, start: int, length: int) -> bool:
    return block.start <= start and start + length <= block.start + block.size


def _replaced_bytes(lines: bytes) -> int | None:
    """Return the length of the line that a marked event stands for; None if *lines* are none."""
    event = parse(lines.rstrip(b"\n")) if lines.count(b"\n") == 1 else None
    length = event.get("line_bytes") if event and event.get("truncated") is True else None
    return length if isinstance(length, int) else None


def amount_of(block: Block) -> Amount:
    """Return how many lines *block* has."""
    return Amount(block.lines().count(b"\n") + bool(block.overlong), block.length)


def _search(file: LogFile, lines: bytes, start: int, end: int | None) -> int | None:
    """Return the offset of *lines*, at the beginning of a line, between *start* and *end*."""
    file.seek(start)
    held, base = b"\n", start - 1
    while (block := file.read_block(end)) is not None:
        if block.overlong:
            held, base = b"\n", block.start + block.overlong - 1
            continue
        held += block.chunk[: block.size]
        found = held.find(b"\n" + lines)
        if found >= 0:
            return base + found + 1
        cut = max(0, len(held) - len(lines))
        held, base = held[cut:], base + cut
    return None


def _search_replaced(file: LogFile, lines: bytes, start: int, end: int | None) -> int | None:
    """Return the offset of the line that the marked event *lines* stands for, between *start* and *end*."""
    event = parse(lines.rstrip(b"\n")) or {}
    length, text = event.get("line_bytes"), str(event.get("line", ""))
    beginning = text.rstrip("\ufffd")  # it may be cut within a character
    file.seek(start)
    while (block := file.read_block(end)) is not None:
        if block.overlong and block.overlong == length:
            return block.start
        offset = 0
        while offset < block.size:
            following = block.chunk.index(b"\n", offset) + 1
            if following - offset == length:
                line = block.chunk[offset:following].decode("utf-8", "replace")
                if line.startswith(beginning):
                    return block.start + offset
            offset = following
    return None

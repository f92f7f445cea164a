"""A log read from its end: the newest events without the rest of the file."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from chora_logging.eventlog.events import Block, Event, Skipped
from chora_logging.eventlog.lines import events_in
from chora_logging.eventlog.rotated.cursor import GUARD
from chora_logging.eventlog.rotated.file import CHUNK, LONGEST, LogFile, ReadAt
from chora_logging.eventlog.selection import Selection


def events_backwards(
    files: list[LogFile], selection: Selection, on_skip: Callable[[Skipped], None]
) -> Iterator[Event]:
    """The events of *files*, newest first."""
    for file in reversed(files):
        with file.at_random() as (read_at, size):
            for block in blocks_backwards(file, read_at, _after_newline(read_at, size)):
                yield from events_in(block, selection, on_skip, newest_first=True)


def blocks_backwards(file: LogFile, read_at: ReadAt, end: int) -> Iterator[Block]:
    """The lines of *file* up to *end*, which is after one, in blocks, the last first."""
    origin = file.origin_at(end)
    for start, lines, length in _parts(read_at, end):
        before = read_at(min(start, GUARD), max(0, start - GUARD))
        yield Block(file.path, start, lines, len(lines), before, origin, 0 if lines else length)


def _parts(read_at: ReadAt, end: int) -> Iterator[tuple[int, bytes, int]]:
    """Where some lines begin, the lines, and their length; of one that is too long not the line itself."""
    while end > 0:
        start, size, data = end, CHUNK, b""
        while start == end and size <= LONGEST:
            begin = max(0, end - size - 1)  # a line is whole if the newline before it is seen
            data = read_at(end - begin, begin)
            if len(data) < end - begin:  # truncated meanwhile
                return
            start = 0 if end <= size else begin + (data.find(b"\n", 0, -1) + 1 or len(data))
            size *= 2
        if start == end:
            start, data = _after_newline(read_at, end - 1), b""
        yield start, data[start - end :], end - start
        end = start


def end_of_lines(file: LogFile) -> int:
    """The offset after the last complete line of *file*."""
    with file.at_random() as (read_at, size):
        return _after_newline(read_at, size)


def _after_newline(read_at: ReadAt, size: int) -> int:
    while size > 0:
        length = min(CHUNK, size)
        found = read_at(length, size - length).rfind(b"\n")
        if found >= 0:
            return size - length + found + 1
        size -= length
    return 0

"""A log read from its end: the newest events without the rest of the file."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from chora_logging.eventlog.cursor import GUARD
from chora_logging.eventlog.files import CHUNK, LONGEST, LogFile, ReadAt
from chora_logging.eventlog.items import Event, Skipped
from chora_logging.eventlog.lines import SHOWN, parse, why_not
from chora_logging.eventlog.selection import Selection


def events_backwards(
    files: list[LogFile], selection: Selection, on_skip: Callable[[Skipped], None]
) -> Iterator[Event]:
    """The events of *files*, newest first."""
    for file in reversed(files):
        with file.at_random() as (read_at, size):
            for offset, line in lines_backwards(read_at, size):
                if not selection.may_match(line):
                    continue
                event = parse(line)
                if event is None:
                    if line.strip():
                        on_skip(Skipped(file.path, offset, why_not(line), line[:SHOWN]))
                elif selection.matches(event):
                    end = offset + len(line) + 1
                    before = read_at(min(end, GUARD), max(0, end - GUARD))
                    yield Event(event, (file.origin_at(end), end, before))


def lines_backwards(read_at: ReadAt, size: int) -> Iterator[tuple[int, bytes]]:
    """Each complete line, last first, without its newline, and where it begins.

    A line longer than any event may be is left out.
    """
    start = _after_newline(read_at, size) - 1  # before the last newline; nothing is read of it yet
    parts: list[bytes] = []  # of the line whose beginning has not been read yet, last part first
    overlong = False
    while start > 0:
        length = min(CHUNK, start)
        start -= length
        data = read_at(length, start)
        if len(data) < length:  # truncated meanwhile
            return
        *lines, last = data.split(b"\n")
        parts.append(last)
        if sum(map(len, parts)) > LONGEST:
            parts, overlong = [], True
        if not lines:
            continue
        offset = start + length - len(last)
        if not overlong:
            yield offset, b"".join(reversed(parts))
        for line in reversed(lines[1:]):
            offset -= len(line) + 1
            yield offset, line
        parts, overlong = [lines[0]], False
    if start == 0 and not overlong:
        yield 0, b"".join(reversed(parts))


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

"""Reads the stored events of a log once, from its beginning or from its end."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from chora_logging.eventlog.equal_events import EqualEvents
from chora_logging.eventlog.events import Block, Event, Gap, Skipped
from chora_logging.eventlog.last_line import last_line
from chora_logging.eventlog.lines import events_in, fields_in
from chora_logging.eventlog.rotated import cursor, locating
from chora_logging.eventlog.rotated.cursor import GUARD
from chora_logging.eventlog.rotated.file import CHUNK, LONGEST_LINE_BYTES, LogFile, ReadAt
from chora_logging.eventlog.rotated.file_set import Namer, close_all, open_at, open_set
from chora_logging.eventlog.rotated.stored import hold_next
from chora_logging.eventlog.selection import Selection
from chora_logging.schema import OWN_LOGGER

#: Returns what is read from a block.
_Contents = Callable[[Block, Selection, Callable[[Skipped], None]], Iterator[Any]]

_reported_counts: dict[str, int] = {}

_DELETED = "files were deleted or overwritten while they were read"


def read_forwards(
    path: str,
    selection: Selection,
    after: str | None,
    on_skip: Callable[[Skipped], None] | None,
    namer: Namer | None = None,
) -> Generator[Event | Gap, None, None]:
    """Yield the stored events of the log *path*, oldest first; events appended meanwhile are not read.

    Gaps are yielded only with *after*. Without it they are logged to `chora_logging`, so that a caller
    that reads the whole log gets nothing but events.

    Raises:
        CursorError: *after* is not a cursor.
        OSError: the live file exists and cannot be opened.
    """
    return _read_forwards(path, selection, events_in, after, on_skip, namer)


def read_fields(
    path: str,
    selection: Selection,
    keys: frozenset[str],
    on_skip: Callable[[Skipped], None] | None,
    namer: Namer | None = None,
    equal: EqualEvents | None = None,
) -> Iterator[Mapping[str, Any]]:
    """Yield the fields *keys*, and perhaps others, of the stored events of the log *path*, oldest first.

    Those that *equal* counts are not yielded.

    Raises:
        OSError: the live file exists and cannot be opened.
    """
    return _read_forwards(path, selection, partial(fields_in, keys=keys, equal=equal), None, on_skip, namer)


def _read_forwards(
    path: str,
    selection: Selection,
    contents: _Contents,
    after: str | None,
    on_skip: Callable[[Skipped], None] | None,
    namer: Namer | None,
) -> Generator[Any, None, None]:
    first: int | None = 0
    gap = None
    if after is None:
        files = open_set(path, namer=namer)
    else:
        files, first, gap = open_at(path, cursor.decode(after), namer=namer)
    tally = Tally(path, on_skip)
    try:
        unread = files[len(files) if first is None else first :]
        hold_next(unread)
        for part in _parts(unread, selection, contents, tally):
            if isinstance(part, Gap):
                gap = part if gap is None else locating.joined(gap, part)
                continue
            if gap is not None:
                yield from tally.tell(gap, after)
                gap = None
            yield from part
        if gap is not None:
            yield from tally.tell(gap, after)
    finally:
        close_all(files)
    tally.report()


def read_backwards(
    path: str,
    selection: Selection,
    on_skip: Callable[[Skipped], None] | None,
    namer: Namer | None = None,
) -> Generator[Event, None, None]:
    """Yield the stored events of the log *path*, newest first, reading only as far as needed.

    Raises:
        OSError: the live file exists and cannot be opened.
    """
    files = open_set(path, namer=namer)
    tally = Tally(path, on_skip or _ignore)
    try:
        unread = files[::-1]
        hold_next(unread)
        for file, newer in zip(unread, [None, *unread], strict=False):
            last = _last_line(file, selection, tally)
            yield from last or ()
            yield from events_backwards([file], selection, tally)
            if last is None and file.place.number and (file.damage or not file.compressed):
                file.seek(end_of_lines(file))
                if (rest := file.rest()) is not None:
                    tally(rest)
            hole = locating.gap_of_hole(file, newer)
            file.close()
            if file.missing:
                tally.warn(locating.gap_before(None, file.position(), _DELETED))
            if hole is not None:
                tally.warn(hole)
    finally:
        close_all(files)


def _last_line(file: LogFile, selection: Selection, tally: Tally) -> Iterator[Event] | None:
    if not selection.unended or file.compressed:
        return None
    file.seek(end_of_lines(file))
    return last_line(file, selection, tally)


def _parts(
    files: Sequence[LogFile], selection: Selection, contents: _Contents, skipped: Callable[[Skipped], None]
) -> Iterator[Iterator[Any] | Gap]:
    lost: list[LogFile] = []
    before: cursor.Position | None = None
    finished = {file for file in files if file.place.number}  # the live file may be rotated meanwhile
    for file, following in itertools.zip_longest(files, files[1:]):
        while block := file.read_block():
            if lost:
                yield _gap(lost, before, file)
                lost = []
            yield contents(block, selection, skipped)
        if selection.unended and (last := last_line(file, selection, skipped)) is not None:
            yield last
        elif file in finished and (rest := file.rest()) is not None:
            skipped(rest)
        hole = locating.gap_of_hole(file, following)
        file.close()
        if file.missing:
            lost.append(file)
        if not lost:
            before = file.position()
            if hole is not None:
                yield hole
    if lost:
        yield _gap(lost, before, None)


def _gap(lost: Sequence[LogFile], before: cursor.Position | None, resumes: LogFile | None) -> Gap:
    position = before or lost[0].position()._replace(time=0)
    return locating.gap_before(resumes, position, _DELETED, len(lost), sum(file.missing for file in lost))


class Tally:
    """Passes skipped lines to a callback; without one, logs their number when it has changed."""

    def __init__(self, path: str, on_skip: Callable[[Skipped], None] | None) -> None:
        self._path = path
        self._on_skip = on_skip
        self._count = 0

    def __call__(self, skipped: Skipped) -> None:
        """Count a line, and pass it on."""
        self._count += 1
        if self._on_skip is not None:
            self._on_skip(skipped)

    def report(self) -> None:
        """Log the number of lines if there is no callback and it has changed."""
        if self._on_skip is None and self._count != _reported_counts.get(self._path, 0):
            _reported_counts[self._path] = self._count
            if not self._count:
                return
            logging.getLogger(OWN_LOGGER).warning(
                "%s: skipped %d lines that are not JSON objects", self._path, self._count
            )

    def tell(self, gap: Gap, after: str | None) -> Iterator[Gap]:
        """Yield *gap*; without *after* log it instead."""
        if after is None:
            self.warn(gap)
        else:
            yield gap

    def warn(self, gap: Gap) -> None:
        """Log what is missing."""
        amount = "" if gap.bytes is None else f" ({gap.bytes} bytes)"
        logging.getLogger(OWN_LOGGER).warning("%s: %s%s", self._path, gap.reason, amount)


def _ignore(skipped: Skipped) -> None:
    pass


def events_backwards(
    files: list[LogFile], selection: Selection, on_skip: Callable[[Skipped], None]
) -> Iterator[Event]:
    """Yield the events of *files*, newest first."""
    for file in reversed(files):
        with file.at_random() as (read_at, size):
            for block in blocks_backwards(file, read_at, after_last_newline(read_at, size)):
                yield from events_in(block, selection, on_skip, newest_first=True)


def blocks_backwards(file: LogFile, read_at: ReadAt, end: int) -> Iterator[Block]:
    """Yield the lines of *file* up to *end*, the end of a line, in blocks, last block first."""
    origin = file.origin_at(end)
    for start, lines, length in _parts_backwards(read_at, end):
        before = read_at(min(start, GUARD), max(0, start - GUARD))
        yield Block(file.path, start, lines, len(lines), before, origin, 0 if lines else length)


def _parts_backwards(read_at: ReadAt, end: int) -> Iterator[tuple[int, bytes, int]]:
    """Yield offset, content and length of groups of lines; a line that is too long has no content."""
    while end > 0:
        start, size, data = end, CHUNK, b""
        while start == end and size <= LONGEST_LINE_BYTES:
            begin = max(0, end - size - 1)  # one more byte: the newline before a line shows it is whole
            data = read_at(end - begin, begin)
            if len(data) < end - begin:  # truncated meanwhile
                return
            start = 0 if end <= size else begin + (data.find(b"\n", 0, -1) + 1 or len(data))
            size *= 2
        if start == end:
            start, data = after_last_newline(read_at, end - 1), b""
        yield start, data[start - end :], end - start
        end = start


def end_of_lines(file: LogFile) -> int:
    """Return the offset after the last complete line of *file*."""
    with file.at_random() as (read_at, size):
        return after_last_newline(read_at, size)


def unended_bytes(path: str) -> int:
    """Return the length of what follows the last newline in the live file *path*; 0 if there is none.

    Raises:
        OSError: it cannot be read.
    """
    files = open_set(path)
    try:
        live = files[-1] if files and not files[-1].place.number else None
        return 0 if live is None else live.size() - end_of_lines(live)
    finally:
        close_all(files)


def after_last_newline(read_at: ReadAt, size: int) -> int:
    """Return the offset after the last newline in the first *size* bytes; 0 without one."""
    while size > 0:
        length = min(CHUNK, size)
        found = read_at(length, size - length).rfind(b"\n")
        if found >= 0:
            return size - length + found + 1
        size -= length
    return 0

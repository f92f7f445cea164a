"""Reads one page of a log: some events, and the cursor at which the next page begins."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from chora_logging.eventlog.events import Block, Event, Gap, Skipped
from chora_logging.eventlog.lines import events_in, parse
from chora_logging.eventlog.reading import after_last_newline, blocks_backwards
from chora_logging.eventlog.rotated import cursor, locating
from chora_logging.eventlog.rotated.cursor import GUARD, Position
from chora_logging.eventlog.rotated.file import CHUNK, LogFile, ReadAt
from chora_logging.eventlog.rotated.file_set import Namer, close_all, open_at, open_set, paths_of
from chora_logging.eventlog.rotated.packed import TooLarge
from chora_logging.eventlog.rotated.stored import hold_next
from chora_logging.eventlog.selection import Selection

#: A line counts as so many bytes of the budget at least: short ones cost time, not bytes.
_SHORTEST_LINE_BYTES = 100

#: The bytes of the events of one page, after which it is full: many pages at a time have to fit into memory.
_FULL_PAGE_BYTES = 1024 * 1024

_DELETED = "a file was deleted or overwritten while it was read"


class Page(NamedTuple):
    """A page of events and the cursor of the next one.

    Attributes:
        events: The matching events, in the requested order.
        next: The position after the last line read: the *after* of the next page. None if the log is
            empty.
        more: Whether there may be more events now. False at the end of the log; reading from *next*
            later returns newer events.
        gap: The events missing from this page, if any: before its events in the order of reading, or anywhere
            among them if the request has *each*.
        live: The end of the log when the page was read newest first and without *after*: the cursor for
            following what comes after this page. None if the log is empty.
        unreadable: The number of events that filters passed over because what they ask for cannot be
            read; see `Selection.unreadable`.
        missing: The fields of `where` expressions that no line has, of those that were read.
        skipped: The number of lines that are neither blank nor an event, of those that were decoded, with
            those that a backup ends in the middle of.
        reached: The time of the last line read, in seconds since 1970; None at the end of the log, or if
            no line nearby has a time.
        unended_bytes: The length of what follows the last newline of the live file, if the page has the end
            of the log: a line that is being written, or was left without a newline. It is given once it is
            ended.
    """

    events: list[Event]
    next: str | None
    more: bool
    gap: Gap | None = None
    live: str | None = None
    unreadable: Mapping[str, int] = MappingProxyType({})
    missing: Sequence[str] = ()
    skipped: int = 0
    reached: float | None = None
    unended_bytes: int = 0


class PageRequest(NamedTuple):
    """What is asked of a page besides the filter.

    Attributes:
        after: The `next` of the previous page, with the same *newest_first*; None for the first page.
        limit: The maximum number of events; a page of large ones has fewer.
        budget: About how many bytes are read before the page ends with the events found so far.
        newest_first: Read from the end of the log to its beginning.
        including: Begin with the event that ends at *after*; only with *newest_first*.
        each: Called with each event of the page, which then holds none; the page ends after one for which
            it returns False, and goes on where events are missing.
    """

    after: str | None = None
    limit: int = 100
    budget: int = 1 << 26
    newest_first: bool = False
    including: bool = False
    each: Callable[[Event], bool] | None = None


class Collected:
    """The page under construction: its events, next cursor and remaining budget."""

    def __init__(self, asked: PageRequest, selection: Selection) -> None:
        self.events: list[Event] = []
        self.gap: Gap | None = None
        self.next = asked.after
        self.live: str | None = None
        self.unended_bytes = 0
        self.asked = asked
        self._left = asked.budget
        self._selection = selection
        self._number = 0
        self._bytes = 0
        self._last: Event | None = None
        self._block: Block | None = None  # with the last line read, if that is not the last event
        self._is_full = False
        self._skipped = 0
        self._counts: tuple[Mapping[str, int], int] | None = None
        self._when_full: tuple[Mapping[str, int], int] | None = None

    @property
    def is_empty(self) -> bool:
        """Whether the page has no event yet."""
        return self._last is None

    def add(self, event: Event) -> bool:
        """Add *event*; return False if the page was already full."""
        if self._is_full:
            assert self._last is not None
            self.next = self._last.cursor
            self._block, self._counts = None, self._when_full
            return False
        self._last = event
        self._number += 1
        if self.asked.each is None:
            self.events.append(event)
            self._bytes += len(event.json)
        elif not self.asked.each(event):
            self._is_full = True
        if self._is_full or self._number == self.asked.limit or self._bytes >= _FULL_PAGE_BYTES:
            self._is_full, self._when_full = True, (self._selection.unreadable, self._skipped)
        return True

    def skip(self, skipped: Skipped) -> None:
        """Count a line that is not an event, or what is left after the last line of a backup."""
        self._skipped += 1

    def pass_by(self, length: int, position: str, block: Block | None = None) -> bool:
        """Count *length* bytes read up to *position*, the lines of *block*; return False if none are left."""
        self.next, self._block = position, block
        lines = 0 if block is None else block.chunk.count(b"\n", 0, block.size)
        self._left -= max(length, lines * _SHORTEST_LINE_BYTES)
        return self._left > 0

    def miss(self, file: LogFile) -> None:
        """Record a gap if a part of *file* was deleted or overwritten while it was read."""
        if file.missing and self.gap is None:
            self.gap = locating.gap_before(None, file.position(), _DELETED, 1, file.missing)

    def may_pass(self, file: LogFile, following: LogFile | None) -> bool:
        """Return whether the page goes on from *file* to *following*, the newer of them, or back.

        Where files between them are missing, or the end of *file*, a page with events in their order ends,
        and the next one begins with the gap.

        Args:
            file: It has been read to its end, so that it is known whether it is damaged.
            following: The next newer file; None if there is none.
        """
        hole = locating.gap_of_hole(file, following)
        if hole is None:
            return True
        if self._is_full or not (self.is_empty or self.asked.each):
            return False
        if self.gap is None:
            self.gap = hole
        else:
            older, newer = (hole, self.gap) if self.asked.newest_first else (self.gap, hole)
            self.gap = locating.joined(older, newer)
        return True

    def page(self, more: bool) -> Page:
        """Return the page; *more* says whether there may be more events now."""
        unreadable, skipped = self._counts or (self._selection.unreadable, self._skipped)
        missing, reached = self._selection.missing, self._reached() if more else None
        rest = missing, skipped, reached, self.unended_bytes
        return Page(self.events, self.next, more, self.gap, self.live, unreadable, *rest)

    def _reached(self) -> float | None:
        """Return the time of the last line read, or of the nearest one before it that has a time."""
        time_of = self._selection.meaning.time_of
        if self._block is None:
            return None if self._last is None else time_of(self._last)
        lines = self._block.chunk[: self._block.size].split(b"\n")
        events = map(parse, lines if self.asked.newest_first else reversed(lines))
        times = (time_of(event) for event in events if event is not None)
        return next((time for time in times if time is not None), None)


def read_page(
    path: str, selection: Selection, asked: PageRequest, *, namer: Namer | None = None
) -> Generator[None, None, Page]:
    """Read one page of the log *path* in short steps; the generator returns the page.

    Each step reads one block of lines, so that requests can alternate. Close the generator if it is
    not run to its end: it holds the files open.

    Args:
        path: The live file; it need not exist.
        selection: The filter, of this page alone.
        asked: Where the page begins and ends.
        namer: The namer of the handler that makes the backups, if it has one.

    Raises:
        CursorError: *after* is not a cursor.
        OSError: the live file exists and cannot be read.
        TooLarge: more is to be unpacked than is allowed before there is anything for the page.
    """
    position = None if asked.after is None else cursor.decode(asked.after)
    found = Collected(asked, selection)
    first: int | None = 0
    if position is None:
        files = open_set(path, namer=namer)
    else:
        files, first, found.gap = open_at(path, position, namer=namer)
    try:
        if asked.newest_first:
            return (yield from _backwards(files, first, position, selection, found))
        return (yield from _forwards(files[len(files) if first is None else first :], selection, found))
    except TooLarge:
        if found.next == asked.after:
            raise
        return found.page(more=True)  # the next page is refused
    finally:
        close_all(files)


def run(steps: Generator[None, None, Page]) -> Page:
    """Run all *steps* of reading a page, and return it."""

    def through() -> Iterator[None]:
        pages.append((yield from steps))

    pages: list[Page] = []
    for _ in through():
        pass
    return pages[0]


def state_of(path: str, namer: Namer | None = None) -> tuple[tuple[int, ...], ...]:
    """Return device, inode, size and mtime of each file of the log *path*, to notice changes."""
    found = []
    for name in paths_of(path, namer):
        try:
            status = os.stat(name)
        except OSError:
            continue
        found.append((status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns))
    return tuple(found)


def _forwards(unread: list[LogFile], selection: Selection, found: Collected) -> Generator[None, None, Page]:
    hold_next(unread)
    finished = {file for file in unread if file.place.number}  # the live file may be rotated meanwhile
    for file, following in itertools.zip_longest(unread, unread[1:]):
        while block := file.read_block():
            for event in events_in(block, selection, found.skip):
                if not found.add(event):
                    return found.page(more=True)
            if not found.pass_by(block.length, cursor.encode(file.position()), block):
                return found.page(more=True)
            yield
        is_last = not found.may_pass(file, following)
        if not is_last and (rest := file.rest()) is not None:
            if file in finished:
                found.skip(rest)
            elif following is None:
                found.unended_bytes = file.size() - file.offset
        file.close()
        found.miss(file)
        if is_last:
            return found.page(more=True)
    return found.page(more=False)


def _backwards(
    files: list[LogFile],
    first: int | None,
    position: Position | None,
    selection: Selection,
    found: Collected,
) -> Generator[None, None, Page]:
    asked, offset = found.asked, None
    if found.gap is not None:
        files = files[:first]
    elif position is not None and first is not None:
        files, offset = files[: first + 1], position.offset
    unread = files[::-1]
    hold_next(unread)
    finished = {file for file in unread if file.place.number}  # as in `_forwards`
    for file, newer in zip(unread, [None, *unread], strict=False):
        with file.at_random() as (read_at, size):
            end = _end(read_at, size, offset)
            # Else what is behind the end of the file was on the page before.
            is_at_end = offset is None or (asked.including and offset == after_last_newline(read_at, size))
            if is_at_end and not found.may_pass(file, newer):
                return found.page(more=True)
            if is_at_end and (rest := file.rest_after(end, read_at)) is not None:
                if file in finished:
                    found.skip(rest)
                elif position is None:
                    found.unended_bytes = size - end
            for block in blocks_backwards(file, read_at, end):
                if block.size and found.live is None:
                    found.live = block.cursor(block.size)
                events = events_in(block, selection, found.skip, newest_first=True)
                for event in events if offset is None else _before(offset + asked.including, events):
                    if not found.add(event):
                        return found.page(more=True)
                enough = not found.pass_by(block.length, _within_oldest(block, read_at), block)
                # End the page only where the next one begins with a line that this one did not have.
                if enough and block.start and block.start + 1 != offset:
                    return found.page(more=True)
                offset = None
                yield
        found.miss(file)
        yield
    return found.page(more=False)


def _end(read_at: ReadAt, size: int, offset: int | None) -> int:
    """Return the end of the last line, or of the line that *offset* is in or after.

    A line may have several events, so that *offset* may be inside it.
    """
    if offset is None:
        return after_last_newline(read_at, size)
    end = max(0, offset - 1)
    while end < size:
        found = read_at(CHUNK, end).find(b"\n")
        if found >= 0:
            return end + found + 1
        end += CHUNK
    return offset


def _within_oldest(block: Block, read_at: ReadAt) -> str:
    """Return a position inside the oldest line of *block*, before the end of each of its events."""
    if not block.overlong:
        return block.cursor(1)
    end = block.start + 1
    before = read_at(min(end, GUARD), max(0, end - GUARD))
    return block.origin.cursor(end, before)


def _before(offset: int, events: Iterable[Event]) -> Iterator[Event]:
    """Yield those of *events*, newest first, that end before *offset*."""
    return itertools.dropwhile(lambda event: cursor.decode(event.cursor).offset >= offset, events)

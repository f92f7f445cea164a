"""The events on the lines of a block."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from chora_logging.eventlog.events import Block, Event, Skipped
from chora_logging.eventlog.odd_lines import REFUSED, decode, read_odd
from chora_logging.eventlog.rotated.cursor import GUARD
from chora_logging.eventlog.selection import Selection

#: How much of a line that is no event is shown.
SHOWN = 200


def events_in(
    block: Block,
    selection: Selection,
    skipped: Callable[[Skipped], None],
    *,
    newest_first: bool = False,
) -> Iterator[Event]:
    """The events of *block* that are asked for.

    Args:
        block: Lines of a file.
        selection: Which are asked for; lines that it rules out unread are not looked at.
        skipped: Called with each other line that is neither blank nor an event.
        newest_first: From the last to the first.
    """
    if block.overlong:
        reason = f"{block.overlong} bytes are too long for a line"
        skipped(Skipped(block.path, block.start, reason, b"", block.first_line()))
        return
    chunk, start, origin = block.chunk, block.start, block.origin
    lines: Iterable[tuple[int, bytes]]
    lines = _lines(chunk) if selection.prefilter is None else selection.prefilter.lines(chunk)
    if newest_first:
        lines = reversed(list(lines))
    matches = selection.matches if selection.narrows else None
    odd = _OddLines(block, skipped)
    new = Event.__new__
    for end, line in lines:
        try:
            fields = decode(line)
        except REFUSED:
            found = odd.events(line, end - len(line) - 1)
            if newest_first:
                found.reverse()
            yield from found if matches is None else filter(matches, found)
            continue
        if matches is not None and not matches(fields):
            continue
        # What `Event(…)` and `block.place(end)` do: their calls would take half as long as all the rest.
        event = new(Event)
        event |= fields
        event._line = line
        event._place = (origin, start + end, chunk[end - GUARD : end]) if end >= GUARD else block.place(end)
        yield event


def parse(line: bytes) -> dict[str, Any] | None:
    """The first JSON object on *line*, or None if it has no event."""
    try:
        return decode(line)
    except REFUSED:
        objects, _ = read_odd(line)
        return objects[0].fields if objects else None


def _lines(chunk: bytes) -> Iterator[tuple[int, bytes]]:
    """Each complete line without its newline, and the offset after that."""
    lines = chunk.split(b"\n")
    del lines[-1]
    end = 0
    for line in lines:
        end += len(line) + 1
        yield end, line


class _OddLines:
    """The lines of *block* that are not exactly one strict object."""

    def __init__(self, block: Block, skipped: Callable[[Skipped], None]) -> None:
        self._block = block
        self._skipped = skipped
        self._counted = 0
        self._number: int | None = None

    def events(self, line: bytes, start: int) -> list[Event]:
        """The events on *line*, which begins at *start* in the block; what is none is told."""
        block = self._block
        objects, reason = read_odd(line)
        if reason:
            number = self._number_at(start)
            self._skipped(Skipped(block.path, block.start + start, reason, line[:SHOWN], number))
        # A cursor in the middle of a line is as good as one at its end: what follows is read as a line.
        return [Event(fields, block.place(start + end), strict) for fields, strict, end in objects]

    def _number_at(self, start: int) -> int | None:
        if self._number is None or start < self._counted:
            self._number, self._counted = self._block.first_line(), 0
        if self._number is not None:
            self._number += self._block.chunk.count(b"\n", self._counted, start)
            self._counted = start
        return self._number

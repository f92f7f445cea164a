"""Compares the positions in the headers of blocks: in a stream, each block of a log follows another.

Two cursors of one place may differ, because they have the time and the inode of the file too. What tells a
place is the offset and the content before it, and the generation of the file where it is known.
"""

from __future__ import annotations

from typing import NamedTuple

from chora_logging.eventlog.rotated.cursor import NO_LOG, Position


class Hole(NamedTuple):
    """A place in a stream where one block does not begin at the end of the one before it.

    Attributes:
        before, after: The sequences of the blocks before and after it; both are that of a block that cannot
            be read.
        start, end: The positions between which lines are missing.
    """

    before: int
    after: int
    start: Position
    end: Position

    def without(self, start: Position, end: Position) -> Hole | None:
        """Return what is left if a late block goes from *start* to *end*; None if that is nothing."""
        is_inside = _is_same_file(start, self.start) and start.offset <= self.start.offset < end.offset
        if not is_inside and not _is_next_file(start, self.start):
            return self
        is_passed = _is_same_file(end, self.end) and end.offset >= self.end.offset
        return None if is_passed or _is_next_file(self.end, end) else self._replace(start=end)


def follows(start: Position, end: Position) -> bool:
    """Return whether a block that begins at *start* may be the next one after one that goes up to *end*."""
    is_same = start[2:5] == end[2:5] and (start[:2] == end[:2] or not _are_known(start, end))
    return is_same or _is_next_file(start, end)


def _are_known(one: Position, other: Position) -> bool:
    return NO_LOG not in (one.log_id, other.log_id)


def _is_same_file(one: Position, other: Position) -> bool:
    if _are_known(one, other):
        return one[:2] == other[:2]
    return one.head == other.head or one.inode == other.inode


def _is_next_file(start: Position, end: Position) -> bool:
    """Return whether *start* may be the beginning of the file after that of *end*, or of its successor."""
    if start.offset:
        return False
    # In one generation another tool may have rotated the log.
    is_near = start.log_id == end.log_id and 0 <= start.generation - end.generation <= 1
    return is_near or not _are_known(start, end)

"""The findings of an audit: what a stream has of a log, and what it has not."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from chora_logging.eventlog.events import Gap
from chora_logging.eventlog.rotated.cursor import Position
from chora_logging.jetstream.holding import NOTHING, Amount, Part
from chora_logging.jetstream.tiling import Hole


class File(NamedTuple):
    """A file of a log, with its size in bytes, unpacked."""

    path: str
    size: int


@dataclass
class Findings:
    """What an audit has found.

    Attributes:
        subject: The subject of the log.
        files: Its files, oldest first.
        blocks: The number of blocks in the stream.
        late: How many of them were shipped after newer ones.
        first, last: Their first and last sequence, without those under the subject of late blocks.
        start, end: Their first and last position.
        stored: What the stream has.
        rotated: What only the stream has: the files were rotated away.
        missing: What the stream should have, and has not.
        unshipped: What the shipper has not come to yet.
        expired: What is older than the first block of a stream that has deleted blocks.
        lost: Where blocks are gone that no file has any more.
        gaps: What was gone from the files before it could be shipped, as the shipper has reported.
        doubled: What the stream has twice.
        differing: The sequences of blocks with other lines than the files have in their place.
        unreadable: The sequences of messages that are no whole blocks, with the reasons.
        conflicts: Why the shipper of these files cannot go on in the stream, a sentence each.
    """

    subject: str
    files: list[File] = field(default_factory=list)
    blocks: int = 0
    late: int = 0
    first: int = 0
    last: int = 0
    start: Position | None = None
    end: Position | None = None
    stored: Amount = NOTHING
    rotated: Amount = NOTHING
    missing: list[Part] = field(default_factory=list)
    unshipped: list[Part] = field(default_factory=list)
    expired: list[Part] = field(default_factory=list)
    lost: list[Hole] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    doubled: Amount = NOTHING
    differing: list[int] = field(default_factory=list)
    unreadable: list[tuple[int, str]] = field(default_factory=list)
    conflicts: list[str] = field(default_factory=list)

    @property
    def is_unknown(self) -> bool:
        """Whether the log has lines, and the stream has nothing of it."""
        return not self.blocks and bool(self.unshipped or self.missing)


def total(parts: Iterable[Part]) -> Amount:
    """Return the sum of *parts*."""
    return functools.reduce(Amount.plus, (part.amount for part in parts), NOTHING)

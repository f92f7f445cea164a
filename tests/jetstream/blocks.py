"""Blocks of lines for tests, as a follower returns them."""

from __future__ import annotations

from chora_logging.eventlog.blocks import BlockFollower
from chora_logging.eventlog.events import Block
from chora_logging.eventlog.rotated.cursor import FileOrigin

LOG_ID = bytes(range(8))


def block(lines, *, start=0, before=b"", log_id=LOG_ID, generation=3, inode=7, time=1_700_000_000_000):
    """A block of a file that begins with *before* and the lines, if *start* is 0."""
    head = lines[:1024] if not start else before
    return Block(
        "/logs/app.log", start, lines, len(lines), before, FileOrigin(log_id, generation, inode, time, head)
    )


def blocks_of(path, after=None):
    """All that a follower of *path* returns now: blocks and gaps."""
    with BlockFollower(str(path), after=after) as follower:
        found = []
        while (items := follower.poll_blocks()) is not None:
            found += items
        return found

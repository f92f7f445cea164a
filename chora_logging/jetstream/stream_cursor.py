"""Cursors of a stream: `n1.INCARNATION.SEQUENCE.OFFSET`.

The incarnation tells a stream from another one that was made under its name. Sequence and offset say where
reading goes on: with which message, and how many bytes of its lines have been read. So the cursor after the
last event of a message points to the beginning of the next one.
"""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import NamedTuple

from chora_logging.errors import CursorError

_CURSOR = re.compile(r"n1\.([0-9a-f]{8})\.([1-9]\d{0,18})\.(0|[1-9]\d{0,9})", re.ASCII)


class Position(NamedTuple):
    """A decoded cursor.

    Attributes:
        incarnation: That of the stream.
        sequence: The sequence of the message with which reading goes on.
        offset: How many bytes of its lines have been read.
    """

    incarnation: str
    sequence: int
    offset: int = 0


class StreamOrigin(NamedTuple):
    """Makes the cursors of the events of one message.

    Attributes:
        incarnation: That of the stream.
        sequence: The sequence of the message.
        size: The length of its lines in bytes.
    """

    incarnation: str
    sequence: int
    size: int

    def position(self, offset: int) -> Position:
        """Return the position after the first *offset* bytes of the lines."""
        if offset >= self.size:
            return Position(self.incarnation, self.sequence + 1)
        return Position(self.incarnation, self.sequence, offset)

    def cursor(self, offset: int, before: bytes) -> str:
        """Return the cursor of the same position; a message never changes, so *before* does not matter."""
        return encode(self.position(offset))


def incarnation_of(name: str, created: str) -> str:
    """Return what tells the stream *name*, created at *created*, from others of its name."""
    return blake2b(f"{name}\n{created}".encode(), digest_size=4).hexdigest()


def encode(position: Position) -> str:
    """Return *position* as a cursor: URL-safe, at most 64 characters.

    >>> encode(Position("0a1b2c3d", 42, 1234))
    'n1.0a1b2c3d.42.1234'
    """
    return f"n1.{position.incarnation}.{position.sequence}.{position.offset}"


def decode(cursor: str) -> Position:
    """Return the position that *cursor* encodes.

    Raises:
        CursorError: it was not made by `encode`.
    """
    found = _CURSOR.fullmatch(cursor) if isinstance(cursor, str) else None
    if found is None:
        raise CursorError(cursor)
    return Position(found[1], int(found[2]), int(found[3]))

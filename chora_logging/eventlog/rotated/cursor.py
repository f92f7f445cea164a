"""Cursors: positions in a log as short strings, valid across renames, copies, compression and restarts.

A cursor describes its position in three ways, so that at least one finds it: the log and the
generation of the file (exact if our handler rotates); digests of the first bytes of the file and of
the bytes before the position (valid under any name and in any copy); and inode and time, which only
decide between equal files. The time of the older files shows whether somebody has added to one since.
"""

from __future__ import annotations

import base64
import binascii
import zlib
from typing import NamedTuple

from chora_logging.errors import CursorError
from chora_logging.log_files import DIGEST_BYTES, HEAD_BYTES, digest

#: How many bytes at the beginning of a file, and before the position, are compared.
HEAD = HEAD_BYTES
GUARD = 256

_VERSION = 2
# In bytes: version, log id, generation, offset, head, guard, inode, time, and the time of the older files
# relative to it. A checksum of two bytes follows. Version 1 has no time of older files.
_WIDTHS = (1, 8, 5, 6, DIGEST_BYTES, DIGEST_BYTES, 4, 6, 4)
_LENGTH = sum(_WIDTHS) + 2
_LENGTH_OF_1 = _LENGTH - 4
_LARGEST_DIFFERENCE = 2**31 - 1
_NONE = -(2**31)

#: The log id of a log without a sidecar.
NO_LOG = bytes(8)

#: The value of *after* for the end of the log.
END = "end"


class Position(NamedTuple):
    """A decoded cursor.

    Attributes:
        log_id: The first 8 bytes of the log's id, or `NO_LOG`.
        generation: The generation of the file; meaningful only with a *log_id*.
        offset: The number of bytes of the file that have been read.
        head: Digest of the first bytes of the file, at most `HEAD` and at most *offset*.
        guard: Digest of the bytes before *offset*, at most `GUARD`.
        inode: The low 32 bits of the file's inode.
        time: The time of the last write to the file, in milliseconds since 1970.
        older: The time of the last write to an older file that was read, in milliseconds since 1970, at
            most 24 days from *time*; None if there was none.
    """

    log_id: bytes
    generation: int
    offset: int
    head: bytes
    guard: bytes
    inode: int
    time: int
    older: int | None = None


class FileOrigin(NamedTuple):
    """The part that all positions in one block share: the file's state when the block was read."""

    log_id: bytes
    generation: int
    inode: int
    time: int
    head: bytes
    older: int | None = None

    def position(self, offset: int, before: bytes) -> Position:
        """Return the position at *offset*; *before* is the bytes before it."""
        return Position(
            self.log_id,
            self.generation,
            offset,
            digest(self.head[:offset]),
            digest(before[-GUARD:]),
            self.inode & 0xFFFFFFFF,
            self.time,
            self.older,
        )

    def cursor(self, offset: int, before: bytes) -> str:
        """Return the cursor of the position at *offset*; *before* is the bytes before it."""
        return encode(self.position(offset, before))


def encode(position: Position) -> str:
    """Return *position* as a cursor: URL-safe, at most 64 characters."""
    parts = (
        _VERSION.to_bytes(1, "big"),
        position.log_id,
        position.generation.to_bytes(5, "big", signed=True),
        position.offset.to_bytes(6, "big"),
        position.head,
        position.guard,
        position.inode.to_bytes(4, "big"),
        max(position.time, 0).to_bytes(6, "big"),
        _difference(position).to_bytes(4, "big", signed=True),
    )
    data = b"".join(parts)
    return base64.urlsafe_b64encode(data + _checksum(data)).rstrip(b"=").decode("ascii")


def decode(cursor: str) -> Position:
    """Return the position that *cursor* encodes.

    Raises:
        CursorError: it was not made by `encode`.
    """
    if not isinstance(cursor, str) or len(cursor) > 64 or not cursor.isascii():
        raise CursorError(cursor)
    try:
        data = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise CursorError(cursor) from None
    is_version_1 = len(data) == _LENGTH_OF_1 and data[0] == 1
    is_whole = is_version_1 or (len(data) == _LENGTH and data[0] == _VERSION)
    if not is_whole or data[-2:] != _checksum(data[:-2]):
        raise CursorError(cursor)
    parts = []
    for width in _WIDTHS:
        parts.append(data[:width])
        data = data[width:]
    _, log_id, generation, offset, head, guard, inode, time, difference = parts
    moment = int.from_bytes(time, "big")
    before = _NONE if is_version_1 else int.from_bytes(difference, "big", signed=True)
    return Position(
        log_id,
        int.from_bytes(generation, "big", signed=True),
        int.from_bytes(offset, "big"),
        head,
        guard,
        int.from_bytes(inode, "big"),
        moment,
        None if before == _NONE else moment - before,
    )


def same_place(one: str, other: str) -> bool:
    """Return whether two cursors of one log are at the same place, though made at different times."""
    if one == other:
        return True
    try:
        found, wanted = decode(one), decode(other)
    except CursorError:  # those of other sources never change
        return False
    return (found.offset, found.guard) == (wanted.offset, wanted.guard)


def _difference(position: Position) -> int:
    if position.older is None:
        return _NONE
    return max(-_LARGEST_DIFFERENCE, min(position.time - position.older, _LARGEST_DIFFERENCE))


def _checksum(data: bytes) -> bytes:
    return (zlib.crc32(data) & 0xFFFF).to_bytes(2, "big")


class Checkpoint(NamedTuple):
    """The state of a follower, from which another one can continue.

    Attributes:
        position: The position up to which was read; None at the beginning of the log.
        gap_reported: Whether the gap after *position* has been reported.
    """

    position: Position | None = None
    gap_reported: bool = False


def checkpoint_of(after: str | Checkpoint | None) -> Checkpoint:
    """Return the state to begin with *after* a cursor, a checkpoint or `END`; None for the beginning.

    Raises:
        CursorError: *after* is not a cursor.
    """
    if isinstance(after, Checkpoint):
        return after
    return Checkpoint(None if after is None or after == END else decode(after))

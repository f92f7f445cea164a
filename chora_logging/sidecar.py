"""The small file beside a log, `.NAME.lock`: which log this is and how often it has been rotated.

64 bytes, little-endian: magic (8), random log id (16), CRC-32 of these (4), 4 unused, sequence (8),
inode under rotation (8), step (8), 8 unused. The sequence grows by two with each rotation and is
odd while one is under way; its half is the *generation* of the live file, and `NAME.i` is of
generation *g - i*. With it a cursor is exact; deleting it costs no event. Step and inode are the
rotation's journal: whoever finds the sequence odd and the lock free completes what was begun.

Readers only read it; writers change it under its own `flock`.
"""

from __future__ import annotations

import io
import os
import struct
import zlib
from typing import NamedTuple

_MAGIC = b"chora.1\n"
_IDENTITY = struct.Struct("<8s16s")
_LAYOUT = struct.Struct("<8s16sI4xQQQ8x")

#: How long a sidecar is, in bytes.
SIZE = _LAYOUT.size


class State(NamedTuple):
    """What a sidecar says."""

    log_id: bytes
    sequence: int = 0
    inode: int = 0
    step: int = 0

    @property
    def generation(self) -> int:
        """How many rotations are complete."""
        return self.sequence // 2

    @property
    def under_way(self) -> bool:
        """Whether a rotation has begun and not ended."""
        return bool(self.sequence & 1)


def path_of(log: str) -> str:
    """The sidecar of the log file *log*."""
    folder, name = os.path.split(log)
    return os.path.join(folder, f".{name}.lock")


def new() -> State:
    """The state of a log that has never been rotated."""
    return State(os.urandom(16))


def pack(state: State) -> bytes:
    """*state* as the bytes of a sidecar."""
    crc = zlib.crc32(_IDENTITY.pack(_MAGIC, state.log_id))
    return _LAYOUT.pack(_MAGIC, state.log_id, crc, state.sequence, state.inode, state.step)


def parse(data: bytes) -> State | None:
    """What a sidecar's bytes say, or None if they are not a sidecar's."""
    if len(data) < SIZE:
        return None
    magic, log_id, crc, sequence, inode, step = _LAYOUT.unpack_from(data)
    if magic != _MAGIC or crc != zlib.crc32(data[: _IDENTITY.size]):
        return None
    return State(log_id, sequence, inode, step)


def read(log: str) -> State | None:
    """What the sidecar of *log* says now; None without one that can be read."""
    try:
        with io.FileIO(path_of(log)) as file:  # `open` is gone while modules are torn down
            return parse(file.read(SIZE))
    except OSError:
        return None

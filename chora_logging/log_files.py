"""The files of a log, where writer and reader meet: the names of its backups, and its sidecar.

A log `NAME` has the backups `NAME.1` (newest) to `NAME.<backupCount>` (oldest), as in
`logging.handlers.RotatingFileHandler`; a compressed one has `.gz` after its number.

The sidecar `.NAME.lock` says which log this is and how often it has been rotated, in 64 bytes,
little-endian: magic (8), random log id (16), CRC-32 of these (4), 4 unused, sequence (8), inode under
rotation (8), step (8), 8 unused. The sequence grows by two with each rotation and is odd while one is
under way; its half is the *generation* of the live file, and `NAME.i` is of generation *g - i*. With
it a cursor is exact; deleting it costs no event. Step and inode are the rotation's journal: whoever
finds the sequence odd and the lock free completes what was begun. Readers only read it; writers change
it under its own `flock`.
"""

from __future__ import annotations

import io
import os
import struct
import zlib
from typing import NamedTuple

COMPRESSED = ".gz"

_MAGIC = b"chora.1\n"
_IDENTITY = struct.Struct("<8s16s")
_LAYOUT = struct.Struct("<8s16sI4xQQQ8x")

#: How long a sidecar is, in bytes.
SIDECAR_BYTES = _LAYOUT.size


def backup_number(filename: str, log: str) -> int | None:
    """The number of the backup called *filename* of the log called *log* (both without folder).

    >>> backup_number("app.log.10", "app.log"), backup_number("app.log.2.gz", "app.log")
    (10, 2)
    >>> backup_number("app.log", "app.log"), backup_number("app.log.bak", "app.log")
    (None, None)
    """
    if not filename.startswith(log + "."):
        return None
    number = filename[len(log) + 1 :].removesuffix(COMPRESSED)
    if not (number.isascii() and number.isdigit()) or number.startswith("0"):
        return None
    return int(number)


def real_path(path: str) -> str:
    """The file that *path* names, which is what rotation works on.

    A symbolic link stays where it is and goes on pointing at the live file; the backups stand
    beside the file that it points at.
    """
    return os.path.realpath(path) if os.path.islink(path) else path


class Sidecar(NamedTuple):
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


def sidecar_path(log: str) -> str:
    """The sidecar of the log file *log*."""
    folder, name = os.path.split(log)
    return os.path.join(folder, f".{name}.lock")


def new_sidecar() -> Sidecar:
    """The state of a log that has never been rotated."""
    return Sidecar(os.urandom(16))


def pack_sidecar(state: Sidecar) -> bytes:
    """*state* as the bytes of a sidecar."""
    crc = zlib.crc32(_IDENTITY.pack(_MAGIC, state.log_id))
    return _LAYOUT.pack(_MAGIC, state.log_id, crc, state.sequence, state.inode, state.step)


def parse_sidecar(data: bytes) -> Sidecar | None:
    """What a sidecar's bytes say, or None if they are not a sidecar's."""
    if len(data) < SIDECAR_BYTES:
        return None
    magic, log_id, crc, sequence, inode, step = _LAYOUT.unpack_from(data)
    if magic != _MAGIC or crc != zlib.crc32(data[: _IDENTITY.size]):
        return None
    return Sidecar(log_id, sequence, inode, step)


def read_sidecar(log: str) -> Sidecar | None:
    """What the sidecar of *log* says now; None without one that can be read."""
    try:
        with io.FileIO(sidecar_path(log)) as file:  # `open` is gone while modules are torn down
            return parse_sidecar(file.read(SIDECAR_BYTES))
    except OSError:
        return None

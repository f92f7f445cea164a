"""The files of a log that writers and readers share: the names of its backups, and its sidecar.

A log `NAME` has the backups `NAME.1` (newest) to `NAME.<backupCount>` (oldest), as in
`logging.handlers.RotatingFileHandler`; a compressed backup has `.gz` after its number.

The sidecar `.NAME.lock` identifies the log and counts its rotations, in 64 bytes, little-endian:
magic (8), random log id (16), CRC-32 of these (4), 4 unused, sequence (8), inode under rotation (8),
step (8), 8 unused. The sequence grows by two with each rotation and is odd while one is under way.
Half of it, rounded down, is the *generation* *g* of the live file; `NAME.i` has generation *g - i*.
Cursors are exact with the sidecar; deleting it loses no event. Step and inode are the rotation's
journal: a writer that finds the sequence odd and the lock free completes the rotation. Readers only
read these 64 bytes; writers change the sidecar under its own `flock`, and keep in the rest of it which
backups they made (`chora_logging.writing.journal`).
"""

from __future__ import annotations

import errno
import os
import re
import stat
import struct
import zlib
from typing import NamedTuple

COMPRESSED = ".gz"

#: The longest line, its end included, in bytes: writers refuse a longer one, readers skip it. `speedups.h`
#: repeats it.
LONGEST_LINE_BYTES = 32 * 1024 * 1024

#: How a sidecar begins.
SIDECAR_MAGIC = b"chora.1\n"
_IDENTITY = struct.Struct("<8s16s")
_LAYOUT = struct.Struct("<8s16sI4xQQQ8x")

#: The size of a sidecar, in bytes.
SIDECAR_BYTES = _LAYOUT.size


#: What stands after the name of a log in the dated names that other tools give to its backups: a date,
#: with or without a time (logrotate's `dateext`, `TimedRotatingFileHandler`), or a Unix time.
_DATE = re.compile(r"[.-](\d{8,}|\d{4}-\d\d-\d\d)([-_T.]?\d[\d_:-]*)?", re.ASCII)

#: Numbers with more digits are dates or times.
_NUMBER_DIGITS = 7


def is_dated(filename: str, log: str) -> bool:
    """Return whether *filename*, without the suffix of a compression, is a dated name of a backup of *log*.

    >>> is_dated("app.log-20260102", "app.log"), is_dated("app.log.2026-01-02_10", "app.log")
    (True, True)
    >>> is_dated("app.log.1", "app.log"), is_dated("app.log-2026", "app.log")
    (False, False)
    """
    return filename.startswith(log) and _DATE.fullmatch(filename, len(log)) is not None


def backup_number(filename: str, log: str) -> int | None:
    """Return the number of the backup *filename* of the log *log* (both without folder).

    None if *filename* is not the name of a backup of *log*, or a dated one.

    >>> backup_number("app.log.10", "app.log"), backup_number("app.log.2.gz", "app.log")
    (10, 2)
    >>> backup_number("app.log", "app.log"), backup_number("app.log.bak", "app.log")
    (None, None)
    """
    if not filename.startswith(log + "."):
        return None
    number = filename[len(log) + 1 :].removesuffix(COMPRESSED)
    if not (number.isascii() and number.isdigit()) or number.startswith("0") or len(number) > _NUMBER_DIGITS:
        return None
    return int(number)


def open_regular(path: str, flags: int = os.O_RDONLY, mode: int = 0o600) -> tuple[int, os.stat_result] | None:
    """Open the file *path*, never through a symbolic link and without waiting; the caller closes it.

    Anybody who may write to the folder of a log can put a link, a FIFO or a device where a file of the
    log belongs.

    Args:
        path: The file.
        flags: As for `os.open`.
        mode: Permission bits of a file that *flags* creates.

    Returns:
        A descriptor above those of standard input, output and error, and the status of the file; None
        if *path* is something else than a regular file.

    Raises:
        OSError: it cannot be opened.
    """
    try:
        if not stat.S_ISREG(os.lstat(path).st_mode):  # opening a device may do something
            return None
    except FileNotFoundError:
        if not flags & os.O_CREAT:
            raise
    try:
        fd = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, mode)
    except OSError as error:  # changed since the look
        if error.errno in (errno.ELOOP, errno.ENXIO, errno.EISDIR):
            return None
        raise
    fd = above_standard_streams(fd)
    try:
        status = os.fstat(fd)
    except BaseException:
        os.close(fd)
        raise
    if stat.S_ISREG(status.st_mode):
        return fd, status
    os.close(fd)
    return None


def above_standard_streams(fd: int) -> int:
    """Return *fd*, or a duplicate that is 3 or higher if it has the number of a closed standard stream."""
    if fd > 2:
        return fd
    import fcntl  # not on Windows

    try:
        return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3)
    finally:
        os.close(fd)


def real_path(path: str) -> str:
    """Return the path of the file to rotate: *path* with symbolic links resolved if it is a link.

    The link itself stays and still points at the live file; the backups are in the folder of the
    file that it points at.
    """
    return os.path.realpath(path) if os.path.islink(path) else path


class Sidecar(NamedTuple):
    """The contents of a sidecar."""

    log_id: bytes
    sequence: int = 0
    inode: int = 0
    step: int = 0

    @property
    def generation(self) -> int:
        """The number of complete rotations."""
        return self.sequence // 2

    @property
    def under_way(self) -> bool:
        """Whether a rotation has begun and has not ended."""
        return bool(self.sequence & 1)


def sidecar_path(log: str) -> str:
    """Return the path of the sidecar of the log file *log*."""
    folder, name = os.path.split(log)
    return os.path.join(folder, f".{name}.lock")


def new_sidecar() -> Sidecar:
    """Return the sidecar of a log that has never been rotated, with a new random id."""
    return Sidecar(os.urandom(16))


def pack_sidecar(state: Sidecar) -> bytes:
    """Return the bytes of the sidecar *state*."""
    crc = zlib.crc32(_IDENTITY.pack(SIDECAR_MAGIC, state.log_id))
    return _LAYOUT.pack(SIDECAR_MAGIC, state.log_id, crc, state.sequence, state.inode, state.step)


def parse_sidecar(data: bytes) -> Sidecar | None:
    """Return the sidecar with these bytes, or None if they are too short or fail the checksum."""
    if len(data) < SIDECAR_BYTES:
        return None
    magic, log_id, crc, sequence, inode, step = _LAYOUT.unpack_from(data)
    if magic != SIDECAR_MAGIC or crc != zlib.crc32(data[: _IDENTITY.size]):
        return None
    return Sidecar(log_id, sequence, inode, step)


def read_sidecar(log: str) -> Sidecar | None:
    """Return the current sidecar of *log*, or None if it is missing, unreadable or invalid."""
    try:
        opened = open_regular(sidecar_path(log))
        if opened is None:
            return None
        try:
            return parse_sidecar(os.pread(opened[0], SIDECAR_BYTES, 0))
        finally:
            os.close(opened[0])
    except OSError:
        return None

"""The files of a log that writers and readers share: the names of its backups, and its sidecar.

A log `NAME` has the backups `NAME.1` (newest) to `NAME.<backupCount>` (oldest), as in
`logging.handlers.RotatingFileHandler`; a compressed backup has `.gz` or `.zst` after its number.

The sidecar `.NAME.lock` identifies the log and counts its rotations, in 64 bytes, little-endian:
magic (8), random log id (16), CRC-32 of these (4), 4 unused, sequence (8), inode under rotation (8),
step (8), 8 unused. The sequence grows by two with each rotation and is odd while one is under way.
Half of it, rounded down, is the *generation* *g* of the live file; `NAME.i` has generation *g - i*.
Cursors are exact with the sidecar; deleting it loses no event. Step and inode are the rotation's
journal: a writer that finds the sequence odd and the lock free completes the rotation. Writers change
the sidecar under its own `flock`; readers only read it.

The rest of the sidecar says which backups this package has made, little-endian: CRC-32 (4), how many
backups the rotation under way keeps (4), count (4), the inode of the sidecar (8), then for each backup its
inode (8) and the CRC-32 of its first line (4). The checksum covers the sequence: where a version of this
package has rotated that does not write this part, it is invalid. So it is in a copy of the folder, whose
inodes are others.

What follows says what the last rotations have made, so that readers see what is missing: CRC-32 (4), count
(4), then for each rotation the generation of the file (8, signed), its inode (8), its size (8, all bits set
if it is unknown), the CRC-32 of its first line (4) and a digest of its head (6). The checksum covers the
sequence. Versions that do not know this part ignore it, and cut it off where they write the list: then it
says nothing. A live file that somebody has deleted or emptied is in the record, too, as a generation that
never got a number: its inode has all bits set.

The last part says what has to be there: CRC-32 (4), the generation of the oldest backup that this package
has not deleted (8, signed), then the inode of the live file (8), the size that it has had at least (8) and
the CRC-32 of its first line (4). The checksum covers the sequence. Unlike the others, it may change while
nothing is rotated.
"""

from __future__ import annotations

import errno
import io
import os
import re
import stat
import struct
import zlib
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from chora_logging.compressed_files import suffix_of

#: The longest line, its end included, in bytes: writers refuse a longer one, readers skip it. `speedups.h`
#: repeats it.
LONGEST_LINE_BYTES = 32 * 1024 * 1024

#: How a sidecar begins.
SIDECAR_MAGIC = b"chora.1\n"
SIDECAR_IDENTITY = struct.Struct("<8s16s")
SIDECAR_LAYOUT = struct.Struct("<8s16sI4xQQQ8x")

#: The size of the part of a sidecar that each has, in bytes.
SIDECAR_BYTES = SIDECAR_LAYOUT.size

#: The list of the backups in a sidecar: how it begins, and an entry.
BACKUP_LIST = struct.Struct("<IIIQ")
BACKUP_ENTRY = struct.Struct("<QI")

#: The record of the rotations in a sidecar, after the list: how it begins, and an entry.
RECORD = struct.Struct("<II")
RECORD_ENTRY = struct.Struct("<qQQI6s")

#: The size of a file in the record, if it is unknown.
UNKNOWN_SIZE = 2**64 - 1

#: The inode in the record of a file that was gone before it could be rotated.
NO_INODE = 2**64 - 1

#: The last part of a sidecar, which says what has to be there.
RETAINED = struct.Struct("<IqQQI")

#: How much of the first line of a backup its checksum covers, in bytes.
FIRST_LINE_BYTES = 256

#: How much of a file its digest covers, and the size of that, in bytes.
HEAD_BYTES, DIGEST_BYTES = 1024, 6

#: The largest sidecar, in bytes: that of a log with 90,000 backups.
LARGEST_SIDECAR_BYTES = 4 * 1024 * 1024

#: How many numbers in a row without a file end the backups of a namer, which may be in several folders.
ABSENT_NAMED_NUMBERS = 20

#: What stands between the name of a log and the suffix of a compression: a number of up to seven digits; from
#: others a date with or without a time (logrotate's `dateext`, `TimedRotatingFileHandler`), or a Unix time.
BACKUP_ENDING = re.compile(
    r"\.(?P<number>[1-9]\d{0,6})|[.-](?:\d{8,}|\d{4}-\d\d-\d\d)(?:[-_T.]?\d[\d_:-]*)?", re.ASCII
)


def is_dated(filename: str, log: str) -> bool:
    """Return whether *filename*, without the suffix of a compression, is a dated name of a backup of *log*.

    >>> is_dated("app.log-20260102", "app.log"), is_dated("app.log.2026-01-02_10", "app.log")
    (True, True)
    >>> is_dated("app.log.1", "app.log"), is_dated("app.log-2026", "app.log")
    (False, False)
    """
    ending = BACKUP_ENDING.fullmatch(filename, len(log)) if filename.startswith(log) else None
    return ending is not None and ending["number"] is None


def backup_number(filename: str, log: str) -> int | None:
    """Return the number of the backup *filename*, compressed or not, of the log *log* (both without folder).

    None if *filename* is not the name of a backup of *log*, or a dated one.

    >>> backup_number("app.log.10", "app.log"), backup_number("app.log.2.gz", "app.log")
    (10, 2)
    >>> backup_number("app.log", "app.log"), backup_number("app.log.bak", "app.log")
    (None, None)
    """
    plain = filename.removesuffix(suffix_of(filename))
    ending = BACKUP_ENDING.fullmatch(plain, len(log)) if filename.startswith(log) else None
    return None if ending is None or ending["number"] is None else int(ending["number"])


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
    if fd <= 2:
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
    """Move *fd*, which has the number of a closed standard stream, and return its new number, 3 or higher."""
    import fcntl  # not on Windows

    try:
        return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3)
    finally:
        os.close(fd)


def first_line_checksum(head: bytes) -> int:
    """Return the CRC-32 of the first line of a file that begins with *head*; 0 for an empty file."""
    return zlib.crc32(head[:FIRST_LINE_BYTES].partition(b"\n")[0])


def digest(data: bytes) -> bytes:
    """Return a short hash of *data*."""
    from hashlib import blake2b  # slow to import, and needed only by logs and readers

    return blake2b(data, digest_size=DIGEST_BYTES).digest()


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


def open_sidecar(log: str, mode: str = "r") -> io.FileIO | None:
    """Open the sidecar of *log* with *mode*; return None if something else than a regular file has its name.

    Raises:
        OSError: it cannot be opened.
    """
    path = sidecar_path(log)
    opened = open_regular(path, os.O_RDWR if mode == "r+" else os.O_RDONLY)
    if opened is None:
        return None
    file = io.FileIO(opened[0], mode)
    file.name = path
    return file


def parse_sidecar(data: bytes) -> Sidecar | None:
    """Return the sidecar with these bytes, or None if they are too short or fail the checksum."""
    if len(data) < SIDECAR_BYTES:
        return None
    magic, log_id, crc, sequence, inode, step = SIDECAR_LAYOUT.unpack_from(data)
    if magic != SIDECAR_MAGIC or crc != zlib.crc32(data[: SIDECAR_IDENTITY.size]):
        return None
    return Sidecar(log_id, sequence, inode, step)


def read_sidecar(log: str) -> Sidecar | None:
    """Return the current sidecar of *log*, or None if it is missing, unreadable or invalid."""
    try:
        file = open_sidecar(log)
        if file is None:
            return None
        with file:
            return parse_sidecar(os.pread(file.fileno(), SIDECAR_BYTES, 0))
    except OSError:
        return None


class Rotated(NamedTuple):
    """A file that a rotation has made a backup, and that may be gone.

    Attributes:
        inode: Its inode; 0 if it is unknown.
        size: Its size at the rotation, before compression; None if it is unknown. A late writer adds to it.
        first_line: The CRC-32 of its first line, before compression; 0 if it is unknown.
        head: The digest of its first `HEAD_BYTES`.
    """

    inode: int
    size: int | None
    first_line: int
    head: bytes = b""

    @property
    def is_gone(self) -> bool:
        """Whether it was gone before it could be rotated, so that no number was for it."""
        return self.inode == NO_INODE


class Live(NamedTuple):
    """What a sidecar says of the live file.

    Attributes:
        inode: Its inode.
        size: The size that it has had at least, in bytes.
        first_line: The CRC-32 of its first line; 0 if it is unknown.
    """

    inode: int
    size: int = 0
    first_line: int = 0


class Backups(NamedTuple):
    """What a sidecar says.

    Attributes:
        state: The log and its rotation; None if there is no sidecar that can be read.
        keep: How many backups the rotation under way keeps; 0 if it does not say.
        owned: The CRC-32 of the first line of each backup of this package by its inode (0 for a line that
            could not be read); None if it does not say.
        record: What the last rotations have made, by generation, as far as it says.
        is_copied: Whether it was written to the sidecar of another folder.
        kept_from: The generation from which on this package has deleted nothing; None if it does not say.
        live: What is known of the live file; None if it does not say.
    """

    state: Sidecar | None = None
    keep: int = 0
    owned: dict[int, int] | None = None
    record: Mapping[int, Rotated] = MappingProxyType({})
    is_copied: bool = False
    kept_from: int | None = None
    live: Live | None = None

    def fits(self, live: os.stat_result) -> bool:
        """Return whether no rotation is under way, and the live file is as it says."""
        if self.live is None or self.state is None or self.state.under_way:
            return False
        return self.live.inode == live.st_ino and self.live.size <= live.st_size


def read_backups(log: str) -> Backups:
    """Return what the sidecar of *log* says now."""
    try:
        file = open_sidecar(log)
        if file is None:
            return Backups()
        with file:
            data, inode = os.pread(file.fileno(), LARGEST_SIDECAR_BYTES, 0), os.fstat(file.fileno()).st_ino
    except OSError:
        return Backups()
    return parse_backups(data, inode)


def parse_backups(data: bytes, inode: int) -> Backups:
    """Return what the sidecar with the bytes *data* and the inode *inode* says."""
    state, begin = parse_sidecar(data), SIDECAR_BYTES + BACKUP_LIST.size
    if state is None or len(data) < begin:
        return Backups(state)
    checksum, keep, count, of = BACKUP_LIST.unpack_from(data, SIDECAR_BYTES)
    end = begin + count * BACKUP_ENTRY.size
    said = b"%s %d %d %s" % (state.log_id, state.sequence, keep, data[begin:end])
    if len(data) < end or checksum != zlib.crc32(said):
        return Backups(state, is_copied=of != inode)
    record = _parse_record(data[end:], state)
    kept_from, live = _parse_retained(data[end:], state)
    if of == inode:
        owned = dict(BACKUP_ENTRY.iter_unpack(data[begin:end]))
        return Backups(state, keep, owned, record, kept_from=kept_from, live=live)
    record = {
        each: rotated if rotated.is_gone else rotated._replace(inode=0) for each, rotated in record.items()
    }
    return Backups(state, record=record, is_copied=True, kept_from=kept_from)


def _parse_record(data: bytes, state: Sidecar) -> dict[int, Rotated]:
    if len(data) < RECORD.size:
        return {}
    checksum, count = RECORD.unpack_from(data)
    entries = data[RECORD.size :][: count * RECORD_ENTRY.size]
    said = b"%s %d %s" % (state.log_id, state.sequence, entries)
    if len(entries) < count * RECORD_ENTRY.size or checksum != zlib.crc32(said):
        return {}
    return {
        each: Rotated(inode, None if size == UNKNOWN_SIZE else size, first_line, head)
        for each, inode, size, first_line, head in RECORD_ENTRY.iter_unpack(entries)
    }


def _parse_retained(data: bytes, state: Sidecar) -> tuple[int | None, Live | None]:
    """Return the last part of a sidecar from its record on."""
    start = RECORD.size + RECORD.unpack_from(data)[1] * RECORD_ENTRY.size if len(data) >= RECORD.size else 0
    if not start or len(data) < start + RETAINED.size:
        return None, None
    checksum, kept_from, *live = RETAINED.unpack_from(data, start)
    if checksum != zlib.crc32(b"%s %d %d %d %d %d" % (state.log_id, state.sequence, kept_from, *live)):
        return None, None
    return kept_from, Live(*live) if live[0] else None


def gone_in(record: Mapping[int, Rotated]) -> list[int]:
    """Return the generations of live files that were gone before they could be rotated, the newest first."""
    return sorted((each for each, rotated in record.items() if rotated.is_gone), reverse=True)


def generation_of(number: int, newest: int, gone: Sequence[int]) -> int:
    """Return the generation of the backup with this *number* if the live file has the generation *newest*.

    *gone* is what `gone_in` returns, of generations before *newest*.

    >>> generation_of(2, 10, []), generation_of(2, 10, [9]), generation_of(2, 10, [7])
    (8, 7, 8)
    """
    generation = newest - number
    for each in gone:
        if each < generation:
            break
        generation -= 1
    return generation

"""Finds the files that have the names of a log's backups, and tells our own from those of other tools.

A name is no evidence: logrotate gives `NAME.1` and `NAME.2.gz` as well. An inode is not enough either,
because the next file gets the inode of a deleted one. A backup is known by its inode and its first
line, which stay the same under any name and whatever a late writer appends.
"""

from __future__ import annotations

import os
import stat
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from chora_logging import log_files
from chora_logging.compressed_files import COMPRESSED, GZIP, format_of_ours, forms_of, suffix_of
from chora_logging.log_files import (
    ABSENT_NAMED_NUMBERS,
    BACKUP_ENDING,
    FIRST_LINE_BYTES,
    HEAD_BYTES,
    first_line_checksum,
)

NameOf = Callable[[str], str]

#: Which backups we made: the checksum of the first line by inode; 0 for a line that could not be read.
Owned = Mapping[int, int]

#: The `wbits` of zlib that stand for any gzip file.
_ANY_GZIP = 16 + zlib.MAX_WBITS

#: How much of a compressed file is read to unpack its first line, in bytes.
_PACKED_BEGINNING_BYTES = 4096


class Backup(NamedTuple):
    """A regular file with the name of a backup.

    Attributes:
        path: Its path.
        number: Its number; 0 without one.
        is_default: Whether it has a default name although the handler has a namer.
        suffix: That of a compression if its name has one in addition to the one that our handler gives.
        inode, first_line: What identifies it under any name.
        packed_by_us: Whether its header says that this package compressed it.
    """

    path: str
    number: int
    is_default: bool
    suffix: str
    inode: int
    first_line: int
    packed_by_us: bool

    def is_in(self, owned: Owned) -> bool:
        """Return whether it is one of *owned*; a line that could not be read is not compared."""
        first_line = owned.get(self.inode)
        return first_line is not None and (first_line == self.first_line or not first_line * self.first_line)


class Found(NamedTuple):
    """The files of a log.

    Attributes:
        live: The live file as it will be known as a backup.
        backups: The regular files that have the name of a backup.
        owned: Which backups we made, as far as it is known.
        ours: Those of them that have a name that our handler gives, by their number.
        foreign: The paths of the others.
        blocked: The paths that are in the way of a backup and are no regular files.
        head: The first bytes of the live file.
    """

    live: Owned
    backups: list[Backup]
    blocked: list[str]
    owned: Owned
    ours: dict[int, list[Backup]]
    foreign: list[str]
    head: bytes

    def if_owned(self, owned: Owned) -> Found:
        """Return the same files if we made *owned*."""
        ours: dict[int, list[Backup]] = {}
        foreign = []
        for backup in self.backups:
            if not backup.is_in(owned):
                foreign.append(backup.path)
            elif backup.number and not backup.is_default:
                ours.setdefault(backup.number, []).append(backup)
        return self._replace(owned=owned, ours=ours, foreign=foreign)

    def present(self) -> dict[int, int]:
        """Return those of our backups that are still there."""
        return {backup.inode: backup.first_line for backup in self.backups if backup.is_in(self.owned)}


def find_backups(log: str, name_of: NameOf, count: int, owned: Owned) -> Found:
    """Find everything that has the name of a backup of *log*, ours or of others.

    Args:
        log: The live file.
        name_of: Returns a backup's name for its default name.
        count: How many backups are kept. What is no file does not block a higher number than the next.
        owned: Which backups we made, as far as it is known.

    Raises:
        OSError: the folder cannot be listed.
    """
    backups, blocked = [], []
    for name in _names(log, name_of):
        try:
            status = os.lstat(name.path)
        except FileNotFoundError:
            continue
        if stat.S_ISREG(status.st_mode):
            backups.append(Backup(*name, status.st_ino, *_beginning(name.path)[:2]))
        elif 0 < name.number <= count + 1 and not name.is_default:
            blocked.append(name.path)
    live, head = _identify(log)
    return Found(live, backups, blocked, {}, {}, [], head).if_owned(owned)


def identify(path: str) -> Owned:
    """Return what makes the file *path* known as a backup; empty if there is no such regular file."""
    return _identify(path)[0]


def _identify(path: str) -> tuple[Owned, bytes]:
    """Return what `identify` returns, and the first bytes of the file."""
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return {}, b""
    if not stat.S_ISREG(status.st_mode):
        return {}, b""
    first_line, _, head = _beginning(path)
    return {status.st_ino: first_line}, head


class _Name(NamedTuple):
    path: str
    number: int
    is_default: bool
    suffix: str


def _names(log: str, name_of: NameOf) -> Iterator[_Name]:
    """Yield the paths that may be backups, each once."""
    folder, name = os.path.split(log)
    seen = {log}
    has_namer = name_of(f"{log}.1") != f"{log}.1"
    number = absent = 0
    while has_namer and absent < ABSENT_NAMED_NUMBERS:
        number += 1
        plain = name_of(f"{log}.{number}")
        paths = [path for path in forms_of(plain) if os.path.lexists(path) and path not in seen]
        absent = 0 if paths else absent + 1
        seen.update(paths)
        for path in paths:
            yield _Name(path, number, False, path[len(plain) :])
    for filename in os.listdir(folder):
        path = os.path.join(folder, filename)
        if not filename.startswith(name) or path in seen:
            continue
        suffix = suffix_of(filename)
        plain = filename.removesuffix(suffix)
        ending = BACKUP_ENDING.fullmatch(plain, len(name))
        if ending is not None:
            given = ending["number"] if suffix in ("", *COMPRESSED) else None
            yield _Name(path, int(given or 0), has_namer, suffix)


def _beginning(path: str) -> tuple[int, bool, bytes]:
    """Return the checksum of the first line, 0 if it cannot be read; whether we packed the file; its head.

    The line of a compressed file is the unpacked one, so that it is the same if somebody unpacks the file. Of
    a format whose library may be missing, the header of our file says it.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        if fd <= 2:
            fd = log_files.above_standard_streams(fd)
        try:
            data = packed = os.pread(fd, HEAD_BYTES, 0)
            if packed.startswith(GZIP.magic):
                data = _unpacked(os.pread(fd, _PACKED_BEGINNING_BYTES, 0)) or packed
        finally:
            os.close(fd)
    except OSError:  # this process may rename it, but not read it; or it was a regular file until now
        return 0, False, b""
    ours = format_of_ours(packed)
    said = None if ours is None else ours.first_line(packed)
    return first_line_checksum(data) if said is None else said, ours is not None, data


def _unpacked(packed: bytes) -> bytes:
    try:
        return zlib.decompressobj(_ANY_GZIP).decompress(packed, FIRST_LINE_BYTES)
    except zlib.error:
        return b""

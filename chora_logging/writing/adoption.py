"""Decides which backups are ours where the sidecar does not say so, or says what was true before.

A `RotatingFileHandler` leaves plain files that are numbered from 1 without a hole. So does logrotate without
`compress`, and what it leaves is not ours to rename and delete. The sizes tell them apart. A file that was
rotated by size ends where the next record would have reached the limit, or a record after it: records are
not lost when a rotation fails. The longest first record of the files stands for any record. The limit is the
current `maxBytes`, or, if that has been changed, a round number at which all the files end, which then have
many records and nearly the same size. Days and weeks end anywhere. Files in doubt are not taken over: the
log grows and says so, which can be mended, while a deleted file can not.
"""

from __future__ import annotations

import collections
import io
import itertools
import os
from typing import NamedTuple

from chora_logging import log_files
from chora_logging.writing.backups import Backup, Owned, identify

#: How many records a file has at least if the limit at which it ended is guessed.
_MANY = 10

#: How far the first record is searched for its end, in bytes.
_LONGEST_RECORD_BYTES = 1024 * 1024

#: How a line begins that continues a record, and the most bytes that such lines are taken to have.
_CONTINUED = (b" ", b"\t", b"Traceback")
_CONTINUED_BYTES = 4096


def adopt(
    log: str,
    backups: list[Backup],
    max_bytes: int,
    *,
    generation: int = 0,
    made: Owned | None = None,
    marked: int = 0,
) -> Owned:
    """Return the backups to take over for a log whose sidecar does not say which are ours.

    They are those of a `RotatingFileHandler`, or of a log whose sidecar was deleted, which we may have
    packed. Where there is any other, another tool rotates. Of a plain and a compressed file of one number
    the compressed one is ours only if we have packed it: it may have other events.

    Args:
        log: The live file.
        backups: All regular files that have the name of a backup.
        max_bytes: The present limit of the log; 0 if there is none.
        generation: So often has a version of this package rotated that did not record its backups: those up
            to this number are ours.
        made: The backups that this process has made.
        marked: The inode of a file whose rotation we have begun and not ended. If it is still the live file
            the backups were ours, and one number may be missing.
    """
    is_interrupted = marked in identify(log)
    is_plain = all(not backup.suffix or backup.packed_by_us for backup in backups)
    is_series = is_plain and all(_is_series(backups, kind, is_interrupted) for kind in (True, False))
    plain = {backup.path for backup in backups if not backup.suffix}
    known = {backup.path for backup in backups if backup.is_in(made or {}) or backup.inode == marked}
    is_ours = is_series and (is_interrupted or _end_at_a_limit(plain - known, {log, *known}, max_bytes))
    return {
        backup.inode: backup.first_line
        for backup in backups
        if is_ours or 0 < backup.number <= generation
        if not backup.suffix or backup.packed_by_us or backup.path.removesuffix(backup.suffix) not in plain
    }


def restore(backups: list[Backup], owned: Owned, live: Owned) -> Owned:
    """Return *owned* with those *backups* that were restored from a copy of the folder, or unpacked.

    They begin with the line of a listed file. Either their inode is listed, too: an earlier copy of the
    folder was copied over it. Or the file that is listed is gone; where more files begin with its line than
    are gone, somebody keeps a copy. Beyond a number that no file has is somebody's copy, too. Of a plain
    file that begins as the *live* file does the line says nothing.
    """
    numbers = {backup.number for backup in backups}
    end = next(number for number in itertools.count(1) if number not in numbers)
    present = {backup.inode for backup in backups if backup.is_in(owned)}
    gone = collections.Counter(line for inode, line in owned.items() if inode not in present)
    others = [backup for backup in backups if 0 < backup.number < end and backup.inode not in present]
    alike = collections.Counter(backup.first_line for backup in others)

    def is_ours(backup: Backup) -> bool:
        line = backup.first_line
        if (
            backup.inode in owned and backup.packed_by_us
        ):  # perhaps listed by a version that did not unpack it
            return True
        if not line or (line in live.values() and not backup.packed_by_us):
            return False
        return alike[line] <= gone[line] or (backup.inode in owned and line in owned.values())

    return {**owned, **{backup.inode: backup.first_line for backup in others if is_ours(backup)}}


def _is_series(backups: list[Backup], is_default: bool, is_interrupted: bool) -> bool:
    numbers = {backup.number for backup in backups if backup.is_default is is_default}
    return 0 not in numbers and max(numbers, default=0) - len(numbers) <= is_interrupted


class _Extent(NamedTuple):
    size: int
    record: int


def _end_at_a_limit(paths: set[str], others: set[str], max_bytes: int) -> bool:
    """Return whether the files *paths* were rotated by size; *others* are of the same log."""
    if not paths:
        return True
    files = [extent for extent in map(_extent, paths) if extent is not None]
    if len(files) < len(paths):
        return False
    record = max(extent.record for extent in (*files, *map(_extent, others)) if extent is not None)
    sizes = [extent.size for extent in files]
    if 0 < max_bytes <= min(sizes) + record and max(sizes) < max_bytes + record:
        return True
    is_alike = len(files) > 1 and min(sizes) >= _MANY * record
    return is_alike and _has_round_number(max(sizes) + 1, min(sizes) + record)


def _extent(path: str) -> _Extent | None:
    """Return the size of a file and that of its first record; None if it cannot be read."""
    try:
        opened = log_files.open_regular(path)
        if opened is None:
            return None
        with io.FileIO(opened[0]) as file:
            data = b""
            while b"\n" not in data[:-1] and len(data) < _LONGEST_RECORD_BYTES and (more := file.read(65536)):
                data += more
            size = os.fstat(file.fileno()).st_size
    except OSError:
        return None
    line = data.find(b"\n") + 1 or size
    is_continued = data.startswith(_CONTINUED, line)
    return _Extent(size, min(size, line + is_continued * _CONTINUED_BYTES))


def _has_round_number(low: int, high: int) -> bool:
    """Return whether a number of two digits, of bytes, KiB or MiB, and zeros is from *low* to *high*.

    >>> _has_round_number(10_485_000, 10_486_000), _has_round_number(9_999_900, 10_000_000)
    (True, True)
    >>> _has_round_number(8_641_000, 8_641_060)
    False
    """
    for unit in (1, 1024, 1024**2):
        step = unit * 10 ** max(0, len(str(high // unit)) - 2)
        if high // step * step >= low:
            return True
    return False

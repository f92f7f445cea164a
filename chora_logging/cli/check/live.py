"""Finds what is missing of the live file, by what the sidecar says of it."""

from __future__ import annotations

import contextlib
import os
from typing import NamedTuple

from chora_logging import log_files
from chora_logging.cli import amounts
from chora_logging.cli.check.examining import GONE, MISSING
from chora_logging.eventlog.rotated.file_set import paths_of
from chora_logging.log_files import FIRST_LINE_BYTES, Backups

#: How often it is looked at, at most, because the log was rotated meanwhile.
_ATTEMPTS = 10

#: How often something has to be missing in a row: another tool may be renaming files.
_SURE = 2


class Lost(NamedTuple):
    """What is missing of a live file: the kind of problem, and a description."""

    kind: str
    reason: str


class _Seen(NamedTuple):
    """The live file as it is: None for its inode if there is none."""

    inode: int | None
    size: int
    first_line: int


def lost_of_live(log: str) -> Lost | None:
    """Return what is missing of the live file *log*; None if nothing is, as far as its sidecar says.

    Where another tool rotates the log, nothing is known. A file that was replaced by another one is damage
    only if this package rotates the log: else another tool may move its files to another folder.
    """
    log = log_files.real_path(os.path.abspath(log))
    times = 0
    for _ in range(_ATTEMPTS):
        said = log_files.read_backups(log)
        lost = _lost(said, _look(log), _inodes_of_backups(log))
        if lost is None:
            return None
        now = log_files.read_backups(log)
        times = times + 1 if (now.state, now.live) == (said.state, said.live) else 0
        if times == _SURE:
            return lost
    return None


def _lost(said: Backups, seen: _Seen, inodes: set[int]) -> Lost | None:
    live = said.live
    if said.state is None or said.state.under_way or live is None or said.owned is None:
        return None
    if not live.size or live.inode in inodes or not inodes <= said.owned.keys():
        return None
    if seen.inode is None:
        return Lost(MISSING, f"it was deleted or moved away, with at least {amounts.size(live.size)}")
    is_same = seen.first_line == live.first_line or not live.first_line
    if seen.size >= live.size and (is_same or seen.inode == live.inode):
        return None
    if seen.size and is_same:
        size = amounts.size(live.size - seen.size)
        return Lost(MISSING, f"at least {size} cut off its end: restore from a copy")
    reason = f"at least {amounts.size(live.size)} that it had deleted, emptied or moved away"
    if seen.inode == live.inode or said.record:
        return Lost(MISSING, f"{reason}: restore from a copy")
    return Lost(GONE, reason)


def _look(log: str) -> _Seen:
    try:
        opened = log_files.open_regular(log)
    except OSError:
        opened = None
    if opened is None:
        return _Seen(None, 0, 0)
    fd, status = opened
    try:
        data = os.pread(fd, FIRST_LINE_BYTES, 0)
    finally:
        os.close(fd)
    return _Seen(status.st_ino, status.st_size, log_files.first_line_checksum(data))


def _inodes_of_backups(log: str) -> set[int]:
    found = set()
    for path in paths_of(log):
        if path != log:
            with contextlib.suppress(FileNotFoundError):  # renamed meanwhile
                found.add(os.stat(path).st_ino)
    return found

"""Copies in a set: the same lines under two names, of which only one file is read.

Who rotates by `copytruncate` copies the log before it truncates it, and may be stopped in between;
a backup may be put back beside its original. A file is a copy if another one begins with all that
it holds: lines with a time, or anything else that differs, are then the same lines.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from chora_logging.eventlog.content import CHUNK
from chora_logging.eventlog.files import LogFile

_File = TypeVar("_File", bound=LogFile)


def without_copies(files: Sequence[_File]) -> list[_File]:
    """*files*, oldest first, without those whose lines another one has too; these are closed.

    The longest stays, of equal ones the newest. The live file always stays: it may go on otherwise.
    """
    copies = set()
    for index, file in enumerate(files):
        for newer in files[index + 1 :]:
            if begins_with(newer, file):
                copies.add(index)
            elif newer.place.number and begins_with(file, newer):
                copies.add(files.index(newer))
    for index in copies:
        files[index].close()
    return [file for index, file in enumerate(files) if index not in copies]


def begins_with(whole: LogFile, part: LogFile) -> bool:
    """Whether *part* is not empty and *whole* begins with all that it holds.

    Of a damaged file a whole line must be left: all files of a log begin alike.
    """
    head = part.head()
    if not head or not whole.head().startswith(head):
        return False
    offset, has_line = 0, False
    while data := part.peek(CHUNK, offset):
        if whole.peek(len(data), offset) != data:
            return False
        offset += len(data)
        has_line = has_line or b"\n" in data
    return has_line or not part.damage

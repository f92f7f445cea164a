"""Copies in a set: the same lines under two names, of which only one file is read.

Who rotates by `copytruncate` copies the log before it truncates it, and may be stopped in between;
a backup may be put back beside its original. A file is a copy if a newer one begins with all that
it holds: lines with a time, or anything else that differs, are then the same lines.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from chora_logging.eventlog.content import CHUNK
from chora_logging.eventlog.files import LogFile

_File = TypeVar("_File", bound=LogFile)


def without_copies(files: Sequence[_File]) -> list[_File]:
    """*files*, oldest first, without those whose lines a newer one has too; these are closed."""
    kept = []
    for index, file in enumerate(files):
        if any(_begins_with(newer, file) for newer in files[index + 1 :]):
            file.close()
        else:
            kept.append(file)
    return kept


def _begins_with(whole: LogFile, part: LogFile) -> bool:
    head = part.head()
    if not head or not whole.head().startswith(head):
        return False
    offset = 0
    while data := part.peek(CHUNK, offset):
        if whole.peek(len(data), offset) != data:
            return False
        offset += len(data)
    return True

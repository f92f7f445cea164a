"""Recognises files that are copies of others, by their content and by the list of backups in the sidecar."""

from __future__ import annotations

import collections
import itertools
from collections.abc import Iterator, Sequence
from types import MappingProxyType
from typing import TypeVar

from chora_logging.eventlog.rotated.file import LogFile
from chora_logging.eventlog.rotated.generations import Listed, is_listed
from chora_logging.eventlog.rotated.plain import CHUNK

#: How much of each file is compared first, in bytes: more than files begin with that begin alike.
_COMPARED_BYTES = 4096

_File = TypeVar("_File", bound=LogFile)


def without_copies(files: Sequence[_File], listed: Listed = MappingProxyType({})) -> list[_File]:
    """Return *files*, oldest first, without copies; the copies are closed.

    A tool that rotates by `copytruncate` copies the log before it truncates it, and may be stopped in
    between; a backup may be restored beside its original. A file is a copy if another file begins with
    its whole content, and it has a line that is unlike its others: lines with a time or another unique
    value are then the same lines. Equal lines are several events.

    The longest file stays, of equal ones that which the sidecar has *listed*, or the newest. The live file
    always stays, because its next lines may differ.
    """
    copies = set()
    for index, number in _alike(files):
        file, newer = files[index], files[number]
        is_ours = is_listed(file, listed) and not is_listed(newer, listed)
        if newer.place.number and is_ours and _is_copy(newer, file):
            copies.add(number)
        elif _is_copy(file, newer):
            copies.add(index)
        elif newer.place.number and _is_copy(newer, file):
            copies.add(number)
    for index in copies:
        files[index].close()
    return [file for index, file in enumerate(files) if index not in copies]


def _alike(files: Sequence[LogFile]) -> Iterator[tuple[int, int]]:
    """Yield the indexes of each two files of which one begins as the whole other does, the older first."""
    # In this order a beginning stands right before all that begins with it.
    beginnings = sorted((file.peek(_COMPARED_BYTES, 0), index) for index, file in enumerate(files))
    for at, (beginning, index) in enumerate(beginnings):
        if not beginning:
            continue
        for other, number in itertools.islice(beginnings, at + 1, None):
            if not other.startswith(beginning):
                break
            yield min(index, number), max(index, number)


def _is_copy(file: LogFile, other: LogFile) -> bool:
    is_pair = file.place.number == other.place.number  # one of them is being compressed
    return begins_with(other, file) and (is_pair or _has_unique_line(file))


def _has_unique_line(file: LogFile) -> bool:
    lines = collections.Counter(file.peek(CHUNK, 0).split(b"\n")[:-1])
    return not lines or 1 in lines.values()


def begins_with(whole: LogFile, part: LogFile) -> bool:
    """Return whether *part* is not empty and *whole* begins with its whole content.

    A damaged *part* needs at least one complete line, because the files of a log begin alike.
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

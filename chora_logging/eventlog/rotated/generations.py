"""Gives the files of a log their generations, and finds those that are missing or have been cut.

The sidecar records what the last rotations have made: see `log_files`. A file is known by its inode and
its first line, or, if it was restored, compressed or copied by another tool, by its first line alone, so
that it does not matter which number a tool has given to it. What the sidecar does not record has the
generation that its number says.
"""

from __future__ import annotations

import collections
import itertools
from collections.abc import Mapping, Sequence, Set
from operator import itemgetter
from typing import TypeVar

from chora_logging.eventlog.rotated.file import LogFile
from chora_logging.log_files import (
    Backups,
    Rotated,
    Sidecar,
    digest,
    generation_of,
    gone_in,
)

#: The backups that a sidecar lists: see `Backups.owned`.
Listed = Mapping[int, int]

#: What is the same of a file and one in the record, of the evidence, the surest first, and whether it counts
#: only if as many files as recorded ones have it: then their order tells them apart, also where another tool
#: has changed their numbers. The first line alone is enough, if it has a time; else other lines may be the
#: same, and the inode may be that of a new file. The head differs if a late writer has added to a short file.
_HEAD = 4
_SAME = (
    ((0, 1), True),
    *((same, False) for same in ((0, 1, 2), (0, 1, 3), (0, 2, 3), (0, 2), (0, 1), (0, 3), (0,))),
)

_File = TypeVar("_File", bound=LogFile)


def in_order(
    files: Sequence[_File], emptied: Sequence[LogFile], state: Sidecar, before: Backups, after: Backups
) -> list[_File]:
    """Give *files*, oldest first, their generations, and return them in this order.

    Those after a hole get the number of files missing before them, and of their bytes; those that have
    been cut get the size that they had. A file that is cut in its first line is closed and left out.

    Args:
        files: The files of the log without those that have no content.
        emptied: The backups that have none.
        state: The sidecar, of which nothing has changed meanwhile but the list of the backups.
        before, after: What it says of the backups before and after the files were opened: one may have
            been compressed meanwhile.
    """
    record = {**before.record, **after.record}
    record = {each: rotated for each, rotated in record.items() if each < state.generation}
    recorded = {rotated.inode for rotated in record.values()}
    known = _recorded(files, record, state.generation)
    spent = [file for file in files if file.place.number and file.place.inode in recorded]
    spent = [
        file
        for file in spent
        if not (file.head() or file.first_line()) or _is_remainder(file) > (file.place.identity in known)
    ]
    for file in spent:
        file.close()
    files = [file for file in files if file not in spent]
    lists = [backups.owned for backups in (before, after) if backups.owned is not None]
    listed = {inode: line for owned in lists for inode, line in owned.items()}
    by_list = listed if len(lists) == 2 else None
    # Where another tool has moved files, the numbers do not say the generations of the others.
    gone_live = gone_in(record)
    places = {
        file.place.identity: generation_of(file.place.number, state.generation, gone_live) for file in files
    }
    is_moved = any(known.get(each, place) != place for each, place in places.items())
    for file in files:
        file.record = record
        generation = known.get(file.place.identity)
        if generation is not None:
            file.expected = record[generation].size
        elif not (is_moved and file.place.number) and _has_number_of_ours(file, by_list, recorded):
            generation = places[file.place.identity]
        if generation is not None:
            file.log_id, file.generation = state.log_id[:8], generation
    # An empty file is listed with 0 for its first line, and is no loss.
    there = recorded | {file.place.inode for file in files if is_listed(file, listed)}
    found = _sorted(_useful(files, record))
    is_alone = len(lists) == 2 and all(not file.place.number or file.place.inode in listed for file in files)
    gone = {inode for inode in listed if listed[inode] and all(inode in owned for owned in lists)} - there
    overwritten = [file for file in files if file.generation is None]
    damaged: list[LogFile] = [*emptied, *spent, *overwritten]
    inodes = {file.place.inode for file in damaged}
    kept_from = state.generation if after.kept_from is None else after.kept_from
    kept = {each for each in record if each >= kept_from or record[each].inode in inodes}
    _count_missing(found, kept, record, len(gone) if is_alone else 0)
    return found


def is_listed(file: LogFile, listed: Listed) -> bool:
    """Return whether *file* is one of *listed*, and has not been overwritten with the content of another.

    Of a compressed file only the inode is compared.
    """
    first_line = listed.get(file.place.inode)
    if first_line is None:
        return False
    return file.compressed or not first_line or file.first_line() == first_line


def _recorded(
    files: Sequence[LogFile], record: Mapping[int, Rotated], newest: int
) -> dict[tuple[int, int], int]:
    """Return the generations of those of *files* that are in the *record*, by their identities."""
    backups = {file.place.identity: file for file in files if file.place.number}
    gone = gone_in(record)
    seen = {identity: _evidence(file, newest, gone) for identity, file in backups.items()}
    latest = {record[each].inode: each for each in sorted(record)}  # what had the inode before it is gone
    made = {
        each: (
            rotated.first_line,
            rotated.size,
            rotated.inode if latest[rotated.inode] == each else None,
            each,
            rotated.head,
        )
        for each, rotated in record.items()
        if rotated.first_line
    }
    # Of files with the same first line, what is cut in it is not the one, whatever its inode and number are.
    alike_in = collections.Counter(first_line for first_line, *_ in seen.values())
    is_cut = {
        identity: alike_in[seen[identity][0]] > 1 and _is_remainder(file)
        for identity, file in backups.items()
    }
    found: dict[tuple[int, int], int] = {}
    for cut, head, (same, as_many) in itertools.product((False, True), ((_HEAD,), ()), _SAME):
        at = itemgetter(*same, *head)
        alike: dict[object, list[int]] = {}
        for generation in sorted(made, reverse=True):
            alike.setdefault(at(made[generation]), []).append(generation)
        these = [each for each in seen if is_cut[each] is cut]
        counts = collections.Counter(at(seen[each]) for each in these)
        for identity in these:
            key = at(seen[identity])
            generations = alike.get(key)
            if generations and not (as_many and len(generations) != counts[key]):
                counts[key] -= 1
                found[identity] = generations.pop()
                del seen[identity], made[found[identity]]
    generations_of = {rotated.inode: each for each, rotated in record.items() if each not in found.values()}
    for identity in seen:
        each = generations_of.get(backups[identity].place.inode)
        if each is not None and (not record[each].first_line or _is_remainder(backups[identity])):
            found[identity] = each
    return found


def _evidence(file: LogFile, newest: int, gone: Sequence[int]) -> tuple[int, int, int, int, bytes]:
    """Return what shows which file it is: its first line, size, inode, generation by its number, and head."""
    generation = generation_of(file.place.number, newest, gone)
    return file.first_line(), file.length(), file.place.inode, generation, digest(file.head())


def _is_remainder(file: LogFile) -> bool:
    """Return whether *file* ends in its first line, so that it cannot be recognised by it."""
    return not file.has_line()


def _has_number_of_ours(file: LogFile, listed: Listed | None, recorded: Set[int]) -> bool:
    if not file.place.number:
        return True
    if listed is not None and (not is_listed(file, listed) or file.place.inode in recorded):
        return False
    # Another file may have got the inode of one that is gone. What has no record does not know the first
    # line of a compressed file.
    is_other = listed is not None and recorded and listed[file.place.inode] != file.first_line()
    return file.place.is_ours and not is_other


def _useful(files: Sequence[_File], record: Mapping[int, Rotated]) -> list[_File]:
    """Return *files* without those that are in place of recorded ones and have no line; close these."""
    found: list[_File] = []
    doubtful: list[_File] = []
    older: int | None = None
    for file in files:
        if file.generation is None:
            doubtful.append(file)
            if older is None or not _is_remainder(file):
                found, doubtful = found + doubtful, []
            continue
        if older is not None and all(each in record for each in range(older + 1, file.generation)):
            for each in doubtful:
                each.close()
        else:
            found += doubtful
        found.append(file)
        older, doubtful = file.generation, []
    return found + doubtful


def _sorted(files: Sequence[_File]) -> list[_File]:
    """Return *files* with those that have a generation in its order, at the places that they have."""
    ranks = iter(sorted((file for file in files if file.generation is not None), key=_generation))
    return [file if file.generation is None else next(ranks) for file in files]


def _generation(file: LogFile) -> int:
    assert file.generation is not None
    return file.generation


def _count_missing(
    files: Sequence[LogFile], kept: Set[int], record: Mapping[int, Rotated], gone: int
) -> None:
    """Count the files that are missing before each of *files*; of those not in the *record*, *gone* are.

    What is older than the first may have been deleted because it was not to be kept, but not the *kept*.
    """
    there = {file.generation for file in files}
    lost = {each for each, rotated in record.items() if each not in there and rotated.size != 0}
    older: int | None = None
    for file in files:
        if file.generation is None:
            continue
        between = range(file.generation)
        if older is not None:
            between = range(older + 1, file.generation)
            missing = lost.intersection(between)
            unrecorded = len(between) - len(record.keys() & set(between))
        else:
            missing = {each for each in lost & kept if each < file.generation}
            unrecorded = 0
        file.missing_before = len(missing) + min(unrecorded, gone)
        file.missing_bytes = sum(record[each].size or 0 for each in missing)
        older = file.generation

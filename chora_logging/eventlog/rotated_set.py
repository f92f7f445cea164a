"""The rotated set of one log, opened as one consistent whole.

A set is found by name and held by descriptor: rotation renames the files while they are read, and
a descriptor stays with its file. Between listing the names and opening them a rotation can happen
too, so the whole map of names, those that are missing included, is compared before and after, and
the number of rotations that the sidecar counts.
"""

from __future__ import annotations

import errno
import itertools
import logging
import os
import re
import stat
import time
from collections.abc import Callable, Sequence
from functools import partial

from chora_logging import sidecar
from chora_logging.eventlog import locating
from chora_logging.eventlog.content import open_content
from chora_logging.eventlog.copies import without_copies
from chora_logging.eventlog.cursor import Position
from chora_logging.eventlog.files import LogFile, Place
from chora_logging.eventlog.items import Gap
from chora_logging.eventlog.stored import StoredFile
from chora_logging.rotation import COMPRESSED, backup_number, real_path
from chora_logging.schema import OWN_LOGGER

#: Gives a backup's name from its default name, as `logging.handlers.BaseRotatingHandler.namer`.
Namer = Callable[[str], str]

#: How often a consistent look at the names is tried for. A rotation takes longer than a look, so a
#: second look nearly always succeeds.
_LOOKS = 1000

#: How long a rotation that is under way is waited for, in seconds. One whose process was killed
#: stays so until the next record; its files are then known by content.
_PATIENCE = 0.02

#: How many numbers without a file end the backups that a namer names: they need not be in one folder.
_HOLES = 20

#: How logrotate names a backup with `dateext`: NAME-20250928, NAME-20250928-1759049651, with or without .gz.
_DATED = re.compile(r"-\d{8}(-\d{1,12})?(\.gz)?", re.ASCII)

_OUT_OF_RESOURCES = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)


def open_set(path: str, *, follow: bool = False, namer: Namer | None = None) -> list[LogFile]:
    """Open every file of the log *path*, oldest first; the caller closes them.

    Promised: no file is missing, twice or out of order, however fast the log is being rotated; of a
    file and its copy there is one.

    Args:
        path: The live file; it need not exist.
        follow: Read on as the live file grows, instead of up to its size now.
        namer: What names the backups, if the handler has one; those with the usual names are older.

    Raises:
        OSError: the live file cannot be opened. A backup that cannot is left out, and logged.
    """
    path = real_path(os.path.abspath(path))
    files: list[LogFile] = []
    deadline = time.monotonic() + _PATIENCE
    for _ in range(_LOOKS):
        close_all(files)
        state = sidecar.read(path)
        before = _look(path, namer)
        files = _open(path, before, None if follow else partial(_find_again, path, namer))
        same = _look(path, namer) == before and all(file.place in before.values() for file in files)
        files = without_copies(files)
        if not same or sidecar.read(path) != state or (files and not files[-1].is_as_opened()):
            continue
        if state is not None and state.under_way:
            if time.monotonic() < deadline:
                continue
        elif state is not None:
            _number(files, state)
        break
    siblings = frozenset(file.place.identity for file in files)
    for file in files:
        if isinstance(file, StoredFile):
            file.siblings = siblings
    return files


def open_at(
    path: str, position: Position, *, namer: Namer | None = None
) -> tuple[list[LogFile], int | None, Gap | None]:
    """Open the log *path* to read on from *position*.

    Returns:
        The files, as `open_set`; and the index of the one to read on with and what is missing before
        it, as `locate`.

    Raises:
        OSError: as `open_set`.
    """
    for _ in range(_LOOKS):
        files = open_set(path, namer=namer)
        index, gap = locating.locate(files, position)
        if gap is None or not any(file.missing for file in files):
            break
        close_all(files)  # the log was truncated between the two steps: now its copy is there
    return files, index, gap


def close_all(files: Sequence[LogFile]) -> None:
    """Close *files*."""
    for file in files:
        file.close()


def is_live(path: str, file: LogFile) -> bool:
    """Whether *file* is the one that the name *path* stands for now."""
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return False
    return (status.st_dev, status.st_ino) == file.place.identity


def paths_of(path: str, namer: Namer | None = None) -> list[str]:
    """The names of the files that make up the log *path*, oldest first."""
    found = _look(real_path(os.path.abspath(path)), namer)
    return sorted(found, key=lambda name: -found[name].number)


def _find_again(path: str, namer: Namer | None, file: StoredFile) -> LogFile | None:
    files: list[LogFile] = open_set(path, follow=True, namer=namer)
    index = locating.find_stored(files, file)
    found = None if index is None else files.pop(index)
    close_all(files)
    return found


def _number(files: Sequence[LogFile], state: sidecar.State) -> None:
    for file in files:
        if file.place.is_ours:
            file.log_id = state.log_id[:8]
            file.generation = state.generation - file.place.number


def _look(path: str, namer: Namer | None) -> dict[str, Place]:
    """Every name of the set, and the file that it stands for."""
    folder, log = os.path.split(path)
    named = _look_for_named(path, namer) if namer is not None else {}
    newer = max((place.number for place in named.values()), default=0)
    found = named.copy()
    dated: list[str] = []
    try:
        names = os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return found
    for name in names:
        full = os.path.join(folder, name)
        if name == log:
            _add(found, full, 0)
        elif (number := backup_number(name, log)) is not None and full not in found:
            _add(found, full, newer + number, is_ours=not newer)
        elif name.startswith(log) and _DATED.fullmatch(name, len(log)):
            dated.append(full)
    highest = max((place.number for place in found.values()), default=0)
    for number, full in enumerate(sorted(dated, reverse=True), highest + 1):
        _add(found, full, number, is_ours=False)
    # Both NAME.1 and NAME.1.gz: a compression that was interrupted. The plain one is whole.
    for full in [full for full in found if full.endswith(COMPRESSED) and full != path]:
        plain = full.removesuffix(COMPRESSED)
        if plain in found and (plain in named) == (full in named):
            del found[full]
    return found


def _look_for_named(path: str, namer: Namer) -> dict[str, Place]:
    found: dict[str, Place] = {}
    missing = 0
    for number in itertools.count(1):
        name = namer(f"{path}.{number}")
        there = [_add(found, full, number) for full in (name, name + COMPRESSED) if full != path]
        missing = 0 if any(there) else missing + 1
        if missing == _HOLES:
            break
    return found


def _add(found: dict[str, Place], full: str, number: int, *, is_ours: bool = True) -> bool:
    try:
        status = os.stat(full)
    except OSError:
        return False
    if stat.S_ISREG(status.st_mode):
        found[full] = Place(number, status.st_dev, status.st_ino, is_ours)
    return full in found


def _open(
    path: str, found: dict[str, Place], find: Callable[[StoredFile], LogFile | None] | None
) -> list[LogFile]:
    files: list[LogFile] = []
    for full in sorted(found, key=lambda name: -found[name].number):
        try:
            content, status = open_content(full)
        except FileNotFoundError:
            continue
        except OSError as error:
            if full == path or error.errno in _OUT_OF_RESOURCES:
                close_all(files)
                raise
            name = os.path.basename(full)
            logging.getLogger(OWN_LOGGER).warning("%s cannot be read: %s", name, error)
            continue
        place = found[full]._replace(device=status.st_dev, inode=status.st_ino)
        if find is None:
            files.append(LogFile(full, place, content))
        else:
            files.append(StoredFile(full, place, content, find))
    return files

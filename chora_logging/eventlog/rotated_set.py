"""The rotated set of one log, opened as one consistent whole.

A set is found by name and held by descriptor: rotation renames the files while they are read, and
a descriptor stays with its file. Between listing the names and opening them a rotation can happen
too, so the whole map of names, those that are missing included, is compared before and after, and
the number of rotations that the sidecar counts.
"""

from __future__ import annotations

import logging
import os
import re
import stat
import time

from chora_logging import sidecar
from chora_logging.eventlog.files import CompressedFile, LogFile, Place, PlainFile
from chora_logging.rotation import COMPRESSED, backup_number, real_path
from chora_logging.schema import OWN_LOGGER

#: How often a consistent look at the names is tried for. A rotation takes longer than a look, so a
#: second look nearly always succeeds.
_LOOKS = 1000

#: How long a rotation that is under way is waited for, in seconds. One whose process was killed
#: stays so until the next record; its files are then known by content.
_PATIENCE = 0.02

#: How logrotate names a backup with `dateext`: NAME-20250928, NAME-20250928-1759049651, with or without .gz.
_DATED = re.compile(r"-\d{8}(-\d{1,12})?(\.gz)?", re.ASCII)

_IS_DATED = re.compile(_DATED.pattern + r"\Z", re.ASCII)


def open_set(path: str, *, follow: bool = False) -> list[LogFile]:
    """Open every file of the log *path*, oldest first; the caller closes them.

    Promised: no file is missing, twice or out of order, however fast the log is being rotated.

    Args:
        path: The live file; it need not exist.
        follow: Read on as the live file grows, instead of up to its size now.

    Raises:
        OSError: the live file cannot be opened. A backup that cannot is left out, and logged.
    """
    path = real_path(os.path.abspath(path))
    files: list[LogFile] = []
    deadline = time.monotonic() + _PATIENCE
    for _ in range(_LOOKS):
        close_all(files)
        state = sidecar.read(path)
        before = _look(path)
        files = _open(path, before, follow)
        same = _look(path) == before and all(file.place in before.values() for file in files)
        if not same or sidecar.read(path) != state:
            continue
        if state is not None and state.under_way:
            if time.monotonic() < deadline:
                continue
        elif state is not None:
            _number(files, state)
        break
    return files


def close_all(files: list[LogFile]) -> None:
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


def paths_of(path: str) -> list[str]:
    """The names of the files that make up the log *path*, oldest first."""
    path = real_path(os.path.abspath(path))
    folder = os.path.dirname(path)
    found = _look(path)
    return [os.path.join(folder, name) for name in sorted(found, key=lambda name: -found[name].number)]


def _number(files: list[LogFile], state: sidecar.State) -> None:
    log = os.path.basename(files[-1].path) if files and not files[-1].place.number else None
    for file in files:
        name = os.path.basename(file.path)
        if name == log or not _IS_DATED.search(name):
            file.log_id = state.log_id[:8]
            file.generation = state.generation - file.place.number


def _look(path: str) -> dict[str, Place]:
    folder, log = os.path.split(path)
    found: dict[str, Place] = {}
    dated: list[str] = []
    try:
        names = os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return found
    for name in names:
        number = 0 if name == log else backup_number(name, log)
        if number is None:
            if name.startswith(log) and _DATED.fullmatch(name, len(log)):
                dated.append(name)
            continue
        _add(found, folder, name, number)
    highest = max((place.number for place in found.values()), default=0)
    for number, name in enumerate(sorted(dated, reverse=True), highest + 1):
        _add(found, folder, name, number)
    # Both NAME.1 and NAME.1.gz: a compression that was interrupted. The plain one is whole.
    for name in [name for name in found if name.endswith(COMPRESSED)]:
        if name != log and name.removesuffix(COMPRESSED) in found:
            del found[name]
    return found


def _add(found: dict[str, Place], folder: str, name: str, number: int) -> None:
    try:
        status = os.stat(os.path.join(folder, name))
    except OSError:
        return
    if stat.S_ISREG(status.st_mode):
        found[name] = Place(number, status.st_dev, status.st_ino)


def _open(path: str, found: dict[str, Place], follow: bool) -> list[LogFile]:
    folder, log = os.path.split(path)
    files: list[LogFile] = []
    for name in sorted(found, key=lambda name: -found[name].number):
        full = os.path.join(folder, name)
        try:
            fd = os.open(full, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        except OSError as error:
            if name == log:
                close_all(files)
                raise
            logging.getLogger(OWN_LOGGER).warning("%s cannot be read: %s", name, error)
            continue
        status = os.fstat(fd)
        place = Place(found[name].number, status.st_dev, status.st_ino)
        if name.endswith(COMPRESSED) and name != log:
            files.append(CompressedFile(fd, full, place))
        else:
            files.append(PlainFile(fd, full, place, None if follow else status.st_size))
    return files

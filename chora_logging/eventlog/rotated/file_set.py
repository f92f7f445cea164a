"""Opens the rotated files of one log as one consistent set.

Files are found by name and held by descriptor, because rotation renames them while they are read.
They are opened from the newest to the oldest, the direction in which rotation moves them: none is
missed as long as the newest one keeps its name, however the others move.
"""

from __future__ import annotations

import contextlib
import errno
import heapq
import itertools
import logging
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

from chora_logging import log_files
from chora_logging.compressed_files import COMPRESSED, forms_of, suffix_of
from chora_logging.eventlog.events import Gap
from chora_logging.eventlog.rotated import locating
from chora_logging.eventlog.rotated.content import open_content
from chora_logging.eventlog.rotated.copies import without_copies
from chora_logging.eventlog.rotated.cursor import Position
from chora_logging.eventlog.rotated.file import LogFile, Place
from chora_logging.eventlog.rotated.generations import in_order
from chora_logging.eventlog.rotated.plain import Moved
from chora_logging.eventlog.rotated.stored import HELD_FILES, Find, Lost, StoredFile
from chora_logging.log_files import ABSENT_NAMED_NUMBERS, backup_number, is_dated, real_path
from chora_logging.schema import OWN_LOGGER

#: Returns the name of a backup for its default name, as `logging.handlers.BaseRotatingHandler.namer`.
Namer = Callable[[str], str]

_Locate = Callable[[Sequence[LogFile], Position], tuple[int | None, Gap | None]]

#: How often opening the set is retried because the log was rotated or truncated meanwhile. Opening takes
#: a part of the time of a rotation, so a second attempt nearly always succeeds.
_OPENING_ATTEMPTS = 1000

#: How long to wait for a moment without a rotation, in seconds. A rotation whose process was killed
#: stays under way until the next record, and some logs are rotated all the time.
_ROTATION_WAIT_SECONDS = 0.02

#: The minimum number of attempts, however long they take: on a busy machine one attempt may take all of
#: the time above.
_MIN_ATTEMPTS = 3

#: How many numbers in a row without a file end a series of backups: during a rotation one number has
#: no file.
_ABSENT_NUMBERS = 2

_OUT_OF_RESOURCES = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)


def open_set(path: str, *, follow: bool = False, namer: Namer | None = None) -> list[LogFile]:
    """Open every file of the log *path*, oldest first; the caller closes them.

    Promised: no file is missing, repeated or out of order, however fast the log is rotated. Of a file
    and its copy only one is opened.

    Args:
        path: The live file; it need not exist.
        follow: Read on as the live file grows, instead of up to its current size.
        namer: The namer of the handler that makes the backups, if it has one; backups with the default
            names are older.

    Raises:
        OSError: the live file cannot be opened. A backup that cannot be opened is left out and logged.
    """
    path = real_path(os.path.abspath(path))
    find = None if follow else partial(_find_again, path, namer)
    deadline = time.monotonic() + _ROTATION_WAIT_SECONDS
    for attempt in range(1, _OPENING_ATTEMPTS + 1):
        is_last = attempt >= _MIN_ATTEMPTS and time.monotonic() >= deadline
        with contextlib.suppress(Moved):
            files = _open_once(path, namer, find, is_last=is_last)
            if files is not None:
                return files
    raise Moved(errno.ESTALE, os.strerror(errno.ESTALE), path)


def _open_once(path: str, namer: Namer | None, find: Find | None, *, is_last: bool) -> list[LogFile] | None:
    """Open the files as `open_set` does; return None if the log was rotated or truncated meanwhile.

    Args:
        path, namer: As for `open_set`.
        find: Finds a file that has moved; without it, the files may grow.
        is_last: Whether to do without the generations if the log is rotated all the time.

    Raises:
        Moved: a file that was suspended has another name now.
    """
    backups = log_files.read_backups(path)
    state = backups.state
    files = opened = _open(path, namer, find)
    try:
        is_still = files and is_live(files[-1].path, files[-1])
        files = without_copies(files, backups.owned or {})
        if files and not (is_still and files[-1].is_as_opened()):
            close_all(files)
            return None
        are_in_place = all(is_live(file.path, file) for file in files)
        backups_now = log_files.read_backups(path)
        is_settled = are_in_place and backups_now.state == state
        is_numbered = is_settled and state is not None and not state.under_way
        if not is_numbered and not is_last and (state is not None or not is_settled):
            close_all(files)
            return None
        created = list(filter(_is_created, files))
        close_all(created)
        files = [file for file in files if file not in created]
        if is_numbered and state is not None:
            files = in_order(files, created, state, backups, backups_now)
        siblings = frozenset(file.place.identity for file in files)
        older: int | None = None
        for file in files:
            file.older = older
            older = max(older or 0, file.time())
            if isinstance(file, StoredFile):
                file.siblings = siblings
    except BaseException:
        close_all(opened)
        raise
    return files


def open_at(
    path: str,
    position: Position,
    *,
    follow: bool = False,
    namer: Namer | None = None,
    locate: _Locate = locating.locate,
) -> tuple[list[LogFile], int | None, Gap | None]:
    """Open the log *path* to read on from *position*.

    Args:
        path, follow, namer: As for `open_set`.
        position: The position of a cursor.
        locate: Finds the position in the files.

    Returns:
        The files; the index of the file in which reading resumes and the gap before it, as from `locate`.

    Raises:
        OSError: as for `open_set`.
    """
    files: list[LogFile] = []
    index, gap = None, None
    for _ in range(_OPENING_ATTEMPTS):
        close_all(files)
        files = open_set(path, follow=follow, namer=namer)
        with _closing_on_error(files), contextlib.suppress(Moved):
            index, gap = locate(files, position)
            # Else the log was truncated between the two steps; on the next attempt its copy is there.
            if gap is None or all(file.is_as_opened() for file in files):
                if gap is None and index is not None:
                    gap = locating.gap_of_late_lines(files, index, position)
                break
    return files, index, gap


@contextlib.contextmanager
def _closing_on_error(files: list[LogFile]) -> Iterator[None]:
    try:
        yield
    except BaseException:
        close_all(files)
        raise


def close_all(files: Iterable[LogFile]) -> None:
    """Close *files*."""
    for file in files:
        file.close()


def is_live(path: str, file: LogFile) -> bool:
    """Return whether *path* is now the path of *file*."""
    try:
        status = os.stat(path)
    except OSError:
        return False
    return (status.st_dev, status.st_ino) == file.place.identity


def paths_of(path: str, namer: Namer | None = None) -> list[str]:
    """Return the paths of the files of the log *path*, oldest first."""
    numbers = _list_names(real_path(os.path.abspath(path)), namer).numbers
    there: dict[str, int] = {}
    for name, number in numbers.items():
        # A backup may have been compressed since it was listed.
        names = forms_of(name) if number else (name,)
        there.update((full, number) for full in names if os.path.isfile(full))
    return sorted(there, key=lambda name: -there[name])


def _find_again(path: str, namer: Namer | None, lost: Lost) -> tuple[LogFile, bool] | None:
    files: list[LogFile] = []
    index, is_whole = None, False
    for _ in range(_OPENING_ATTEMPTS):
        close_all(files)
        files = open_set(path, follow=True, namer=namer)
        with contextlib.suppress(Moved):
            index, is_whole = locating.find_lost(files, lost)
            if index is not None:
                files[index].resume()
            # As in `open_at`.
            if is_whole or all(file.is_as_opened() for file in files):
                break
    found = None if index is None else files.pop(index)
    close_all(files)
    return None if found is None else (found, is_whole)


def _is_created(file: LogFile) -> bool:
    """Return whether *file* is a backup that was empty when it was opened.

    Whoever creates a backup under its name fills it now: what comes is a copy, or is compressed.
    """
    if not file.place.number or file.head_as_read():
        return False
    return not file.compressed or not (file.damage or file.length())


class _Names(NamedTuple):
    """The names of a set when they were listed.

    Attributes:
        numbers: The number of each name in the order of age; 0 is the live file.
        newer: The highest number of the names that the namer gives; the default names follow.
        dated: The numbers of the dated names, without the suffix of compression.
        suffixes: The suffixes of compressed files, with those that are not read here if there are any.
    """

    numbers: dict[str, int]
    newer: int
    dated: dict[str, int]
    suffixes: tuple[str, ...] = COMPRESSED


def _list_names(path: str, namer: Namer | None) -> _Names:
    folder, log = os.path.split(path)
    named = _list_named(path, namer) if namer is not None else {}
    newer = max(named.values()) + _ABSENT_NUMBERS if named else 0
    found = named.copy()
    dated: dict[str, str] = {}  # with the name without the suffix of compression
    suffixes = dict.fromkeys(COMPRESSED)
    try:
        names = os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return _Names(found, newer, {})
    for name in names:
        full = os.path.join(folder, name)
        suffix = suffix_of(name)
        plain = name.removesuffix(suffix)
        if name == log:
            found[full] = 0
        elif (number := backup_number(name, log)) is not None and full not in found:
            found[full] = newer + number
        elif is_dated(plain, log):
            dated[full] = os.path.join(folder, plain)
        else:
            continue
        if suffix:
            suffixes[suffix] = None
    oldest = max(found.values(), default=0)
    newest_first = sorted(set(dated.values()), key=_by_digits, reverse=True)
    of_dated = {plain: number for number, plain in enumerate(newest_first, oldest + 1)}
    found.update((full, of_dated[plain]) for full, plain in dated.items())
    return _Names(found, newer, of_dated, tuple(suffixes))


def _by_digits(name: str) -> str:
    return "".join(filter(str.isdigit, os.path.basename(name)))


def _list_named(path: str, namer: Namer) -> dict[str, int]:
    found: dict[str, int] = {}
    missing = 0
    for number in itertools.count(1):
        name = namer(f"{path}.{number}")
        there = [full for full in forms_of(name) if full != path and os.path.isfile(full)]
        found.update(dict.fromkeys(there, number))
        missing = 0 if there else missing + 1
        if missing == ABSENT_NAMED_NUMBERS:
            break
    return found


def _open(path: str, namer: Namer | None, find: Find | None) -> list[LogFile]:
    """Open the live file, list the names, then open the backups from the newest to the oldest.

    A rotation moves a file to a name that is opened later. A file found twice is recognised by its
    identity. A file newer than the first one can be found only after the first one was renamed.
    """
    files: dict[tuple[int, int], LogFile] = {}
    dated: dict[tuple[int, int], LogFile] = {}
    names_of_dates: set[int] = set()

    def opens(plain: str, number: int, suffixes: Iterable[str] = (), *, is_ours: bool = True) -> bool:
        found = []
        # The plain one first, because compression deletes it last. The live file has only one name.
        for full in (plain, *(plain + suffix for suffix in suffixes)):
            file = _open_file(full, Place(number, 0, 0, is_ours), find, is_live=full == path)
            if file is not None:
                found.append(file)
        for file in _newest_first(found):
            identity = file.place.identity
            if identity in files or identity in dated:
                file.close()
            else:
                if len(files) + len(dated) >= HELD_FILES:
                    file.suspend()
                (dated if number in names_of_dates else files)[identity] = file
        return bool(found)

    try:
        opens(path, 0)
        names = _list_names(path, namer)
        # A name that is created while the folder is listed may be missing from the list.
        numbers = sorted({1, *names.numbers.values()} - {0, *names.dated.values()})
        for number, following in itertools.pairwise([*numbers, sys.maxsize]):
            absent = 0
            while number < following and absent < _ABSENT_NUMBERS:
                is_ours = number <= names.newer or not names.newer
                plain = _plain_name(path, number, names, namer)
                found = opens(plain, number, names.suffixes, is_ours=is_ours)
                absent = 0 if found else absent + 1
                number += 1
        names_of_dates.update(names.dated.values())
        for plain, number in names.dated.items():
            opens(plain, number, names.suffixes, is_ours=False)
    except OSError:
        close_all([*files.values(), *dated.values()])
        raise
    # Our handler and another tool may have rotated in turns.
    merged = heapq.merge(files.values(), dated.values(), key=_by_time, reverse=True)
    return list(reversed(list(merged if dated else files.values())))


def _plain_name(path: str, number: int, names: _Names, namer: Namer | None) -> str:
    if namer is not None and number <= names.newer:
        return namer(f"{path}.{number}")
    return f"{path}.{number - names.newer}"


def _by_time(file: LogFile) -> tuple[bool, int, float]:
    # The clock of a file system ticks: several files may have been written to in one tick.
    return not file.place.number, file.time(), locating.first_time(file) or 0


def _newest_first(files: list[LogFile]) -> list[LogFile]:
    """Return the plain and the compressed files of one name, newest first.

    Both are there while one is compressed, or if two tools rotate the log: then they have different
    events. A compressed one without a whole line is still being written, and left out.
    """
    if len(files) < 2:
        return files
    plain, *packed = files
    for file in packed:
        if file.compressed and not file.has_line():
            file.close()
            files.remove(file)
    return sorted(files, key=lambda file: (file.time(), file is plain), reverse=True)


def _open_file(full: str, place: Place, find: Find | None, *, is_live: bool) -> LogFile | None:
    try:
        opened = open_content(full)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        if is_live or error.errno in _OUT_OF_RESOURCES:
            raise
        name = os.path.basename(full)
        logging.getLogger(OWN_LOGGER).warning("%s cannot be read: %s", name, error.strerror)
        return None
    if opened is None:
        return None
    content, status = opened
    place = place._replace(device=status.st_dev, inode=status.st_ino)
    return LogFile(full, place, content) if find is None else StoredFile(full, place, content, find)

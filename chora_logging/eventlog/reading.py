"""One pass over what a log holds now."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterator

from chora_logging.eventlog import cursor, locating
from chora_logging.eventlog.backwards import events_backwards
from chora_logging.eventlog.items import Event, Gap, Skipped
from chora_logging.eventlog.lines import events_of
from chora_logging.eventlog.rotated_set import close_all, open_set
from chora_logging.eventlog.selection import Selection
from chora_logging.schema import OWN_LOGGER

_told: dict[str, int] = {}


def read_forwards(
    path: str, selection: Selection, after: str | None, on_skip: Callable[[Skipped], None] | None
) -> Generator[Event | Gap, None, None]:
    """What the log *path* holds now, oldest first; what is appended meanwhile is not read.

    Raises:
        CursorError: *after* is not a cursor.
        OSError: the live file exists and cannot be opened.
    """
    position = None if after is None else cursor.decode(after)
    files = open_set(path)
    tally = _Tally(path, on_skip)
    try:
        first: int | None = 0
        if position is not None:
            first, gap = locating.locate(files, position)
            if gap is not None:
                yield gap
        for file in files[len(files) if first is None else first :]:
            while block := file.read_block():
                yield from events_of(block, selection.matches, selection.may_match, tally)
            file.close()
    finally:
        close_all(files)
    tally.tell()


def read_backwards(
    path: str, selection: Selection, on_skip: Callable[[Skipped], None] | None
) -> Iterator[Event]:
    """What the log *path* holds now, newest first; no more of it is read than is asked for.

    Raises:
        OSError: the live file exists and cannot be opened.
    """
    files = open_set(path)
    try:
        yield from events_backwards(files, selection, on_skip or _ignore)
    finally:
        close_all(files)


class _Tally:
    """Hands skipped lines on to whoever wants them; else says how many there were, when it changes."""

    def __init__(self, path: str, on_skip: Callable[[Skipped], None] | None) -> None:
        self._path = path
        self._on_skip = on_skip
        self._count = 0

    def __call__(self, skipped: Skipped) -> None:
        self._count += 1
        if self._on_skip is not None:
            self._on_skip(skipped)

    def tell(self) -> None:
        if self._on_skip is None and self._count != _told.get(self._path, 0):
            _told[self._path] = self._count
            logging.getLogger(OWN_LOGGER).warning(
                "%s: skipped %d lines that are not JSON objects", self._path, self._count
            )


def _ignore(skipped: Skipped) -> None:
    pass

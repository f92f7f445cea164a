"""One pass over what a log holds now."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterator, Sequence

from chora_logging.eventlog.backwards import end_of_lines, events_backwards
from chora_logging.eventlog.events import Event, Gap, Skipped
from chora_logging.eventlog.lines import events_in
from chora_logging.eventlog.rotated import cursor, locating
from chora_logging.eventlog.rotated.file import LogFile
from chora_logging.eventlog.rotated.file_set import Namer, close_all, open_at, open_set
from chora_logging.eventlog.rotated.stored import hold_next
from chora_logging.eventlog.selection import Selection
from chora_logging.schema import OWN_LOGGER

_told: dict[str, int] = {}

_DELETED = "files were deleted or overwritten while they were read"


def read_forwards(
    path: str,
    selection: Selection,
    after: str | None,
    on_skip: Callable[[Skipped], None] | None,
    namer: Namer | None = None,
) -> Generator[Event | Gap, None, None]:
    """What the log *path* holds now, oldest first; what is appended meanwhile is not read.

    Gaps come only with *after*; without one they are told in the log `chora_logging`, so that who
    reads all that there is need not tell events from gaps.

    Raises:
        CursorError: *after* is not a cursor.
        OSError: the live file exists and cannot be opened.
    """
    first: int | None = 0
    gap = None
    if after is None:
        files = open_set(path, namer=namer)
    else:
        files, first, gap = open_at(path, cursor.decode(after), namer=namer)
    tally = _Tally(path, on_skip)
    try:
        if gap is not None:
            yield gap
        unread = files[len(files) if first is None else first :]
        hold_next(unread)
        for part in _parts(unread, selection, tally):
            if not isinstance(part, Gap):
                yield from part
            elif after is None:
                tally.warn(part)
            else:
                yield part
    finally:
        close_all(files)
    tally.tell()


def read_backwards(
    path: str,
    selection: Selection,
    on_skip: Callable[[Skipped], None] | None,
    namer: Namer | None = None,
) -> Generator[Event, None, None]:
    """What the log *path* holds now, newest first; no more of it is read than is asked for.

    Raises:
        OSError: the live file exists and cannot be opened.
    """
    files = open_set(path, namer=namer)
    tally = _Tally(path, on_skip or _ignore)
    try:
        unread = files[::-1]
        hold_next(unread)
        for file in unread:
            yield from events_backwards([file], selection, tally)
            if file.place.number and (file.damage or not file.compressed):
                file.seek(end_of_lines(file))
                if (rest := file.rest()) is not None:
                    tally(rest)
            file.close()
            if file.missing:
                tally.warn(locating.gap_before(None, file.position(), _DELETED))
    finally:
        close_all(files)


def _parts(
    files: Sequence[LogFile], selection: Selection, skipped: Callable[[Skipped], None]
) -> Iterator[Iterator[Event] | Gap]:
    lost: list[LogFile] = []
    before: cursor.Position | None = None
    for file in files:
        while block := file.read_block():
            if lost:
                yield _gap(lost, before, file)
                lost = []
            yield events_in(block, selection, skipped)
        if file.place.number and (rest := file.rest()) is not None:
            skipped(rest)
        file.close()
        if file.missing:
            lost.append(file)
        if not lost:
            before = file.position()
    if lost:
        yield _gap(lost, before, None)


def _gap(lost: Sequence[LogFile], before: cursor.Position | None, resumes: LogFile | None) -> Gap:
    position = before or lost[0].position()._replace(time=0)
    return locating.gap_before(resumes, position, _DELETED, len(lost), sum(file.missing for file in lost))


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
            if not self._count:
                return
            logging.getLogger(OWN_LOGGER).warning(
                "%s: skipped %d lines that are not JSON objects", self._path, self._count
            )

    def warn(self, gap: Gap) -> None:
        """Say in the log what is missing."""
        amount = "" if gap.bytes is None else f" ({gap.bytes} bytes)"
        logging.getLogger(OWN_LOGGER).warning("%s: %s%s", self._path, gap.reason, amount)


def _ignore(skipped: Skipped) -> None:
    pass

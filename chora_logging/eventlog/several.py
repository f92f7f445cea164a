"""Reads pages of several logs as one sequence of events, merged by time, with one cursor."""

from __future__ import annotations

import json
import math
from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from hashlib import blake2b
from typing import NamedTuple

from chora_logging.errors import CursorError
from chora_logging.eventlog.events import Event, Gap
from chora_logging.eventlog.meaning import Meaning
from chora_logging.eventlog.paging import Page
from chora_logging.eventlog.selection import Selection
from chora_logging.eventlog.source import Source

_JOINT = "~"

#: Before the cursor of a log that is read newest first: the event that ends there has not been given yet.
_INCLUDING = "!"

#: In place of the cursor of a log that was empty when it was read newest first.
_EMPTY = "-"


class Found(NamedTuple):
    """An event, the name of its log, and its time or that of its neighbour in the log."""

    log: str
    event: Event
    time: float


class MergedPage(NamedTuple):
    """A page of several logs; see `Page`.

    Attributes:
        found: The matching events, in the requested order.
        next: The *after* of the next page.
        more: Whether there may be more events now.
        gaps: By log, the events missing from this page.
        live: When the page was read newest first and without *after*: the cursor for following what comes
            after this page.
        unreadable: As that of a page, of all lines that were read for this one.
        missing: The fields that no line of any log has.
        skipped: As that of a page, of all lines that were read for this one.
        unended_bytes: As that of a page, of all logs together.
        reached: By log that has not been given to its end, the time up to which it has been; None if it is
            unknown.
    """

    found: list[Found]
    next: str
    more: bool
    gaps: Mapping[str, Gap]
    live: str | None
    unreadable: Mapping[str, int]
    missing: Sequence[str]
    skipped: int
    unended_bytes: int
    reached: Mapping[str, float | None]


class Lacks(NamedTuple):
    """What pages of several logs do not have; see `MergedPage`."""

    unreadable: Mapping[str, int]
    missing: Sequence[str]
    skipped: int
    unended_bytes: int


def lacks_of(pages: Sequence[Page]) -> Lacks:
    """Return what *pages* of one selection, at least one, do not have."""
    unreadable: dict[str, int] = {}
    for page in pages:
        for name, number in page.unreadable.items():
            unreadable[name] = unreadable.get(name, 0) + number
    missing = [name for name in pages[0].missing if all(name in page.missing for page in pages)]
    skipped = sum(page.skipped for page in pages)
    return Lacks(unreadable, missing, skipped, sum(page.unended_bytes for page in pages))


def encode(cursors: Mapping[str, str]) -> str:
    """Return *cursors*, by the name of the log, as one; an empty one is the beginning, or the end."""
    return _JOINT.join([_digest(cursors), *cursors.values()])


def decode(cursor: str, logs: Mapping[str, Source]) -> dict[str, str]:
    """Return the cursors of *logs* that `encode` joined.

    Raises:
        CursorError: it is not one of these logs, in this order.
    """
    key, *parts = cursor.split(_JOINT)
    if key != _digest(logs) or len(parts) != len(logs):
        raise CursorError(cursor)
    for log, part in zip(logs.values(), parts, strict=True):
        if part not in ("", _EMPTY):
            log.check_cursor(part.removeprefix(_INCLUDING))
    return dict(zip(logs, parts, strict=True))


def check_cursor(cursor: str, logs: Mapping[str, Source]) -> None:
    """Check that *cursor* is one of the log in *logs*, or, if there are several, of all of them.

    Raises:
        CursorError: it is not.
    """
    if len(logs) > 1:
        decode(cursor, logs)
    for log in logs.values() if len(logs) == 1 else ():
        log.check_cursor(cursor)


def resumable(cursors: Mapping[str, str]) -> dict[str, str]:
    """Return *cursors* of pages as the cursors of a subscription."""
    return {name: "" if part == _EMPTY else part.removeprefix(_INCLUDING) for name, part in cursors.items()}


def as_entry(log: str, event: Event) -> bytes:
    """Return an event of one of several logs as JSON: the name of its log, its cursor there, and itself."""
    cursor = event.cursor.encode()
    return b'{"log":%s,"cursor":"%s","event":%s}' % (json.dumps(log).encode(), cursor, event.json)


def _digest(names: Mapping[str, object]) -> str:
    return blake2b("\n".join(names).encode(), digest_size=4).hexdigest()


def read_merged(
    logs: Mapping[str, Source],
    selection: Callable[[Meaning], Selection],
    *,
    after: str | None = None,
    limit: int,
    budget: int,
    newest_first: bool = False,
    in_order: bool = True,
) -> Generator[None, None, MergedPage]:
    """Read one page of several logs in short steps; the generator returns the page.

    The order within each log is preserved; an event without a time has that of its neighbour.

    Args:
        logs: The logs by name, at least one.
        selection: Makes the filter of a log.
        after: The `next` of the previous page, with the same *logs* and *newest_first*.
        limit: The maximum number of events of all logs together.
        budget: About how many bytes are read of all logs together.
        newest_first: Read from the ends of the logs to their beginnings.
        in_order: End the page where a log that has not been read further may have an event that comes
            next. Else a later page may have events from between those of this one.

    Raises:
        CursorError: *after* is not a cursor of these logs.
        OSError: a log cannot be read.
    """
    cursors = dict.fromkeys(logs, "") if after is None else decode(after, logs)
    parts = []
    for name, log in logs.items():
        part = _Part(name, log.meaning, cursors[name], newest_first=newest_first)
        parts.append(part)
        if part.begin == _EMPTY:
            continue
        page = yield from log.page(
            selection(log.meaning),
            after=part.begin.removeprefix(_INCLUDING) or None,
            limit=limit,
            budget=max(1, budget // len(logs)),
            newest_first=newest_first,
            including=part.begin.startswith(_INCLUDING),
        )
        part.take(page)
    found = _merged(parts, limit, in_order=in_order)
    return _page(parts, found, is_first=newest_first and after is None)


def _merged(parts: Sequence[_Part], limit: int, *, in_order: bool) -> list[Found]:
    found: list[Found] = []
    while len(found) < limit:
        waiting = [part for part in parts if part.pending]
        if not waiting:
            break
        first = min(waiting, key=lambda part: part.key)
        if in_order and any(part.may_have_before(first.key) for part in parts):
            break
        found.append(first.give())
    return found


def _page(parts: Sequence[_Part], found: list[Found], *, is_first: bool) -> MergedPage:
    ends = {part.name: part.page.live or "" for part in parts}
    return MergedPage(
        found,
        encode({part.name: part.next for part in parts}),
        any(part.is_unfinished for part in parts),
        {part.name: part.page.gap for part in parts if part.page.gap is not None and part.has_moved},
        encode(ends) if is_first else None,
        *lacks_of([part.page for part in parts]),
        {part.name: part.reached for part in parts if part.is_unfinished},
    )


class _Part:
    """The page of one log, of which the merged page has a part.

    Attributes:
        begin: The cursor at which it begins; empty for the beginning, or the end.
        pending: The events that have not been given, with their keys, which never decrease.
    """

    def __init__(self, name: str, meaning: Meaning, begin: str, *, newest_first: bool) -> None:
        self.name = name
        self.begin = begin
        self.page = Page([], None, False)
        self.pending: deque[tuple[float, Found]] = deque()
        self._time_of = meaning.time_of
        self._sign = -1 if newest_first else 1
        self._given: Found | None = None

    @property
    def key(self) -> float:
        """The key of the next event."""
        return self.pending[0][0]

    def take(self, page: Page) -> None:
        """Take the page of the log."""
        self.page = page
        events = page.events[:: self._sign]  # an event without a time comes behind the one before it
        times = [self._time_of(event) for event in events]
        near = next((time for time in times if time is not None), page.reached)
        near = -self._sign * math.inf if near is None else near
        timed = []
        for event, time in zip(events, times, strict=True):
            near = near if time is None else time
            timed.append(Found(self.name, event, near))
        key = -math.inf
        for found in timed[:: self._sign]:
            # Writers are not exactly in the order of time; a monotonic key preserves the order of the log.
            key = max(key, self._sign * found.time)
            self.pending.append((key, found))

    def give(self) -> Found:
        """Return the next event."""
        _, self._given = self.pending.popleft()
        return self._given

    def may_have_before(self, key: float) -> bool:
        """Return whether what has not been read may come before an event with this key."""
        if self.pending or not self.page.more:
            return False
        return self.page.reached is None or self._sign * self.page.reached < key

    @property
    def is_unfinished(self) -> bool:
        """Whether there may be more events now."""
        return bool(self.pending) or self.page.more

    @property
    def has_moved(self) -> bool:
        """Whether the next page goes on elsewhere than this one began."""
        return self._given is not None or not self.pending

    @property
    def reached(self) -> float | None:
        """The time up to which the log has been given; None if it is unknown."""
        if not self.pending:
            return self.page.reached
        time = self.pending[0][1].time
        return time if math.isfinite(time) else None

    @property
    def next(self) -> str:
        """The cursor at which the next page begins."""
        if not self.pending:
            return self.page.next or (_EMPTY if self._sign < 0 else "")
        if self._given is not None:
            return self._given.event.cursor
        if self._sign < 0 and not self.begin and self.page.live:
            return _INCLUDING + self.page.live
        return self.begin

"""A subscriber of several logs: what they hold merged by time, then what is new, with one cursor."""

from __future__ import annotations

import math
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping

from chora_logging.eventlog.events import Event, Gap
from chora_logging.eventlog.meaning import Meaning
from chora_logging.eventlog.paging import run
from chora_logging.eventlog.selection import Selection
from chora_logging.eventlog.several import as_entry, decode, encode, resumable
from chora_logging.eventlog.source import Source
from chora_logging.eventlog.subscription import LONGEST_POLL_SECONDS, Items, Subscribed

#: The most items that one `take` or `read` returns.
MOST_ITEMS = 1000


class GapIn(Gap):
    """A gap in one of several logs.

    Attributes:
        log: The name of the log.
    """

    log: str

    @classmethod
    def of(cls, log: str, gap: Gap) -> GapIn:
        """Return *gap* as one in the log of that name."""
        found = cls(*gap)
        found.log = log
        return found


class MergedSubscription:
    """Subscribes to several logs; it fulfils `Subscribed`.

    Each event is an object with its log, its cursor there, and itself; its own cursor is one of all logs.
    Stored events come in the order of time as far as the order within each log allows, new ones as they
    are written. A `Gap` is a `GapIn`.

    Args:
        logs: The logs by name.
        selection: Makes the filter of a log.
        after: A cursor of these logs, `"end"`, or None for the beginning.

    Raises:
        CursorError: *after* is not a cursor of these logs.

    It opens nothing before a read. `close` it. For one thread at a time.
    """

    def __init__(
        self, logs: Mapping[str, Source], selection: Callable[[Meaning], Selection], after: str | None
    ) -> None:
        self.fed = False
        self._logs = logs
        self._selection = selection
        self._from_end = after == "end"
        begin = dict.fromkeys(logs, "") if after is None or self._from_end else decode(after, logs)
        self._cursors = resumable(begin)
        self._parts: list[_Part] = []
        self.skipped = 0

    def unreadable(self) -> dict[str, int]:
        """Return the numbers of events that filters passed over in all logs; see `Selection.unreadable`."""
        numbers: Counter[str] = Counter()
        for part in self._parts:
            numbers.update(part.selection.unreadable)
        return dict(numbers)

    def take(self) -> Items | None:
        """Return the new items without waiting; None if there are none. Only while `fed`."""
        for part in self._parts:
            part.is_idle = False
        items = self._merge()
        self.fed = all(part.subscription.fed for part in self._parts)
        self.skipped = sum(part.subscription.skipped for part in self._parts)
        return items

    def read(self) -> Items | None:
        """Return the next stored items; None if there are none.

        Raises:
            OSError: a log cannot be read.
        """
        if not self._parts:
            self._begin()
        return self.take()

    def wait(self) -> None:
        """Wait until there may be something to take or to read."""
        time.sleep(LONGEST_POLL_SECONDS)

    async def wait_async(self) -> None:
        """Like `wait`, for a task."""
        import asyncio  # programs that only log should not pay for it

        waiting = [asyncio.ensure_future(part.subscription.wait_async()) for part in self._parts]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waiting:
                each.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)

    def close(self) -> None:
        """End it; a second call does nothing."""
        for part in self._parts:
            part.subscription.close()

    def _begin(self) -> None:
        if self._from_end:
            # A cursor for each log, so that whoever resumes misses nothing in those without an event yet.
            self._cursors = {name: _end_of(log) for name, log in self._logs.items()}
        for name, log in self._logs.items():
            selection = self._selection(log.meaning)
            subscription = log.subscribe(selection, self._cursors[name] or None)
            self._parts.append(_Part(name, selection, subscription))

    def _merge(self) -> Items | None:
        items: Items = []
        while len(items) < MOST_ITEMS:
            for part in self._parts:
                # While a log is still being read it may have what comes first.
                if not part.is_ready() and not part.fill():
                    return items
            waiting = [part for part in self._parts if part.pending]
            if not waiting:
                return items or None
            items.append(self._given(min(waiting, key=lambda part: part.pending[0][0])))
        return items

    def _given(self, part: _Part) -> Event | Gap:
        item = part.pending.popleft()[1]
        if isinstance(item, Gap):
            return GapIn.of(part.name, item)
        self._cursors[part.name] = item.cursor
        return Event({"log": part.name, "event": item}, encode(self._cursors), as_entry(part.name, item))


def log_of(item: Event | Gap) -> str | None:
    """Return the name of the log of what a `MergedSubscription` gave."""
    return getattr(item, "log", None) if isinstance(item, Gap) else item["log"]


class _Part:
    """What has been read of one log, and not been given.

    Attributes:
        pending: The items with their keys, which never decrease.
        is_idle: Whether there was nothing more at the last look.
    """

    def __init__(self, name: str, selection: Selection, subscription: Subscribed) -> None:
        self.name = name
        self.selection = selection
        self.subscription = subscription
        self.pending: deque[tuple[float, Event | Gap]] = deque()
        self.is_idle = False
        self._key = -math.inf
        self._time_of = selection.meaning.time_of

    def is_ready(self) -> bool:
        """Return whether its next item is known, or that it has none now."""
        return self.is_idle or bool(self.pending)

    def fill(self) -> bool:
        """Take or read items; return whether it is ready then."""
        items = self.subscription.take() if self.subscription.fed else self.subscription.read()
        self.is_idle = items is None
        for item in items or ():
            found = None if isinstance(item, Gap) else self._time_of(item)
            # What has no time comes behind what is before it.
            self._key = self._key if found is None else max(self._key, found)
            self.pending.append((self._key, item))
        return self.is_ready()


def _end_of(log: Source) -> str:
    """Return the cursor of the end of *log*; empty if it has no event."""
    return run(log.page(Selection(), limit=1, budget=1, newest_first=True)).live or ""

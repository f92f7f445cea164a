"""Subscribers of a source: each reads it up to the position of the feed, then takes from the feed."""

from __future__ import annotations

import threading
import time
from collections.abc import AsyncGenerator, Callable, Generator
from typing import Any, Protocol, TypeVar

from chora_logging.eventlog.events import Event, Gap, Skipped
from chora_logging.eventlog.feed import Batch, Feed
from chora_logging.eventlog.selection import Selection

#: The longest interval between two polls of a log that somebody waits for, in seconds.
LONGEST_POLL_SECONDS = 0.008

#: How often a subscription that does not take from the feed polls the log itself, in seconds.
_UNFED_POLL_SECONDS = 1.0

#: The longest wait of a thread, because a Ctrl-C just before the wait begins does not end it.
LONGEST_WAIT_SECONDS = 0.25

Items = list[Event | Gap]

_Result = TypeVar("_Result")


class Subscribed(Protocol):
    """The events of a source from a position on, for one subscriber: `take` while `fed`, else `read`.

    An empty list means that some were read and none matched, None that nothing is there now: `wait`.

    Attributes:
        fed: Whether to call `take`, which returns immediately; otherwise call `read`, which may block.
        skipped: How many lines that are no events were read.

    For one thread at a time. Whoever subscribed closes it.
    """

    fed: bool
    skipped: int

    def take(self) -> Items | None:
        """Return the new items without waiting; None if there are none. All subscribers share them."""
        ...

    def read(self) -> Items | None:
        """Return the next stored items; None if there are none.

        Raises:
            OSError: the source cannot be read.
        """
        ...

    def wait(self) -> None:
        """Wait until there may be something to take or to read."""
        ...

    async def wait_async(self) -> None:
        """Like `wait`, for a task."""
        ...

    def close(self) -> None:
        """End it; a second call does nothing."""
        ...


class Subscription:
    """A subscriber that takes from a feed, and reads by itself what the feed does not have.

    A subclass reads: `read` advances *_position* and joins the feed where both are level.

    Args:
        after: A cursor, `"end"` for events written from now on, or None for all events.
        selection: The filter.
        on_skip: Called with each line that is neither blank nor an event.

    Attributes:
        fed: Whether to call `take`; otherwise call `read`.
        skipped: How many lines that are no events were read.

    `close` it; garbage collection closes it too. For one thread at a time.
    """

    # On the class, so that `close` works if Ctrl-C interrupted `__init__`.
    _feed: Feed | None = None
    skipped: int = 0

    def __init__(
        self, after: str | None, selection: Selection, on_skip: Callable[[Skipped], None] | None
    ) -> None:
        self._selection = selection
        self._matches = selection.matches if selection.narrows else None
        self._on_skip = on_skip
        self._skipped: list[Skipped] = []
        self._position: Any = after
        self._number = 0  # of the next batch
        self.fed: bool = False

    def take(self) -> Items | None:
        """Return the new items of the feed without waiting; None if there are none. Only while `fed`.

        All subscribers share the events.
        """
        assert self._feed is not None
        batches = self._feed.take(self._number)
        if batches is None:
            self.fed = False
            return []
        if not batches:
            return None
        self._number += len(batches)
        items = [item for batch in batches for item in self._items_of(batch)]
        self._report_skipped()
        if self._matches is None:
            return items
        matches = self._matches
        return [item for item in items if isinstance(item, Gap) or matches(item)]

    def read(self) -> Items | None:
        """Return the next items of the source; None if there are none. Only if not `fed`.

        Raises:
            OSError: the source cannot be read.
        """
        raise NotImplementedError

    def wait(self) -> None:
        """Wait until there may be something to take or to read."""
        feed = self._feed
        assert feed is not None
        if feed.ended:
            time.sleep(LONGEST_POLL_SECONDS)
        else:
            feed.wait(self._number, LONGEST_WAIT_SECONDS)

    async def wait_async(self) -> None:
        """Like `wait`, for a task."""
        import asyncio  # programs that only log should not pay for it

        feed = self._feed
        assert feed is not None
        if feed.ended:
            await asyncio.sleep(LONGEST_POLL_SECONDS)
        else:
            await feed.wait_async(self._number, None if self.fed else _UNFED_POLL_SECONDS)

    def close(self) -> None:
        """Leave the feed; a second call does nothing."""
        feed, self._feed = self._feed, None
        if feed is not None:
            feed.leave(self)

    __del__ = close

    def _items_of(self, batch: Batch) -> Items:
        """Return the items of the next *batch*, and go on to its end."""
        self._position = batch.end
        self._skipped += batch.skipped
        return batch.items

    def _report_skipped(self) -> None:
        skipped = self._skipped.copy()
        self._skipped.clear()
        self.skipped += len(skipped)
        if self._on_skip is not None:
            for line in skipped:
                self._on_skip(line)


async def batches(subscription: Subscribed) -> AsyncGenerator[Items, None]:
    """Yield the items in non-empty lists; all subscribers share the events."""
    import asyncio  # programs that only log should not pay for it

    has_yielded = True
    try:
        while True:
            if not subscription.fed:
                items = await in_thread(subscription.read)
                has_yielded = True
            else:
                if not has_yielded:  # let other tasks run although there is always something
                    await asyncio.sleep(0)
                items = subscription.take()
                has_yielded = False
            if items:
                yield items
            elif items is None:
                await subscription.wait_async()
                has_yielded = True
    finally:
        subscription.close()


async def items_async(subscription: Subscribed) -> AsyncGenerator[Event | Gap, None]:
    """Yield the items one by one; each event is a copy of the subscriber's own."""
    found = batches(subscription)
    try:
        async for items in found:
            for item in items:
                yield item.copy() if isinstance(item, Event) else item
    finally:
        await found.aclose()


def items_sync(subscription: Subscribed) -> Generator[Event | Gap, None, None]:
    """Like `items_async`, as a synchronous iterator that blocks in `next()`."""
    try:
        while True:
            items = subscription.take() if subscription.fed else subscription.read()
            if items is None:
                subscription.wait()
                continue
            for item in items:
                yield item.copy() if isinstance(item, Event) else item
    finally:
        subscription.close()


async def in_thread(function: Callable[[], _Result]) -> _Result:
    """Call *function* in a thread; a cancellation takes effect before the call begins or after it returns."""
    import asyncio  # programs that only log should not pay for it

    decided = threading.Lock()  # the first to take it decides: the thread calls, or the task cancels

    def call() -> _Result:
        if decided.acquire(blocking=False):
            return function()
        raise asyncio.CancelledError

    reading = asyncio.ensure_future(asyncio.to_thread(call))
    try:
        return await asyncio.shield(reading)
    except asyncio.CancelledError:
        if not decided.acquire(blocking=False):
            # The thread uses the files; they can be closed only after it.
            await asyncio.wait([reading])
            reading.exception()  # marks it as retrieved, else asyncio logs an error
        raise

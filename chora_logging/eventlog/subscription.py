"""A subscriber of a log: it reads the files by itself until it has met the feed, then takes from that."""

from __future__ import annotations

import threading
import time
from collections.abc import AsyncGenerator, Callable, Generator
from typing import TypeVar

from chora_logging.eventlog import feed as feeds
from chora_logging.eventlog.events import Event, Gap, Skipped
from chora_logging.eventlog.feed import Feed
from chora_logging.eventlog.following import Follower, Standing
from chora_logging.eventlog.rotated.file_set import Namer
from chora_logging.eventlog.selection import Selection
from chora_logging.log_files import real_path

#: After how long one that the feed does not feed looks at the log by itself, in seconds.
_UNFED_POLL_SECONDS = 1.0

#: How long a thread waits at most: a Ctrl-C that comes just before it begins to wait does not wake it.
LONGEST_WAIT_SECONDS = 0.25

Items = list[Event | Gap]

_Result = TypeVar("_Result")


class Subscription:
    """The events of a log from a position on, for one subscriber.

    It reads by itself what is stored. At the end of the log it goes to exactly where the feed stands,
    closes its file, and takes from the feed. If it falls behind what the feed keeps, it reads by
    itself again, from where it is.

    Args:
        path: The live file.
        after: A cursor, `"end"` for what is written from now on, or None for everything.
        selection: Which events are asked for.
        on_skip: Called with each line that is neither blank nor an event.
        namer: What names the backups, if the handler has one.

    `close` it; one that is garbage collected is closed too. For one thread at a time.
    """

    # On the class, so that one which Ctrl-C cut off at its beginning can be closed.
    _follower: Follower | None = None
    _feed: Feed | None = None

    def __init__(
        self,
        path: str,
        *,
        after: str | None,
        selection: Selection,
        on_skip: Callable[[Skipped], None] | None = None,
        namer: Namer | None = None,
    ) -> None:
        self._path = path
        self._selection = selection
        self._on_skip = on_skip
        self._namer = namer
        self._skipped: list[Skipped] = []
        self._standing: str | Standing | None = after
        self._number = 0  # of the batch that it takes or waits for next
        self.fed = False

    def take(self) -> Items | None:
        """What the feed has, without waiting; None if that is nothing. For one that is fed.

        The events belong to all subscribers.
        """
        assert self._feed is not None
        batches = self._feed.take(self._number)
        if batches is None:
            self.fed = False
            return []
        if not batches:
            return None
        self._number += len(batches)
        self._standing = batches[-1].end
        for batch in batches:
            self._skipped += batch.skipped
        self._tell_skipped()
        items = [item for batch in batches for item in batch.items]
        if not self._selection.narrows:
            return items
        matches = self._selection.matches
        return [item for item in items if isinstance(item, Gap) or matches(item)]

    def read(self) -> Items | None:
        """What the files have, a block at most; None if that is nothing. For one that is not fed.

        Raises:
            OSError: the log exists and cannot be read.
        """
        if self._feed is not None:
            self._number = self._feed.next  # before looking, so that what comes after it is waited for
        if self._follower is None:
            self._follower = Follower(
                self._path,
                after=self._standing,
                selection=self._selection,
                on_skip=self._skipped.append,
                namer=self._namer,
            )
        items = self._follower.poll_items()
        if items is None:
            items = self._meet_feed(self._follower)
        self._tell_skipped()
        return items

    def wait(self) -> None:
        """Return when there may be something to take or to read."""
        feed = self._feed
        assert feed is not None
        if feed.ended:
            time.sleep(feeds.LONGEST_POLL_SECONDS)
        else:
            feed.wait(self._number, LONGEST_WAIT_SECONDS)

    async def wait_async(self) -> None:
        """The same for a task."""
        import asyncio  # programs that only log should not pay for it

        feed = self._feed
        assert feed is not None
        if feed.ended:
            await asyncio.sleep(feeds.LONGEST_POLL_SECONDS)
        else:
            await feed.wait_async(self._number, None if self.fed else _UNFED_POLL_SECONDS)

    def close(self) -> None:
        """Close the files and leave the feed; a second time does nothing."""
        follower, self._follower = self._follower, None
        if follower is not None:
            follower.close()
        feed, self._feed = self._feed, None
        if feed is not None:
            feed.leave(self)

    __del__ = close

    def _meet_feed(self, follower: Follower) -> Items | None:
        feed = self._feed
        if feed is None or feed.ended:
            feed = self._feed = feeds.join(real_path(self._path), self, self._namer)
            self._number = -1  # there is nothing to wait for before it has been asked
        items, number = feed.meet(follower)
        if number is None:
            return items or None
        self._number, self.fed = number, True
        self._standing, self._follower = follower.standing(), None
        follower.close()
        return items

    def _tell_skipped(self) -> None:
        skipped = self._skipped.copy()
        self._skipped.clear()
        if self._on_skip is not None:
            for line in skipped:
                self._on_skip(line)


async def batches(subscription: Subscription) -> AsyncGenerator[Items, None]:
    """What comes, in lists of what came at once; the events belong to all subscribers."""
    import asyncio  # programs that only log should not pay for it

    had_turn = True
    try:
        while True:
            if not subscription.fed:
                items = await in_thread(subscription.read)
                had_turn = True
            else:
                if not had_turn:  # others get theirs although there is always something
                    await asyncio.sleep(0)
                items = subscription.take()
                had_turn = False
            if items:
                yield items
            elif items is None:
                await subscription.wait_async()
                had_turn = True
    finally:
        subscription.close()


async def items_async(subscription: Subscription) -> AsyncGenerator[Event | Gap, None]:
    """What comes, one by one; the events are the subscriber's own."""
    found = batches(subscription)
    try:
        async for items in found:
            for item in items:
                yield item.copy() if isinstance(item, Event) else item
    finally:
        await found.aclose()


def items_sync(subscription: Subscription) -> Generator[Event | Gap, None, None]:
    """The same for a thread that waits in `next()`."""
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
    """Call *function* in a thread; a cancellation takes effect when it has returned or was not begun."""
    import asyncio  # programs that only log should not pay for it

    decided = threading.Lock()  # whoever takes it decides: the thread that it is called, or we that it is not

    def call() -> _Result:
        if decided.acquire(blocking=False):
            return function()
        raise asyncio.CancelledError

    reading = asyncio.ensure_future(asyncio.to_thread(call))
    try:
        return await asyncio.shield(reading)
    except asyncio.CancelledError:
        if not decided.acquire(blocking=False):
            # The thread has the files: they are closed when it has given them back.
            await asyncio.wait([reading])
            reading.exception()  # else asyncio complains that nobody asked
        raise

"""The newest items of a source, shared among all its subscribers in this process.

A feed buffers only the newest events, decoded once for all subscribers; the log is the queue. A
subscriber that falls further behind reads from the source again (`subscription`).

A feed starts with its first subscriber and ends with its last. Garbage collection of a subscriber
counts as leaving; it can happen in any thread at any point, so leaving waits for no lock.
"""

from __future__ import annotations

import collections
import contextlib
import os
import threading
import weakref
from collections.abc import Hashable
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, cast

from chora_logging.eventlog.events import Event, Gap, Skipped

if TYPE_CHECKING:
    import asyncio

#: The limits of the buffer: bytes of the log, and items. The newest batch is buffered whatever its size.
BUFFERED_BYTES, BUFFERED_ITEMS = 1024 * 1024, 2048


class Batch(NamedTuple):
    """Items that were read together.

    Attributes:
        items: Events and gaps.
        skipped: Lines between them that are neither blank nor events.
        end: The position after them, as the source has it.
        size: The bytes of the log that were read.
    """

    items: list[Event | Gap]
    skipped: list[Skipped]
    end: Any
    size: int


class Feed:
    """The new items of a source, in numbered batches; made by `join`.

    An error while reading the source ends the feed silently: its subscribers then read on by themselves
    and get the same error where it can be raised to their callers.

    A subclass fills it: `start` begins to call `publish`, and `unused` and `after_fork` stop it.

    Attributes:
        key: The class and its arguments, by which `join` finds the feed.
        next: The number of the next batch.
        ended: Whether there will be no further batch.

    Thread safe.
    """

    key: Hashable = None

    def __init__(self) -> None:
        self.next: int = 0
        self.ended: bool = False
        self.members: weakref.WeakSet[object] = weakref.WeakSet()
        self._batches: collections.deque[Batch] = collections.deque()
        self._buffered_items = self._buffered_bytes = 0
        self._waiting: dict[asyncio.AbstractEventLoop, set[asyncio.Future[None]]] = {}
        self._changed = threading.Condition(threading.Lock())  # held only briefly

    def start(self) -> None:
        """Begin to publish what is new; called by `join` with the first member."""
        raise NotImplementedError

    def unused(self) -> None:
        """Stop after the last member has left. It may run in a finaliser, so it waits for no lock."""
        raise NotImplementedError

    def is_alive(self) -> bool:
        """Return whether something still publishes what is new."""
        raise NotImplementedError

    def take(self, number: int) -> list[Batch] | None:
        """Return the batches from *number* on; None if that one is no longer buffered or the feed ended."""
        with self._changed:
            behind = self.next - number
            if self.ended or behind > len(self._batches):
                return None
            return [self._batches[index] for index in range(-behind, 0)]

    def publish(self, batch: Batch) -> None:
        """Append *batch* and wake all who wait."""
        with self._changed:
            self._batches.append(batch)
            self.next += 1
            self._buffered_items += len(batch.items)
            self._buffered_bytes += batch.size
            while len(self._batches) > 1 and (
                self._buffered_items > BUFFERED_ITEMS or self._buffered_bytes > BUFFERED_BYTES
            ):
                oldest = self._batches.popleft()
                self._buffered_items -= len(oldest.items)
                self._buffered_bytes -= oldest.size
        self._wake_all()

    def wait(self, number: int, timeout: float | None) -> None:
        """Wait until batch *number* is there, the feed has ended or *timeout* seconds have passed."""
        with self._changed:
            self._changed.wait_for(lambda: self.next != number or self.ended, timeout)

    async def wait_async(self, number: int, timeout: float | None) -> None:
        """Like `wait`, for a task."""
        import asyncio  # programs that only log should not pay for it

        loop = asyncio.get_running_loop()
        woken = loop.create_future()
        with self._changed:
            if self.next != number or self.ended:
                return
            waiting = self._waiting.setdefault(loop, set())
            waiting.add(woken)
        timer = None if timeout is None else loop.call_later(timeout, _wake, (woken,))
        try:
            await woken
        finally:
            waiting.discard(woken)
            if timer is not None:
                timer.cancel()

    def leave(self, member: object) -> None:
        """Remove *member*; the last one ends the feed."""
        self.members.discard(member)
        if not self.members:
            self.end_if_unused(wait=False)
            self.unused()

    def end(self) -> None:
        """End the feed: its subscribers read on by themselves."""
        self._end()

    def end_if_unused(self, *, wait: bool = True) -> bool:
        """End the feed if it has no members; return whether it has ended so."""
        return not self.members and self._end(wait=wait, unused=True)

    def forget_closed_loops(self) -> None:
        """Drop the waiters of closed loops; otherwise they would stay subscribed."""
        if any(loop.is_closed() for loop in tuple(self._waiting)):
            with self._changed:
                before = self._waiting  # keeps the waiters alive until the lock has been released
                self._waiting = {loop: who for loop, who in before.items() if not loop.is_closed()}

    def after_fork(self) -> None:
        """End in a forked child: it has no thread, and a lock that the thread held stays locked."""
        self.ended = True
        self._waiting = {}
        self._changed = threading.Condition(threading.Lock())

    def _end(self, *, wait: bool = True, unused: bool = False) -> bool:
        if not _feeds_lock.acquire(blocking=wait):
            return False
        try:
            if unused and self.members:
                return False
            self.ended = True
            if _feeds.get(self.key) is self:
                del _feeds[self.key]
        finally:
            _feeds_lock.release()
        if not unused:
            self._wake_all()
        return True

    def _wake_all(self) -> None:
        with self._changed:
            waiting, self._waiting = self._waiting, {}
            self._changed.notify_all()
        for loop, futures in waiting.items():
            if futures:
                with contextlib.suppress(RuntimeError):  # the loop has been closed
                    loop.call_soon_threadsafe(_wake, futures)


AFeed = TypeVar("AFeed", bound=Feed)

_feeds: dict[Hashable, Feed] = {}
_feeds_lock = threading.Lock()


def join(member: object, kind: type[AFeed], *arguments: Hashable) -> AFeed:
    """Add *member* to the feed of class *kind* with *arguments*, and return the feed.

    The first member makes and starts the feed; the feed ends when all members have left.
    """
    key = (kind, *arguments)
    with _feeds_lock:
        if (found := _feeds.get(key)) is not None:
            found.members.add(member)
            return cast(AFeed, found)
        feed = kind(*arguments)
        feed.key = key
        feed.members.add(member)
        feed.start()
        _feeds[key] = feed
        return feed


def is_followed(kind: type[Feed], *arguments: Hashable) -> bool:
    """Return whether the feed of class *kind* with *arguments* is there and alive."""
    feed = _feeds.get((kind, *arguments))
    return feed is not None and feed.is_alive()


def _wake(futures: set[asyncio.Future[None]] | tuple[asyncio.Future[None], ...]) -> None:
    for future in tuple(futures):
        if not future.done():
            future.set_result(None)


def _after_fork() -> None:
    global _feeds_lock
    _feeds_lock = threading.Lock()
    for feed in _feeds.values():
        feed.after_fork()
    _feeds.clear()


if hasattr(os, "register_at_fork"):  # there is no fork on Windows
    os.register_at_fork(after_in_child=_after_fork)

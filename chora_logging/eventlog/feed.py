"""Shares one follower of a log among all its subscribers in this process.

The log is the queue: a feed buffers only the newest events, decoded once for all subscribers. A
subscriber that falls further behind reads from the files again (`subscription`).

A feed starts with its first subscriber and ends with its last. Garbage collection of a subscriber
counts as leaving; it can happen in any thread at any point, so leaving waits for no lock.
"""

from __future__ import annotations

import collections
import contextlib
import os
import queue
import threading
import weakref
from typing import TYPE_CHECKING, NamedTuple

from chora_logging.eventlog.events import Event, Gap, Skipped
from chora_logging.eventlog.following import END, Checkpoint, Follower
from chora_logging.eventlog.rotated.file_set import Namer

if TYPE_CHECKING:
    import asyncio

#: The interval between two polls of the log, in seconds: the shortest after an event, because the next
#: one often follows soon; it doubles up to the longest.
SHORTEST_POLL_SECONDS, LONGEST_POLL_SECONDS = 0.001, 0.008

#: The limits of the buffer: bytes of the log, and items. The newest batch is buffered whatever its size.
BUFFERED_BYTES, BUFFERED_ITEMS = 1024 * 1024, 2048

#: The most blocks that are read to reach the end of the log for a new subscriber.
_CATCH_UP_BLOCKS = 4


class Batch(NamedTuple):
    """The result of one poll.

    Attributes:
        items: Events and gaps.
        skipped: Lines between them that are neither blank nor events.
        end: The state of the follower after them.
        size: The bytes of the log that were read.
    """

    items: list[Event | Gap]
    skipped: list[Skipped]
    end: Checkpoint
    size: int


class Feed:
    """The new events of a log, in numbered batches; made by `join`.

    An error while reading the files ends the feed silently: its subscribers then read on by themselves
    and get the same error where it can be raised to their callers.

    Args:
        path: The live file.
        namer: The namer of the handler that makes the backups, if it has one.

    Attributes:
        next: The number of the next batch.
        ended: Whether there will be no further batch.

    Thread safe.
    """

    def __init__(self, path: str, namer: Namer | None = None) -> None:
        self.path = path
        self.namer = namer
        self.next = 0
        self.ended = False
        self.members: weakref.WeakSet[object] = weakref.WeakSet()
        self._follower: Follower | None = None
        self._skipped: list[Skipped] = []
        self._batches: collections.deque[Batch] = collections.deque()
        self._buffered_items = self._buffered_bytes = 0
        self._waiting: dict[asyncio.AbstractEventLoop, set[asyncio.Future[None]]] = {}
        self._make_locks()

    def take(self, number: int) -> list[Batch] | None:
        """Return the batches from *number* on; None if that one is no longer buffered or the feed ended."""
        with self._changed:
            behind = self.next - number
            if self.ended or behind > len(self._batches):
                return None
            return [self._batches[index] for index in range(-behind, 0)]

    def catch_up(self, follower: Follower) -> tuple[list[Event | Gap], int | None]:
        """Read *follower*, which is at the end of the log, up to exactly the position of the feed.

        Returns:
            The events in between, and the number of the next batch; None if the follower could not
            reach the position of the feed now.
        """
        with self._reading:
            if self.ended:
                return [], None
            try:
                for _ in range(_CATCH_UP_BLOCKS):
                    if not self._read():
                        break
            except Exception:  # the subscriber's own follower raises it, if it lasts
                self._end()
                return [], None
            assert self._follower is not None
            items = follower.read_to(self._follower)
            return items, self.next if follower.is_level_with(self._follower) else None

    def poll(self) -> bool:
        """Read new events; return whether there were any."""
        with self._reading:
            return not self.ended and self._read()

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
        if self.members:
            return
        if self._end_if_unused(wait=False) and self._reading.acquire(blocking=False):
            try:
                self._close()
            finally:
                self._reading.release()
        self._bell.put(None)

    def run(self) -> None:
        """Poll the log until there are no members; the body of the thread."""
        pause = SHORTEST_POLL_SECONDS
        try:
            while not self._end_if_unused():
                pause = SHORTEST_POLL_SECONDS if self.poll() else min(pause * 2, LONGEST_POLL_SECONDS)
                with contextlib.suppress(queue.Empty):
                    self._bell.get(timeout=pause)
                self._forget_closed_loops()
        except Exception:  # the subscribers' own followers raise it
            self._end()
        finally:
            with self._reading:
                self._close()

    def after_fork(self) -> None:
        """End in a forked child: it has no thread, and a lock that the thread held stays locked."""
        self.ended = True
        self._waiting = {}
        self._make_locks()
        if self._follower is not None:
            self._follower.after_fork()
        self._close()

    def _make_locks(self) -> None:
        self._reading = threading.Lock()  # held while the follower is used
        self._changed = threading.Condition(threading.Lock())  # held only briefly
        # `SimpleQueue.put` is reentrant, so it is safe in a finaliser; `Event.set` is not.
        self._bell: queue.SimpleQueue[None] = queue.SimpleQueue()

    def _read(self) -> bool:
        if self._follower is None:
            self._follower = Follower(self.path, after=END, on_skip=self._skipped.append, namer=self.namer)
        follower = self._follower
        before = follower.bytes_read
        items = follower.poll_items() if follower.has_news() else None
        if items is None:
            return False
        skipped = self._skipped.copy()
        self._skipped.clear()
        self._publish(Batch(items, skipped, follower.checkpoint(), follower.bytes_read - before))
        return True

    def _publish(self, batch: Batch) -> None:
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

    def _wake_all(self) -> None:
        with self._changed:
            waiting, self._waiting = self._waiting, {}
            self._changed.notify_all()
        for loop, futures in waiting.items():
            if futures:
                with contextlib.suppress(RuntimeError):  # the loop has been closed
                    loop.call_soon_threadsafe(_wake, futures)

    def _forget_closed_loops(self) -> None:
        """Drop the waiters of closed loops; otherwise they would stay subscribed."""
        if any(loop.is_closed() for loop in tuple(self._waiting)):
            with self._changed:
                before = self._waiting  # keeps the waiters alive until the lock has been released
                self._waiting = {loop: who for loop, who in before.items() if not loop.is_closed()}

    def _end_if_unused(self, *, wait: bool = True) -> bool:
        return not self.members and self._end(wait=wait, unused=True)

    def _end(self, *, wait: bool = True, unused: bool = False) -> bool:
        if not _feeds_lock.acquire(blocking=wait):
            return False
        try:
            if unused and self.members:
                return False
            self.ended = True
            if _feeds.get((self.path, self.namer)) is self:
                del _feeds[self.path, self.namer]
        finally:
            _feeds_lock.release()
        if not unused:
            self._wake_all()
        return True

    def _close(self) -> None:
        if self._follower is not None:
            self._follower.close()


_feeds: dict[tuple[str, Namer | None], Feed] = {}
_feeds_lock = threading.Lock()


def join(path: str, member: object, namer: Namer | None = None) -> Feed:
    """Add *member* to the feed of the log *path*, a real path, and return the feed.

    The first member starts the feed and its thread; the feed ends when all members have left.
    """
    with _feeds_lock:
        feed = _feeds.get((path, namer))
        if feed is not None:
            feed.members.add(member)
            return feed
        feed = Feed(path, namer)
        feed.members.add(member)
        threading.Thread(target=feed.run, name=f"follow {path}", daemon=True).start()
        _feeds[path, namer] = feed
        return feed


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

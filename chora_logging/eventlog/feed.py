"""One follower of a log that feeds all its subscribers in this process.

The log is the queue: a feed keeps no more than the newest events, decoded once for all, for whoever is
busy for a moment. Who is further behind reads on from the files (`subscription`).

A feed begins with its first subscriber and ends with its last, one that is garbage collected included.
That may happen in any thread amid anything, so leaving waits for no lock.
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
from chora_logging.eventlog.following import END, Follower, Standing
from chora_logging.eventlog.rotated.file_set import Namer

if TYPE_CHECKING:
    import asyncio

#: How long a feed waits before it looks at the log again, in seconds: little after an event, for the
#: next one often comes soon.
SHORTEST_POLL_SECONDS, LONGEST_POLL_SECONDS = 0.001, 0.008

#: How much is kept: bytes of the log, and items. The newest block is kept whatever its size.
KEPT_BYTES, KEPT_ITEMS = 1024 * 1024, 2048

#: How many blocks are read at most to come to the end of the log for a new subscriber.
_CATCH_UP_BLOCKS = 4


class Batch(NamedTuple):
    """What came at once.

    Attributes:
        items: Events and gaps.
        skipped: Lines between them that are neither blank nor events.
        end: Where reading goes on after them.
        size: Of how many bytes of the log they were made.
    """

    items: list[Event | Gap]
    skipped: list[Skipped]
    end: Standing
    size: int


class Feed:
    """What is written to a log from now on, in numbered batches; made by `join`.

    What goes wrong with the files ends it without a word: its subscribers then read on by themselves,
    and meet the same in their own place.

    Args:
        path: The live file.
        namer: What names its backups, if the handler has one.

    Attributes:
        next: The number of the next batch.
        ended: Whether there will be no next batch.

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
        self._kept = self._size = 0
        self._waiting: dict[asyncio.AbstractEventLoop, set[asyncio.Future[None]]] = {}
        self._make_locks()

    def take(self, number: int) -> list[Batch] | None:
        """The batches from *number* on; None if that one is not kept any more or the feed has ended."""
        with self._changed:
            behind = self.next - number
            if self.ended or behind > len(self._batches):
                return None
            return [self._batches[index] for index in range(-behind, 0)]

    def meet(self, follower: Follower) -> tuple[list[Event | Gap], int | None]:
        """Bring *follower*, which has read everything, to exactly where the feed stands.

        Returns:
            The events in between; and the number of the batch that comes next, None if they cannot
            be brought together now.
        """
        with self._reading:
            if self.ended:
                return [], None
            try:
                for _ in range(_CATCH_UP_BLOCKS):
                    if not self._read():
                        break
            except Exception:  # the subscriber meets it itself, or has met the last of it
                self._end()
                return [], None
            assert self._follower is not None
            items = follower.read_to(self._follower)
            return items, self.next if follower.stands_with(self._follower) else None

    def poll(self) -> bool:
        """Read what is new; whether there was anything."""
        with self._reading:
            return not self.ended and self._read()

    def wait(self, number: int, timeout: float | None) -> None:
        """Return when batch *number* is there, the feed has ended or the time is up."""
        with self._changed:
            self._changed.wait_for(lambda: self.next != number or self.ended, timeout)

    async def wait_async(self, number: int, timeout: float | None) -> None:
        """The same for a task."""
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
        """*member* wants no more; the last one ends the feed."""
        self.members.discard(member)
        if self.members:
            return
        if self._end_if_deserted(wait=False) and self._reading.acquire(blocking=False):
            try:
                self._close()
            finally:
                self._reading.release()
        self._bell.put(None)

    def run(self) -> None:
        """Body of the thread: look at the log until nobody is there any more."""
        pause = SHORTEST_POLL_SECONDS
        try:
            while not self._end_if_deserted():
                pause = SHORTEST_POLL_SECONDS if self.poll() else min(pause * 2, LONGEST_POLL_SECONDS)
                with contextlib.suppress(queue.Empty):
                    self._bell.get(timeout=pause)
                self._forget_closed_loops()
        except Exception:  # the subscribers meet it themselves
            self._end()
        finally:
            with self._reading:
                self._close()

    def after_fork(self) -> None:
        """In a forked child: there is no thread, and what it held is held for ever."""
        self.ended = True
        self._waiting = {}
        self._make_locks()
        if self._follower is not None:
            self._follower.after_fork()
        self._close()

    def _make_locks(self) -> None:
        self._reading = threading.Lock()  # held while the follower is used
        self._changed = threading.Condition(threading.Lock())  # held for moments
        # It can be put into amid anything, unlike an Event that is set.
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
        self._publish(Batch(items, skipped, follower.standing(), follower.bytes_read - before))
        return True

    def _publish(self, batch: Batch) -> None:
        with self._changed:
            self._batches.append(batch)
            self.next += 1
            self._kept += len(batch.items)
            self._size += batch.size
            while len(self._batches) > 1 and (self._kept > KEPT_ITEMS or self._size > KEPT_BYTES):
                oldest = self._batches.popleft()
                self._kept -= len(oldest.items)
                self._size -= oldest.size
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
        """Let go of what waits in loops that will never run again, else it would stay subscribed."""
        if any(loop.is_closed() for loop in tuple(self._waiting)):
            with self._changed:
                before = self._waiting  # what is in it goes after the lock has been released
                self._waiting = {loop: who for loop, who in before.items() if not loop.is_closed()}

    def _end_if_deserted(self, *, wait: bool = True) -> bool:
        return not self.members and self._end(wait=wait, deserted=True)

    def _end(self, *, wait: bool = True, deserted: bool = False) -> bool:
        if not _feeds_lock.acquire(blocking=wait):
            return False
        try:
            if deserted and self.members:
                return False
            self.ended = True
            if _feeds.get((self.path, self.namer)) is self:
                del _feeds[self.path, self.namer]
        finally:
            _feeds_lock.release()
        if not deserted:
            self._wake_all()
        return True

    def _close(self) -> None:
        if self._follower is not None:
            self._follower.close()


_feeds: dict[tuple[str, Namer | None], Feed] = {}
_feeds_lock = threading.Lock()


def join(path: str, member: object, namer: Namer | None = None) -> Feed:
    """The feed of the log *path*, a real path, with *member*; it goes on until all members have left.

    Its thread is started with it.
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

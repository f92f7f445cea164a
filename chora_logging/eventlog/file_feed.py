"""Shares one follower of the files of a log among all its subscribers in this process."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable
from typing import cast

from chora_logging.eventlog.events import Event, Gap, Skipped
from chora_logging.eventlog.feed import Batch, Feed, join
from chora_logging.eventlog.following import Follower
from chora_logging.eventlog.rotated.cursor import END, Checkpoint
from chora_logging.eventlog.rotated.file_set import Namer
from chora_logging.eventlog.selection import Selection
from chora_logging.eventlog.subscription import LONGEST_POLL_SECONDS, Items, Subscription
from chora_logging.log_files import real_path

#: The shortest interval between two polls of the log, in seconds: that after an event, because the next
#: one often follows soon. It doubles up to `LONGEST_POLL_SECONDS`.
SHORTEST_POLL_SECONDS = 0.001

#: The most blocks that are read to reach the end of the log for a new subscriber.
_CATCH_UP_BLOCKS = 4


class FileFeed(Feed):
    """The new events of a log's files; a thread polls them.

    Args:
        path: The live file, as a real path.
        namer: The namer of the handler that makes the backups, if it has one.
    """

    def __init__(self, path: str, namer: Namer | None = None) -> None:
        super().__init__()
        self.path = path
        self.namer = namer
        self._follower: Follower | None = None
        self._skipped: list[Skipped] = []
        self._thread: threading.Thread | None = None
        self._make_locks()

    def start(self) -> None:
        """Start the thread."""
        self._thread = threading.Thread(target=self.run, name=f"follow {self.path}", daemon=True)
        self._thread.start()

    def is_alive(self) -> bool:
        """Return whether the thread is alive."""
        return self._thread is not None and self._thread.is_alive()

    def catch_up(self, follower: Follower) -> tuple[Items, int | None]:
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
                self.end()
                return [], None
            assert self._follower is not None
            items = follower.read_to(self._follower)
            return items, self.next if follower.is_level_with(self._follower) else None

    def poll(self) -> bool:
        """Read new events; return whether there were any."""
        with self._reading:
            return not self.ended and self._read()

    def run(self) -> None:
        """Poll the log until there are no members; the body of the thread."""
        pause = SHORTEST_POLL_SECONDS
        try:
            while not self.end_if_unused():
                pause = SHORTEST_POLL_SECONDS if self.poll() else min(pause * 2, LONGEST_POLL_SECONDS)
                with contextlib.suppress(queue.Empty):
                    self._bell.get(timeout=pause)
                self.forget_closed_loops()
        except Exception:  # the subscribers' own followers raise it
            self.end()
        finally:
            with self._reading:
                self._close()

    def unused(self) -> None:
        """Close the files, or have the thread close them."""
        if self.ended and self._reading.acquire(blocking=False):
            try:
                self._close()
            finally:
                self._reading.release()
        self._bell.put(None)

    def after_fork(self) -> None:
        """End in a forked child."""
        super().after_fork()
        self._make_locks()
        if self._follower is not None:
            self._follower.after_fork()
        self._close()

    def _make_locks(self) -> None:
        self._reading = threading.Lock()  # held while the follower is used
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
        self.publish(Batch(items, skipped, follower.checkpoint(), follower.bytes_read - before))
        return True

    def _close(self) -> None:
        if self._follower is not None:
            self._follower.close()


class FileSubscription(Subscription):
    """The events of a log's files from a position on.

    It reads the stored events itself. At the end of the log it reads up to exactly the position of the
    feed, closes its file, and takes from the feed. If it falls behind the buffer of the feed, it reads
    the files itself again, from its own position.

    Args:
        path: The live file.
        after: A cursor, `"end"` for events written from now on, or None for all events.
        selection: The filter.
        on_skip: Called with each line that is neither blank nor an event.
        namer: The namer of the handler that makes the backups, if it has one.
    """

    _follower: Follower | None = None

    def __init__(
        self,
        path: str,
        *,
        after: str | None,
        selection: Selection,
        on_skip: Callable[[Skipped], None] | None = None,
        namer: Namer | None = None,
    ) -> None:
        super().__init__(after, selection, on_skip)
        self._path = path
        self._namer = namer

    def read(self) -> Items | None:
        """Return the next items of the files, at most one block; None if there are none. Only if not `fed`.

        Raises:
            OSError: the log exists and cannot be read.
        """
        if self._feed is not None:
            self._number = self._feed.next  # before the poll, so that `wait` sees any later batch
        if self._follower is None:
            self._follower = Follower(
                self._path,
                after=cast("str | Checkpoint | None", self._position),
                selection=self._selection,
                on_skip=self._skipped.append,
                namer=self._namer,
            )
        items = self._follower.poll_items()
        if items is None:
            items = self._join_feed(self._follower)
        self._report_skipped()
        return items

    def close(self) -> None:
        """Close the files and leave the feed; a second call does nothing."""
        follower, self._follower = self._follower, None
        if follower is not None:
            follower.close()
        super().close()

    __del__ = close

    def _join_feed(self, follower: Follower) -> list[Event | Gap] | None:
        feed = self._feed
        if not isinstance(feed, FileFeed) or feed.ended:
            feed = self._feed = join(self, FileFeed, real_path(self._path), self._namer)
            self._number = -1  # do not wait before the new feed was asked
        items, number = feed.catch_up(follower)
        if number is None:
            return items or None
        self._number = number
        self.fed = True
        self._position, self._follower = follower.checkpoint(), None
        follower.close()
        return items

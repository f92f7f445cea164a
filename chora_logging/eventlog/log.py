"""One log as users of the read side see it."""

from __future__ import annotations

import contextlib
import itertools
import os
import time
from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from typing import Any, overload

from chora_logging.eventlog import cursor
from chora_logging.eventlog.following import Follower
from chora_logging.eventlog.items import Event, Gap, Skipped
from chora_logging.eventlog.reading import read_backwards, read_forwards
from chora_logging.eventlog.selection import Selection
from chora_logging.eventlog.threads import in_thread

#: How long a follower that has read everything waits before it looks again, in seconds: little after
#: an event, for the next one often comes soon.
SHORTEST, LONGEST = 0.001, 0.008


class EventLog:
    """The rotated set of one log as one ordered sequence of events.

    Nothing is opened before it is read. Readers never lock and never write, and need nothing from
    the processes that write.

    Every method takes filters, those of `Selection`: `task_id`, `run_id`, `trace_id`, `event`,
    `level`, `status`, `since`, `until`, `where`.

    Args:
        path: The live file; it need not exist.
        on_skip: Called with each line that is read and is neither blank nor an event; without it
            `read` says in the log `chora_logging` how many there were. Lines that the filters rule
            out unread are not looked at.

    >>> import tempfile, pathlib
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "app.log")
    ...     _ = path.write_text('{"event": "a", "n": 1}\\n{"event": "b", "n": 2}\\n')
    ...     log = EventLog(path)
    ...     first = next(log.read())
    ...     print(list(log.read(event="b")), list(log.read(after=first.cursor)), log.last(1))
    [{'event': 'b', 'n': 2}] [{'event': 'b', 'n': 2}] [{'event': 'b', 'n': 2}]
    """

    def __init__(
        self, path: str | os.PathLike[str], *, on_skip: Callable[[Skipped], None] | None = None
    ) -> None:
        self.path = os.path.abspath(path)
        self._on_skip = on_skip

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.path!r})"

    @overload
    def read(
        self, *, after: None = None, limit: int | None = None, newest_first: bool = False, **filters: Any
    ) -> Iterator[Event]: ...

    @overload
    def read(
        self, *, after: str | None, limit: int | None = None, **filters: Any
    ) -> Iterator[Event | Gap]: ...

    def read(
        self,
        *,
        after: str | None = None,
        limit: int | None = None,
        newest_first: bool = False,
        **filters: Any,
    ) -> Iterator[Event] | Iterator[Event | Gap]:
        """The events that the log holds now, oldest first, in memory that does not grow with the log.

        Leave the iterator by its end or by `close()`: it holds the files open.

        Promised: no event is missing or comes twice, however fast the log is rotated meanwhile. What
        is appended after the beginning is not read.

        Args:
            after: The cursor of an event: only what comes after it. Where that cannot be given any
                more the first item is a `Gap`.
            limit: At most so many events.
            newest_first: Read from the end, no more than is asked for; not together with *after*.
            filters: Those of `Selection`.

        Raises:
            ConfigurationError: a filter cannot be used.
            CursorError: *after* is not a cursor.
            OSError: the log exists and cannot be read.
        """
        selection = Selection(**filters)
        if newest_first:
            if after is not None:
                raise ValueError("newest_first cannot be used together with after")
            return itertools.islice(read_backwards(self.path, selection, self._on_skip), limit)
        if after is not None:
            cursor.decode(after)
        items = read_forwards(self.path, selection, after, self._on_skip)
        return items if limit is None else _limited(items, limit)

    def last(self, n: int, **filters: Any) -> list[Event]:
        """The newest *n* events, oldest first, without reading the whole log.

        Args:
            n: How many.
            filters: Those of `Selection`.

        Raises:
            ConfigurationError: a filter cannot be used.
            OSError: the log exists and cannot be read.
        """
        return list(self.read(limit=n, newest_first=True, **filters))[::-1]

    async def follow(self, after: str | None = None, **filters: Any) -> AsyncGenerator[Event | Gap, None]:
        """The events that are stored, then each that any process writes, without end.

        Promised: none is missing and none comes twice, over rotation, truncation, deletion and
        re-creation; where some may be missing because they were deleted or overwritten before they
        were read, a `Gap` comes in their place. A line that is not complete is waited for. A reader
        that is slow delays nobody and costs no memory. Leaving the loop by `aclose()` or cancellation
        closes the files.

        Args:
            after: A cursor, `"end"` for what is written from now on, or None for everything.
            filters: Those of `Selection`.

        Raises:
            ConfigurationError: a filter cannot be used.
            CursorError: *after* is not a cursor.
            OSError: the log exists and cannot be read.
        """
        async with contextlib.aclosing(self.follow_batches(after, **filters)) as batches:
            async for items in batches:
                for item in items:
                    yield item

    async def follow_batches(
        self, after: str | None = None, **filters: Any
    ) -> AsyncGenerator[list[Event | Gap], None]:
        """The same as `follow`, in lists of what came at once, none of them empty: for many subscribers.

        The events must not be changed: all subscribers of this process get the same ones.

        Args:
            after: As for `follow`.
            filters: Those of `Selection`.

        Raises:
            ConfigurationError: a filter cannot be used.
            CursorError: *after* is not a cursor.
            OSError: the log exists and cannot be read.
        """
        import asyncio  # programs that only log should not pay for it

        with self._follower(after, filters) as follower:
            pause = SHORTEST
            while True:
                items = await in_thread(follower.poll_items) if follower.has_news() else None
                if items is None:
                    await asyncio.sleep(pause)
                    pause = min(pause * 2, LONGEST)
                    continue
                pause = SHORTEST
                if items:
                    yield items

    def follow_sync(self, after: str | None = None, **filters: Any) -> Generator[Event | Gap, None, None]:
        """The same as `follow` for a thread of its own: an iterator that waits in `next()`.

        Args:
            after: As for `follow`.
            filters: Those of `Selection`.

        Raises:
            ConfigurationError: a filter cannot be used.
            CursorError: *after* is not a cursor.
            OSError: the log exists and cannot be read.
        """
        with self._follower(after, filters) as follower:
            pause = SHORTEST
            while True:
                items = follower.poll_items() if follower.has_news() else None
                if items is None:
                    time.sleep(pause)
                    pause = min(pause * 2, LONGEST)
                    continue
                pause = SHORTEST
                yield from items

    def _follower(self, after: str | None, filters: dict[str, Any]) -> Follower:
        return Follower(self.path, after=after, selection=Selection(**filters), on_skip=self._on_skip)


def _limited(items: Generator[Event | Gap, None, None], limit: int) -> Generator[Event | Gap, None, None]:
    """At most *limit* events; gaps are not counted."""
    left = limit
    try:
        while left > 0 and (item := next(items, None)) is not None:
            yield item
            left -= isinstance(item, Event)
    finally:
        items.close()

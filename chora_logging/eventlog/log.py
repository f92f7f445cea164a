"""One log as users of the read side see it."""

from __future__ import annotations

import errno
import os
from collections.abc import AsyncGenerator, Callable, Generator, Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, TypedDict, TypeVar, overload

from chora_logging.eventlog.events import Event, Gap, Skipped
from chora_logging.eventlog.following import END
from chora_logging.eventlog.paging import Page, read_page, state_of
from chora_logging.eventlog.reading import read_backwards, read_forwards
from chora_logging.eventlog.rotated import cursor
from chora_logging.eventlog.rotated.file_set import Namer, paths_of
from chora_logging.eventlog.selection import Selection
from chora_logging.eventlog.subscription import Subscription, batches, items_async, items_sync

if TYPE_CHECKING:
    from typing_extensions import Unpack


class Filters(TypedDict, total=False):
    """The keyword arguments by which every method of `EventLog` selects events, as `Selection` says."""

    task_id: object
    run_id: object
    trace_id: object
    event: object
    level: str | int | None
    status: object
    since: datetime | str | None
    until: datetime | str | None
    where: Mapping[str, object] | None


_Item = TypeVar("_Item", Event, Event | Gap)


class EventLog:
    """The rotated set of one log as one ordered sequence of events.

    Nothing is opened before it is read. Readers never lock and never write, and need nothing from
    the processes that write.

    Every method takes the filters `task_id`, `run_id`, `trace_id`, `event`, `level`, `status`, `since`,
    `until` and `where`, with the meaning that `Selection` gives them.

    Args:
        path: The live file; it need not exist.
        on_skip: Called with each line that is read and is neither blank nor an event; without it
            `read` says in the log `chora_logging` how many there were. A line that the filters
            rule out may be passed over untold.
        namer: What names the backups, the `namer` of the handler that makes them.
        must_exist: A log of which there is no file is an error; else it is empty, and waited for.

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
        self,
        path: str | os.PathLike[str],
        *,
        on_skip: Callable[[Skipped], None] | None = None,
        namer: Namer | None = None,
        must_exist: bool = False,
    ) -> None:
        self.path = os.path.abspath(path)
        self._on_skip = on_skip
        self._namer = namer
        self._must_exist = must_exist

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.path!r})"

    @overload
    def read(
        self,
        *,
        after: None = None,
        limit: int | None = None,
        newest_first: bool = False,
        **filters: Unpack[Filters],
    ) -> Iterator[Event]: ...

    @overload
    def read(
        self, *, after: str | None, limit: int | None = None, **filters: Unpack[Filters]
    ) -> Iterator[Event | Gap]: ...

    def read(
        self,
        *,
        after: str | None = None,
        limit: int | None = None,
        newest_first: bool = False,
        **filters: Unpack[Filters],
    ) -> Iterator[Event] | Iterator[Event | Gap]:
        """The events that the log holds now, oldest first, in memory that does not grow with the log.

        Leave the iterator by its end or by `close()`: it holds files open.

        Promised: no event is missing or comes twice, however fast the log is rotated meanwhile. What
        is appended after the beginning is not read. Who stands still while reading keeps the disk
        from getting back the file being read and 8 MiB at most of those that come next: what the
        rotation deletes of the others until they are read is missing, and told by a `Gap`, or in the
        log `chora_logging` where *after* is not given.

        Args:
            after: The cursor of an event: only what comes after it. Where that cannot be given any
                more a `Gap` comes in its place.
            limit: At most so many events.
            newest_first: Read from the end, no more than is asked for; not together with *after*.
            filters: Those of `Filters`.

        Raises:
            ConfigurationError: a filter cannot be used.
            CursorError: *after* is not a cursor.
            OSError: the log exists and cannot be read, or it must exist and does not.
        """
        selection = Selection(**filters)
        self._check()
        if newest_first:
            if after is not None:
                raise ValueError("newest_first cannot be used together with after")
            found = read_backwards(self.path, selection, self._on_skip, self._namer)
            return found if limit is None else _limited(found, limit)
        if after is not None:
            cursor.decode(after)
        items = read_forwards(self.path, selection, after, self._on_skip, self._namer)
        return items if limit is None else _limited(items, limit)

    def last(self, n: int, **filters: Unpack[Filters]) -> list[Event]:
        """The newest *n* events, oldest first, without reading the whole log.

        Args:
            n: How many.
            filters: Those of `Filters`.

        Raises:
            ConfigurationError: a filter cannot be used.
            OSError: the log exists and cannot be read, or it must exist and does not.
        """
        return list(self.read(limit=n, newest_first=True, **filters))[::-1]

    def follow(
        self, after: str | None = None, **filters: Unpack[Filters]
    ) -> AsyncGenerator[Event | Gap, None]:
        """The events that are stored, then each that any process writes, without end.

        Leave it by `aclose()` or cancellation.

        Promised: none is missing and none comes twice, over rotation, truncation, deletion and
        re-creation; where some may be missing because they were deleted or overwritten before they
        were read, a `Gap` comes in their place. A line that is not complete is waited for. A reader
        that is slow delays nobody, costs no memory, and holds one file open at most. However many
        follow a log in a process, in any threads and event loops, one thread looks at it, by polling,
        as long as there is one.

        Not promised: that what is nested in an event is this reader's own; other readers may have the
        same list or dict.

        Args:
            after: A cursor, `"end"` for what is written from the first `anext` on, or None for
                everything.
            filters: Those of `Filters`.

        Raises:
            ConfigurationError: a filter cannot be used.
            CursorError: *after* is not a cursor.
            OSError: the log exists and cannot be read; it comes out of `anext`.
        """
        return items_async(self._subscribe(after, filters))

    def follow_batches(
        self, after: str | None = None, **filters: Unpack[Filters]
    ) -> AsyncGenerator[list[Event | Gap], None]:
        """The same as `follow`, in lists of what came at once, none of them empty: for many readers.

        The events must not be changed: all who read the log in this process get the same ones, with
        their cursor and their JSON made once.

        Args:
            after: As for `follow`.
            filters: Those of `Filters`.

        Raises:
            ConfigurationError: a filter cannot be used.
            CursorError: *after* is not a cursor.
            OSError: the log exists and cannot be read; it comes out of `anext`.
        """
        return batches(self._subscribe(after, filters))

    def follow_sync(
        self, after: str | None = None, **filters: Unpack[Filters]
    ) -> Generator[Event | Gap, None, None]:
        """The same as `follow` for a thread of its own: an iterator that waits in `next()`.

        Args:
            after: As for `follow`.
            filters: Those of `Filters`.

        Raises:
            ConfigurationError: a filter cannot be used.
            CursorError: *after* is not a cursor.
            OSError: the log exists and cannot be read; it comes out of `next`.
        """
        return items_sync(self._subscribe(after, filters))

    def page(
        self,
        selection: Selection,
        *,
        after: str | None = None,
        limit: int,
        budget: int,
        newest_first: bool = False,
    ) -> Generator[None, None, Page]:
        """A page of stored events for those who show pages, read in short steps; see `read_page`."""
        return read_page(
            self.path,
            selection,
            after=after,
            limit=limit,
            budget=budget,
            newest_first=newest_first,
            namer=self._namer,
        )

    def state(self) -> tuple[tuple[int, ...], ...]:
        """What tells, without reading, whether the log has changed; see `state_of`."""
        return state_of(self.path, self._namer)

    def subscribe(self, selection: Selection, after: str | None = None) -> Subscription:
        """What `follow_batches` reads from, for those who do not wait for it with `async for`.

        Nothing is opened or checked before it is read. `close` it.
        """
        return Subscription(
            self.path, after=after, selection=selection, on_skip=self._on_skip, namer=self._namer
        )

    def _subscribe(self, after: str | None, filters: Filters) -> Subscription:
        if after is not None and after != END:
            cursor.decode(after)
        selection = Selection(**filters)
        self._check()
        return self.subscribe(selection, after)

    def _check(self) -> None:
        if self._must_exist and not paths_of(self.path, self._namer):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), self.path)


def _limited(items: Generator[_Item, None, None], limit: int) -> Generator[_Item, None, None]:
    """At most *limit* events; gaps are not counted."""
    left = limit
    try:
        while left > 0 and (item := next(items, None)) is not None:
            yield item
            left -= isinstance(item, Event)
    finally:
        items.close()

"""`EventLog`: the public interface for reading and following one log."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import AsyncGenerator, Callable, Generator, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast, overload

from chora_logging.errors import ConfigurationError
from chora_logging.eventlog.blocks import BlockFollower, blocks
from chora_logging.eventlog.comparing import Asked
from chora_logging.eventlog.equal_events import EqualEvents
from chora_logging.eventlog.events import Block, Event, Gap, Skipped
from chora_logging.eventlog.feed import is_followed
from chora_logging.eventlog.file_feed import FileFeed, FileSubscription
from chora_logging.eventlog.meaning import Meaning
from chora_logging.eventlog.paging import Page, PageRequest, read_page, state_of
from chora_logging.eventlog.reading import read_backwards, read_fields, read_forwards
from chora_logging.eventlog.rotated import cursor as cursors
from chora_logging.eventlog.rotated.file_set import Namer, paths_of
from chora_logging.eventlog.selection import Selection
from chora_logging.eventlog.source import Filters, Health, is_address
from chora_logging.eventlog.subscription import batches, items_async, items_sync
from chora_logging.log_files import real_path
from chora_logging.options import refuse_unknown

if TYPE_CHECKING:
    from typing_extensions import Unpack


_NO_ADDRESS = "the path of a file; open_source opens an address"

_Item = TypeVar("_Item", Event, Event | Gap)


class EventLog:
    """The rotated set of one log as one ordered sequence of events.

    Files are opened only when they are read. Readers never lock, never write, and need nothing from
    the processes that write.

    Every method takes the filters `task_id`, `run_id`, `trace_id`, `event`, `level`, `status`, `since`,
    `until`, `where` and `text`, with the meaning that `Selection` gives them.

    Args:
        path: The live file; it need not exist.
        on_skip: Called with each line read that is neither blank nor an event. Without it, `read` logs
            the number of such lines to the logger `chora_logging`. Lines that the filters exclude
            before decoding are not reported.
        namer: The `namer` of the handler that makes the backups, if it has one.
        must_exist: If true, a log without any file is an error. Otherwise such a log is empty, and
            following waits for it.
        fields: The names of fields that the readers do not know by themselves, by meaning, such as
            `{"level": "sev", "time": "when"}`; see `meaning`.

    Attributes:
        path: The absolute path of the live file.
        address: The same.
        meaning: Says what the fields of its events mean.
        asked: By "level", "time" and the field of each expression after "where ", how many events the
            filters by them were asked about, and how many of those they passed over because they have
            none that can be read; of all calls together.

    Raises:
        ConfigurationError: *fields* is invalid, or *path* is an address.

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
        fields: Mapping[str, str] | None = None,
    ) -> None:
        if is_address(path):
            raise ConfigurationError("path", f"{os.fspath(path).partition(':')[0]}://…", _NO_ADDRESS)
        self.path: str = os.path.abspath(path)
        self.address: str = self.path
        self._on_skip = on_skip
        self._namer = namer
        self._must_exist = must_exist
        self.meaning: Meaning = Meaning(fields)
        self.asked: dict[str, Asked] = {}

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
        """Iterate over the stored events, oldest first; memory use does not grow with the log.

        The iterator holds files open: exhaust it or call `close()`.

        Promised: no event is missing or repeated, however fast the log is rotated meanwhile. Events
        appended after reading began are not read. A reader that pauses holds the current file and at most
        15 of the next files, of 8 MiB together, open, so their disk space is not freed. If rotation deletes
        one of the other files before it is read, its events are missing; they are reported as a `Gap`, or
        logged to `chora_logging` if *after* is None.

        Args:
            after: The cursor of an event: return only later events. Deleted or overwritten events are
                reported by a `Gap` in their place.
            limit: The maximum number of events.
            newest_first: Read backwards from the end, only as far as needed; not together with *after*.
            filters: See `Filters`.

        Raises:
            ConfigurationError: a filter is invalid or unknown.
            CursorError: *after* is not a cursor.
            ValueError: *newest_first* and *after* are both given.
            OSError: the log cannot be read, or it does not exist and *must_exist* is set.
        """
        selection = self._selection("read", filters, "after", "limit", "newest_first")
        self._check()
        if newest_first:
            if after is not None:
                raise ValueError("newest_first cannot be used together with after")
            found = read_backwards(self.path, selection, self._on_skip, self._namer)
            return found if limit is None else limited(found, limit)
        if after is not None:
            self.check_cursor(after)
        items = read_forwards(self.path, selection, after, self._on_skip, self._namer)
        return items if limit is None else limited(items, limit)

    def select(self, selection: Selection, *, newest_first: bool = False) -> Iterator[Event]:
        """Iterate over the stored events that match *selection*, as `read` does."""
        if newest_first:
            return read_backwards(self.path, selection, self._on_skip, self._namer)
        found = read_forwards(self.path, selection, None, self._on_skip, self._namer)
        return cast(Iterator[Event], found)  # gaps come only after a cursor

    def select_fields(
        self, selection: Selection, keys: frozenset[str], equal: EqualEvents | None = None
    ) -> Iterator[Mapping[str, Any]]:
        """Iterate over the same, with the fields *keys* and perhaps others, which is faster.

        The events that *equal* counts are left out.
        """
        return read_fields(self.path, selection, keys, self._on_skip, self._namer, equal)

    def last(self, n: int, **filters: Unpack[Filters]) -> list[Event]:
        """Return the newest *n* events, oldest first, without reading the whole log.

        Args:
            n: The maximum number of events.
            filters: See `Filters`.

        Raises:
            ConfigurationError: a filter is invalid or unknown.
            OSError: the log cannot be read, or it does not exist and *must_exist* is set.
        """
        refuse_unknown("EventLog.last", filters, ("n", *Filters.__annotations__))
        return list(self.read(limit=n, newest_first=True, **filters))[::-1]

    def follow(
        self, after: str | None = None, **filters: Unpack[Filters]
    ) -> AsyncGenerator[Event | Gap, None]:
        """Iterate over the stored events, then over new events of any process, without end.

        End it with `aclose()` or by cancellation.

        Promised: no event is missing or repeated across rotation, truncation, deletion and
        re-creation. A `Gap` reports events that may be missing because they were deleted or overwritten
        before they were read. An incomplete line is returned once it is complete. A slow reader delays
        nobody, uses no extra memory, and holds at most one file open. All followers of a log in one
        process, in any threads and event loops, share one thread that polls it while there are any.

        Not promised: nested lists and dicts may be shared with other readers of the same event.

        Args:
            after: A cursor, `"end"` for events written from the first `anext` on, or None for all
                events.
            filters: See `Filters`.

        Raises:
            ConfigurationError: a filter is invalid or unknown.
            CursorError: *after* is not a cursor.
            OSError: the log cannot be read (raised by `anext`), or *must_exist* is set and it does not
                exist.
        """
        return items_async(self._subscribe("follow", after, filters))

    def follow_batches(
        self, after: str | None = None, **filters: Unpack[Filters]
    ) -> AsyncGenerator[list[Event | Gap], None]:
        """Like `follow`, but iterate over non-empty lists of events, for many readers of one log.

        Do not change the events: all readers in this process share them, with their cached cursor and
        JSON.

        Args:
            after: As for `follow`.
            filters: See `Filters`.

        Raises:
            ConfigurationError: a filter is invalid or unknown.
            CursorError: *after* is not a cursor.
            OSError: as for `follow`.
        """
        return batches(self._subscribe("follow_batches", after, filters))

    def follow_sync(
        self, after: str | None = None, **filters: Unpack[Filters]
    ) -> Generator[Event | Gap, None, None]:
        """Like `follow`, but as a synchronous iterator that blocks in `next()`.

        Args:
            after: As for `follow`.
            filters: See `Filters`.

        Raises:
            ConfigurationError: a filter is invalid or unknown.
            CursorError: *after* is not a cursor.
            OSError: as for `follow`, raised by `next` instead of `anext`.
        """
        return items_sync(self._subscribe("follow_sync", after, filters))

    def follow_blocks(
        self,
        after: str | None = None,
        *,
        linger: float = 0.0,
        live: bool = True,
        on_read: Callable[[], None] | None = None,
    ) -> AsyncGenerator[list[Block | Gap], None]:
        """Like `follow`, but iterate over the lines as they stand in the files, undecoded, in blocks.

        For who passes the lines on. `Block.cursor` gives the positions before and after them. The last line
        of a rotated file is given without its newline if it has none. A thread of its own reads the files.

        Args:
            after: As for `follow`.
            linger: How long to wait after a first new line for others to come into its block, in seconds.
            live: Wait for new lines at the end of the log, instead of ending there.
            on_read: Called again and again as long as the log can be read, also if nothing is new.

        Raises:
            CursorError: *after* is not a cursor.
            OSError: as for `follow`.
        """
        if after is not None and after != cursors.END:
            self.check_cursor(after)
        self._check()
        follower = BlockFollower(self.path, after=after, namer=self._namer)
        return blocks(follower, linger=linger, live=live, on_read=on_read)

    def page(
        self,
        selection: Selection,
        *,
        after: str | None = None,
        limit: int,
        budget: int,
        newest_first: bool = False,
        including: bool = False,
        each: Callable[[Event], bool] | None = None,
    ) -> Generator[None, None, Page]:
        """Read a page of stored events in short steps; see `read_page`."""
        asked = PageRequest(after, limit, budget, newest_first, including, each)
        return read_page(self.path, selection, asked, namer=self._namer)

    def state(self) -> tuple[tuple[int, ...], ...]:
        """Return the state of the log's files, to notice changes without reading; see `state_of`."""
        return state_of(self.path, self._namer)

    def check_cursor(self, cursor: str) -> None:
        """Check that *cursor* is one of a log of files, without reading.

        Raises:
            CursorError: it is not.
        """
        cursors.decode(cursor)

    def exists(self) -> bool:
        """Return whether the log has a file, the live one or a backup."""
        return bool(self.files())

    def files(self) -> list[str]:
        """Return the paths of the files of the log, the oldest first."""
        return paths_of(self.path, self._namer)

    def size(self) -> int:
        """Return the size of the files on disk in bytes."""
        return sum(size for _, _, size, _ in self.state())

    def health(self) -> Health:
        """Return whether the live file can be opened, and whether a thread follows the log."""
        following = is_followed(FileFeed, real_path(self.path), self._namer)
        return Health(_is_readable(self.path), following)

    def close(self) -> None:
        """Do nothing: a log of files holds nothing. Other sources have connections."""

    def subscribe(self, selection: Selection, after: str | None = None) -> FileSubscription:
        """Return the subscription behind `follow_batches`, for callers that do not use `async for`.

        It opens and checks nothing before the first read. The caller closes it.
        """
        return FileSubscription(
            self.path, after=after, selection=selection, on_skip=self._on_skip, namer=self._namer
        )

    def _subscribe(self, method: str, after: str | None, filters: Filters) -> FileSubscription:
        selection = self._selection(method, filters, "after")
        if after is not None and after != cursors.END:
            self.check_cursor(after)
        self._check()
        return self.subscribe(selection, after)

    def _check(self) -> None:
        if self._must_exist and not self.exists():
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), self.path)

    def _selection(self, method: str, filters: Filters, *others: str) -> Selection:
        refuse_unknown(f"EventLog.{method}", filters, (*others, *Filters.__annotations__))
        return Selection(**filters, meaning=self.meaning, asked=self.asked)


def _is_readable(path: str) -> bool:
    try:
        # Without O_NONBLOCK, opening a FIFO would block until somebody writes into it.
        held = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    try:
        return stat.S_ISREG(os.fstat(held).st_mode)
    finally:
        os.close(held)


def limited(items: Generator[_Item, None, None], limit: int) -> Generator[_Item, None, None]:
    """Yield at most *limit* events of *items*; gaps are not counted."""
    left = limit
    try:
        while left > 0 and (item := next(items, None)) is not None:
            yield item
            left -= isinstance(item, Event)
    finally:
        items.close()

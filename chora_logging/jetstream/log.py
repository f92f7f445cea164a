"""`JetStreamLog`: reads and follows the logs that shippers have copied into a stream."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Generator, Iterator, Mapping
from typing import TYPE_CHECKING, cast, overload

from chora_logging.errors import NoAnswerError, ServerError
from chora_logging.eventlog.comparing import Asked
from chora_logging.eventlog.events import Event, Gap, Skipped
from chora_logging.eventlog.feed import is_followed
from chora_logging.eventlog.log import limited
from chora_logging.eventlog.meaning import Meaning
from chora_logging.eventlog.paging import Page, PageRequest
from chora_logging.eventlog.reading import Tally
from chora_logging.eventlog.selection import Selection
from chora_logging.eventlog.source import Filters, Health
from chora_logging.eventlog.subscription import batches, items_async, items_sync
from chora_logging.jetstream.address import Address
from chora_logging.jetstream.blocks import events_of, unpack
from chora_logging.jetstream.consumer import Received
from chora_logging.jetstream.credentials import Credentials
from chora_logging.jetstream.pages import read_page
from chora_logging.jetstream.shared_connections import leave, shared_connection
from chora_logging.jetstream.stored import (
    PATIENCE_SECONDS,
    Scope,
    State,
    StoredReader,
    backwards,
    call,
    patiently,
    state_of,
)
from chora_logging.jetstream.stream import Stream
from chora_logging.jetstream.stream_cursor import Position, decode
from chora_logging.jetstream.stream_feed import END, StreamFeed, StreamSubscription
from chora_logging.options import refuse_unknown

if TYPE_CHECKING:
    from typing_extensions import Unpack

_PAUSE_SECONDS = 0.1


class JetStreamLog:
    """The logs in a stream as one sequence of events, in the order in which they were stored.

    It has the methods of `EventLog`, which promise the same, but for what is said here. Each event has the
    fields `host` and `log`, first, if it has none of these names: the machine and the name of the log. What
    a shipper stored later than newer lines stands where it is stored, with the field `late`.

    The filters `where={"host": …, "log": …}` say of which machines and logs to read, whatever fields of
    these names an event has; other messages are not even sent by the server.

    Cursors are valid for the stream, on any machine. A `Gap` says where messages were deleted before they
    were read, where a shipper reported one, and where the stream was made anew or has lost messages.

    Messages that no shipper has stored, and damaged ones, are reported to *on_skip* and passed over.

    Args:
        address: The servers and the stream: `nats://host1,host2:4223/STREAM`.
        on_skip: Called with each line, and each message, that has no event; see `EventLog`.
        credentials: What is shown to the servers; None takes the environment's (`NATS_CREDS` and others).
        fields: The names of fields that the readers do not know by themselves; see `EventLog`.

    Attributes:
        address: The address.
        meaning: Says what the fields of its events mean.
        asked: As that of `EventLog`.
        bytes_read: About how much of the `size` of the stream `read`, `select` and `last` have read so far.

    Raises:
        ConfigurationError: *address*, *fields* or the credentials are invalid.
        MissingExtraError: the extra `nats` is not installed.

    All methods but `close` and `check_cursor` may raise `ServerError`, an `OSError`: the servers cannot be
    read. A stream that does not exist is empty, and following waits for it. All logs of one address share a
    connection, and all followers a consumer. Thread safe; `close` it, or use it in a `with`. After a fork
    only what is called anew works in the child.
    """

    def __init__(
        self,
        address: str,
        *,
        on_skip: Callable[[Skipped], None] | None = None,
        credentials: Credentials | None = None,
        fields: Mapping[str, str] | None = None,
    ) -> None:
        self._address = Address.parse(address)
        self.address: str = str(self._address)
        self._on_skip = on_skip
        self._credentials = Credentials.from_environment() if credentials is None else credentials
        self.meaning: Meaning = Meaning(fields)
        self.asked: dict[str, Asked] = {}
        self.bytes_read: int = 0
        shared_connection(self._address, self._credentials, self)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.address!r})"

    def __enter__(self) -> JetStreamLog:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection if no other log uses it; a second call does nothing."""
        leave(self._address, self._credentials, self)

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
        """Iterate over the stored events, oldest first; see `EventLog.read`."""
        scope = Scope(self._selection("read", filters, "after", "limit", "newest_first"))
        if newest_first:
            if after is not None:
                raise ValueError("newest_first cannot be used together with after")
            newest = self._newest_first(scope)
            return newest if limit is None else limited(newest, limit)
        items = self._oldest_first(scope, None if after is None else decode(after))
        return items if limit is None else limited(items, limit)

    def select(self, selection: Selection, *, newest_first: bool = False) -> Iterator[Event]:
        """Iterate over the stored events that match *selection*, as `read` does."""
        scope = Scope(selection)
        if newest_first:
            return self._newest_first(scope)
        return cast(Iterator[Event], self._oldest_first(scope, None))  # gaps come only after a cursor

    def last(self, n: int, **filters: Unpack[Filters]) -> list[Event]:
        """Return the newest *n* events, oldest first, without reading the whole stream."""
        refuse_unknown("JetStreamLog.last", filters, ("n", *Filters.__annotations__))
        return list(self.read(limit=n, newest_first=True, **filters))[::-1]

    def follow(
        self, after: str | None = None, **filters: Unpack[Filters]
    ) -> AsyncGenerator[Event | Gap, None]:
        """Iterate over the stored events, then over new ones, without end; see `EventLog.follow`.

        Servers that cannot be read are an error at the first `anext`; later it waits for them.
        """
        return items_async(self._subscribe("follow", after, filters))

    def follow_batches(
        self, after: str | None = None, **filters: Unpack[Filters]
    ) -> AsyncGenerator[list[Event | Gap], None]:
        """Like `follow`, but iterate over non-empty lists; see `EventLog.follow_batches`."""
        return batches(self._subscribe("follow_batches", after, filters))

    def follow_sync(
        self, after: str | None = None, **filters: Unpack[Filters]
    ) -> Generator[Event | Gap, None, None]:
        """Like `follow`, but as a synchronous iterator that blocks in `next()`."""
        return items_sync(self._subscribe("follow_sync", after, filters))

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
        """Read a page of stored events in short steps; see `eventlog.paging.read_page`."""
        asked = PageRequest(after, limit, budget, newest_first, including, each)
        return read_page(self._stream, selection, asked)

    def subscribe(self, selection: Selection, after: str | None = None) -> StreamSubscription:
        """Return the subscription behind `follow_batches`; it reads and checks nothing before a read."""
        return StreamSubscription(
            self._address, self._credentials, after=after, selection=selection, on_skip=self._on_skip
        )

    def check_cursor(self, cursor: str) -> None:
        """Check that *cursor* is one of a stream, without reading.

        Raises:
            CursorError: it is not.
        """
        decode(cursor)

    def state(self) -> tuple[tuple[int, ...], ...]:
        """Return what changes when the stream does; empty if it does not exist."""
        found = self._state()
        return () if found is None else ((int(found.incarnation, 16), found.first, found.last),)

    def exists(self) -> bool:
        """Return whether the stream exists."""
        return patiently(self._state) is not None

    def size(self) -> int:
        """Return the size of the stream in bytes, as it is stored."""
        found = patiently(self._state)
        return 0 if found is None else found.size

    def health(self) -> Health:
        """Return whether the servers answer, and whether a consumer follows the stream.

        It does not wait for a connection that is being tried again: who asks may wait for a second only.
        """
        connection = self._stream.connection
        is_readable = connection.is_connected or not connection.problem
        if is_readable:
            try:
                self._state()
            except ServerError:
                is_readable = False
        return Health(is_readable, is_followed(StreamFeed, self._address, self._credentials))

    @property
    def _stream(self) -> Stream:
        return Stream(shared_connection(self._address, self._credentials, self))

    def _state(self) -> State | None:
        stream = self._stream
        return call(stream.connection, state_of(stream))

    def _oldest_first(self, scope: Scope, after: Position | None) -> Generator[Event | Gap, None, None]:
        tally = Tally(self.address, self._on_skip)
        reader = StoredReader(self._stream, scope, after)
        try:
            end = patiently(reader.end)
            for item in self._until(reader, end):
                if isinstance(item, Gap):
                    if after is None:
                        tally.warn(item)
                    else:
                        yield item
                    continue
                self.bytes_read += item.size
                unpacked = unpack(item, reader.incarnation, reader.offset_of(item), tally)
                if unpacked is None:
                    continue
                if unpacked.gap is not None:
                    if after is None:
                        tally.warn(unpacked.gap)
                    else:
                        yield unpacked.gap
                yield from events_of(unpacked, scope.selection, tally)
        finally:
            reader.close()
        tally.report()

    def _until(self, reader: StoredReader, end: int) -> Iterator[Received | Gap]:
        """Yield what *reader* reads before the sequence *end*, and a gap before the first message."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            found = patiently(reader.next)
            if found is None:
                if patiently(lambda: reader.is_complete(end)):
                    return
                if time.monotonic() > deadline:
                    raise NoAnswerError(self.address, "a server does not have the newest messages")
                time.sleep(_PAUSE_SECONDS)
                continue
            deadline = time.monotonic() + PATIENCE_SECONDS
            for item in found:
                if isinstance(item, Received) and item.sequence >= end:
                    return
                yield item
            if reader.position is not None and reader.position.sequence >= end:
                return

    def _newest_first(self, scope: Scope) -> Generator[Event, None, None]:
        tally = Tally(self.address, self._on_skip or _ignore)
        state = patiently(self._state)
        if state is None:
            return
        for messages in backwards(self._stream, scope, state, state.last + 1):
            for message in messages:
                self.bytes_read += message.size
                if not scope.has_message(message):
                    continue
                unpacked = unpack(message, state.incarnation, 0, tally)
                if unpacked is not None:
                    yield from events_of(unpacked, scope.selection, tally, newest_first=True)
                    if unpacked.gap is not None:
                        tally.warn(unpacked.gap)

    def _subscribe(self, method: str, after: str | None, filters: Filters) -> StreamSubscription:
        selection = self._selection(method, filters, "after")
        if after is not None and after != END:
            self.check_cursor(after)
        return self.subscribe(selection, after)

    def _selection(self, method: str, filters: Filters, *others: str) -> Selection:
        refuse_unknown(f"JetStreamLog.{method}", filters, (*others, *Filters.__annotations__))
        return Selection(**filters, meaning=self.meaning, asked=self.asked)


def _ignore(skipped: Skipped) -> None:
    pass

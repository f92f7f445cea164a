"""Shares one consumer of a stream among all its subscribers in this process."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, NamedTuple

from chora_logging.errors import NoAnswerError, ServerError
from chora_logging.eventlog.events import Event, Gap, Skipped
from chora_logging.eventlog.feed import Batch, Feed, join
from chora_logging.eventlog.selection import Selection
from chora_logging.eventlog.subscription import Items, Subscription
from chora_logging.jetstream.address import Address
from chora_logging.jetstream.blocks import PlacedSelection, events_of, place_of, unpack
from chora_logging.jetstream.consumer import (
    HEARTBEAT_SECONDS,
    MISSING_HEARTBEATS,
    Consumer,
    Received,
    read_singly,
)
from chora_logging.jetstream.credentials import Credentials
from chora_logging.jetstream.shared_connections import shared_connection
from chora_logging.jetstream.stored import BATCH, Scope, StoredReader, patiently, state_of
from chora_logging.jetstream.stream import Stream
from chora_logging.jetstream.stream_cursor import Position, decode

#: The pause before a consumer that was lost is made anew, in seconds.
_PAUSE_SECONDS = 0.2

#: How long a new subscriber waits until the feed has found the end of the stream, in seconds.
_START_SECONDS = 5.0

#: The value of *after* for the end of the log.
END = "end"

_ALL = PlacedSelection(Selection())


class End(NamedTuple):
    """The end of a batch, which has the events of one message.

    Attributes:
        position: The position after the message.
        place: Where the message comes from; see `blocks.place_of`.
        message: The message, if it has something that is no event.
    """

    position: Position
    place: tuple[str, str] | None
    message: Received | None


class StreamFeed(Feed):
    """The new events of a stream: a consumer's, in the event loop of the connection.

    It ends if it cannot go on where it was, because the stream was made anew or retention overtook it: its
    subscribers read on by themselves, and report that.

    Args:
        address: The stream and its servers.
        credentials: What is shown to the servers.
    """

    def __init__(self, address: Address, credentials: Credentials) -> None:
        super().__init__()
        self._stream = Stream(shared_connection(address, credentials))
        self._position: Position | None = None
        self._level = threading.Lock()  # held while the position and the number of the next batch differ
        self._has_begun = threading.Event()
        self._running: Future[None] | None = None
        self._problem: ServerError | None = None
        self._failed_at: Position | None = None  # where the consumer ended
        self._heard = 0.0

    def start(self) -> None:
        """Start the consumer."""
        self._running = self._stream.connection.submit(self._run())

    def is_alive(self) -> bool:
        """Return whether the servers have been heard of lately."""
        is_running = self._running is not None and not self._running.done()
        return is_running and time.monotonic() - self._heard < HEARTBEAT_SECONDS * MISSING_HEARTBEATS

    def level(self) -> tuple[int, Position | None]:
        """Return the number of the next batch and its position; None if there is no stream now.

        Raises:
            ServerError: the end of the stream cannot be found.
        """
        if not self._has_begun.wait(_START_SECONDS) and self._problem is not None:
            raise self._problem
        with self._level:
            return self.next, self._position

    def unused(self) -> None:
        """Stop the consumer."""
        if self.ended and self._running is not None:
            self._running.cancel()

    def after_fork(self) -> None:
        """End in a forked child."""
        super().after_fork()
        self._level = threading.Lock()

    async def _run(self) -> None:
        try:
            while not self.end_if_unused():
                try:
                    if not await self._can_go_on():
                        break
                    await self._follow()
                except ServerError as error:
                    self._problem = error
                await asyncio.sleep(_PAUSE_SECONDS)
        finally:
            self.end()
            self._has_begun.set()

    async def _can_go_on(self) -> bool:
        """Find the end of the stream at the first time; later, return whether it is the same stream."""
        state = await state_of(self._stream)
        if state is None:
            return self._position is None
        if self._position is None:
            with self._level:
                self._position = Position(state.incarnation, state.last + 1)
            self._has_begun.set()
            return True
        sequence = self._position.sequence
        return state.incarnation == self._position.incarnation and state.first <= sequence <= state.last + 1

    async def _follow(self) -> None:
        if self._position is None:
            return
        if self._position == self._failed_at:
            self._failed_at = None
            self._deliver(await read_singly(self._stream, self._position.sequence, BATCH))
        consumer = Consumer(self._stream, self._position.sequence)
        try:
            await consumer.follow(self._deliver)
        except NoAnswerError:
            self._failed_at = self._position
            raise
        finally:
            await asyncio.shield(consumer.close())

    def _deliver(self, messages: list[Received]) -> None:
        self._heard = time.monotonic()
        self.forget_closed_loops()
        if self.end_if_unused():
            raise NoAnswerError(str(self._stream.connection.address), "nobody follows it any more")
        for message in messages:
            assert self._position is not None
            batch = _batch(message, self._position.incarnation)
            with self._level:
                self._position = batch.end.position
                self.publish(batch)


class StreamSubscription(Subscription):
    """The events of a stream from a position on.

    It reads the stored events by a consumer of its own. When it has read all messages before the position of
    the feed, it takes from the feed.

    Args:
        address: The stream and its servers.
        credentials: What is shown to the servers.
        after: A cursor, `"end"` for events stored from now on, or None for all events.
        selection: The filter.
        on_skip: Called with each line, and each message, that has no event.
    """

    fed: bool

    _reader: StoredReader | None = None

    def __init__(
        self,
        address: Address,
        credentials: Credentials,
        *,
        after: str | None,
        selection: Selection,
        on_skip: Callable[[Skipped], None] | None = None,
    ) -> None:
        self._scope = Scope(selection)
        super().__init__(after, self._scope.selection.rest, on_skip)
        self._matches = self._scope.selection.matches if selection.narrows else None
        self._address = address
        self._credentials = credentials
        self._has_read = False

    def read(self) -> Items | None:
        """Return the next stored items, at most a batch of messages; None if there are none.

        Raises:
            ServerError: the servers do not answer at the first time, for longer than a leader takes to
                die; or they refuse. Later it waits for answers.
        """
        if not self._has_read:
            items = patiently(self._read)
        else:
            try:
                items = self._read()
            except NoAnswerError:
                time.sleep(_PAUSE_SECONDS)
                return []
        self._has_read = True
        self._report_skipped()
        return items

    def close(self) -> None:
        """Delete the consumer and leave the feed; a second call does nothing."""
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.close()
        super().close()

    __del__ = close

    def _read(self) -> Items | None:
        if self._position == END:
            number, position = self._join().level()
            if position is None:
                return None
            self._number, self._position = number, position
            self.fed = True
            return []
        reader = self._reader
        if reader is None:
            after = decode(self._position) if isinstance(self._position, str) else self._position
            reader = self._reader = StoredReader(self._stream, self._scope, after)
        found = reader.next()
        if found is None:
            return self._take_over(reader)
        items: Items = []
        for item in found:
            if isinstance(item, Gap):
                items.append(item)
                continue
            offset = reader.offset_of(item)
            items += _items(item, reader.incarnation, offset, self._scope.selection, self._skipped.append)
        self._position = reader.position
        return items

    def _take_over(self, reader: StoredReader) -> Items | None:
        """Take from the feed from now on, if everything before it has been read."""
        feed = self._join()
        number, position = feed.level()
        self._number = number
        if position is None or reader.position is None:
            return None  # there is no stream yet
        if position.incarnation != reader.position.incarnation:
            return None
        if not reader.is_complete(position.sequence):
            return []
        self._position, self._reader = reader.position, None
        self.fed = True
        reader.close()
        return []

    def _items_of(self, batch: Batch) -> Items:
        end: End = batch.end
        if end.position <= self._position:
            return []  # it was read from the stream
        self._position = end.position
        if not self._scope.has(end.place):
            return []
        selection = self._scope.selection
        if selection.rest.raw and end.message is not None:
            return _items(end.message, end.position.incarnation, 0, selection, self._skipped.append)
        self._skipped += batch.skipped
        return batch.items

    def _join(self) -> StreamFeed:
        feed = self._feed
        if not isinstance(feed, StreamFeed) or feed.ended:
            feed = self._feed = join(self, StreamFeed, self._address, self._credentials)
        return feed

    @property
    def _stream(self) -> Stream:
        return Stream(shared_connection(self._address, self._credentials))


def _batch(message: Received, incarnation: str) -> Batch:
    skipped: list[Skipped] = []
    items = _items(message, incarnation, 0, _ALL, skipped.append)
    position, place = Position(incarnation, message.sequence + 1), place_of(message.subject, message.headers)
    end = End(position, place, message if skipped else None)
    return Batch(items, skipped, end, len(message.payload))


def _items(
    message: Received,
    incarnation: str,
    offset: int,
    selection: PlacedSelection,
    on_skip: Callable[[Skipped], None],
) -> list[Event | Gap]:
    unpacked = unpack(message, incarnation, offset, on_skip)
    if unpacked is None:
        return []
    items: list[Any] = [] if unpacked.gap is None else [unpacked.gap]
    return items + list(events_of(unpacked, selection, on_skip))

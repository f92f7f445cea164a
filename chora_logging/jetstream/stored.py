"""Reads what a stream holds, in one thread: forwards from a position, or backwards from one."""

from __future__ import annotations

import concurrent.futures
import contextlib
import time
from collections.abc import Callable, Coroutine, Generator, Sequence
from datetime import datetime, timezone
from typing import Any, NamedTuple, TypeVar

from chora_logging.errors import AnswerError, NoAnswerError
from chora_logging.eventlog.events import Gap
from chora_logging.eventlog.selection import Selection
from chora_logging.eventlog.subscription import LONGEST_WAIT_SECONDS
from chora_logging.jetstream.blocks import LATE, PlacedSelection, place_of
from chora_logging.jetstream.connection import Connection
from chora_logging.jetstream.consumer import Consumer, Received, read_singly
from chora_logging.jetstream.messages import token
from chora_logging.jetstream.stream import NO_STREAM, Stream
from chora_logging.jetstream.stream_cursor import Position, incarnation_of

#: How many messages are read at a time: at 64 KiB each they fit into memory.
BATCH = 64

#: The most messages that a reader backwards holds: the newest ones.
HELD_MESSAGES = 4 * BATCH

#: How long servers may be away until a reader gives up, in seconds: the death of a leader takes up to 7.
PATIENCE_SECONDS = 15.0

#: How much older than its message an event may be by the clock of the server, in seconds.
CLOCKS_DIFFER_SECONDS = 60.0

_PAUSE_SECONDS = 0.2

#: The year 2200: servers count nanoseconds, and not beyond 2262.
_LATEST = 7_258_118_400

#: The first window of sequences that is read backwards, and the longest.
_FIRST_WINDOW, _LONGEST_WINDOW = 8, 65_536

_Result = TypeVar("_Result")


class State(NamedTuple):
    """The state of a stream.

    Attributes:
        incarnation: What tells it from another stream of its name.
        first: The sequence of its first message; one more than *last* if it is empty.
        last: The sequence of its last message; 0 if there was never one.
        size: Its size in bytes.
        prefix: What its subjects begin with, before the host; empty if they have no common beginning.
    """

    incarnation: str
    first: int
    last: int
    size: int
    prefix: str


async def state_of(stream: Stream) -> State | None:
    """Return the state of *stream*; None if it does not exist.

    Raises:
        ServerError: it cannot be read now.
    """
    try:
        info = await stream.info()
    except AnswerError as error:
        if error.code == NO_STREAM:
            return None
        raise
    found = info["state"]
    last = int(found["last_seq"])
    first = int(found["first_seq"]) if found["messages"] else last + 1
    (subject, *others) = info["config"].get("subjects") or [""]
    prefix = subject.removesuffix(".>")
    is_common = not others and prefix != subject and "*" not in prefix
    incarnation = incarnation_of(stream.name, info["created"])
    return State(incarnation, first, last, int(found["bytes"]), prefix if is_common else "")


def call(connection: Connection, work: Coroutine[Any, Any, _Result]) -> _Result:
    """Return the result of *work*, which runs in the event loop of *connection*, to another thread."""
    future = connection.submit(work)
    try:
        while not future.done():
            concurrent.futures.wait([future], LONGEST_WAIT_SECONDS)
        return future.result()
    finally:
        future.cancel()


def patiently(work: Callable[[], _Result], seconds: float = PATIENCE_SECONDS) -> _Result:
    """Return the result of *work*, which is repeated for *seconds* as long as nobody answers.

    Raises:
        ServerError: that of the last try.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            return work()
        except NoAnswerError:  # noqa: PERF203
            if time.monotonic() > deadline:
                raise
            time.sleep(_PAUSE_SECONDS)


class Scope:
    """The messages of a stream that a selection can match: those of a host, of a log, or all.

    Args:
        selection: The filters.

    Attributes:
        selection: The same, for events that have the fields host and log.
        since: The time before which no message has a matching event, or None.
    """

    def __init__(self, selection: Selection) -> None:
        self.selection = placed = PlacedSelection(selection)
        self._host = None if placed.host is None else token(placed.host)
        self._log = None if placed.log is None else token(placed.log)
        self._subject: str | None = None
        self.since: datetime | None = None
        if selection.since is not None:
            since = max(0.0, selection.since - CLOCKS_DIFFER_SECONDS)
            self.since = datetime.fromtimestamp(min(since, _LATEST), timezone.utc)

    async def subject(self, stream: Stream, state: State) -> str:
        """Return what to ask servers for: all messages of the host if they can tell them, or all."""
        if not self._host or not state.prefix:
            return ">"
        if self._subject is None:
            # A shipper may have a longer prefix, so that its host is another token.
            longer = {"subjects_filter": f"{state.prefix}.*.*.>"}
            info = await stream.api(f"STREAM.INFO.{stream.name}", longer)
            is_sure = all(subject.endswith(f".{LATE}") for subject in info["state"].get("subjects") or ())
            self._subject = f"{state.prefix}.{self._host}.>" if is_sure else ">"
        return self._subject

    def has_message(self, message: Received) -> bool:
        """Return whether *message* is among these."""
        return self.has(place_of(message.subject, message.headers))

    def has(self, place: tuple[str, str] | None) -> bool:
        """Return whether messages from *place* are among these; see `blocks.place_of`."""
        host, log = place or (None, None)
        return self._host in (None, host) and self._log in (None, log)


class StoredReader:
    """The messages of a stream from a position on, for one thread.

    Args:
        stream: The stream.
        scope: Which messages.
        after: A position, or None for the beginning.

    Attributes:
        position: The position after what was read; None before the first read, and without a stream.
        passed_bytes: The length of the messages that the last read left out, because they are not of *scope*.

    `close` it.
    """

    def __init__(self, stream: Stream, scope: Scope, after: Position | None = None) -> None:
        self._stream = stream
        self._scope = scope
        self._consumer: Consumer | None = None
        self._state: State | None = None
        self._is_exact = True  # whether the next message must follow the position
        self._gap: Gap | None = None  # not yet returned
        self._after = after
        self._failed_at: Position | None = None
        self.position = after
        self.passed_bytes = 0

    @property
    def incarnation(self) -> str:
        """The incarnation of the stream that is read."""
        return "" if self._state is None else self._state.incarnation

    def offset_of(self, message: Received) -> int:
        """Return how many bytes of the lines of *message* had been read before."""
        after = self._after
        is_partly_read = after is not None and after[:2] == (self.incarnation, message.sequence)
        return after.offset if after is not None and is_partly_read else 0

    def next(self) -> list[Received | Gap] | None:
        """Return the next messages, with gaps where some are gone; None if there are none now.

        Raises:
            ServerError: they cannot be read now.
        """
        try:
            return call(self._stream.connection, self._next())
        except BaseException:
            self._drop()
            raise

    def is_complete(self, sequence: int) -> bool:
        """Return whether all messages of the scope before *sequence* have been read.

        The leader of the stream answers: the server of the consumer may not have the newest ones yet.
        """
        position = self.position
        if position is None or position.sequence >= sequence:
            return True
        return call(self._stream.connection, self._is_complete(position.sequence))

    def end(self) -> int:
        """Return the sequence after the last message of the scope that is stored now; 0 if there is none."""
        return call(self._stream.connection, self._end())

    def close(self) -> None:
        """Delete the consumer; a second call does nothing."""
        self._drop()

    async def _end(self) -> int:
        state = await state_of(self._stream)
        return 0 if state is None else await _last(self._stream, self._scope, state) + 1

    async def _is_complete(self, before: int) -> bool:
        state = await state_of(self._stream)
        return state is None or await _last(self._stream, self._scope, state) < before

    async def _next(self) -> list[Received | Gap] | None:
        if self._consumer is None:
            state = await state_of(self._stream)
            if state is None:
                return None
            self._gap = self._begin(state, await self._scope.subject(self._stream, state)) or self._gap
        assert self._consumer is not None and self.position is not None and self._state is not None
        subject = await self._scope.subject(self._stream, self._state)
        expected = self.position.sequence
        messages = await self._fetch(self._consumer, self.position, subject)
        gap, self._gap = self._gap, None
        self.passed_bytes = 0
        found: list[Received | Gap] = [] if gap is None else [gap]
        if not messages:
            if not self._is_exact and self._consumer is not None:
                self.position, self._is_exact = self.position._replace(sequence=self._consumer.first), True
            return found or None
        is_contiguous = messages[-1].sequence - expected + 1 == len(messages)
        if self._is_exact and gap is None and not is_contiguous:
            state = await state_of(self._stream)
            if state is not None and state.first > expected:
                found.append(_expired(messages))
        kept = [message for message in messages if self._scope.has_message(message)]
        found += kept
        self.passed_bytes = _bytes_of(messages) - _bytes_of(kept)
        self.position = Position(self._state.incarnation, messages[-1].sequence + 1)
        self._is_exact = True
        return found

    async def _fetch(self, consumer: Consumer, position: Position, subject: str) -> list[Received]:
        """Return the next messages; singly if the consumer has failed before it returned one of them."""
        if position == self._failed_at:
            self._drop()
            self._failed_at = None
            return await read_singly(self._stream, position.sequence, BATCH, subject)
        try:
            return await consumer.fetch(BATCH)
        except NoAnswerError:
            self._failed_at = position
            raise

    def _begin(self, state: State, subject: str) -> Gap | None:
        """Make the consumer; return the gap before the messages that it gives."""
        gap, start = None, Position(state.incarnation, max(1, state.first))
        after = self.position
        first: int | datetime = start.sequence
        if after is None:
            self._is_exact = self._scope.since is None
            first = self._scope.since or start.sequence
        elif after.incarnation != state.incarnation:
            gap = Gap("the stream was deleted and made anew")
        elif after.sequence > state.last + 1 or (after.sequence > state.last and after.offset):
            gap = Gap("the cursor points beyond the end of the stream, which has lost messages")
            start = Position(state.incarnation, state.last + 1)
            first = start.sequence
        elif after.sequence < state.first:
            gap = Gap("messages were deleted before they were read")
        else:
            start, first = after, after.sequence
        self._state, self.position = state, start
        self._consumer = Consumer(self._stream, first, subject)
        return gap

    def _drop(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            discard(self._stream.connection, consumer)


def _bytes_of(messages: Sequence[Received]) -> int:
    return sum(len(message.payload) for message in messages)


def _expired(messages: Sequence[Received]) -> Gap:
    return Gap("messages were deleted before they were read", until=messages[0].time)


def discard(connection: Connection, consumer: Consumer) -> None:
    """Delete *consumer* without waiting for it."""
    work = consumer.close()
    try:
        connection.submit(work)
    except NoAnswerError:  # the connection has been closed
        work.close()


def backwards(
    stream: Stream, scope: Scope, state: State, before: int
) -> Generator[list[Received], None, None]:
    """Yield the messages with a sequence less than *before*, newest first, in lists.

    All of *scope* are among them, and others that the server cannot tell from these.

    Raises:
        ServerError: they cannot be read now.
    """
    window, end = _FIRST_WINDOW, before
    while end > state.first:
        start = max(state.first, end - window)
        found = _read_window(stream, scope, state, start, end)
        yield found[::-1]
        if scope.since is not None and found and found[0].time < scope.since.timestamp():
            return
        if len(found) == HELD_MESSAGES:  # there may have been more before them
            start, window = found[0].sequence, BATCH
        elif len(found) < BATCH:
            window = min(2 * window, _LONGEST_WINDOW)
        end = start


def _read_window(stream: Stream, scope: Scope, state: State, start: int, end: int) -> list[Received]:
    """Return the messages with sequences from *start* and before *end*; singly if a consumer fails."""
    with contextlib.suppress(NoAnswerError):
        return call(stream.connection, _window(stream, scope, state, start, end))
    return patiently(lambda: call(stream.connection, _single_window(stream, scope, state, start, end)))


async def _last(stream: Stream, scope: Scope, state: State) -> int:
    """Return the sequence of the last message that *scope* asks for; 0 if there is none."""
    subject = await scope.subject(stream, state)
    if subject == ">":
        return state.last if state.first <= state.last else 0
    found = await stream.last_message(subject)
    return 0 if found is None else found.sequence


async def _single_window(stream: Stream, scope: Scope, state: State, start: int, end: int) -> list[Received]:
    subject = await scope.subject(stream, state)
    return await read_singly(stream, start, end - start, subject, before=end)


async def _window(stream: Stream, scope: Scope, state: State, start: int, end: int) -> list[Received]:
    consumer = Consumer(stream, start, await scope.subject(stream, state))
    found: list[Received] = []
    try:
        while True:
            messages = await consumer.fetch(BATCH)
            found += [message for message in messages if message.sequence < end]
            del found[:-HELD_MESSAGES]
            if messages and messages[-1].sequence >= end - 1:
                return found
            if len(messages) < BATCH:
                break
    finally:
        await consumer.close()
    # The server of the consumer may not have the newest messages yet.
    newest = await _last(stream, scope, state)
    if newest < end and newest > (found[-1].sequence if found else start - 1):
        raise NoAnswerError(str(stream.connection.address), "a server does not have the newest messages yet")
    return found

"""Reads one page of a stream: some events, and the cursor at which the next page begins."""

from __future__ import annotations

import itertools
from collections.abc import Generator, Iterable, Iterator

from chora_logging.eventlog.events import Event, Gap
from chora_logging.eventlog.paging import Collected, Page, PageRequest
from chora_logging.eventlog.rotated import locating
from chora_logging.eventlog.selection import Selection
from chora_logging.jetstream.blocks import Unpacked, events_of, unpack
from chora_logging.jetstream.stored import Scope, StoredReader, backwards, call, patiently, state_of
from chora_logging.jetstream.stream import Stream
from chora_logging.jetstream.stream_cursor import Position, decode, encode

#: How long servers may be away until a page is refused, in seconds.
_PATIENCE_SECONDS = 5.0


def read_page(stream: Stream, selection: Selection, asked: PageRequest) -> Generator[None, None, Page]:
    """Read one page of *stream* in short steps; see `eventlog.paging.read_page`.

    Raises:
        CursorError: *after* is not a cursor of a stream.
        ServerError: the stream cannot be read now.
    """
    position = None if asked.after is None else decode(asked.after)
    found = Collected(asked, selection)
    scope = Scope(selection)
    if asked.newest_first:
        return (yield from _backwards(stream, scope, position, found))
    return (yield from _forwards(stream, scope, position, found))


def _forwards(
    stream: Stream, scope: Scope, after: Position | None, found: Collected
) -> Generator[None, None, Page]:
    reader = StoredReader(stream, scope, after)
    try:
        while (items := patiently(reader.next, _PATIENCE_SECONDS)) is not None:
            for item in items:
                unpacked: Unpacked | None = None
                gap = item if isinstance(item, Gap) else None
                if not isinstance(item, Gap):
                    unpacked = unpack(item, reader.incarnation, reader.offset_of(item), found.skip)
                    gap = None if unpacked is None else unpacked.gap
                if gap is not None:
                    if not found.is_empty:  # the next page begins with it
                        return found.page(more=True)
                    found.gap = gap if found.gap is None else locating.joined(found.gap, gap)
                if unpacked is None:
                    continue
                block = unpacked.block
                for event in events_of(unpacked, scope.selection, found.skip):
                    if not found.add(event):
                        return found.page(more=True)
                if not found.pass_by(block.size, block.cursor(block.size), block):
                    return found.page(more=True)
            passed, position = reader.passed_bytes, reader.position
            if passed and position and not found.pass_by(passed, encode(position)):
                return found.page(more=True)
            yield
        if reader.position is not None:
            found.next = encode(reader.position)
        return found.page(more=False)
    finally:
        reader.close()


def _backwards(
    stream: Stream, scope: Scope, position: Position | None, found: Collected
) -> Generator[None, None, Page]:
    state = patiently(lambda: call(stream.connection, state_of(stream)), _PATIENCE_SECONDS)
    if state is None:
        return found.page(more=False)
    end = Position(state.incarnation, state.last + 1)
    if position is None:
        found.live = encode(end) if state.last else None
    elif position.incarnation != state.incarnation:
        found.gap = Gap("the stream was deleted and made anew")
        return found.page(more=False)
    before = end if position is None else position
    for messages in backwards(stream, scope, state, before.sequence + (before.offset > 1)):
        for message in messages:
            unpacked = (
                unpack(message, state.incarnation, 0, found.skip) if scope.has_message(message) else None
            )
            if unpacked is None:
                this = encode(Position(state.incarnation, message.sequence))
                enough = not found.pass_by(len(message.payload), this)
            else:
                block = unpacked.block
                events: Iterable[Event]
                events = events_of(unpacked, scope.selection, found.skip, newest_first=True)
                if position is not None:
                    events = _before(position, events, including=found.asked.including)
                for event in events:
                    if not found.add(event):
                        return found.page(more=True)
                if unpacked.gap is not None:
                    found.gap = (
                        unpacked.gap if found.gap is None else locating.joined(unpacked.gap, found.gap)
                    )
                enough = not found.pass_by(block.size, block.cursor(1), block)
            if enough and message.sequence > state.first:
                return found.page(more=True)
        yield
    return found.page(more=False)


def _before(position: Position, events: Iterable[Event], *, including: bool) -> Iterator[Event]:
    """Yield those of *events*, newest first, that end before *position*, or at it."""

    def is_after(event: Event) -> bool:
        end = decode(event.cursor)
        return end > position if including else end >= position

    return itertools.dropwhile(is_after, events)

"""Turns the messages of a stream into events. What a message holds is hostile: it never raises."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import msgspec

from chora_logging.eventlog.events import Block, Event, Gap, RawLine, Skipped
from chora_logging.eventlog.lines import SHOWN_LINE_BYTES, events_in
from chora_logging.eventlog.selection import Selection
from chora_logging.jetstream import messages
from chora_logging.jetstream.consumer import Received
from chora_logging.jetstream.stream_cursor import StreamOrigin

#: The last token of the subject, and the header, of a block that was shipped after newer ones. The token
#: alone may be the name of a log, for a prefix may have any number of tokens.
LATE, LATE_HEADER = "late", "Clog-Late"

#: The fields that each event of a stream has: where it comes from.
HOST, LOG = "host", "log"

OnSkip = Callable[[Skipped], None]


class Unpacked(NamedTuple):
    """A block of lines out of a message.

    Attributes:
        block: The lines.
        fields: What its events have besides their own fields.
        gap: The gap before the lines, if there is one.
    """

    block: Block
    fields: dict[str, Any]
    gap: Gap | None


class PlacedSelection:
    """A filter of events that have the fields host and log in addition to their own.

    Args:
        selection: The filter. A single value for *host* or *log* says where the events come from, whatever
            fields of these names they have.

    Attributes:
        host, log: These values; None without one.
        rest: The filters that lines are tried with.
    """

    def __init__(self, selection: Selection) -> None:
        by_place, self.rest = selection.split((HOST, LOG))
        self.host, self.log = by_place.value_of(HOST), by_place.value_of(LOG)
        settled = [name for name in (HOST, LOG) if by_place.value_of(name) is not None]
        self._by_place = by_place.split(settled)[1]
        self._without_text = self.rest.without_text()

    def of_lines(self, fields: Mapping[str, Any]) -> Selection:
        """Return the filter for lines whose events get *fields*, which may have the text, too."""
        text = self.rest.text
        return (
            self._without_text if text is not None and text.is_in(msgspec.json.encode(fields)) else self.rest
        )

    def matches(self, event: Mapping[str, Any]) -> bool:
        """Return whether an event with all its fields matches."""
        return self._by_place.has_fields(event) and self.rest.matches(event)

    def has_more(self, selection: Selection) -> bool:
        """Return whether an event that *selection* has passed may not match."""
        return self._by_place.narrows or selection is not self.rest


def unpack(received: Received, incarnation: str, offset: int, on_skip: OnSkip) -> Unpacked | None:
    """Return the lines of a message from *offset* on; None if it is no block, which is reported.

    Args:
        received: The message.
        incarnation: That of its stream.
        offset: How many bytes of the lines to leave out: they have been read.
        on_skip: Called with the message if it is no block, and with a last line without its newline.
    """
    found = place_of(received.subject, received.headers)
    if found is None or messages.head_of(received.headers) is None:
        _skip(received, "not a block of lines that a shipper has stored", on_skip)
        return None
    try:
        lines = _decompressed(received)
    except ValueError as error:
        _skip(received, str(error), on_skip)
        return None
    host, log = map(messages.text_of, found)
    place = f"{host}/{log}"
    size = lines.rfind(b"\n") + 1
    if size < len(lines):
        rest = lines[size : size + SHOWN_LINE_BYTES]
        on_skip(Skipped(place, size, "a line without a newline at its end", rest))
    offset = min(offset, size)
    origin = StreamOrigin(incarnation, received.sequence, size)
    block = Block(place, offset, lines[offset:size], size - offset, b"", origin)
    fields = {HOST: host, LOG: log, **({LATE: True} if LATE_HEADER in received.headers else {})}
    gap = None if offset else messages.gap_of(received.headers)
    return Unpacked(block, fields, None if gap is None else _checked(gap, place))


def events_of(
    unpacked: Unpacked, selection: PlacedSelection, on_skip: OnSkip, *, newest_first: bool = False
) -> Iterator[Event]:
    """Yield the events of a block that match, with the fields that say where they come from."""
    of_lines = selection.of_lines(unpacked.fields)
    has_more = selection.has_more(of_lines)
    for event in events_in(unpacked.block, of_lines, on_skip, newest_first=newest_first):
        placed = _with_fields(event, unpacked.fields)
        if not has_more or selection.matches(placed):
            yield placed


def place_of(subject: str, headers: Mapping[str, str]) -> tuple[str, str] | None:
    """Return the tokens of the host and the log in the subject of a message; None if it is none of ours.

    >>> place_of("clog.web1.shop", {}), place_of("a.b.web1.shop.late", {"Clog-Late": "1"})
    (('web1', 'shop'), ('web1', 'shop'))
    """
    tokens = subject.split(".")
    if LATE_HEADER in headers and tokens[-1] == LATE:
        del tokens[-1]
    return None if len(tokens) < 3 else (tokens[-2], tokens[-1])


def _decompressed(received: Received) -> bytes:
    encoding = received.headers.get(messages.ENCODING)
    if encoding is None:
        return received.payload
    if encoding != messages.DEFLATE:
        raise ValueError(f"an unknown compression: {encoding[:40]}")
    inflating = zlib.decompressobj()
    try:
        lines = inflating.decompress(received.payload, messages.LONGEST_PAYLOAD_BYTES)
    except zlib.error as error:
        raise ValueError(f"damaged: {error}") from None
    if not inflating.eof:
        longest = f"longer than {messages.LONGEST_PAYLOAD_BYTES} bytes"
        raise ValueError(longest if inflating.unconsumed_tail else "damaged: it ends early")
    return lines


def _skip(received: Received, reason: str, on_skip: OnSkip) -> None:
    on_skip(Skipped(received.subject, 0, reason, received.payload[:SHOWN_LINE_BYTES]))


def _with_fields(event: Event, fields: dict[str, Any]) -> Event:
    if isinstance(event, RawLine):
        return event
    more = {name: value for name, value in fields.items() if name not in event}
    if not more:
        return event
    line = event.json
    head = msgspec.json.encode(more)
    joint = b"," if event else b""
    return Event({**more, **event}, event._place, head[:-1] + joint + line[1:])


def _checked(gap: Gap, place: str) -> Gap:
    """Return *gap* with values of the right types only, and the place in this stream."""
    return Gap(
        gap.reason if isinstance(gap.reason, str) else "the shipper reported a gap",
        gap.files if isinstance(gap.files, int) else None,
        gap.bytes if isinstance(gap.bytes, int) else None,
        _time(gap.since),
        _time(gap.until),
        place,
    )


def _time(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and 0 <= value < 253402300800 else None

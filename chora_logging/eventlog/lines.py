"""Parses the lines of a block into events, malformed lines included."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import msgspec

from chora_logging.eventlog.events import Block, Event, RawLine, Skipped, strict_json
from chora_logging.eventlog.rotated.cursor import GUARD
from chora_logging.eventlog.selection import Selection

#: How much of a malformed line is shown, in bytes.
SHOWN_LINE_BYTES = 200

#: The exceptions that `decode` raises.
REFUSED = (msgspec.MsgspecError, ValueError, RecursionError)

_BOM = b"\xef\xbb\xbf"
_SPACE = re.compile(r"[ \t\r\n]*")
_value_at = json.JSONDecoder().raw_decode

#: Decodes a strict JSON object.
decode = msgspec.json.Decoder(dict[str, Any]).decode


def events_in(
    block: Block,
    selection: Selection,
    skipped: Callable[[Skipped], None],
    *,
    newest_first: bool = False,
) -> Iterator[Event]:
    """Yield the events of *block* that match *selection*.

    Args:
        block: Lines of a file.
        selection: The filter. Lines that its prefilter excludes are not decoded.
        skipped: Called with each decoded line that is neither blank nor an event, unless the filter has
            them given as `RawLine`.
        newest_first: Start with the last line.
    """
    if block.overlong:
        reason = f"{block.overlong} bytes are too long for a line"
        skipped(Skipped(block.path, block.start, reason, b"", block.first_line()))
        return
    chunk, start, origin = block.chunk, block.start, block.origin
    selection.look(chunk)
    lines: Iterable[tuple[int, bytes]]
    lines = _lines(chunk) if selection.prefilter is None else selection.prefilter.lines(chunk)
    if newest_first:
        lines = reversed(list(lines))
    matches = selection.has_fields if selection.narrows else None
    text = selection.text
    malformed = _MalformedLines(block, skipped, raw=selection.raw)
    new = Event.__new__
    for end, line in lines:
        if text is not None and not text.is_in(line):
            continue
        try:
            fields = decode(line)
        except REFUSED:
            found = malformed.events(line, end - len(line) - 1)
            if newest_first:
                found.reverse()
            yield from found if matches is None else filter(selection.matches, found)
            continue
        if matches is not None and not matches(fields):
            continue
        # `Event(…)` and `block.place(end)` inlined: the calls would take half as long as all the rest.
        event = new(Event)
        event |= fields
        event._line = line
        event._place = (origin, start + end, chunk[end - GUARD : end]) if end >= GUARD else block.place(end)
        yield event


def parse(line: bytes) -> dict[str, Any] | None:
    """Return the first JSON object on *line*, or None if the line has no event."""
    try:
        return decode(line)
    except REFUSED:
        objects, _ = read_malformed(line)
        return objects[0].fields if objects else None


def _lines(chunk: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield each complete line without its newline, and the offset after the newline."""
    lines = chunk.split(b"\n")
    del lines[-1]
    end = 0
    for line in lines:
        end += len(line) + 1
        yield end, line


class _MalformedLines:
    """Parses the lines of *block* that are not exactly one strict JSON object."""

    def __init__(self, block: Block, skipped: Callable[[Skipped], None], *, raw: bool) -> None:
        self._block = block
        self._skipped = skipped
        self._raw = raw
        self._counted = 0
        self._number: int | None = None

    def events(self, line: bytes, start: int) -> list[Event]:
        """Return the events on *line*, which begins at *start* in the block; report the rest as skipped."""
        block = self._block
        objects, reason = read_malformed(line)
        if reason and not objects and self._raw:
            return [RawLine({}, block.place(start + len(line) + 1), line)]
        if reason:
            number = self._number_at(start)
            self._skipped(Skipped(block.path, block.start + start, reason, line[:SHOWN_LINE_BYTES], number))
        # A cursor may point into a line: reading resumes there as if a line began.
        return [Event(fields, block.place(start + end), strict) for fields, strict, end in objects]

    def _number_at(self, start: int) -> int | None:
        if self._number is None or start < self._counted:
            self._number, self._counted = self._block.first_line(), 0
        if self._number is not None:
            self._number += self._block.chunk.count(b"\n", self._counted, start)
            self._counted = start
        return self._number


class Object(NamedTuple):
    """A JSON object on a line.

    Attributes:
        fields: The object.
        strict: The object as strict JSON.
        end: The offset in the line after the object.
    """

    fields: dict[str, Any]
    strict: bytes
    end: int


def read_malformed(line: bytes) -> tuple[list[Object], str]:
    """Return the objects on a malformed *line*, and the reason why it is malformed, or "".

    NaN and lone surrogates, which older writers wrote and JSON forbids, are accepted. Several objects
    on one line are split. If the line has anything else, no object is returned, because a truncated
    object may contain whole ones. Null bytes around the objects are the exception: file systems leave
    them after a crash, and writers after a truncation. They are reported, and the objects are returned.
    """
    rest = line.lstrip(b"\0")
    begin = len(line) - len(rest)
    rest = rest.rstrip(b"\0")
    reason = "" if len(rest) == len(line) else "zeros, as a crashed file system leaves them"
    if rest.startswith(_BOM):
        rest, begin = rest[len(_BOM) :], begin + len(_BOM)
    try:
        objects = _objects(rest, begin)
    except _NoEvent as error:
        return [], reason or str(error)
    if objects:  # the rest of the line, at least the newline, belongs to the last object
        objects[-1] = objects[-1]._replace(end=len(line) + 1)
    return objects, reason


class _NoEvent(Exception):  # noqa: N818  # a result, not an error
    pass


def _objects(line: bytes, begin: int) -> list[Object]:
    """Return the objects on *line*, which begins at offset *begin* of the whole line."""
    try:
        text = line.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        raise _NoEvent("not UTF-8") from None
    objects: list[Object] = []
    passed, end = 0, 0  # in characters, in bytes
    while (at := _after_space(text, passed)) < len(text):
        start = end + at - passed
        try:
            value, passed = _value_at(text, at)
            end = start + len(text[at:passed].encode("utf-8", "surrogatepass"))
            if isinstance(value, dict):
                objects.append(_object(value, line[start:end], begin + end))
                continue
        except json.JSONDecodeError:
            raise _NoEvent("an object and something else" if objects else "not JSON") from None
        except (ValueError, RecursionError):
            raise _NoEvent("JSON beyond Python's limits") from None
        alone = not objects and _after_space(text, passed) == len(text)
        raise _NoEvent("JSON, but not an object" if alone else "several values, not all of them objects")
    return objects


def _after_space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    assert found is not None
    return found.end()


def _object(fields: dict[str, Any], text: bytes, end: int) -> Object:
    try:
        return Object(decode(text), text, end)
    except REFUSED:
        return Object(fields, strict_json(fields), end)

"""The events on the lines of a block, and what can be read of a line that is not one strict JSON object."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import msgspec

from chora_logging.eventlog.events import Block, Event, Skipped, strict_json
from chora_logging.eventlog.rotated.cursor import GUARD
from chora_logging.eventlog.selection import Selection

#: How much of a line that is no event is shown, in bytes.
SHOWN_LINE_BYTES = 200

#: What `decode` raises.
REFUSED = (msgspec.MsgspecError, ValueError, RecursionError)

_BOM = b"\xef\xbb\xbf"
_SPACE = re.compile(r"[ \t\r\n]*")
_value_at = json.JSONDecoder().raw_decode

#: A strict JSON object.
decode = msgspec.json.Decoder(dict[str, Any]).decode


def events_in(
    block: Block,
    selection: Selection,
    skipped: Callable[[Skipped], None],
    *,
    newest_first: bool = False,
) -> Iterator[Event]:
    """The events of *block* that are asked for.

    Args:
        block: Lines of a file.
        selection: Which are asked for; lines that it rules out unread are not looked at.
        skipped: Called with each other line that is neither blank nor an event.
        newest_first: From the last to the first.
    """
    if block.overlong:
        reason = f"{block.overlong} bytes are too long for a line"
        skipped(Skipped(block.path, block.start, reason, b"", block.first_line()))
        return
    chunk, start, origin = block.chunk, block.start, block.origin
    lines: Iterable[tuple[int, bytes]]
    lines = _lines(chunk) if selection.prefilter is None else selection.prefilter.lines(chunk)
    if newest_first:
        lines = reversed(list(lines))
    matches = selection.matches if selection.narrows else None
    odd = _OddLines(block, skipped)
    new = Event.__new__
    for end, line in lines:
        try:
            fields = decode(line)
        except REFUSED:
            found = odd.events(line, end - len(line) - 1)
            if newest_first:
                found.reverse()
            yield from found if matches is None else filter(matches, found)
            continue
        if matches is not None and not matches(fields):
            continue
        # What `Event(…)` and `block.place(end)` do: their calls would take half as long as all the rest.
        event = new(Event)
        event |= fields
        event._line = line
        event._place = (origin, start + end, chunk[end - GUARD : end]) if end >= GUARD else block.place(end)
        yield event


def parse(line: bytes) -> dict[str, Any] | None:
    """The first JSON object on *line*, or None if it has no event."""
    try:
        return decode(line)
    except REFUSED:
        objects, _ = read_odd(line)
        return objects[0].fields if objects else None


def _lines(chunk: bytes) -> Iterator[tuple[int, bytes]]:
    """Each complete line without its newline, and the offset after that."""
    lines = chunk.split(b"\n")
    del lines[-1]
    end = 0
    for line in lines:
        end += len(line) + 1
        yield end, line


class _OddLines:
    """The lines of *block* that are not exactly one strict object."""

    def __init__(self, block: Block, skipped: Callable[[Skipped], None]) -> None:
        self._block = block
        self._skipped = skipped
        self._counted = 0
        self._number: int | None = None

    def events(self, line: bytes, start: int) -> list[Event]:
        """The events on *line*, which begins at *start* in the block; what is none is told."""
        block = self._block
        objects, reason = read_odd(line)
        if reason:
            number = self._number_at(start)
            self._skipped(Skipped(block.path, block.start + start, reason, line[:SHOWN_LINE_BYTES], number))
        # A cursor in the middle of a line is as good as one at its end: what follows is read as a line.
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
        strict: The same as strict JSON.
        end: How many bytes of the line are read with it.
    """

    fields: dict[str, Any]
    strict: bytes
    end: int


def read_odd(line: bytes) -> tuple[list[Object], str]:
    """The objects on *line*, and what is wrong with it, which is empty if nothing is left over.

    What older writers made and JSON forbids (NaN, halves of surrogate pairs) is accepted, and objects
    that were run together are taken apart. But something else beside them leaves none: what was cut
    off may have whole objects in it. Zeros around them are the exception: file systems leave them
    after a crash, and writers after a truncation; they are told, and the objects read all the same.
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
    if objects:  # what follows the last one, at least the newline, is passed with it
        objects[-1] = objects[-1]._replace(end=len(line) + 1)
    return objects, reason


class _NoEvent(Exception):  # noqa: N818  # it is news, not an error
    pass


def _objects(line: bytes, begin: int) -> list[Object]:
    """The objects that *line*, which begins at an offset, consists of."""
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

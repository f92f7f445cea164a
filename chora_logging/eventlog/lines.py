"""Parses the lines of a block into events, malformed lines included."""

from __future__ import annotations

import itertools
import json
import operator
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from chora_logging.eventlog.decoding import (
    LINES,
    LONGEST_LINE_BYTES,
    REFUSED,
    are_short,
    decode,
    few_fields,
    is_utf8,
)
from chora_logging.eventlog.equal_events import EqualEvents
from chora_logging.eventlog.events import Block, Event, RawLine, Skipped, strict_json
from chora_logging.eventlog.quick_tests import Test
from chora_logging.eventlog.rotated.cursor import GUARD
from chora_logging.eventlog.selection import Selection
from chora_logging.eventlog.texts import Text

#: How much of a malformed line is shown, in bytes.
SHOWN_LINE_BYTES = 200

#: Where more of the lines than this share match, decoding all of them whole is faster.
MANY = 0.4

_NO_FIELDS: Mapping[str, Any] = MappingProxyType({})

_BOM = b"\xef\xbb\xbf"
_SPACE = re.compile(r"[ \t\r\n]*")
_value_at = json.JSONDecoder().raw_decode


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
        skipped(_overlong(block))
        return
    reader = _Reader(block, selection, skipped)
    # Of lines with a value or a text most match.
    is_narrowed = selection.prefilter is not None or selection.text is not None
    if selection.narrows and not is_narrowed and is_utf8(block.chunk):
        yield from reader.sift(newest_first)
    else:
        lines = reader.lines()
        lines = reversed(list(lines)) if newest_first else lines
        yield from reader.events(lines, selection.test, newest_first)


def fields_in(
    block: Block,
    selection: Selection,
    skipped: Callable[[Skipped], None],
    keys: frozenset[str],
    equal: EqualEvents | None = None,
) -> Iterator[Mapping[str, Any]]:
    """Yield the fields *keys*, and perhaps others, of the events of *block* that match *selection*.

    Args:
        block, selection, skipped: As for `events_in`.
        keys: The names of the fields.
        equal: Counts events that need not be yielded then.
    """
    if block.overlong:
        skipped(_overlong(block))
        return
    reader = _Reader(block, selection, skipped)
    few = few_fields(keys | selection.keys) if is_utf8(block.chunk) else None
    if few is None:
        yield from reader.events(reader.lines(), selection.test)
        return
    text, is_all, may_pass_over = selection.text, selection.test is None, True
    for lines, ends in reader.parts():
        if text is not None:
            lines, ends = _with_text(lines, ends, text)
        may_pass_over = may_pass_over and selection.passes_over(lines)
        if may_pass_over:
            continue
        verdicts = selection.levels_of(lines) if not keys and are_short(lines) else None
        if verdicts is not None:
            # The order of events without fields does not matter.
            yield from itertools.repeat(_NO_FIELDS, verdicts.count(True))
            unknown = [verdict is None for verdict in verdicts]
            of_levels = few_fields(selection.level_keys)
            found = None if of_levels is None else of_levels.of(itertools.compress(lines, unknown))
            if found is not None:
                yield from filter(selection.test, found)
            else:
                undecided = itertools.compress(zip(ends, lines, strict=True), unknown)
                yield from reader.events(undecided, selection.test)
            continue
        if equal is not None and is_all and text is None:
            are_long = [len(line) >= LONGEST_LINE_BYTES for line in lines]
            if equal.add(itertools.compress(lines, map(operator.not_, are_long))):
                lines = list(itertools.compress(lines, are_long))
                ends = itertools.compress(ends, are_long)
        found = few.exactly(lines)
        if found is None:
            yield from reader.events(zip(ends, lines, strict=True), selection.test)
        elif is_all:
            yield from found
        else:
            places = zip(ends, lines, strict=True)
            for fields, place, verdict in zip(found, places, map(selection.sift, found), strict=True):
                if verdict is True:
                    yield fields
                elif verdict is not False:
                    yield from reader.events((place,), verdict)


class _Reader:
    """Reads the events of *block* that match *selection*."""

    def __init__(self, block: Block, selection: Selection, skipped: Callable[[Skipped], None]) -> None:
        selection.look(block.chunk)
        self._block = block
        self._selection = selection
        self._malformed = _MalformedLines(block, skipped, raw=selection.raw)

    def lines(self) -> Iterator[tuple[int, bytes]]:
        """Return the lines that can match without their newlines, and the offsets after the newlines."""
        prefilter = self._selection.prefilter
        return _lines(self._block.chunk) if prefilter is None else prefilter.lines(self._block.chunk)

    def parts(self, newest_first: bool = False) -> Iterable[tuple[Sequence[bytes], Iterable[int]]]:
        """Return the same, some at a time, apart from the offsets."""
        prefilter = self._selection.prefilter
        if prefilter is not None:
            return _in_parts(prefilter.lines(self._block.chunk))
        parts = _parts(self._block.chunk)
        return list(parts)[::-1] if newest_first else parts

    def events(
        self, lines: Iterable[tuple[int, bytes]], test: Test | None, newest_first: bool = False
    ) -> Iterator[Event]:
        """Yield the events of *lines* that have the text and pass *test*."""
        block, selection = self._block, self._selection
        chunk, start, origin, text = block.chunk, block.start, block.origin, selection.text
        matches = test if text is None else selection.matches  # of several events on a line
        new = Event.__new__
        for end, line in lines:
            if text is not None and not text.is_in(line):
                continue
            try:
                fields = decode(line)
            except REFUSED:
                found = self._malformed.events(line, end - len(line) - 1)
                if newest_first:
                    found.reverse()
                yield from found if matches is None else filter(matches, found)
                continue
            if test is not None and not test(fields):
                continue
            # `Event(…)` and `block.place(end)` inlined: the calls would take half as long as all the rest.
            event = new(Event)
            event |= fields
            event._line = line
            if end >= GUARD:
                event._place = (origin, start + end, chunk[end - GUARD : end])
            else:
                event._place = block.place(end)
            yield event

    def sift(self, newest_first: bool) -> Iterator[Event]:
        """Yield the events that match; while few do, the others are not decoded whole."""
        selection, step = self._selection, -1 if newest_first else 1
        may_pass_over, are_many = True, False
        for lines, ends in self.parts(newest_first):
            may_pass_over = may_pass_over and selection.passes_over(lines)
            if may_pass_over:
                continue
            verdicts = None if are_many else selection.sift_lines(lines[::step])
            places = list(zip(ends, lines, strict=True))[::step]
            number = 0
            if verdicts is None:
                for event in self.events(places, selection.test, newest_first):
                    number += 1
                    yield event
            else:
                # Each is tested when it is asked for: what cannot be read is counted up to there.
                for place, verdict in zip(places, verdicts, strict=True):
                    if verdict is not False:
                        number += 1
                        yield from self.events((place,), None if verdict is True else verdict)
            are_many = number > len(lines) * MANY


def parse(line: bytes) -> dict[str, Any] | None:
    """Return the first JSON object on *line*, or None if the line has no event."""
    try:
        return decode(line)
    except REFUSED:
        objects, _ = read_malformed(line)
        return objects[0].fields if objects else None


def _lines(chunk: bytes) -> Iterator[tuple[int, bytes]]:
    """Return each complete line without its newline, and the offset after the newline."""
    lines = chunk.split(b"\n")
    del lines[-1]
    return zip(_ends(lines, 0), lines, strict=True)


def _parts(chunk: bytes) -> Iterator[tuple[list[bytes], Iterator[int]]]:
    """Yield the same, some lines at a time, apart from the offsets, which take time."""
    lines = chunk.split(b"\n")
    del lines[-1]
    start = 0
    for first in range(0, len(lines), LINES):
        part = lines[first : first + LINES]
        yield part, _ends(part, start)
        start += sum(map(len, part)) + len(part)


def _in_parts(places: Iterable[tuple[int, bytes]]) -> Iterator[tuple[list[bytes], list[int]]]:
    places = iter(places)
    while part := list(itertools.islice(places, LINES)):
        yield [line for _, line in part], [end for end, _ in part]


def _ends(lines: Iterable[bytes], start: int) -> Iterator[int]:
    """Return the offset after the newline of each of *lines*, of which the first begins at *start*."""
    return map(operator.add, itertools.accumulate(map(len, lines)), itertools.count(start + 1))


def _with_text(
    lines: Iterable[bytes], ends: Iterable[int], text: Text
) -> tuple[Sequence[bytes], Iterable[int]]:
    places = [(line, end) for line, end in zip(lines, ends, strict=True) if text.is_in(line)]
    return [line for line, _ in places], [end for _, end in places]


def _overlong(block: Block) -> Skipped:
    reason = f"{block.overlong} bytes are too long for a line"
    return Skipped(block.path, block.start, reason, b"", block.first_line())


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
        if not line:
            return []
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

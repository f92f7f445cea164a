"""What a reader hands out: events with their cursors, gaps, and what it says about lines it skipped."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from chora_logging.eventlog.rotated import cursor
from chora_logging.eventlog.rotated.cursor import GUARD, Origin

_SURROGATE = re.compile("[\ud800-\udfff]")


class Event(dict[str, Any]):
    """An event: the JSON object of its line, a plain dict that knows where it stands."""

    __slots__ = ("_line", "_place")

    def __init__(
        self, fields: dict[str, Any], place: tuple[Origin, int, bytes] | str = "", line: bytes = b""
    ) -> None:
        self.update(fields)  # `super().__init__` takes twice as long
        self._place = place
        self._line = line

    @property
    def cursor(self) -> str:
        """The position right after this event: reading goes on there with `after=cursor`."""
        if isinstance(self._place, str):
            return self._place
        origin, offset, before = self._place
        self._place = cursor.encode(origin.position(offset, before))
        return self._place

    @property
    def json(self) -> bytes:
        """The event as it was read, as one line of strict JSON in UTF-8, without a newline.

        It is the line itself where that is strict; else NaN and infinities become null, and halves of
        surrogate pairs U+FFFD. It is made once, and kept. It has no carriage return either, so it can
        be the data of a server-sent event.
        """
        line = self._line.strip()
        if not line or b"\r" in line:
            line = strict_json(self)
        self._line = line
        return line

    def copy(self) -> Event:
        """A shallow copy that stands at the same place."""
        return Event(self, self._place, self._line)

    def __reduce__(self) -> tuple[Any, ...]:
        return Event, (dict(self), self.cursor, self._line)


class Gap(NamedTuple):
    """Events that cannot be given any more: deleted or overwritten before they were read.

    Everything else that the log held was given or will be. Where nobody can know an answer it is
    None: who deletes a file leaves no note of what was in it.

    Attributes:
        reason: What happened, for people.
        files: In how many files they were at most.
        bytes: How many bytes are missing, as far as the reader had seen them.
        since: When the file that was read last had been written to, in seconds since 1970: what is
            missing is younger, except what that file held and had not been read yet.
        until: The time of the event with which reading goes on: what is missing is older.
        resumes: The file with which reading goes on; None if there is none yet.
    """

    reason: str
    files: int | None = None
    bytes: int | None = None
    since: float | None = None
    until: float | None = None
    resumes: str | None = None


class Skipped(NamedTuple):
    """A line that is not an event.

    Attributes:
        path: The file that it is in.
        offset: Where it begins, in bytes (of the decompressed file).
        reason: Why it is no event.
        line: Its beginning.
        number: Its number in the file, from 1; None where reading began elsewhere.
    """

    path: str
    offset: int
    reason: str
    line: bytes
    number: int | None = None


def _unknown() -> int | None:
    return None


class Block(NamedTuple):
    """Complete lines of one file, read at once.

    Attributes:
        path: The file.
        start: Where they begin in it.
        chunk: The lines with their newlines; a part of the next line may follow.
        size: How many bytes of *chunk* the lines are.
        before: The bytes before *start*, at most as many as a position needs.
        origin: What their positions have in common.
        overlong: How long a line was that is too long to be read; *chunk* is then empty.
        first_line: Tells the number of the first line in the file, from 1; None where it is not known.
    """

    path: str
    start: int
    chunk: bytes
    size: int
    before: bytes
    origin: Origin
    overlong: int = 0
    first_line: Callable[[], int | None] = _unknown

    def place(self, end: int) -> tuple[Origin, int, bytes]:
        """The position after the first *end* bytes of the lines, which need not be the end of one."""
        before = self.chunk[max(0, end - GUARD) : end]
        if end < GUARD:
            before = (self.before + before)[-GUARD:]
        return self.origin, self.start + end, before


def strict_json(fields: Mapping[str, Any]) -> bytes:
    """*fields* as one line of strict JSON (RFC 8259) in UTF-8, without a newline.

    NaN and infinities, which JSON does not have, become null; halves of surrogate pairs, which UTF-8
    does not have, become U+FFFD.

    Raises:
        RecursionError: they are nested too deep.
    """
    text = _dumps(fields)
    if "NaN" in text or "Infinity" in text:  # perhaps only in a string
        text = _dumps(json.loads(text, parse_constant=_null))
    return _SURROGATE.sub("\ufffd", text).encode()


def _dumps(fields: Mapping[str, Any]) -> str:
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":"))


def _null(constant: str) -> None:
    return None

"""The types that readers return: events with cursors, gaps, skipped lines and blocks of lines."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

from chora_logging.eventlog.rotated.cursor import GUARD

_SURROGATE = re.compile("[\ud800-\udfff]")


class Origin(Protocol):
    """Where a block of lines comes from: it makes the cursors of the events in the block."""

    def cursor(self, offset: int, before: bytes) -> str:
        """Return the cursor of the position at *offset*; *before* is the bytes before it."""
        ...


class Event(dict[str, Any]):
    """An event: the JSON object of one line, as a dict that also carries its position in the log."""

    __slots__ = ("_line", "_place")

    def __init__(
        self, fields: dict[str, Any], place: tuple[Origin, int, bytes] | str = "", line: bytes = b""
    ) -> None:
        self.update(fields)  # `super().__init__` takes twice as long
        self._place = place
        self._line = line

    @property
    def cursor(self) -> str:
        """The position right after this event; `after=cursor` resumes reading there."""
        if isinstance(self._place, str):
            return self._place
        origin, offset, before = self._place
        self._place = origin.cursor(offset, before)
        return self._place

    @property
    def json(self) -> bytes:
        """The event as it was read, as one line of strict JSON in UTF-8, without a newline.

        This is the line itself if it is strict JSON. Otherwise NaN and infinities become null, and lone
        surrogates become U+FFFD. The value is computed once and cached. It has no carriage return
        either, so it can be the data of a server-sent event.
        """
        line = self._line.strip()
        if not line or b"\r" in line:
            line = strict_json(self)
        self._line = line
        return line

    def at(self, cursor: str) -> Event:
        """Return it with another cursor."""
        self._place = cursor
        return self

    def copy(self) -> Event:
        """Return a shallow copy with the same cursor."""
        return Event(self, self._place, self._line)

    def __reduce__(self) -> tuple[Any, ...]:
        return Event, (dict(self), self.cursor, self._line)


class RawLine(Event):
    """A line that is not an event, at its place among the events. It has no fields."""

    __slots__ = ()

    @property
    def text(self) -> str:
        """The line without its newline; bytes that are not UTF-8 are escaped."""
        return self._line.decode("utf-8", "backslashreplace").rstrip("\r")

    @property
    def json(self) -> bytes:
        """The text as a JSON string."""
        return json.dumps(self.text, ensure_ascii=False).encode()


class Gap(NamedTuple):
    """A report of missing events: they were deleted or overwritten before they were read.

    The reader returns all other events of the log. An attribute is None if its value cannot be known,
    because a deleted file leaves no record of its content.

    Attributes:
        reason: The cause, for people.
        files: The largest number of files that the missing events were in.
        bytes: The number of missing bytes, as far as the reader had seen them.
        since: The modification time of the file that was read last, in seconds since 1970. The missing
            events are newer, except for an unread rest of that file.
        until: The time of the event at which reading resumes. The missing events are older.
        resumes: Where reading resumes: the absolute path of a file, or the name that another source has
            for the place; None if there is none yet.

    Example:
        >>> logger = logging.getLogger("shop")
        >>> logger.addHandler(EventFileHandler("app.log", maxBytes=200, backupCount=1))
        >>> logger.warning('{"event": "first"}')
        >>> seen = EventLog("app.log").last(1)[0].cursor
        >>> for number in range(30):
        ...     logger.warning('{"event": "next", "number": %d}', number)
        >>> isinstance(next(EventLog("app.log").read(after=seen)), Gap)
        True
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
        path: The path of its file.
        offset: The offset of its first byte in the decompressed file.
        reason: Why it is not an event.
        line: Its first bytes.
        number: Its line number in the file, from 1; None if the reader has not counted the lines before it.
    """

    path: str
    offset: int
    reason: str
    line: bytes
    number: int | None = None


def _unknown() -> int | None:
    return None


class Block(NamedTuple):
    """Complete lines from a single read of a file, or of another source of lines.

    Attributes:
        path: The path of the file, or the name of the source.
        start: The offset of the first line.
        chunk: The lines with their newlines; a part of the next line may follow. Of a line that is too long
            to be read only the last bytes, as many as a position needs.
        size: The length of the complete lines in *chunk*, in bytes. The last line of a rotated file counts
            as complete without a newline for who follows blocks.
        before: The bytes before *start*, at most as many as a position needs.
        origin: The part that all positions in the block share.
        overlong: The length of a line that is too long to be read, in bytes; *size* is then 0.
        first_line: Returns the line number of the first line, from 1; None if it is unknown.
        late: The cursor of every position in it if the lines were added to a file after newer ones had been
            read; else empty.
        beginning: The first bytes of a line that is too long to be read.
    """

    path: str
    start: int
    chunk: bytes
    size: int
    before: bytes
    origin: Origin
    overlong: int = 0
    first_line: Callable[[], int | None] = _unknown
    late: str = ""
    beginning: bytes = b""

    @property
    def length(self) -> int:
        """The length of the complete lines in the file, in bytes."""
        return self.overlong or self.size

    def lines(self) -> bytes:
        """Return the complete lines, with a newline after the last one also where the file has none."""
        lines = self.chunk[: self.size]
        return lines + b"\n" if lines and not lines.endswith(b"\n") else lines

    def cursor(self, end: int) -> str:
        """Return the cursor after the first *end* bytes of the lines: 0 is before all."""
        if self.late:
            return self.late
        origin, offset, before = self.place(end)
        return origin.cursor(offset, before)

    def place(self, end: int) -> tuple[Origin, int, bytes]:
        """Return the position after the first *end* bytes of the lines; it may be inside a line."""
        if self.overlong and end:
            return self.origin, self.start + end, self.chunk
        before = self.chunk[max(0, end - GUARD) : end]
        if end < GUARD:
            before = (self.before + before)[-GUARD:]
        return self.origin, self.start + end, before


def strict_json(fields: Mapping[str, Any]) -> bytes:
    """Return *fields* as one line of strict JSON (RFC 8259) in UTF-8, without a newline.

    NaN and infinities, which JSON does not have, become null. Lone surrogates, which UTF-8 does not
    have, become U+FFFD.

    Raises:
        RecursionError: *fields* is nested too deeply.
    """
    text = _dumps(fields)
    if "NaN" in text or "Infinity" in text:  # perhaps only in a string
        text = _dumps(json.loads(text, parse_constant=_null))
    return _SURROGATE.sub("\ufffd", text).encode()


def _dumps(fields: Mapping[str, Any]) -> str:
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":"))


def _null(constant: str) -> None:
    return None

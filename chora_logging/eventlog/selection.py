"""Filters events; a prefilter finds the lines that can match without decoding the others."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

from chora_logging.errors import ConfigurationError
from chora_logging.eventlog.meaning import USUAL, Meaning
from chora_logging.eventlog.severities import severity
from chora_logging.eventlog.times import parse_iso
from chora_logging.options import parse_fields
from chora_logging.schema import LEVELS

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_AGO = re.compile(r"(\d{1,9})([smhdw])", re.ASCII)
_CONSTANTS = ("true", "false", "null")

Event = Mapping[str, Any]

# A value appears unchanged in its line if it has only these characters, which no JSON encoder has to
# escape. Lines of an encoder that escapes them all the same are recognised by the escape.
_PLAIN = re.compile(r"[A-Za-z0-9_.:/ -]{3,}", re.ASCII)
_ESCAPE = re.compile(rb"\\(?:u00[2-7]|/)")

_NEARBY_BYTES = 4096

_INTEGER = re.compile(r"-?\d+", re.ASCII)
_NOT_TEXT = frozenset(("true", "false", "none", "null"))


@dataclass
class Asked:
    """The events that a filter by level or time was asked about.

    Attributes:
        events: The number of events.
        unreadable: The number of those without a level or time that can be read, which it passed over.
    """

    events: int = 0
    unreadable: int = 0


class Selection:
    """A filter: an event matches if it satisfies every argument that is not None.

    Values compare as strings, so that a task id matches whether it was logged as a number, a UUID or a
    string. `true`, `false`, `null`, a list or an object also match in JSON notation. A line whose bytes
    cannot contain a value is not decoded, so it is not reported if it is malformed. `chora-logging
    check` examines every line.

    Args:
        task_id: The field `task_id`.
        run_id: The field `run_id`.
        trace_id: The field `trace_id`, or another name of it (see `meaning`).
        event: The field `event` or `event_type`, or another name of it.
        level: The lowest level, a name or a number. An event without a level counts as ERROR if it failed
            (see `Meaning.is_error`), else as INFO if it is typed. An unknown name passes.
        status: The field `status`.
        since: The earliest time: a datetime, an ISO 8601 string (local time if it has no zone), or an
            age such as `"15m"`, `"24h"`, `"7d"`.
        until: The end of the range, exclusive, in the same forms.
        where: Other fields and their values.
        meaning: Says which fields are the time, the level, the name and the trace.
        asked: Counts, by "level" and "time", the events of which these filters cannot know whether they
            match. They pass them over, but unknown is not no.

    Raises:
        ConfigurationError: an argument is invalid.

    Attributes:
        raw: Whether lines that are not events are given too, each as a `RawLine`.
    """

    raw = False

    def __init__(
        self,
        *,
        task_id: object = None,
        run_id: object = None,
        trace_id: object = None,
        event: object = None,
        level: str | int | None = None,
        status: object = None,
        since: datetime | str | None = None,
        until: datetime | str | None = None,
        where: Mapping[str, object] | None = None,
        meaning: Meaning = USUAL,
        asked: dict[str, Asked] | None = None,
    ) -> None:
        given = {
            "task_id": task_id,
            "run_id": run_id,
            "status": status,
            **(parse_fields("where", where) if where is not None else {}),
        }
        fields = {name: str(value) for name, value in given.items() if value is not None}
        self._tests: list[Callable[[Event], bool]] = [_equal((name,), text) for name, text in fields.items()]
        # A value is searched in the whole line, so that it does not matter which field has it.
        values = [_in_json(text) for text in fields.values() if can_find(text)]
        if event is not None:
            text = str(event)
            self._tests.append(_means(meaning.names("event"), meaning.event_of, text))
            values += [_in_json(text)] if can_find(text) else []
        if trace_id is not None:
            text = str(trace_id)
            self._tests.append(_means(meaning.names("trace")[:1], meaning.trace_of, text))
            # The id may be the last part of a path.
            values += [_in_json(text).lstrip(b'"')] if can_find(text) else []
        self.asked: dict[str, Asked] = {} if asked is None else asked
        if level is not None:
            self._tests.append(_at_least(_least(level), meaning, self.asked.setdefault("level", Asked())))
        if since is not None or until is not None:
            limits = _limit("since", since), _limit("until", until)
            self._tests.append(_between(*limits, meaning, self.asked.setdefault("time", Asked())))
        self.narrows = bool(self._tests)
        self.prefilter = Prefilter(values) if values else None

    @property
    def unreadable(self) -> dict[str, int]:
        """The number of events that were passed over because their "level" or "time" cannot be read."""
        return {name: asked.unreadable for name, asked in self.asked.items() if asked.unreadable}

    def matches(self, event: Event) -> bool:
        """Return whether *event* matches."""
        for test in self._tests:  # noqa: SIM110  # twice as fast as `all`
            if not test(event):
                return False
        return True


def parse_time(name: str, value: datetime | str) -> float:
    """Return the time *value*, in seconds since 1970.

    Args:
        name: The name of the setting for the error message.
        value: A datetime, an ISO 8601 string or an age such as `"15m"`.

    Raises:
        ConfigurationError: *value* is not a time.
    """
    moment: datetime | str | None = value
    if isinstance(value, str):
        text = value.strip()
        if ago := _AGO.fullmatch(text):
            try:
                elapsed = timedelta(**{_UNITS[ago[2]]: int(ago[1])})
                return (datetime.now(timezone.utc) - elapsed).timestamp()
            except OverflowError:
                return float("-inf")
        moment = parse_iso(text)
    if not isinstance(moment, datetime):
        allowed = 'a datetime, ISO 8601 ("2025-09-28T08:54:11Z") or a time ago ("15m", "24h", "7d")'
        raise ConfigurationError(name, value, allowed)
    try:
        return moment.timestamp()
    except (OverflowError, ValueError):  # at either end of the datetime range, in local time
        return math.copysign(math.inf, moment.year - 5000)


def _limit(name: str, value: datetime | str | None) -> float | None:
    return None if value is None else parse_time(name, value)


def _equal(names: tuple[str, ...], text: str) -> Callable[[Event], bool]:
    meant = _as_json(text)

    def is_equal(event: Event) -> bool:
        for name in names:
            value = event.get(name, is_equal)
            if value is is_equal:
                continue
            if value == text or str(value) == text or (value == meant and type(value) is type(meant)):
                return True
        return False

    return is_equal


def _means(names: tuple[str, ...], answer: Callable[[Event], Any], text: str) -> Callable[[Event], bool]:
    is_equal = _equal(names, text)

    def means(event: Event) -> bool:
        # First the fields themselves: a value that is not text has several forms.
        return is_equal(event) or answer(event) == text

    return means


def _as_json(text: str) -> object:
    """Return *text* parsed as a JSON constant, list or object, else an object that equals no value."""
    try:
        return json.loads(text) if text in _CONSTANTS or text[:1] in ("[", "{") else object()
    except (ValueError, RecursionError):
        return object()


def _at_least(least: int, meaning: Meaning, asked: Asked) -> Callable[[Event], bool]:
    severity_of = meaning.severity_of

    def is_high_enough(event: Event) -> bool:
        asked.events += 1
        number = severity_of(event)
        if number is None:
            asked.unreadable += 1
            return False
        return number >= least

    return is_high_enough


def _least(level: str | int) -> int:
    number = severity(level) if isinstance(level, str | int) and not isinstance(level, bool) else None
    if number is None:
        raise ConfigurationError("level", level, f"a number or one of {', '.join(LEVELS)}")
    return number


def _between(
    since: float | None, until: float | None, meaning: Meaning, asked: Asked
) -> Callable[[Event], bool]:
    time_of = meaning.time_of

    def is_between(event: Event) -> bool:
        asked.events += 1
        time = time_of(event)
        if time is None:
            asked.unreadable += 1
            return False
        return (since is None or since <= time) and (until is None or time < until)

    return is_between


class Prefilter:
    """Finds the lines that can contain certain values.

    Args:
        values: What a line must contain: all of them, as JSON has them. A quotation mark is at the ends.
    """

    def __init__(self, values: Iterable[bytes]) -> None:
        # The search starts with the longest, which is found fastest.
        self._values = sorted(set(values), key=len, reverse=True)

    def lines(self, chunk: bytes) -> Iterator[tuple[int, bytes]]:
        """Yield each complete line of *chunk* that can have the values, and the offset after its newline.

        Promised: every line is found that has, for each value, a field whose `str()` is that value.
        """
        spans: Iterable[tuple[int, int]] = self._with_values(chunk)
        if escaped := set(_with_escapes(chunk)):
            spans = sorted(escaped.union(spans))
        for start, end in spans:
            yield end + 1, chunk[start:end]

    def _with_values(self, chunk: bytes) -> Iterator[tuple[int, int]]:
        # Quotation marks are frequent: searching without them is faster.
        longest, *others = self._values
        text = longest.strip(b'"')
        shift = int(longest.startswith(b'"'))
        at = chunk.find(text)
        while at >= 0:
            if not chunk.startswith(longest, at - shift):
                at = _find(chunk, text, at + 1)
                continue
            end = chunk.find(b"\n", at)
            if end < 0:
                return
            start = chunk.rfind(b"\n", 0, at) + 1
            if not others or all(chunk.find(other, start, end) >= 0 for other in others):
                yield start, end
            at = _find(chunk, text, end)


def can_find(value: str) -> bool:
    """Return whether the bytes of a line show if a field can have *value* as its string."""
    if not _PLAIN.fullmatch(value) or value.lower() in _NOT_TEXT:
        return False
    if _INTEGER.fullmatch(value):
        return True
    try:
        float(value)  # 1.50 can be written in many ways
    except ValueError:
        return True
    return False


def _find(chunk: bytes, text: bytes, start: int) -> int:
    # `bytes.find` prepares long searches, which takes longer than finding a frequent value nearby.
    at = chunk.find(text, start, start + _NEARBY_BYTES)
    return at if at >= 0 else chunk.find(text, start + _NEARBY_BYTES - len(text) + 1)


def _in_json(value: str) -> bytes:
    return value.encode() if _INTEGER.fullmatch(value) else b'"%b"' % value.encode()


def _with_escapes(chunk: bytes) -> Iterator[tuple[int, int]]:
    at = chunk.find(b"\\")
    while at >= 0:
        end = chunk.find(b"\n", at)
        if end < 0:
            return
        if _ESCAPE.search(chunk, at, end):
            yield chunk.rfind(b"\n", 0, at) + 1, end
        at = chunk.find(b"\\", end)

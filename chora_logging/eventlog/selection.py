"""Filters events; a prefilter finds the lines that can match without decoding the others."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

from chora_logging.errors import ConfigurationError
from chora_logging.eventlog.meaning import EVENT, parse_iso, severity, severity_of, time_of
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


class Selection:
    """A filter: an event matches if it satisfies every argument that is not None.

    Values compare as strings, so that a task id matches whether it was logged as a number, a UUID or a
    string. `true`, `false`, `null`, a list or an object also match in JSON notation. A line whose bytes
    cannot contain a value is not decoded, so it is not reported if it is malformed. `chora-logging
    check` examines every line.

    Args:
        task_id: The field `task_id`.
        run_id: The field `run_id`.
        trace_id: The field `trace_id`.
        event: The field `event` or `event_type`.
        level: The lowest level, a name or a number. An event without a level, such as a typed event,
            counts as ERROR if it failed (see `meaning.is_error`), else as INFO.
        status: The field `status`.
        since: The earliest time: a datetime, an ISO 8601 string (local time if it has no zone), or an
            age such as `"15m"`, `"24h"`, `"7d"`.
        until: The end of the range, exclusive, in the same forms.
        where: Other fields and their values.

    Raises:
        ConfigurationError: an argument is invalid.
    """

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
    ) -> None:
        asked = {
            "task_id": task_id,
            "run_id": run_id,
            "trace_id": trace_id,
            "status": status,
            **(parse_fields("where", where) if where is not None else {}),
        }
        fields: list[tuple[tuple[str, ...], str]] = [
            ((name,), str(value)) for name, value in asked.items() if value is not None
        ]
        if event is not None:
            fields.append((EVENT, str(event)))
        self._tests: list[Callable[[Event], bool]] = [_equal(names, text) for names, text in fields]
        if level is not None:
            self._tests.append(_at_least(_least(level)))
        if since is not None or until is not None:
            self._tests.append(_between(_limit("since", since), _limit("until", until)))
        values = [text for _, text in fields if can_find(text)]
        self.narrows = bool(self._tests)
        self.prefilter = Prefilter(values) if values else None

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


def _as_json(text: str) -> object:
    """Return *text* parsed as a JSON constant, list or object, else an object that equals no value."""
    try:
        return json.loads(text) if text in _CONSTANTS or text[:1] in ("[", "{") else object()
    except (ValueError, RecursionError):
        return object()


def _at_least(least: int) -> Callable[[Event], bool]:
    def is_high_enough(event: Event) -> bool:
        number = severity_of(event)
        return number is not None and number >= least

    return is_high_enough


def _least(level: str | int) -> int:
    number = severity(level) if isinstance(level, str | int) and not isinstance(level, bool) else None
    if number is None:
        raise ConfigurationError("level", level, f"a number or one of {', '.join(LEVELS)}")
    return number


def _between(since: float | None, until: float | None) -> Callable[[Event], bool]:
    def is_between(event: Event) -> bool:
        time = time_of(event)
        return time is not None and (since is None or since <= time) and (until is None or time < until)

    return is_between


class Prefilter:
    """Finds the lines that can contain certain values.

    Args:
        values: Strings for which `can_find` is true; a line must contain all of them.
    """

    def __init__(self, values: Iterable[str]) -> None:
        # The search starts with the longest, which is found fastest.
        self._values = sorted({_in_json(value) for value in values}, key=len, reverse=True)

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
        shift = len(longest) - len(text) and 1
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

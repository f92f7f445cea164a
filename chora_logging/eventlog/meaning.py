"""Interprets the fields of an event: its time, level, name, message, trace, duration and failure.

All readers use these functions, so that they agree. Null and the empty string count as missing.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from chora_logging.schema import LEVELS

Fields = Mapping[str, Any]

#: The names of the fields; of several names the first one with a value counts.
TIME = "timestamp"
LEVEL = "level"
EVENT = ("event", "event_type")
TRACE = "trace_id"
MESSAGE = "message"
STATUS = "status"
DURATION = "duration_ms"
ERROR = ("error", "error_message")
EXCEPTION = ("exc_info", "exception")

#: The range of times that every time zone can show, in seconds since 1970: the years 2 to 9998.
EARLIEST_SECONDS, LATEST_SECONDS = -62104060800.0, 253370764800.0

#: A duration of this length (30,000 years) or more is taken for an error.
LONGEST_DURATION_MS = 1e15

_OTHER_NAMES = {"WARN": "WARNING", "FATAL": "CRITICAL"}
_SEVERITIES = {**LEVELS, **{other: LEVELS[name] for other, name in _OTHER_NAMES.items()}}
_FAILED = frozenset(("error", "failed", "failure", "fatal"))

_IS_3_10 = sys.version_info < (3, 11)
_FRACTION = re.compile(r"\.(\d+)")


def time_of(event: Fields) -> float | None:
    """Return the time of *event*, in seconds since 1970; None if it has none.

    A string is read as ISO 8601, in local time if it has no zone; a number as seconds since 1970. A time
    outside of the years 2 to 9998 counts as none.
    """
    value = event.get(TIME)
    if isinstance(value, str):
        moment = parse_iso(value)
        if moment is None:
            return None
        try:
            time = moment.timestamp()
        except (OverflowError, ValueError):  # the year 1, in local time
            return None
        return time if EARLIEST_SECONDS <= time < LATEST_SECONDS else None
    number = _number(value)
    return float(number) if number is not None and EARLIEST_SECONDS <= number < LATEST_SECONDS else None


def level_of(event: Fields) -> str | None:
    """Return the level of *event* as a name of the standard library; other names in upper case.

    A number becomes the highest level that it reaches, or DEBUG if it is below all. An event whose level
    is neither a string nor an integer is ERROR if it failed, else None.
    """
    level = _own_level(event)
    if level is None:
        return "ERROR" if _has_failed(event) else None
    if isinstance(level, str):
        return _OTHER_NAMES.get(level.upper(), level.upper())
    return next((name for name, least in reversed(LEVELS.items()) if level >= least), "DEBUG")


def severity_of(event: Fields) -> int | None:
    """Return the level of *event* as a number, INFO where `level_of` has none; None for an unknown name."""
    level = _own_level(event)
    if level is None:
        return LEVELS["ERROR"] if _has_failed(event) else LEVELS["INFO"]
    return severity(level)


def severity(level: str | int) -> int | None:
    """Return the number of *level*, a number or a name in any case; None if the name is unknown."""
    return _SEVERITIES.get(level.upper()) if isinstance(level, str) else level


def is_error(event: Fields) -> bool:
    """Return whether *event* reports a failure.

    It does if its level is ERROR or above, if its status in any case is error, failed, failure or fatal,
    or if it is a typed event (it has an `event_type`) with an `error_message`.
    """
    level = _own_level(event)
    number = None if level is None else severity(level)
    return (number is not None and number >= LEVELS["ERROR"]) or _has_failed(event)


def event_of(event: Fields) -> Any:
    """Return the name of *event*: its `event`, else its `event_type`; None if it has neither."""
    for name in EVENT:
        value = event.get(name)
        if value is not None and value != "":
            return value
    return None


def message_of(event: Fields) -> Any:
    """Return the message of *event*; None if it has none, or one that only repeats its name."""
    message = event.get(MESSAGE)
    if message == "":
        return None
    name = event_of(event)
    # The message of orchestrator events that are logged without one.
    return None if name is not None and message == f"Event: {name}" else message


def trace_of(event: Fields) -> str | None:
    """Return the trace id of *event*, as JSON if it is not a string; None if it has none."""
    value = event.get(TRACE)
    if value is None or value == "":
        return None
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def duration_of(event: Fields) -> float | None:
    """Return the duration of *event*, in milliseconds; None if it has none or not a valid number."""
    value = _number(event.get(DURATION))
    return float(value) if value is not None and 0 <= value < LONGEST_DURATION_MS else None


def parse_iso(text: str) -> datetime | None:
    """Parse *text* as ISO 8601; the result is aware if it has a zone, and None if it is not a time."""
    if _IS_3_10 or text[-1:] == "z":
        # Not tried unchanged first: a Ctrl-C while 3.10 rejects a string is lost (gh-107915).
        text = _for_python_3_10(text)
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def _for_python_3_10(text: str) -> str:
    """Return the same time with an offset instead of Z, and with a fraction of six digits."""
    text = _FRACTION.sub(lambda found: "." + found[1][:6].ljust(6, "0"), text)
    return text[:-1] + "+00:00" if text[-1:] in ("Z", "z") else text


def _own_level(event: Fields) -> str | int | None:
    level = event.get(LEVEL)
    if isinstance(level, str):
        return level or None
    return level if isinstance(level, int) and not isinstance(level, bool) else None


def _has_failed(event: Fields) -> bool:
    status = event.get(STATUS)
    if isinstance(status, str) and status.lower() in _FAILED:
        return True
    return bool(event.get("error_message") and event.get("event_type"))


def _number(value: object) -> int | float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None

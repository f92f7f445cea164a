"""The meaning of an event's fields: when, how severe, what, in which trace, for how long, whether it failed.

Every reader asks here, so that an event is the same to all of them. Null and the empty text say nothing.
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

#: What the fields are called; of several names the first that says something counts.
TIME = "timestamp"
LEVEL = "level"
EVENT = ("event", "event_type")
TRACE = "trace_id"
MESSAGE = "message"
STATUS = "status"
DURATION = "duration_ms"
ERROR = ("error", "error_message")
EXCEPTION = ("exc_info", "exception")

#: The times that can be shown in any time zone, in seconds since 1970: the years 2 to 9998.
EARLIEST_SECONDS, LATEST_SECONDS = -62104060800.0, 253370764800.0

#: From then on a duration is taken for an error: 30,000 years.
LONGEST_DURATION_MS = 1e15

_OTHER_NAMES = {"WARN": "WARNING", "FATAL": "CRITICAL"}
_SEVERITIES = {**LEVELS, **{other: LEVELS[name] for other, name in _OTHER_NAMES.items()}}
_FAILED = frozenset(("error", "failed", "failure", "fatal"))

_IS_3_10 = sys.version_info < (3, 11)
_FRACTION = re.compile(r"\.(\d+)")


def time_of(event: Fields) -> float | None:
    """When *event* happened, in seconds since 1970; None if it does not say so.

    Text is ISO 8601, local time without a zone; a number is seconds since 1970. Outside of the years 2 to
    9998 it is no time.
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
    """The level of *event* in the standard library's words, a name that it does not have in upper case.

    A number is the highest level that it reaches, and DEBUG below all. An event without a level, which is
    one that has neither text nor a whole number there, is ERROR if it failed, else None.
    """
    level = _own_level(event)
    if level is None:
        return "ERROR" if _says_failed(event) else None
    if isinstance(level, str):
        return _OTHER_NAMES.get(level.upper(), level.upper())
    return next((name for name, least in reversed(LEVELS.items()) if level >= least), "DEBUG")


def severity_of(event: Fields) -> int | None:
    """The level of *event* as a number, INFO where `level_of` has none; None if nobody knows its name."""
    level = _own_level(event)
    if level is None:
        return LEVELS["ERROR"] if _says_failed(event) else LEVELS["INFO"]
    return severity(level)


def severity(level: str | int) -> int | None:
    """The number of *level*, which is one already or a name in any case; None if nobody knows it."""
    return _SEVERITIES.get(level.upper()) if isinstance(level, str) else level


def is_error(event: Fields) -> bool:
    """Whether *event* tells of something that failed.

    Its level is ERROR or above; or its status, in any case, is error, failed, failure or fatal; or it is a
    typed event, one with an `event_type`, and has an `error_message`.
    """
    level = _own_level(event)
    number = None if level is None else severity(level)
    return (number is not None and number >= LEVELS["ERROR"]) or _says_failed(event)


def event_of(event: Fields) -> Any:
    """What *event* is called: its `event`, else its `event_type`; None if it has neither."""
    for name in EVENT:
        value = event.get(name)
        if value is not None and value != "":
            return value
    return None


def message_of(event: Fields) -> Any:
    """The message of *event*; None if it has none, or one that only repeats what the event is called."""
    message = event.get(MESSAGE)
    if message == "":
        return None
    name = event_of(event)
    # An orchestrator's event that is logged without a message has this one.
    return None if name is not None and message == f"Event: {name}" else message


def trace_of(event: Fields) -> str | None:
    """The id of the trace that *event* belongs to, as JSON where it is no text; None if it has none."""
    value = event.get(TRACE)
    if value is None or value == "":
        return None
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def duration_of(event: Fields) -> float | None:
    """How long what *event* tells of took, in milliseconds; None if it does not say so in a number."""
    value = _number(event.get(DURATION))
    return float(value) if value is not None and 0 <= value < LONGEST_DURATION_MS else None


def parse_iso(text: str) -> datetime | None:
    """The moment that *text* is in ISO 8601, aware if it has a zone; None if it is no moment."""
    if _IS_3_10 or text[-1:] == "z":
        # It is not asked first: a Ctrl-C that comes while 3.10 refuses a text is lost (gh-107915).
        text = _known_to_3_10(text)
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def _known_to_3_10(text: str) -> str:
    """The same time without the Z, and with a fraction of six digits."""
    text = _FRACTION.sub(lambda found: "." + found[1][:6].ljust(6, "0"), text)
    return text[:-1] + "+00:00" if text[-1:] in ("Z", "z") else text


def _own_level(event: Fields) -> str | int | None:
    level = event.get(LEVEL)
    if isinstance(level, str):
        return level or None
    return level if isinstance(level, int) and not isinstance(level, bool) else None


def _says_failed(event: Fields) -> bool:
    status = event.get(STATUS)
    if isinstance(status, str) and status.lower() in _FAILED:
        return True
    return bool(event.get("error_message") and event.get("event_type"))


def _number(value: object) -> int | float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None

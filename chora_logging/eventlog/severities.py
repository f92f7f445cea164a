"""The levels of other loggers, as names and numbers of the standard library."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from chora_logging.options import level_number
from chora_logging.schema import LEVELS

Fields = Mapping[str, Any]

#: Other names for a level.
SYNONYMS = {
    "INFORMATION": "INFO",
    "INFORMATIONAL": "INFO",
    "WARN": "WARNING",
    "ERR": "ERROR",
    "FATAL": "CRITICAL",
    "CRIT": "CRITICAL",
    "EMERG": "EMERGENCY",
}

#: The levels that the standard library does not have, and their severity.
OTHER_LEVELS = {
    "TRACE": 5,
    "VERBOSE": 10,
    "NOTICE": 25,
    "SUCCESS": 25,
    "DPANIC": 50,
    "PANIC": 50,
    "ALERT": 50,
    "EMERGENCY": 50,
}

#: By name in upper case.
SEVERITIES = {**LEVELS, **OTHER_LEVELS}
SEVERITIES |= {other: SEVERITIES[name] for other, name in SYNONYMS.items()}

#: The severities of syslog's numbers 0 to 7, of Nextcloud's 0 to 4, and of the first numbers of
#: OpenTelemetry's groups of four, from 1 to 24.
SYSLOG = (50, 50, 50, 40, 30, 25, 20, 10)
NEXTCLOUD = (10, 20, 30, 40, 50)
OPENTELEMETRY = (5, 10, 20, 30, 40, 50)

#: The numbers of pino and bunyan, each ten above that of the standard library.
PINO = (10, 20, 30, 40, 50, 60)

#: The keys of an event on which the scale of its number depends.
SCALE_KEYS = frozenset(
    ("pid", "hostname", "v", "time", "msg", "short_message", "host", "version", "reqId", "remoteAddr")
)

_NUMBERED = re.compile(r"(?:LEVEL )?(\d{1,9})", re.ASCII | re.IGNORECASE)
_LARGEST = 10**9
#: What Go's slog writes for a level between two.
_BETWEEN = re.compile(r"(\w+)[+-]\d+", re.ASCII)


def severity(level: str | int) -> int | None:
    """Return the number of *level*, a number or a name in any case; None if the name is unknown."""
    if not isinstance(level, str):
        return max(-_LARGEST, min(level, _LARGEST))  # a larger one may be no float
    number = SEVERITIES.get(level)  # as our own lines have it
    return SEVERITIES.get(level.upper()) or _unusual(level) if number is None else number


def level_name(level: str | int) -> str:
    """Return the name of *level* as the standard library has it; another name in upper case.

    A number becomes the highest level that it reaches, or DEBUG if it is below all.
    """
    if isinstance(level, str):
        if level in LEVELS:
            return level
        name = level.upper()
        if not (found := _NUMBERED.fullmatch(name)):
            return SYNONYMS.get(name, name)
        level = int(found[1])
    return next((name for name, least in reversed(LEVELS.items()) if level >= least), "DEBUG")


def standard_number(number: int, field: str, event: Fields) -> int:
    """Return the level *number* in the field *field* of *event* as a number of the standard library."""
    if field == "severity_number":
        return OPENTELEMETRY[min(max(number - 1, 0) // 4, len(OPENTELEMETRY) - 1)]
    for is_theirs, convert in _SCALES:
        if is_theirs(number, event):
            return convert(number)
    return number


def _unusual(level: str) -> int | None:
    if found := _NUMBERED.fullmatch(level):
        return int(found[1])
    if found := _BETWEEN.fullmatch(level):
        return SEVERITIES.get(found[1].upper())
    return level_number(level)


def _is_pino(number: int, event: Fields) -> bool:
    if event.keys() >= {"pid", "hostname", "v"}:
        return True
    time = event.get("time")
    return number in PINO and "msg" in event and isinstance(time, int | float) and time >= 1e11


def _is_gelf(number: int, event: Fields) -> bool:
    is_gelf = "short_message" in event or ("host" in event and str(event.get("version")) == "1.1")
    return is_gelf and 0 <= number < len(SYSLOG)


def _is_nextcloud(number: int, event: Fields) -> bool:
    return 0 <= number < len(NEXTCLOUD) and event.keys() >= {"reqId", "remoteAddr"}


#: Whether a number of an event is on a scale of its own, and the number of the standard library for it.
_SCALES: tuple[tuple[Callable[[int, Fields], bool], Callable[[int], int]], ...] = (
    (_is_pino, lambda number: max(number - 10, LEVELS["DEBUG"] // 2)),
    (_is_gelf, SYSLOG.__getitem__),
    (_is_nextcloud, NEXTCLOUD.__getitem__),
)

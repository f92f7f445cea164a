"""Reads times and durations as text or numbers, in the forms in which programs write them."""

from __future__ import annotations

import re
import sys
from datetime import datetime

#: The range of times that every time zone can show, in seconds since 1970: the years 2 to 9998.
EARLIEST_SECONDS, LATEST_SECONDS = -62104060800.0, 253370764800.0

#: A duration of this length (30,000 years) or more is taken for an error.
LONGEST_DURATION_MS = 1e15

#: The units of a time as a number: from which number on, and how many are a second. In each of them
#: the year 1973 has passed; seconds are below the first.
TIME_UNITS = ((1e17, 1e9), (1e14, 1e6), (1e11, 1e3))

#: The units of a duration as text, in milliseconds.
DURATION_UNITS = {
    "h": 3_600_000.0,
    "m": 60_000.0,
    "min": 60_000.0,
    "s": 1000.0,
    "ms": 1.0,
    "us": 1e-3,
    "µs": 1e-3,  # the sign for micro
    "μs": 1e-3,  # the Greek letter
    "ns": 1e-6,
}

_TIME = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d)?)(?:[.,](\d+))? ?(Z|[+-]\d\d:?\d\d)?)?",
    re.ASCII | re.IGNORECASE,
)
_PART = r"(\d+(?:\.\d*)?|\.\d+) ?(h|min|ms|m|s|us|µs|μs|ns)"
_DURATION = re.compile(rf"(?:{_PART} ?)+", re.ASCII)
_DURATION_PART = re.compile(_PART, re.ASCII)

#: Where the second dash of a day is; later Pythons also read days without dashes.
SECOND_DASH = slice(7, 8)


def seconds(value: object) -> float | None:
    """Return the time *value* in seconds since 1970; None if it is not a time from the years 2 to 9998.

    Args:
        value: ISO 8601 as for `parse_iso`, in local time if it has no zone; or a number of seconds,
            milliseconds, microseconds or nanoseconds, which are told apart by their size.
    """
    if isinstance(value, str):
        if value[SECOND_DASH] != "-":
            return None
        try:
            moment = _quick(value)
        except ValueError:
            moment = _parse_iso_parts(value)
        if moment is None:
            return None
        try:
            time = moment.timestamp()
        except (OverflowError, ValueError):  # the year 1, in local time
            return None
        return time if EARLIEST_SECONDS <= time < LATEST_SECONDS else None
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    if value >= TIME_UNITS[-1][0]:
        # Whole numbers may be too large for a float, so they are compared before they are divided.
        parts = next(parts for least, parts in TIME_UNITS if value >= least)
        return value / parts if value < LATEST_SECONDS * parts else None
    return float(value) if value >= EARLIEST_SECONDS else None


def parse_iso(text: str) -> datetime | None:
    """Parse *text* as ISO 8601; the result is aware if it has a zone, and None if it is not a time.

    Between the day and the time is a `T` or a space, before the fraction a point or a comma; the zone is
    `Z`, `+00:00` or `+0000`. Every Python reads these forms.
    """
    if text[SECOND_DASH] != "-":
        return None
    try:
        return _quick(text)
    except ValueError:
        return _parse_iso_parts(text)


def _parse_iso_parts(text: str) -> datetime | None:
    if not (found := _TIME.fullmatch(text)):
        return None
    day, clock, fraction, zone = found.groups(default="")
    if zone in ("Z", "z"):
        zone = "+00:00"
    elif zone and ":" not in zone:
        zone = f"{zone[:3]}:{zone[3:]}"
    clock = clock + ":00" if len(clock) == 5 else clock or "00:00:00"
    try:
        return datetime.fromisoformat(f"{day}T{clock}.{fraction[:6]:0<6}{zone}")
    except ValueError:
        return None


# That of Python 3.10 reads fewer forms, and a Ctrl-C while it rejects a string is lost (gh-107915).
_quick = _parse_iso_parts if sys.version_info < (3, 11) else datetime.fromisoformat


def milliseconds(value: object, unit: float = 1.0) -> float | None:
    """Return the duration *value* in milliseconds; None if it is negative or not a duration.

    Args:
        value: A number, or text with a unit such as `"1.5s"`, `"350 ms"` or `"1m30s"`.
        unit: The unit of a number, in milliseconds.
    """
    if isinstance(value, str):
        if not _DURATION.fullmatch(value):
            return None
        parts = _DURATION_PART.findall(value)
        value, unit = sum(float(number) * DURATION_UNITS[name] for number, name in parts), 1.0
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    return float(value) * unit if 0 <= value < LONGEST_DURATION_MS / unit else None

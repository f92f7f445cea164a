"""Formats times; the RFC 3339 form has a fixed width, so lines sort by it as text."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

#: The timestamp of a line when no clock can be read.
EPOCH = "1970-01-01T00:00:00.000000Z"

# From this fraction on, a time rounds up to the next second.
_NEXT = 0.9999995

# Three digits as text, for microseconds: looking them up takes half the time of formatting them.
_THREE = [f"{number:03d}" for number in range(1000)]

# The last second and its text. Most records share their second with the one before; a tuple is
# replaced in one step, so threads need no lock.
_second: tuple[int, str] = (0, "1970-01-01T00:00:00.")


def rfc3339(created: float) -> str:
    """Return *created*, in seconds since 1970, in UTC with microseconds (rounded to nearest) and `Z`.

    Raises:
        Exception: *created* is not a number in the years 1 to 9999.
    """
    global _second
    second, text = _second
    fraction = created - second
    if not 0.0 <= fraction < _NEXT:
        second = math.floor(created)
        if created - second >= _NEXT:
            second += 1
        text = _text(second)
        _second = second, text
        fraction = max(created - second, 0.0)
    micros = int(fraction * 1e6 + 0.5)
    return f"{text}{_THREE[micros // 1000]}{_THREE[micros % 1000]}Z"


def _text(second: int) -> str:
    year, month, day, hour, minute, sec = time.gmtime(second)[:6]
    if not 1 <= year <= 9999:
        raise OverflowError(f"year {year}")
    return f"{year:04d}-{month:02d}-{day:02d}T{hour:02d}:{minute:02d}:{sec:02d}."


def rfc3339_of(moment: datetime) -> str:
    """Return *moment* in the form of `rfc3339`; without a zone it is local time."""
    return moment.astimezone(timezone.utc).isoformat(timespec="microseconds")[:-6] + "Z"


def local(created: float) -> str:
    """Return *created* in local time without a zone, ISO 8601 with microseconds."""
    return datetime.fromtimestamp(created).isoformat(timespec="microseconds")


def epoch(created: float) -> float:
    """Return *created*, in seconds since 1970, as a float.

    Raises:
        OverflowError: it is outside of the years 1 to 9999.
    """
    seconds = float(created)
    if not -62135596800 <= seconds < 253402300800:
        raise OverflowError(f"{seconds} s")
    return seconds


FORMATS: dict[str, Callable[[float], Any]] = {"rfc3339": rfc3339, "local": local, "epoch": epoch}

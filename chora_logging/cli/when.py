"""Reads times as people write them: how long ago, a time of day, a day, a Unix time."""

from __future__ import annotations

import contextlib
import math
import re
from datetime import date, datetime, timedelta, timezone
from datetime import time as time_of_day

from chora_logging.eventlog.times import EARLIEST_SECONDS, LATEST_SECONDS, TIME_UNITS, parse_iso

#: The forms, for help texts and errors.
FORMS = "a time such as 2025-09-28T08:54:11Z (local without a zone), 2025-09-28, 20:00, yesterday, "
FORMS += "'yesterday 20:00', 1759049651 (a Unix time), or how long ago: 15m, 1h30m, 7d"

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_UNIT = r"s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?|w|weeks?"
_PART = rf"(\d{{1,9}}(?:\.\d{{1,9}})?) ?({_UNIT})"
_AGO = re.compile(rf"-?(?:{_PART} ?)+(?:ago)?", re.ASCII | re.IGNORECASE)
_AGO_PART = re.compile(_PART, re.ASCII | re.IGNORECASE)
_CLOCK = re.compile(r"(\d{1,2}):(\d\d)(?::(\d\d)(?:[.,](\d{1,6}))?)?", re.ASCII)
_UNIX = re.compile(r"@?(-?\d{9,20}(?:\.\d{1,9})?)|@(\d{1,8})", re.ASCII)
_SLASHES = re.compile(r"(\d{4})/(\d\d)/(\d\d)", re.ASCII)

#: By word, how many days ago it was.
_DAYS = {"today": 0, "yesterday": 1}


def time_range(
    since: str | None, until: str | None, now: datetime | None = None
) -> tuple[float | None, float | None]:
    """Return both ends of a range of time, in seconds since 1970; None for one that is not given.

    A time of day alone is the last one that has passed; as *until*, the first one after *since*.

    Args:
        since: The beginning.
        until: The end.
        now: The present in local time; None asks the clock.

    Raises:
        ValueError: one of them is not a time; its first argument is the name of the argument.
    """
    now = datetime.now() if now is None else now
    start = None if since is None else _read("since", since, now)
    end: float | None = None
    if until is not None and start is not None and _clock(until.strip()) and math.isfinite(start):
        end = _read("until", until, datetime.fromtimestamp(start) + timedelta(days=1))
    elif until is not None:
        end = _read("until", until, now)
    return start, end


def _read(name: str, text: str, now: datetime) -> float:
    with contextlib.suppress(OverflowError, ValueError, OSError):
        if (time := _parse(text.strip(), now)) is not None:
            return time
    raise ValueError(name)


def _parse(text: str, now: datetime) -> float | None:
    if _AGO.fullmatch(text):
        parts = _AGO_PART.findall(text)
        elapsed = sum(float(number) * _SECONDS[unit[0].lower()] for number, unit in parts)
        return max(now.timestamp() - elapsed, EARLIEST_SECONDS)
    if text.lower() == "now":
        return now.timestamp()
    if clock := _clock(text):
        moment = datetime.combine(now.date(), clock)
        # Not 24 hours less: the clocks may have been changed between them.
        return (moment if moment <= now else datetime.combine(_day_before(now, 1), clock)).timestamp()
    if unix := _UNIX.fullmatch(text):
        return _scaled(float(unix[1] or unix[2]))
    word, _, rest = text.partition(" ")
    if (days := _DAYS.get(word.lower())) is not None:
        clock = _clock(rest.strip()) if rest else time_of_day()
        return datetime.combine(_day_before(now, days), clock).timestamp() if clock else None
    found = parse_iso(_SLASHES.sub(r"\1-\2-\3", text, count=1))
    if found is None:
        return None
    # Naive times are local; at the edges of what a datetime can be there is no local time.
    at_edge = found.tzinfo is None and found.year in (1, 9999)
    return (found.replace(tzinfo=timezone.utc) if at_edge else found).timestamp()


def _scaled(number: float) -> float | None:
    """Return a Unix time in seconds, milliseconds, microseconds or nanoseconds as seconds."""
    seconds = next((number / parts for least, parts in TIME_UNITS if number >= least), number)
    return seconds if EARLIEST_SECONDS <= seconds < LATEST_SECONDS else None


def _clock(text: str) -> time_of_day | None:
    found = _CLOCK.fullmatch(text)
    if found is None:
        return None
    hour, minute, second, fraction = found.groups(default="0")
    try:
        return time_of_day(int(hour), int(minute), int(second), int(f"{fraction:0<6}"))
    except ValueError:
        return None


def _day_before(now: datetime, days: int) -> date:
    return now.date() - timedelta(days=days)

"""Formats durations, sizes, percentages and times for people, as short as possible."""

from __future__ import annotations

import math
from datetime import datetime

_SIZES = ("kB", "MB", "GB", "TB", "PB")
_PARTS = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))


def many(number: int, noun: str, ending: str = "s") -> str:
    """Return a number with its noun, in the plural unless it is 1.

    >>> many(1, "event"), many(12345, "event")
    ('1 event', '12,345 events')
    """
    return f"{number:,} {noun}{'' if number == 1 else ending}"


def unreadable(number: int, total: int, meaning: str) -> str:
    """Return how many of *total* events have no time or level, the *meaning*, that can be read.

    >>> unreadable(5, 5, "time"), unreadable(1, 1200, "level")
    ('5 of 5 events have no time that can be read', '1 of 1,200 events has no level that can be read')
    """
    has = "has" if number == 1 else "have"
    return f"{number:,} of {many(total, 'event')} {has} no {meaning} that can be read"


def size(number: float) -> str:
    """Return a number of bytes with its unit, a power of 1024 as in the settings.

    >>> size(999), size(10 * 1024 * 1024), size(1234567)
    ('999 B', '10 MB', '1.18 MB')
    """
    if number < 1000:
        return f"{number:.0f} B"
    power = 1
    while number / 1024**power >= 999.5 and power < len(_SIZES):
        power += 1
    return f"{_three_digits(number / 1024**power)} {_SIZES[power - 1]}"


def duration(milliseconds: float) -> str:
    """Return a duration in milliseconds with its unit, to three digits.

    >>> duration(0.1234), duration(12), duration(1234), duration(123456)
    ('0.123 ms', '12 ms', '1.23 s', '2 min 3 s')
    """
    if milliseconds < 999.5:
        return f"{_three_digits(milliseconds)} ms"
    if milliseconds < 59_950:
        return f"{_three_digits(milliseconds / 1000)} s"
    return span(milliseconds / 1000)


def span(seconds: float) -> str:
    """Return a time span in seconds with its two largest units.

    >>> span(0.25), span(59), span(4680), span(200000)
    ('250 ms', '59 s', '1 h 18 min', '2 d 7 h')
    """
    if seconds < 0.9995:
        return duration(seconds * 1000)
    if seconds < 9.995:
        return f"{_three_digits(seconds)} s"
    rest = round(seconds)
    if rest >= 100 * 86400:
        return f"{rest // 86400:,} d"
    parts: list[tuple[int, str]] = []
    for unit, length in _PARTS:
        number, rest = divmod(rest, length)
        if number or parts:
            parts.append((number, unit))
    return " ".join(f"{number} {unit}" for number, unit in parts[:2] if number)


def percentage(part: int, whole: int) -> str:
    """Return a percentage that is 0 % only for none, and 100 % only for all.

    >>> percentage(1, 8), percentage(1, 100_000), percentage(99_999, 100_000), percentage(0, 5)
    ('12.5 %', '<0.1 %', '>99.9 %', '0.0 %')
    """
    percent = 100 * part / whole if whole else 0.0
    if 0 < percent < 0.1:
        return "<0.1 %"
    if 99.9 < percent < 100:
        return ">99.9 %"
    return f"{percent:.1f} %"


def moment(seconds: float) -> str:
    """Return the local date and time, to the second."""
    return datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M:%S")


def stamp(seconds: float | None) -> str | None:
    """Return an RFC 3339 time for programs, as in a log line; None for None and infinity."""
    from chora_logging.formatting.timestamps import rfc3339  # commands that show lines do not need it

    return None if seconds is None or math.isinf(seconds) else rfc3339(seconds)


def moments(first: float, last: float) -> tuple[str, str]:
    """Return both ends of a time span: on one day the date only once, else without seconds."""
    start, end = moment(first), moment(last)
    return (start, end[11:]) if start[:10] == end[:10] else (start[:16], end[:16])


def _three_digits(number: float) -> str:
    if not number or number >= 99.95:
        return f"{number:.0f}"
    text = f"{number:.3g}"
    return text if "e" not in text else f"{number:.9f}".rstrip("0")

"""The periods of time by which a log is rotated: hours, days, weeks."""

from __future__ import annotations

import datetime
import time

from chora_logging.errors import ConfigurationError
from chora_logging.options import parse_choice, parse_count, parse_flag

_SECONDS = {"S": 1, "M": 60, "H": 3600}
_DAYS = {"MIDNIGHT": 1, "D": 1, **{f"W{day}": 7 for day in range(7)}}

#: The allowed values of `when`, as `TimedRotatingFileHandler` has them.
WHEN = ("midnight", "D", "H", "M", "S", *(f"W{day}" for day in range(7)))

_DAY_SECONDS, _MOST_DAYS = 86400, 3650

#: A Monday, from which days are counted.
_FIRST_DAY = datetime.date(1, 1, 1)


class Periods:
    """Equal periods of time, which all processes find alike: they begin by the clock, not with a process.

    Days begin at midnight, and weeks at that of their day; one that a change of the clocks makes shorter or
    longer is one period. So many hours, minutes or seconds begin at multiples of them by the clock without
    summer time.

    Args:
        when: `"midnight"` or `"D"`, `"H"`, `"M"`, `"S"`, or `"W0"` (Monday) to `"W6"`; in any case.
        interval: The number of these in a period, 1 or more.
        utc: Whether the clock is UTC, and not the local time.

    Raises:
        ConfigurationError: one of them is invalid.
    """

    def __init__(self, when: str, interval: int | str = 1, utc: bool | str = False) -> None:
        unit = when.upper() if isinstance(when, str) else ""
        if unit not in _SECONDS and unit not in _DAYS:
            parse_choice("when", when, WHEN)
        days, seconds = _DAYS.get(unit, 0), _SECONDS.get(unit, 0)
        count = _count(interval, days + seconds / _DAY_SECONDS)
        self._days, self._seconds = days * count, seconds * count
        self._first_day = int(unit[1]) if unit[0] == "W" else 0
        self._utc = parse_flag("utc", utc)

    @classmethod
    def parse(cls, when: str | None, interval: int | str, utc: bool | str) -> Periods | None:
        """Return the periods; None without *when*.

        Raises:
            ConfigurationError: an argument is invalid, or is given without *when*.
        """
        if when is not None:
            return cls(when, interval, utc)
        for name, value, usual in (("interval", interval, 1), ("utc", utc, False)):
            if value != usual:
                raise ConfigurationError(name, value, f"{usual} without when")
        return None

    def end_of(self, moment: float) -> float:
        """Return the time at which the period of the time *moment* ends."""
        if self._seconds:
            offset = 0 if self._utc else -time.timezone
            return (moment + offset) // self._seconds * self._seconds + self._seconds - offset
        local = time.gmtime(moment) if self._utc else time.localtime(moment)
        day = (datetime.date(*local[:3]) - _FIRST_DAY).days - self._first_day
        return self._begin_of(day // self._days * self._days + self._days + self._first_day)

    def _begin_of(self, day: int) -> float:
        """Return the time at which the day with a number begins: at the first of two midnights."""
        date = (_FIRST_DAY + datetime.timedelta(days=day)).timetuple()[:3]
        if self._utc:
            return datetime.datetime(*date, tzinfo=datetime.timezone.utc).timestamp()
        found = [time.mktime((*date, 0, 0, 0, 0, 0, is_summer)) for is_summer in (0, 1)]
        midnights = [moment for moment in found if time.localtime(moment)[:3] == date]
        return min(midnights, default=found[0])


def _count(interval: int | str, days: float) -> int:
    """Return *interval* as the number of units in a period, one of which has so many *days*."""
    try:
        count = parse_count("interval", interval)
    except ConfigurationError:
        count = 0
    if not count or count > _MOST_DAYS / days:
        allowed = f"a whole number, 1 or more, for a period of at most {_MOST_DAYS} days"
        raise ConfigurationError("interval", interval, allowed)
    return count

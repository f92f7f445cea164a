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

_HALF_HOUR_SECONDS = 1800

#: A Monday, from which days are counted.
_FIRST_DAY = datetime.date(1, 1, 1)


class Periods:
    """Equal periods of time, which all processes find alike: they begin by the clock, not with a process.

    Days begin at midnight, and weeks at that of their day; one that a change of the clocks makes shorter or
    longer is one period. So many hours, minutes or seconds begin at multiples of them by the clock.

    Args:
        when: `"midnight"` or `"D"`, `"H"`, `"M"`, `"S"`, or `"W0"` (Monday) to `"W6"`; in any case.
        interval: The number of these in a period, 1 or more.
        utc: Whether the clock is UTC, and not the local time.

    Raises:
        ConfigurationError: one of them is invalid.
    """

    def __init__(self, when: str, interval: int | str = 1, utc: bool | str = False) -> None:
        unit = str(when).upper()
        self._unit = unit if unit in _SECONDS or unit in _DAYS else parse_choice("when", when, WHEN)
        self._interval = parse_count("interval", interval)
        if not self._interval:
            raise ConfigurationError("interval", interval, "a whole number, 1 or more")
        self._utc = parse_flag("utc", utc)

    @classmethod
    def parse(cls, when: str | None, interval: int | str, utc: bool | str) -> Periods | None:
        """Return the periods; None without *when*.

        Raises:
            ConfigurationError: an argument is invalid, or is given without *when*.
        """
        if when is not None:
            return cls(when, interval, utc)
        if interval != 1 or utc:
            raise ConfigurationError("when", when, f"given with {'interval' if interval != 1 else 'utc'}")
        return None

    def end_of(self, moment: float) -> float:
        """Return the time at which the period of the time *moment* ends."""
        local = time.gmtime(moment) if self._utc else time.localtime(moment)
        if (unit := _SECONDS.get(self._unit)) is not None:
            step, offset = unit * self._interval, local.tm_gmtoff
            return (moment + offset) // step * step + step - offset
        step = _DAYS[self._unit] * self._interval
        first = int(self._unit[1]) if self._unit[0] == "W" else 0
        day = datetime.date(local.tm_year, local.tm_mon, local.tm_mday).toordinal() - 1 - first
        return self._midnight(day // step * step + step + first)

    def _midnight(self, day: int) -> float:
        """Return the time at which the day with a number begins."""
        date = _FIRST_DAY + datetime.timedelta(days=day)
        if self._utc:
            return datetime.datetime(*date.timetuple()[:3], tzinfo=datetime.timezone.utc).timestamp()
        found = time.mktime((date.year, date.month, date.day, 0, 0, 0, 0, 0, -1))
        while time.localtime(found)[:3] < (date.year, date.month, date.day):  # the clocks change at midnight
            found += _HALF_HOUR_SECONDS
        return found

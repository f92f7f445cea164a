"""Tests the level and the time of events, quickly where they are written as in our own lines."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any, NamedTuple

from chora_logging.eventlog.comparing import Asked
from chora_logging.eventlog.decoding import column
from chora_logging.eventlog.meaning import Meaning
from chora_logging.eventlog.severities import SEVERITIES
from chora_logging.eventlog.times import EARLIEST_SECONDS, LATEST_SECONDS, SECOND_DASH

Fields = Mapping[str, Any]
#: Tests an event.
Test = Callable[[Fields], bool]
#: Tests some fields of an event; None if they do not decide.
Sieve = Callable[[Fields], bool | None]

#: How much a time may differ from what the decoder makes of it, which rounds it; and a local time, which is
#: compared as if it were UTC.
_ROUNDED, _LOCAL = timedelta(microseconds=1), timedelta(days=1)
#: The times that the decoder and `seconds` read alike.
_USUAL = datetime(1971, 1, 1, tzinfo=timezone.utc), datetime(2099, 1, 1, tzinfo=timezone.utc)


def _never(lines: Sequence[bytes]) -> bool:
    return False


def _no_use(lines: Sequence[bytes]) -> Sequence[bool | None] | None:
    return None


class QuickTest(NamedTuple):
    """A test of one field that decides about nearly all events.

    Attributes:
        key: The field.
        keys: All keys of an event on which the test depends.
        test: Tests an event.
        sieve: Tests an event of which perhaps only this field is known.
        passes_over: Returns whether none of many lines can match; False if they must be tested.
        of_lines: Returns what `sieve` says of each of many lines; None if they must be tested one by one.
    """

    key: str
    keys: frozenset[str]
    test: Test
    sieve: Sieve
    passes_over: Callable[[Sequence[bytes]], bool] = _never
    of_lines: Callable[[Sequence[bytes]], Sequence[bool | None] | None] = _no_use


def at_least(least: int, meaning: Meaning, asked: Asked) -> QuickTest:
    """Return the test whether the level of an event is at least *least*, which counts in *asked*."""
    severity_of, key = meaning.severity_of, meaning.names("level")[0]
    known = {level: number >= least for level, number in SEVERITIES.items()}
    verdict_on = known.get

    def sieve(event: Fields) -> bool | None:
        level = event.get(key)
        if type(level) is str and level in known:
            asked.events += 1
            return known[level]
        return None

    def test(event: Fields) -> bool:
        if (verdict := sieve(event)) is not None:
            return verdict
        asked.events += 1
        number = severity_of(event)
        if number is None:
            asked.unreadable += 1
            return False
        return number >= least

    def of_lines(lines: Sequence[bytes]) -> Sequence[bool | None] | None:
        levels = column(key, Any, lines)
        if levels is None:
            return None
        try:
            verdicts = list(map(verdict_on, levels))
        except TypeError:  # a list or an object
            return None
        asked.events += len(lines) - verdicts.count(None)
        return verdicts

    return QuickTest(key, meaning.keys("level"), test, sieve, of_lines=of_lines)


def between(since: float | None, until: float | None, meaning: Meaning, asked: Asked) -> QuickTest:
    """Return the test whether the time of an event is from *since* on and before *until*.

    Args:
        since, until: In seconds since 1970; None without a limit.
        meaning: Says what the time is.
        asked: Counts the events.
    """
    time_of, key = meaning.time_of, meaning.names("time")[0]
    first = _moment(EARLIEST_SECONDS if since is None else since)
    last = _moment(LATEST_SECONDS if until is None else until)

    def usual(event: Fields) -> bool | None:
        text = event.get(key)
        # In other centuries, microseconds are lost in seconds.
        if type(text) is not str or text[:2] != "20" or text[SECOND_DASH] != "-" or text[-1] != "Z":
            return None
        try:
            verdict = first <= datetime.fromisoformat(text) < last
        except ValueError:
            return None
        asked.events += 1
        return verdict

    sieve: Sieve = usual if sys.version_info >= (3, 11) else lambda event: None

    def test(event: Fields) -> bool:
        if (verdict := sieve(event)) is not None:
            return verdict
        asked.events += 1
        time = time_of(event)
        if time is None:
            asked.unreadable += 1
            return False
        return (since is None or since <= time) and (until is None or time < until)

    def passes_over(lines: Sequence[bytes]) -> bool:
        moments = column(key, datetime, lines)
        if not moments:
            return False
        try:
            earliest, latest, slack = min(moments), max(moments), _ROUNDED
        except TypeError:  # one is missing, or has no zone while others have one
            return False
        if not isinstance(earliest, datetime):
            return False
        if earliest.tzinfo is None:
            earliest, latest = (each.replace(tzinfo=timezone.utc) for each in (earliest, latest))
            slack = _LOCAL
        if not _USUAL[0] < earliest <= latest < _USUAL[1]:
            return False
        if latest + slack >= first and earliest - slack < last:
            return False
        asked.events += len(lines)
        return True

    return QuickTest(key, meaning.keys("time"), test, sieve, passes_over)


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(min(max(seconds, EARLIEST_SECONDS), LATEST_SECONDS), timezone.utc)

"""Counts events by type, status, level, time and duration, in bounded memory."""

from __future__ import annotations

import functools
import heapq
import json
import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from chora_logging.cli.stats.timeline import Timeline
from chora_logging.eventlog.events import Event
from chora_logging.eventlog.meaning import STATUS, TYPE, USUAL, Meaning

#: How many different types, statuses and levels are counted separately: the first ones.
DISTINCT_VALUES = 200
#: The length to which such a name is cut, in characters.
LONGEST_NAME = 200
#: How many of the slowest events are held.
SLOWEST_EVENTS = 5

#: How many combinations of type, status and level are remembered.
REMEMBERED = 1000
#: The types of values that are equal only if they have the same name.
_TEXT = frozenset((str, type(None)))

#: A shorter duration, in milliseconds, counts as 0: a nanosecond.
SHORTEST_DURATION_MS = 1e-6


class Durations:
    """Counts durations rounded to three digits: at most 900 counters for each power of ten.

    So every percentile is that of the sorted durations, to three digits. Whole numbers below 1,000 are
    exact, and so is the longest duration.
    """

    def __init__(self) -> None:
        self.count = 0
        self.longest = 0.0
        self._counts: dict[float, int] = {}

    def add(self, value: float) -> None:
        """Count a duration in milliseconds, at least 0."""
        self.count += 1
        if value < SHORTEST_DURATION_MS:
            value = 0.0
        if value > self.longest:
            self.longest = value
        if not (value < 1000 and value.is_integer()):
            value = _to_three_digits(value)
        self._counts[value] = self._counts.get(value, 0) + 1

    def percentile(self, percent: float) -> float | None:
        """Return the least value that *percent* of all do not exceed (nearest rank); None without values."""
        rank = max(1, math.ceil(percent / 100 * self.count))
        for value in sorted(self._counts):
            rank -= self._counts[value]
            if rank <= 0:
                return min(value, self.longest)
        return None


@functools.lru_cache(maxsize=2**14)
def _to_three_digits(value: float) -> float:
    return float(f"{value:.2e}")


@dataclass
class Group:
    """The events of one kind.

    Attributes:
        events: The number of events.
        errors: The number of errors among them.
        durations: Their durations.
    """

    events: int = 0
    errors: int = 0
    durations: Durations = field(default_factory=Durations)

    def add(self, failed: bool, duration: float | None) -> None:
        """Count an event."""
        self.events += 1
        self.errors += failed
        if duration is not None:
            self.durations.add(duration)


class Groups:
    """Events by the value of a field; only the first `DISTINCT_VALUES` values are counted separately.

    Attributes:
        by_name: The groups; None is the name of that of events without the field.
    """

    def __init__(self) -> None:
        self.by_name: dict[str | None, Group] = {}
        self._rest = Group()

    def of(self, value: Any) -> Group:
        """Return the group of an event with this value."""
        name = _name(value)
        group = self.by_name.get(name)
        if group is None:
            if len(self.by_name) >= DISTINCT_VALUES:
                return self._rest
            group = self.by_name[name] = Group()
        return group

    @property
    def others(self) -> int:
        """The number of events with other values."""
        return self._rest.events

    def largest_first(self) -> list[tuple[str | None, Group]]:
        """Return the groups with their names, the largest first."""
        return sorted(self.by_name.items(), key=lambda item: (-item[1].events, item[0] or ""))


class Tally:
    """All counts.

    Attributes:
        all: All events.
        types: By `event` or `event_type`.
        statuses: By `status`.
        levels: By `level`.
        timeline: By time.
        unreadable: The number of events whose "level" or "time" cannot be read.
        slowest: The slowest events with their durations in milliseconds, the slowest first.
    """

    def __init__(self) -> None:
        self.all = Group()
        self.types = Groups()
        self.statuses = Groups()
        self.levels = Groups()
        self.timeline = Timeline()
        self.unreadable: Counter[str] = Counter()
        # By type, status and level: most events have some that were seen before.
        self._seen: dict[tuple[Any, ...], tuple[Group, Group, Group]] = {}
        self._slowest: list[tuple[float, int, Event]] = []

    def add(self, event: Event, meaning: Meaning = USUAL) -> float | None:
        """Count *event*, and return its time in seconds since 1970, or None if it has no valid one."""
        failed, duration = meaning.is_error(event), meaning.duration_of(event)
        level, time = meaning.level_of(event), meaning.time_of(event)
        self.all.add(failed, duration)
        of_type, of_status, of_level = self._groups_of(type_of(event, meaning), event.get(STATUS), level)
        of_type.add(failed, duration)
        of_status.events += 1
        of_status.errors += failed
        of_level.events += 1
        of_level.errors += failed
        if duration is not None:
            self._keep_if_slow(duration, event)
        if level is None and not event.get(TYPE):
            self.unreadable["level"] += 1
        if time is None:
            self.unreadable["time"] += 1
        else:
            self.timeline.add(time, failed)
        return time

    @property
    def slowest(self) -> list[tuple[float, Event]]:
        """The slowest events with their durations in milliseconds, the slowest first."""
        return [(duration, event) for duration, _, event in sorted(self._slowest, reverse=True)]

    def _groups_of(self, kind: Any, status: Any, level: str | None) -> tuple[Group, Group, Group]:
        values = kind, status, level
        if not _TEXT.issuperset(map(type, values)):
            return self.types.of(kind), self.statuses.of(status), self.levels.of(level)
        groups = self._seen.get(values)
        if groups is None:
            groups = self.types.of(kind), self.statuses.of(status), self.levels.of(level)
            if len(self._seen) < REMEMBERED and all(len(value or "") <= LONGEST_NAME for value in values):
                self._seen[values] = groups
        return groups

    def _keep_if_slow(self, duration: float, event: Event) -> None:
        # Of equal durations the first is kept; its number also keeps events from being compared.
        item = (duration, -self.all.events, event)
        if len(self._slowest) < SLOWEST_EVENTS:
            heapq.heappush(self._slowest, item)
        elif item > self._slowest[0]:
            heapq.heapreplace(self._slowest, item)


def type_of(event: dict[str, Any], meaning: Meaning = USUAL) -> Any:
    """Return the type of *event*: its name, or else its logger."""
    name = meaning.event_of(event)
    return event.get("logger") if name is None else name


def _name(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        text = value
    elif isinstance(value, dict | list):
        text = "{…}" if isinstance(value, dict) else "[…]"
    else:
        text = json.dumps(value)
    if text is None:
        return None
    text = text.encode("utf-8", "replace").decode()  # lone surrogates cannot be encoded
    return text if len(text) <= LONGEST_NAME else text[: LONGEST_NAME - 1] + "…"

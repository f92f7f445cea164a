"""Counts and measures events in groups: by the values of fields, and by time."""

from __future__ import annotations

import functools
import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from datetime import time as midnight
from typing import Any

from chora_logging.cli.stats.measures import DIGITS, MEASURES, Distinct, Numbers, Pool
from chora_logging.cli.values import LARGEST, is_plain, keys_of, kinds_of, numbers_of, reader_of, value_of
from chora_logging.eventlog.equal_events import EqualEvents
from chora_logging.eventlog.meaning import Meaning

#: How many groups are counted separately: the first ones.
MOST_GROUPS = 50_000
#: The length to which a value that names a group is cut, in characters.
LONGEST_VALUE = 200

_DAY_SECONDS = 86400

#: The types of values that are equal only if they name the same group.
_TEXT = frozenset((str, type(None)))
_FIRST_DAY = date(1970, 1, 1)


@dataclass(frozen=True)
class Asked:
    """What is asked for.

    Attributes:
        by: The fields by which events are grouped.
        step: The length of the intervals, in seconds; None without any.
        measures: The measures, one of `MEASURES` or "distinct", each with a field.
        top: How many groups are shown, of each interval; None for all.
    """

    by: Sequence[str] = ()
    step: int | None = None
    measures: Sequence[tuple[str, str]] = ()
    top: int | None = None

    @property
    def columns(self) -> list[str]:
        """The names of all columns."""
        measured = [f"{measure}_{field}" for measure, field in self.measures]
        return [*(["time"] if self.step else []), *self.by, "events", *measured]

    def keys(self, meaning: Meaning) -> frozenset[str]:
        """Return the keys of an event that are needed to count it."""
        fields = keys_of([*self.by, *(field for _, field in self.measures)], meaning)
        return fields if self.step is None else fields | meaning.keys("time")

    def kinds(self, meaning: Meaning) -> dict[str, Any] | None:
        """Return the types of these keys in most events, or None: see `EqualEvents`."""
        if self.step is not None:  # no two events have the same time
            return None
        texts = {*self.by, *(field for measure, field in self.measures if measure not in MEASURES)}
        numbers = {field for _, field in self.measures} - texts
        return kinds_of(texts | numbers, numbers, meaning)

    def __bool__(self) -> bool:
        return bool(self.by or self.step or self.measures)


@dataclass
class Row:
    """One group.

    Attributes:
        time: The start of its interval, in seconds since 1970; None without intervals.
        values: The values of the fields.
        events: The number of events.
        measured: The results, in the order of what was asked; None where no event has a number.
        is_estimate: Whether a number of different values is an estimate.
    """

    time: float | None
    values: list[Any]
    events: int
    measured: list[float | None]
    is_estimate: bool


@dataclass
class _Group:
    events: int = 0
    numbers: dict[str, Numbers] = field(default_factory=dict)
    distinct: dict[str, Distinct] = field(default_factory=dict)


class Groups:
    """The groups of events, in bounded memory.

    Args:
        asked: What is asked for.

    Attributes:
        events: The number of all events.
        others: The number of events in further groups, which are not counted separately.
        without_time: The number of events without a time, which are in no interval.
        no_numbers: By field, the number of values that are no numbers.
    """

    def __init__(self, asked: Asked) -> None:
        self.events = self.others = self.without_time = 0
        self.no_numbers: Counter[str] = Counter()
        self._asked = asked
        self._pool = Pool()
        self._groups: dict[tuple[Any, ...], _Group] = {}
        # Their names are JSON, to tell 1 from true; of text that takes longer than all the rest.
        self._by_text: dict[tuple[Any, ...], _Group] = {}
        measures = asked.measures
        self._distinct = list(dict.fromkeys(name for measure, name in measures if measure == "distinct"))
        self._measured = list(dict.fromkeys(name for measure, name in measures if measure in MEASURES))
        self._ranked = {name for measure, name in measures if measure.startswith("p")}

    @property
    def is_rounded(self) -> bool:
        """Whether there was so much to count that numbers are rounded to fewer than three digits."""
        return self._pool.step > 0 and bool(self._ranked)

    @property
    def digits(self) -> int:
        """The number of digits to which percentiles are right."""
        return DIGITS[self._pool.step]

    def add(self, event: Mapping[str, Any], meaning: Meaning) -> None:
        """Count *event*."""
        self.add_all((event,), meaning)

    def add_all(self, events: Iterable[Mapping[str, Any]], meaning: Meaning) -> None:
        """Count *events*."""
        self._count(zip(events, itertools.repeat(1), strict=False), meaning)

    def equal_events(self, meaning: Meaning) -> EqualEvents | None:
        """Return what counts equal events, and adds them; None if few are equal in what is asked."""
        kinds = self._asked.kinds(meaning)
        return None if kinds is None else EqualEvents(kinds, functools.partial(self._count, meaning=meaning))

    def _count(self, events: Iterable[tuple[Mapping[str, Any], int]], meaning: Meaning) -> None:
        """Count *events*, each so many times."""
        step, time_of = self._asked.step, meaning.time_of
        find, start = self._finder(meaning), None
        measured = [(name, is_plain(name, meaning), keys_of([name], meaning)) for name in self._measured]
        for event, times in events:
            self.events += times
            if step is not None:
                time = time_of(event)
                if time is None:
                    self.without_time += times
                    continue
                start = _start(time, step)
            group = find(event, start)
            if group is None:
                self.others += times
                continue
            group.events += times
            for name, plain, keys in measured:
                value = event.get(name)
                if plain and value.__class__ is int and 0 <= value < LARGEST:
                    group.numbers[name].add(value, times)
                elif value is not None or not keys.isdisjoint(event):
                    self._add_numbers(group.numbers[name], name, event, meaning, times)
            for name, distinct in group.distinct.items():
                value = value_of(event, name, meaning)
                if value is not None:
                    distinct.add(json.dumps(value))

    def _add_numbers(
        self, numbers: Numbers, name: str, event: Mapping[str, Any], meaning: Meaning, times: int
    ) -> None:
        found, odd = numbers_of(event, name, meaning)
        for number in found:
            numbers.add(number, times)
        if odd:
            self.no_numbers[name] += odd * times

    def _finder(self, meaning: Meaning) -> Callable[[Mapping[str, Any], float | None], _Group | None]:
        """Return the function that finds the group of an event in the interval that begins at a time."""
        names, known = self._asked.by, self._by_text
        read = [reader_of(name, meaning) for name in names]

        def find(event: Mapping[str, Any], start: float | None) -> _Group | None:
            values = [value_in(event) for value_in in read]
            key = (start, *values) if _TEXT.issuperset(map(type, values)) else None
            group = None if key is None else known.get(key)
            if group is None:
                group = self._group((start, *map(_cut, values)))
                is_kept = key is not None and len(known) < MOST_GROUPS and all(map(_is_short, values))
                if group is not None and key is not None and is_kept:
                    known[key] = group
            return group

        if len(names) != 1 or self._asked.step is not None:
            return find
        (name,), keys = names, keys_of(names, meaning)
        first = meaning.names("event")[0] if name == "event" else name
        by_value: dict[str | None, _Group] = {}

        def find_by_one(event: Mapping[str, Any], start: float | None) -> _Group | None:
            value = event.get(first)
            if (value.__class__ is str and value) or (value is None and keys.isdisjoint(event)):
                group = by_value.get(value)
                if group is None:
                    group = find(event, start)
                    if group is not None and len(by_value) < MOST_GROUPS and _is_short(value):
                        by_value[value] = group
                return group
            return find(event, start)

        return find_by_one

    def rows(self) -> list[Row]:
        """Return the groups: by time if there are intervals, else and within these the largest first."""
        rows = [self._row(key, group) for key, group in self._groups.items()]
        rows.sort(key=self._size, reverse=True)
        if self._asked.step is None:
            return rows[: self._asked.top]
        rows.sort(key=lambda row: row.time or 0)
        shown: Counter[float | None] = Counter()
        kept = []
        for row in rows:
            shown[row.time] += 1
            if self._asked.top is None or shown[row.time] <= self._asked.top:
                kept.append(row)
        return kept

    def _group(self, key: tuple[Any, ...]) -> _Group | None:
        """Return the group with this *key*, a new one if there is room for it."""
        group = self._groups.get(key)
        if group is None:
            if len(self._groups) >= MOST_GROUPS or self._pool.is_full:
                return None
            group = self._groups[key] = self._new()
        return group

    def _size(self, row: Row) -> tuple[float, int]:
        if len(row.measured) == 1:
            return (float("-inf") if row.measured[0] is None else row.measured[0], row.events)
        return (row.events, 0)

    def _new(self) -> _Group:
        return _Group(
            0,
            {name: Numbers(self._pool, ranked=name in self._ranked) for name in self._measured},
            {name: Distinct(self._pool) for name in self._distinct},
        )

    def _row(self, key: tuple[Any, ...], group: _Group) -> Row:
        measured = [
            group.distinct[name].number if measure == "distinct" else group.numbers[name].measure(measure)
            for measure, name in self._asked.measures
        ]
        estimate = not all(distinct.is_exact for distinct in group.distinct.values())
        return Row(key[0], [json.loads(value) for value in key[1:]], group.events, measured, estimate)


def _start(time: float, step: int) -> float:
    """Return the start of the interval around *time*; those of days and more begin at local midnight."""
    if step % _DAY_SECONDS:
        return time // step * step
    days = step // _DAY_SECONDS  # a day in which the clocks are changed has another length
    number = (datetime.fromtimestamp(time).date() - _FIRST_DAY).days // days * days
    return datetime.combine(_FIRST_DAY + timedelta(number), midnight()).timestamp()


def _is_short(value: str | None) -> bool:
    return len(value or "") <= LONGEST_VALUE


def _cut(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    if len(text) > LONGEST_VALUE:
        return json.dumps(text[: LONGEST_VALUE - 1] + "…")
    return json.dumps(value)

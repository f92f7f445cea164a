"""Counts the fields of events and their most frequent values, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

#: How deep objects are searched for fields.
DEPTH = 3

#: How many fields are counted, and how many values of each: the first ones.
MOST_FIELDS, DISTINCT_VALUES = 500, 200

#: How many values of a field are given: the most frequent ones. Longer texts, in characters, are not.
GIVEN_VALUES, LONGEST_VALUE = 20, 200


def paths_in(event: Mapping[str, Any], depth: int = DEPTH, before: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the paths of the fields of *event*, also inside objects, with their values."""
    for name, value in event.items():
        yield before + name, value
        if isinstance(value, dict) and depth > 1:
            yield from paths_in(value, depth - 1, f"{before}{name}.")


class FieldCount(NamedTuple):
    """The events that have a field, and its values.

    Attributes:
        name: The path of the field, as in conditions; that of the values of an array ends with `[]`.
        events: The number of events that have it.
        values: The most frequent values with the number of each, the most frequent first.
        others: The number of values that are not among these.
    """

    name: str
    events: int
    values: list[tuple[Any, int]]
    others: int


class FieldCounts:
    """Counts fields and their values.

    Attributes:
        events: The number of events.
        others: The number of fields of events that are not counted, because there are too many fields.
    """

    def __init__(self) -> None:
        self.events = self.others = 0
        self._fields: dict[str, _Field] = {}

    def add(self, event: Mapping[str, Any]) -> None:
        """Count the fields of *event*."""
        self.events += 1
        for name, value in paths_in(event):
            if isinstance(value, list):
                name, values = f"{name}[]", value
            else:
                values = [value]
            field = self._fields.get(name)
            if field is None:
                if len(self._fields) >= MOST_FIELDS:
                    self.others += 1
                    continue
                field = self._fields[name] = _Field()
            field.add(values)

    def most_frequent(self) -> list[FieldCount]:
        """Return the fields, those of most events first."""
        found = [field.count(name) for name, field in self._fields.items()]
        return sorted(found, key=lambda count: (-count.events, count.name))


class _Field:
    def __init__(self) -> None:
        self._events = self._values = 0
        self._counts: dict[tuple[type, Any], int] = {}

    def add(self, values: list[Any]) -> None:
        self._events += 1
        for value in values:
            if isinstance(value, dict | list):
                continue
            self._values += 1
            if isinstance(value, str) and len(value) > LONGEST_VALUE:
                continue
            key = type(value), value  # 1 and true are equal
            if key in self._counts:
                self._counts[key] += 1
            elif len(self._counts) < DISTINCT_VALUES:
                self._counts[key] = 1

    def count(self, name: str) -> FieldCount:
        given = sorted(self._counts.items(), key=lambda item: -item[1])[:GIVEN_VALUES]
        values = [(value, number) for (_, value), number in given]
        return FieldCount(name, self._events, values, self._values - sum(number for _, number in given))

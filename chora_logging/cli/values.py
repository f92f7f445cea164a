"""The values of fields by which events are counted and measured."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from chora_logging.errors import ConfigurationError
from chora_logging.eventlog import comparing
from chora_logging.eventlog.comparing import number_of, values_at
from chora_logging.eventlog.conditions import parse_path
from chora_logging.eventlog.equal_events import can_count
from chora_logging.eventlog.meaning import TYPE, Meaning
from chora_logging.eventlog.times import LONGEST_DURATION_MS

#: The fields that stand for what they mean, and its name in `meaning`.
_MEANINGS = {"event": "event", "level": "level", "trace_id": "trace", "duration_ms": "duration"}

#: A number of this size or more is taken for an error.
LARGEST_NUMBER = 1e300


#: Whole numbers from 0 up to this one are durations in milliseconds, too.
LARGEST = int(LONGEST_DURATION_MS)


def keys_of(fields: Iterable[str], meaning: Meaning) -> frozenset[str]:
    """Return the keys of an event on which depend the values and numbers of *fields*."""
    keys: set[str] = set()
    for field in fields:
        keys |= {field} | comparing.keys_of(_path(field))
        if field in _MEANINGS:
            keys |= meaning.keys(_MEANINGS[field])
    return frozenset(keys)


def kinds_of(fields: Iterable[str], numbers: Collection[str], meaning: Meaning) -> dict[str, Any] | None:
    """Return the types that the `keys_of` *fields* have in events that can be counted by `EqualEvents`.

    Those of *numbers* are numbers, others text, and other names of what a field means are missing. None if
    one is a path, or may not be the name of a field.
    """
    fields = frozenset(fields)
    if not fields or not all(map(can_count, fields)) or any(map(_path, fields)):
        return None
    kinds: dict[str, Any] = dict.fromkeys(fields, str)
    for field in fields & _MEANINGS.keys():
        name = _MEANINGS[field]
        usual = meaning.keys(name) if field == "level" else {meaning.names(name)[0]}
        others = dict.fromkeys(meaning.keys(name) - kinds.keys() - usual - {TYPE})
        kinds = dict.fromkeys(usual | meaning.keys(name) & {TYPE}, str) | others | kinds
    return kinds | dict.fromkeys(fields & set(numbers), int | float)


def reader_of(field: str, meaning: Meaning) -> Callable[[Mapping[str, Any]], Any]:
    """Return the function that returns the `value_of` *field* in an event."""
    if field == "event":
        return meaning.event_of
    return lambda event: value_of(event, field, meaning)


def value_of(event: Mapping[str, Any], field: str, meaning: Meaning) -> Any:
    """Return the value of *field* in *event*; None without one, a list if a path reaches several.

    Our own names stand for what they mean, as in the filters: `event`, `level` and `trace_id`.
    """
    if field == "event":
        return meaning.event_of(event)
    value = event.get(field)
    if value is None and field in ("level", "trace_id"):
        return meaning.level_of(event) if field == "level" else meaning.trace_of(event)
    if value is None and field not in event and (path := _path(field)):
        values = values_at(event, path)
        return values[0] if len(values) == 1 and "" not in path else values or None
    return value


def numbers_of(event: Mapping[str, Any], field: str, meaning: Meaning) -> tuple[list[float], int]:
    """Return the numbers of *field* in *event*, and how many of its values are none.

    `duration_ms` stands for the duration, whatever it is called.
    """
    if field == "duration_ms" and (duration := meaning.duration_of(event)) is not None:
        return [duration], 0
    value = value_of(event, field, meaning)
    values = value if isinstance(value, list) else [] if value is None else [value]
    read = [number_of(value) for value in values]
    numbers = [number for number in read if number is not None and abs(number) < LARGEST_NUMBER]
    return numbers, len(values) - len(numbers)


def is_plain(field: str, meaning: Meaning) -> bool:
    """Return whether a whole number from 0 to `LARGEST` that an event has as *field* is its only number."""
    return field not in _MEANINGS or (field == "duration_ms" and meaning.names("duration")[0] == field)


@functools.cache
def _path(field: str) -> tuple[str, ...]:
    try:
        path = parse_path(field)
    except ConfigurationError:
        return ()
    return path if len(path) > 1 else ()

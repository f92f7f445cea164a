"""Tests whether events meet conditions, and finds what their lines must contain."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from chora_logging.errors import ConfigurationError
from chora_logging.eventlog.conditions import Condition
from chora_logging.eventlog.meaning import UNITS, Meaning
from chora_logging.eventlog.patterns import Pattern, PatternError
from chora_logging.eventlog.prefilter import Names, can_find, can_find_name, in_json, is_whole, sure_part
from chora_logging.eventlog.severities import severity
from chora_logging.eventlog.times import DURATION_UNITS, milliseconds, parse_iso, seconds
from chora_logging.eventlog.values import equals, text_of

Fields = Mapping[str, Any]
Test = Callable[[Any], bool]
#: Returns whether a value meets a condition; None if it cannot be compared.
Comparison = Callable[[Any], bool | None]

#: What the name of a condition's field gets before it among the names of what was asked for.
WHERE = "where "

_ORDERS: dict[str, Callable[[Any, Any], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}

_NUMBER = re.compile(r"[+-]?(?:\d{1,400}(?:\.\d{0,400})?|\.\d{1,400})(?:[eE][+-]?\d{1,5})?", re.ASCII)
_WHOLE = re.compile(r"[+-]?\d{1,400}", re.ASCII)
_UNIT = "|".join(sorted(DURATION_UNITS, key=len, reverse=True))
_DURATION = re.compile(rf"(?:[\d.]+ ?(?:{_UNIT}) ?)+", re.ASCII)


@dataclass
class Asked:
    """The events that a filter by level or time, or a condition on a field, was asked about.

    Attributes:
        events: The number of events; for a condition, of those that have the field.
        unreadable: The number of those whose level or time cannot be read, or whose value cannot be
            compared. The filter passed them over.
        is_there: Whether a line has the field of the condition; None if no line was looked at.
    """

    events: int = 0
    unreadable: int = 0
    is_there: bool | None = None


class Conditions:
    """Several conditions, which an event must meet; those on one field may be alternatives.

    Args:
        conditions: The conditions.
        meaning: Says which fields are levels.
        asked: Gets what was asked about each field, by its name after `WHERE`.

    Attributes:
        tests: The tests, each of which an event must pass.
        values: What the line of such an event must contain, for a `Prefilter`.
        texts: What it must contain in any case.
        exponents: The fields that may have a number among *values* with an exponent.
        keys: The keys of an event on which the tests depend.

    Raises:
        ConfigurationError: a value is of no use with its operator.
    """

    def __init__(self, conditions: Iterable[Condition], meaning: Meaning, asked: dict[str, Asked]) -> None:
        self.values: list[bytes] = []
        self.texts: list[str] = []
        self.exponents: list[str] = []
        self.tests: list[Test] = []
        self.keys: set[str] = set()
        self._names: list[tuple[Names, Asked]] = []
        alternatives: dict[tuple[str, ...], list[Condition]] = {}
        for condition in conditions:
            found = asked.setdefault(WHERE + condition.field, Asked())
            self._names.append((Names(condition.path), found))
            self.keys |= keys_of(condition.path)
            if condition.is_alternative:
                alternatives.setdefault(condition.path, []).append(condition)
            else:
                self.tests.append(_test(condition, meaning, found))
        for group in alternatives.values():
            tests = [_test(condition, meaning, Asked()) for condition in group]
            self.tests.append(tests[0] if len(tests) == 1 else _any(tests))
            if len(group) == 1:
                self._narrow(group[0], meaning)

    def look(self, chunk: bytes) -> None:
        """Note which fields the lines of *chunk* have."""
        for names, asked in self._names.copy():
            asked.is_there = asked.is_there or names.are_in(chunk)
            if asked.is_there:
                self._names.remove((names, asked))

    def _narrow(self, condition: Condition, meaning: Meaning) -> None:
        value = condition.value
        if condition.operator == ":" or (condition.operator == "=" and _is_level(condition, meaning)):
            self.texts += filter(None, [sure_part(value.casefold())])
        elif condition.operator == "~=":
            self.values += filter(None, [sure_part(_pattern(condition).literal).encode()])
        elif can_find(value) and _time_in(condition) is None:
            if is_whole(value) and not condition.is_quoted:
                if not condition.path[-1] or not can_find_name(condition.path[-1]):
                    return
                self.exponents.append(condition.path[-1])
            self.values.append(in_json(value))


def _any(tests: list[Test]) -> Test:
    return lambda event: any(test(event) for test in tests)


def keys_of(path: tuple[str, ...]) -> set[str]:
    """Return the keys of an event on which depends what is at *path*; see `values_at`."""
    names = path.index("") if "" in path else len(path)
    return {".".join(path[:length]) for length in range(1, names + 1)}


def values_at(event: Fields, path: tuple[str, ...]) -> list[Any]:
    """Return the values at *path* in *event*: a name with dots, a way into objects, members of arrays."""
    if len(path) == 1:
        return [event[path[0]]] if path[0] in event else []
    if len(path) == 2 and path[1]:  # most paths; a generator would take three times as long
        name, inner = ".".join(path), event.get(path[0])
        found = [event[name]] if name in event else []
        return [*found, inner[path[1]]] if isinstance(inner, Mapping) and path[1] in inner else found
    return list(_values(event, path))


def _values(inner: Any, path: tuple[str, ...]) -> Iterator[Any]:
    if not path:
        yield inner
    elif not path[0]:
        if isinstance(inner, list):
            for member in inner:
                yield from _values(member, path[1:])
    elif isinstance(inner, Mapping):
        names = path.index("") if "" in path else len(path)
        for length in range(names, 0, -1):
            name = ".".join(path[:length])
            if name in inner:
                yield from _values(inner[name], path[length:])


def _test(condition: Condition, meaning: Meaning, asked: Asked) -> Test:
    """Return the test of an event."""
    path = condition.path
    is_met = _comparison(condition, meaning)
    test: Test
    if condition.operator == "!=":

        def test(event: Fields) -> bool:
            values = values_at(event, path)
            return bool(values) and not any(map(is_met, values))

    elif condition.operator in _ORDERS:

        def test(event: Fields) -> bool:
            values = values_at(event, path)
            if not values:
                return False
            asked.events += 1
            can_compare = False
            for value in values:
                verdict = is_met(value)
                if verdict:
                    return True
                can_compare = can_compare or verdict is not None
            asked.unreadable += not can_compare
            return False

    elif len(path) == 1:
        name, missing = path[0], object()

        def test(event: Fields) -> bool:
            value = event.get(name, missing)
            return value is not missing and bool(is_met(value))

    else:

        def test(event: Fields) -> bool:
            return any(map(is_met, values_at(event, path)))

    return (lambda event: not test(event)) if condition.negated else test


def _comparison(condition: Condition, meaning: Meaning) -> Comparison:
    if condition.operator == "~=":
        return _search(condition)
    if condition.operator == ":":
        part = condition.value.casefold()
        return lambda value: part in text_of(value).casefold()
    if condition.operator in _ORDERS:
        return _ordered(condition, meaning)
    return _equal_level(condition) if _is_level(condition, meaning) else _equal(condition)


def _is_level(condition: Condition, meaning: Meaning) -> bool:
    name = condition.value
    is_named = condition.field in meaning.names("level") and name.isalpha() and not condition.is_quoted
    return is_named and severity(name) is not None


def _equal_level(condition: Condition) -> Test:
    name = condition.value.casefold()
    return lambda value: isinstance(value, str) and value.casefold() == name


def _search(condition: Condition) -> Test:
    search = _pattern(condition).search

    def is_found(value: Any) -> bool:
        try:
            return search(text_of(value))
        except PatternError as error:
            raise _refused(condition, error) from None

    return is_found


def _pattern(condition: Condition) -> Pattern:
    try:
        return Pattern(condition.value)
    except PatternError as error:
        raise _refused(condition, error) from None


def _refused(condition: Condition, error: PatternError) -> ConfigurationError:
    rule = f"a regular expression such as {condition.field[:80]}~=time.?out ({error})"
    return ConfigurationError("where", condition.value, rule)


def _number_in(condition: Condition) -> int | float | None:
    return None if condition.is_quoted else number_of(condition.value)


def _time_in(condition: Condition) -> float | None:
    text = condition.value
    return seconds(text) if not condition.is_quoted and parse_iso(text) is not None else None


def number_of(value: object) -> int | float | None:
    """Return *value*, a number or one as text, as a number; None if it is none."""
    if isinstance(value, str):
        if not _NUMBER.fullmatch(value):
            return None
        return int(value) if _WHOLE.fullmatch(value) else float(value)
    if isinstance(value, float):
        return None if math.isnan(value) else value
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _equal(condition: Condition) -> Test:
    is_same = equals(condition.value)
    number, time = _number_in(condition), _time_in(condition)
    if number is not None:
        # Text equals only the same text: 007 is not 7.
        return lambda value: (
            is_same(value)
            or (isinstance(value, int | float) and not isinstance(value, bool) and value == number)
        )
    if time is not None:
        return lambda value: is_same(value) or (isinstance(value, str) and seconds(value) == time)
    return is_same


def _ordered(condition: Condition, meaning: Meaning) -> Comparison:
    compare, text = _ORDERS[condition.operator], condition.value
    read: Callable[[Any], Any]
    bound: Any
    if (bound := _number_in(condition)) is not None:
        read = number_of
    elif (bound := _time_in(condition)) is not None:
        read = seconds
    elif not condition.is_quoted and _DURATION.fullmatch(text):
        unit = UNITS.get(condition.field, 1.0)
        bound = milliseconds(text)

        def read(value: Any) -> float | None:
            return milliseconds(value, unit)

    elif condition.field in meaning.names("level") and severity(text) is not None:
        bound = severity(text)

        def read(value: Any) -> int | None:
            return severity(value) if isinstance(value, str | int) and not isinstance(value, bool) else None

    else:
        bound = text

        def read(value: Any) -> str | None:
            return value if isinstance(value, str) else None

    if bound is None:
        raise ConfigurationError("where", text, "a duration such as 1.5s, or a number of milliseconds")

    def is_ordered(value: Any) -> bool | None:
        found = read(value)
        if found is None:
            return False if value is None else None
        return compare(found, bound)

    return is_ordered


def missing(asked: Mapping[str, Asked]) -> list[str]:
    """Return the fields of conditions that no line has, of those that were read."""
    return [name.removeprefix(WHERE) for name, found in asked.items() if found.is_there is False]

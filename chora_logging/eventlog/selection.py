"""Filters events."""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any

from chora_logging.errors import ConfigurationError
from chora_logging.eventlog.comparing import Asked, Conditions, missing
from chora_logging.eventlog.conditions import Condition, parse_conditions
from chora_logging.eventlog.decoding import few_fields
from chora_logging.eventlog.events import Event, strict_json
from chora_logging.eventlog.meaning import USUAL, Meaning
from chora_logging.eventlog.prefilter import Prefilter, can_find, can_find_text, in_json
from chora_logging.eventlog.quick_tests import QuickTest, Test, at_least, between
from chora_logging.eventlog.severities import severity
from chora_logging.eventlog.texts import Text
from chora_logging.eventlog.times import parse_iso
from chora_logging.eventlog.values import as_json
from chora_logging.schema import LEVELS

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_AGO = re.compile(r"(\d{1,9})([smhdw])", re.ASCII)

Fields = Mapping[str, Any]

_WHERE_RULE = 'a mapping such as {"user_id": 7}, or expressions such as "duration_ms>=1000"'

#: What selects by other fields: values by name, one expression, or several; see `conditions`.
Where = Mapping[str, object] | str | Iterable[str]


class Selection:
    """A filter: an event matches if it satisfies every argument that is not None.

    Values compare as strings, so that a task id matches whether it was logged as a number, a UUID or a
    string. `true`, `false`, `null`, a list or an object also match in JSON notation. A line whose bytes
    cannot contain a value is not decoded, so it is not reported if it is malformed. `chora-logging
    check` examines every line.

    Args:
        task_id: The field `task_id`.
        run_id: The field `run_id`.
        trace_id: The field `trace_id`, or another name of it (see `meaning`).
        event: The field `event` or `event_type`, or another name of it.
        level: The lowest level, a name or a number. An event without a level counts as ERROR if it failed
            (see `Meaning.is_error`), else as INFO if it is typed. An unknown name passes.
        status: The field `status`.
        since: The earliest time: a datetime, an ISO 8601 string (local time if it has no zone), or an
            age such as `"15m"`, `"24h"`, `"7d"`.
        until: The end of the range, exclusive, in the same forms.
        where: Other fields: a mapping of their names and values, an expression such as
            `"duration_ms>=1000"`, or several; see `conditions`.
        text: A part of the line as people see it, with the escapes of JSON resolved, in any case.
        meaning: Says which fields are the time, the level, the name and the trace.
        asked: Counts, by "level", "time" and the field of each expression after "where ", the events of
            which these filters cannot know whether they match. They pass them over, but unknown is not
            no.

    Attributes:
        narrows: Whether it has a filter, so that some events may not match.
        prefilter: Finds the lines that can match; None if all can.
        keys: The keys of an event that `sift` reads.
        text: The text; None without one.
        since: The earliest time, in seconds since 1970; None without one.
        meaning: That of the arguments.
        raw: Whether lines that are not events are given too, each as a `RawLine`.
        unended: Whether a last line without its newline is given too, if it is whole; see `last_line`.

    Raises:
        ConfigurationError: an argument is invalid.
    """

    raw = unended = False

    def __init__(
        self,
        *,
        task_id: object = None,
        run_id: object = None,
        trace_id: object = None,
        event: object = None,
        level: str | int | None = None,
        status: object = None,
        since: datetime | str | None = None,
        until: datetime | str | None = None,
        where: Where | None = None,
        text: str | None = None,
        meaning: Meaning = USUAL,
        asked: dict[str, Asked] | None = None,
    ) -> None:
        self.asked: dict[str, Asked] = {} if asked is None else asked
        self.meaning = meaning
        given = [("task_id", task_id), ("run_id", run_id), ("status", status), *_named(where)]
        self._fields = [(name, str(value)) for name, value in given if value is not None]
        self._expressions = _expressions(where)
        self._other_tests: list[Test] = []
        self._other_values: list[bytes] = []
        self._other_keys: set[str] = set()
        if event is not None:
            value = str(event)
            self._other_tests.append(_means(meaning.names("event"), meaning.event_of, value))
            self._other_keys |= meaning.keys("event")
            self._other_values += [in_json(value)] if can_find(value) else []
        if trace_id is not None:
            value = str(trace_id)
            self._other_tests.append(_means(meaning.names("trace")[:1], meaning.trace_of, value))
            self._other_keys |= meaning.keys("trace")
            # The id may be the last part of a path.
            self._other_values += [in_json(value).lstrip(b'"')] if can_find(value) else []
        self._level: QuickTest | None = None
        if level is not None:
            self._level = at_least(_least(level), meaning, self.asked.setdefault("level", Asked()))
        self.since: float | None = _limit("since", since)
        self._time: QuickTest | None = None
        if since is not None or until is not None:
            limits = self.since, _limit("until", until)
            self._time = between(*limits, meaning, self.asked.setdefault("time", Asked()))
        self.text: Text | None = None if text is None else Text(text)
        self._combine()

    def _combine(self) -> None:
        self._conditions = Conditions(self._expressions, self.meaning, self.asked)
        exact = [*(_equal((name,), value) for name, value in self._fields), *self._conditions.tests]
        exact += self._other_tests
        # First the time: of an event at another time, nothing else is asked.
        before, after = ([] if quick is None else [quick] for quick in (self._time, self._level))
        self._tests = [*(quick.test for quick in before), *exact, *(quick.test for quick in after)]
        self._sieves = [*(quick.sieve for quick in before), *exact, *(quick.sieve for quick in after)]
        self._is_level_alone = not exact and not before
        self.narrows: bool = bool(self._tests) or self.text is not None
        names = {name for name, _ in self._fields} | {quick.key for quick in (*before, *after)}
        self.keys: frozenset[str] = frozenset(names | self._conditions.keys | self._other_keys)
        # A value is searched in the whole line, so that it does not matter which field has it.
        values = [in_json(value) for _, value in self._fields if can_find(value)]
        values += [*self._other_values, *self._conditions.values]
        texts = [*self._conditions.texts, *([] if self.text is None else [self.text.folded])]
        texts = [text for text in texts if can_find_text(text)]
        self.prefilter: Prefilter | None = None
        if values or texts:
            self.prefilter = Prefilter(values, texts, self._conditions.exponents)

    def value_of(self, name: str) -> str | None:
        """Return the value that the field *name* must have, if it is the only one that can match."""
        values = [value for field, value in self._fields if field == name]
        asked = [each for each in self._expressions if each.path == (name,) and each.is_alternative]
        if len(asked) == 1 and asked[0].operator == "=":
            values.append(asked[0].value)
        return values[0] if len(values) == 1 else None

    def split(self, names: Collection[str]) -> tuple[Selection, Selection]:
        """Return the filters by the fields *names*, and the rest, which counts in the same *asked*."""
        by_names, rest = copy.copy(self), copy.copy(self)
        by_names._fields = [(name, value) for name, value in self._fields if name in names]
        by_names._expressions = [each for each in self._expressions if each.path[0] in names]
        by_names._other_tests, by_names._other_values, by_names.text = [], [], None
        by_names._other_keys, by_names._level, by_names._time = set(), None, None
        rest._fields = [(name, value) for name, value in self._fields if name not in names]
        rest._expressions = [each for each in self._expressions if each.path[0] not in names]
        by_names._combine()
        rest._combine()
        return by_names, rest

    def begin_trace(self, prefix: str) -> None:
        """Have only events match whose trace id is, or begins with, *prefix*."""
        trace_of = self.meaning.trace_of
        is_whole = _means(self.meaning.names("trace")[:1], trace_of, prefix)
        self._other_tests.append(lambda event: is_whole(event) or (trace_of(event) or "").startswith(prefix))
        self._other_keys |= self.meaning.keys("trace")
        self._other_values += [prefix.encode()] if can_find(prefix) else []
        self._combine()

    def without_text(self) -> Selection:
        """Return the same filters without the text."""
        rest = copy.copy(self)
        rest.text = None
        rest._combine()
        return rest

    @property
    def test(self) -> Test | None:
        """The same as `has_fields`, as fast as can be; None if all events pass."""
        if not self._tests:
            return None
        return self._tests[0] if len(self._tests) == 1 else self.has_fields

    def sift(self, fields: Fields) -> bool | Test:
        """Return whether an event matches of which only the `keys` are known, whatever its text.

        Where these do not decide, return what is left to test of the whole event.
        """
        for number, sieve in enumerate(self._sieves):
            verdict = sieve(fields)
            if verdict is None:
                return self._rest(number)
            if not verdict:
                return False
        return True

    def sift_lines(self, lines: Sequence[bytes]) -> Iterable[bool | Test] | None:
        """Return what `sift` says of each of *lines*, in valid UTF-8; None if it is of no use for them."""
        verdicts = self.levels_of(lines)
        if verdicts is not None:
            test = self._tests[0]
            return [test if verdict is None else verdict for verdict in verdicts]
        few = few_fields(self.keys)
        found = None if few is None else few.of(lines)
        return None if found is None else map(self.sift, found)

    @property
    def level_keys(self) -> frozenset[str]:
        """The keys of an event on which depends whether its level is high enough."""
        return frozenset() if self._level is None else self._level.keys

    def levels_of(self, lines: Sequence[bytes]) -> Sequence[bool | None] | None:
        """Return whether *lines*, in valid UTF-8, match if only their levels are asked for.

        None stands for a line that must be tested. Without another filter it is the fastest way.

        Returns:
            None if there are other filters, or if it is of no use.
        """
        if self._level is None or not self._is_level_alone:
            return None
        return self._level.of_lines(lines)

    def passes_over(self, lines: Sequence[bytes]) -> bool:
        """Return whether none of *lines*, in valid UTF-8, can match by its time; False is no answer."""
        return self._time is not None and self._time.passes_over(lines)

    def _rest(self, first: int) -> Test:
        tests = self._tests[first:]
        return tests[0] if len(tests) == 1 else lambda event: all(test(event) for test in tests)

    @property
    def unreadable(self) -> dict[str, int]:
        """The number of events that were passed over because they cannot be read, by what was asked for.

        That is "level", "time", or "where " and the field of an expression whose values were numbers and
        text, say, and so cannot be compared.
        """
        return {name: asked.unreadable for name, asked in self.asked.items() if asked.unreadable}

    @property
    def missing(self) -> list[str]:
        """The fields of expressions that no line has, of those that were read."""
        return missing(self.asked)

    def look(self, chunk: bytes) -> None:
        """Note which of the fields in expressions the lines of *chunk* have."""
        self._conditions.look(chunk)

    def matches(self, event: Fields) -> bool:
        """Return whether *event* matches."""
        if self.text is not None:
            line = event.json if isinstance(event, Event) else strict_json(event)
            if not self.text.is_in(line):
                return False
        return self.has_fields(event)

    def has_fields(self, event: Fields) -> bool:
        """Return whether the fields of *event* match, whatever its text."""
        for test in self._tests:  # noqa: SIM110  # twice as fast as `all`
            if not test(event):
                return False
        return True


def _named(where: Where | None) -> list[tuple[str, object]]:
    return [(name, where[name]) for name in where] if isinstance(where, Mapping) else []


def _expressions(where: Where | None) -> list[Condition]:
    if where is None or isinstance(where, Mapping):
        return []
    if not isinstance(where, Iterable) or isinstance(where, bytes):
        raise ConfigurationError("where", where, _WHERE_RULE)
    return parse_conditions(where)


def parse_time(name: str, value: datetime | str) -> float:
    """Return the time *value*, in seconds since 1970.

    Args:
        name: The name of the setting for the error message.
        value: A datetime, an ISO 8601 string or an age such as `"15m"`.

    Raises:
        ConfigurationError: *value* is not a time.
    """
    moment: datetime | str | None = value
    if isinstance(value, str):
        text = value.strip()
        if ago := _AGO.fullmatch(text):
            try:
                elapsed = timedelta(**{_UNITS[ago[2]]: int(ago[1])})
                return (datetime.now(timezone.utc) - elapsed).timestamp()
            except OverflowError:
                return float("-inf")
        moment = parse_iso(text)
    if not isinstance(moment, datetime):
        allowed = 'a datetime, ISO 8601 ("2025-09-28T08:54:11Z") or a time ago ("15m", "24h", "7d")'
        raise ConfigurationError(name, value, allowed)
    try:
        return moment.timestamp()
    except (OverflowError, ValueError):  # at either end of the datetime range, in local time
        return math.copysign(math.inf, moment.year - 5000)


def _limit(name: str, value: datetime | str | None) -> float | None:
    return None if value is None else parse_time(name, value)


def _equal(names: tuple[str, ...], text: str) -> Test:
    meant = as_json(text)

    def is_equal(event: Fields) -> bool:
        for name in names:
            value = event.get(name, is_equal)
            if value is is_equal:
                continue
            if value == text or str(value) == text or (value == meant and type(value) is type(meant)):
                return True
        return False

    return is_equal


def _means(names: tuple[str, ...], answer: Callable[[Fields], Any], text: str) -> Test:
    is_equal = _equal(names, text)

    def means(event: Fields) -> bool:
        # First the fields themselves: a value that is not text has several forms.
        return is_equal(event) or answer(event) == text

    return means


def _least(level: str | int) -> int:
    number = severity(level) if isinstance(level, str | int) and not isinstance(level, bool) else None
    if number is None:
        raise ConfigurationError("level", level, f"a number or one of {', '.join(LEVELS)}")
    return number

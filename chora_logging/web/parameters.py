"""Parses and checks the query string of a request."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

from chora_logging.errors import ConfigurationError, CursorError
from chora_logging.eventlog.histogram import parse_interval
from chora_logging.eventlog.meaning import Meaning
from chora_logging.eventlog.selection import Selection
from chora_logging.eventlog.several import check_cursor, decode
from chora_logging.eventlog.source import Source
from chora_logging.web.limits import (
    DEFAULT_LIMITS,
    LONGEST_QUERY_BYTES,
    MOST_PARAMETERS,
    MOST_SAMPLED,
    MOST_TRACES,
    SAMPLED,
    TRACES,
    Limits,
)
from chora_logging.web.responses import Refusal

#: The filters of `Selection` that have one value each; *where* can be repeated and is handled apart.
FILTERS = ("task_id", "run_id", "trace_id", "event", "level", "status", "since", "until", "text")


_INTERVAL = re.compile(r"[1-9]\d{0,2}[smhd]", re.ASCII)


class PageQuery(NamedTuple):
    """The parsed query of a page: filters by the meaning of a log, cursor, limit and order."""

    selection: Callable[[Meaning], Selection]
    after: str | None
    limit: int
    newest_first: bool
    has_cursors: bool
    is_repeatable: bool


class StreamQuery(NamedTuple):
    """The parsed query of a stream: filters, and a cursor, `"end"`, or None for the beginning."""

    selection: Callable[[Meaning], Selection]
    after: str | None


def page_query(query: bytes, logs: Mapping[str, Source], limits: Limits = DEFAULT_LIMITS) -> PageQuery:
    """Parse the query of a page of *logs*.

    Raises:
        Refusal: a parameter is unknown, repeated or invalid.
    """
    parameters = _Parameters(query, (*FILTERS, "where", "after", "limit", "order", "cursors"))
    return PageQuery(
        parameters.checked_selection(logs.values()),
        parameters.after(logs),
        parameters.whole("limit", limits.page, limits.largest_page),
        parameters.choice("order", ("asc", "desc")) == "desc",
        parameters.choice("cursors", ("false", "true")) == "true",
        parameters.is_repeatable(),
    )


def stream_query(query: bytes, logs: Mapping[str, Source]) -> StreamQuery:
    """Parse the query of a stream of *logs*.

    Raises:
        Refusal: a parameter is unknown, repeated or invalid.
    """
    parameters = _Parameters(query, (*FILTERS, "where", "after", "from"))
    start = "end" if parameters.choice("from", ("start", "end")) == "end" else None
    return StreamQuery(parameters.checked_selection(logs.values()), parameters.after(logs) or start)


class EventQuery(NamedTuple):
    """The parsed path and query of one event: its cursor, and how many events before and after it."""

    cursor: str
    before: int
    after: int


def event_query(query: bytes, cursor: str, log: Source, limits: Limits = DEFAULT_LIMITS) -> EventQuery:
    """Parse the query of an event of *log*, and check its *cursor*.

    Raises:
        Refusal: the cursor is none, or a parameter is unknown, repeated or invalid.
    """
    parameters = _Parameters(query, ("before", "after"))
    _check("the cursor", cursor, log.check_cursor)
    most = limits.largest_page
    return EventQuery(
        cursor, parameters.whole("before", 0, most, least=0), parameters.whole("after", 0, most, least=0)
    )


class HistogramQuery(NamedTuple):
    """The parsed query of a histogram: the filter, cursors, and the length of the intervals in seconds.

    Events after the cursor *to* are not counted; without *after* the count begins there.
    """

    selection: Callable[[Meaning], Selection]
    after: str | None
    to: str | None
    step: int | None
    is_repeatable: bool


def histogram_query(query: bytes, logs: Mapping[str, Source]) -> HistogramQuery:
    """Parse the query of a histogram of *logs*.

    Raises:
        Refusal: a parameter is unknown, repeated or invalid.
    """
    parameters = _Parameters(query, (*FILTERS, "where", "after", "to", "step"))
    return HistogramQuery(
        parameters.checked_selection(logs.values()),
        parameters.after(logs),
        parameters.cursor(lambda value: check_cursor(value, logs), "to"),
        parameters.interval("step"),
        parameters.is_repeatable(),
    )


class FieldsQuery(NamedTuple):
    """The parsed query of the fields: the filter and the number of events."""

    selection: Selection
    limit: int
    is_repeatable: bool


def fields_query(query: bytes, log: Source) -> FieldsQuery:
    """Parse the query of the fields of *log*.

    Raises:
        Refusal: a parameter is unknown, repeated or invalid.
    """
    parameters = _Parameters(query, (*FILTERS, "where", "limit"))
    limit = parameters.whole("limit", SAMPLED, MOST_SAMPLED)
    return FieldsQuery(parameters.selection(log.meaning), limit, parameters.is_repeatable())


class TracesQuery(NamedTuple):
    """The parsed query of ids of traces: what they begin with, a cursor, and their number."""

    prefix: str
    after: str | None
    limit: int


def traces_query(query: bytes, logs: Mapping[str, Source]) -> TracesQuery:
    """Parse the query of the ids of traces in *logs*.

    Raises:
        Refusal: a parameter is unknown, repeated or invalid.
    """
    parameters = _Parameters(query, ("prefix", "after", "limit"))
    after = parameters.cursor(lambda value: decode(value, logs))
    return TracesQuery(parameters.text("prefix"), after, parameters.whole("limit", TRACES, MOST_TRACES))


class TraceQuery(NamedTuple):
    """The parsed query of a trace: cursor and limit."""

    after: str | None
    limit: int


def trace_query(query: bytes, logs: Mapping[str, Source], limits: Limits = DEFAULT_LIMITS) -> TraceQuery:
    """Parse the query of a trace in *logs*.

    Raises:
        Refusal: a parameter is unknown, repeated or invalid.
    """
    parameters = _Parameters(query, ("after", "limit"))
    most = limits.largest_page
    after = parameters.cursor(lambda value: decode(value, logs))
    return TraceQuery(after, parameters.whole("limit", most, most))


class _Parameters:
    """The parameters of one request; an empty one counts as absent, because forms send empty fields."""

    def __init__(self, query: bytes, allowed: Iterable[str]) -> None:
        if len(query) > LONGEST_QUERY_BYTES:
            raise Refusal(
                414, "query_too_long", f"the query has {len(query)} bytes, {LONGEST_QUERY_BYTES} are allowed"
            )
        known = tuple(allowed)
        self.where: list[str] = []
        self._values: dict[str, str] = {}
        for name, value in _pairs(query):
            if name not in known:
                raise _refused("unknown_parameter", name, f"is unknown; use {', '.join(known)}")
            if not value:
                continue
            if name == "where":
                self.where.append(value)
            elif self._values.setdefault(name, value) != value:
                raise _refused("invalid_parameter", name, "must be given once")

    def selection(self, meaning: Meaning) -> Selection:
        filters: dict[str, Any] = {name: self._values.get(name) for name in FILTERS}
        level = filters["level"] or ""
        if level.isdecimal() and len(level) < 10:
            filters["level"] = int(level)
        try:
            return Selection(**filters, where=self.where, meaning=meaning)
        except ConfigurationError as error:
            raise refused(error) from None

    def checked_selection(self, logs: Iterable[Source]) -> Callable[[Meaning], Selection]:
        """Return `selection` if it is valid for each of *logs*."""
        for log in logs:
            self.selection(log.meaning)
        return self.selection

    def after(self, logs: Mapping[str, Source]) -> str | None:
        """Return the cursor *after*, of one log or of several."""
        return self.cursor(lambda value: check_cursor(value, logs))

    def cursor(self, check: Callable[[str], object], name: str = "after") -> str | None:
        value = self._values.get(name)
        if value is not None:
            _check(name, value, check)
        return value

    def text(self, name: str) -> str:
        return self._values.get(name, "")

    def interval(self, name: str) -> int | None:
        value = self._values.get(name)
        if value is None:
            return None
        if not _INTERVAL.fullmatch(value):
            rule = f"must be a length of time such as 30s, 1m, 1h or 1d, up to 999d, got {_shown(value)}"
            raise _refused("invalid_parameter", name, rule)
        return parse_interval(value)

    def is_repeatable(self) -> bool:
        """Return whether the same query means the same later; False with a relative time such as `15m`."""
        return not any(self._values.get(name, "")[-1:].islower() for name in ("since", "until"))

    def whole(self, name: str, default: int, most: int, *, least: int = 1) -> int:
        value = self._values.get(name)
        if value is None:
            return default
        if value.isascii() and value.isdigit() and len(value) < 10 and least <= int(value) <= most:
            return int(value)
        rule = f"must be a whole number from {least} to {most}, got {_shown(value)}"
        raise _refused("invalid_parameter", name, rule)

    def choice(self, name: str, choices: tuple[str, ...]) -> str:
        value = self._values.get(name, choices[0])
        if value not in choices:
            raise _refused("invalid_parameter", name, f"must be {' or '.join(choices)}, got {_shown(value)}")
        return value


def refused(error: ConfigurationError) -> Refusal:
    """Return the refusal of a filter that is invalid, or that turns out to take too much time."""
    return _refused("invalid_parameter", error.name, f"must be {error.allowed}, got {_shown(error.value)}")


def _check(name: str, value: str, check: Callable[[str], object]) -> None:
    try:
        check(value)
    except CursorError:
        rule = f"must be an unchanged cursor of an event or a page, got {_shown(value)}"
        raise Refusal(422, "invalid_parameter", f"{name} {rule}") from None


def _pairs(query: bytes) -> list[tuple[str, str]]:
    try:
        text = query.decode("ascii", "replace")
        return parse_qsl(text, keep_blank_values=True, max_num_fields=MOST_PARAMETERS)
    except ValueError:
        raise Refusal(
            422, "invalid_parameter", f"the query must have at most {MOST_PARAMETERS} parameters"
        ) from None


def _refused(error: str, name: str, rule: str) -> Refusal:
    return Refusal(422, error, f"{_name(name)} {rule}")


def _name(name: str) -> str:
    return name if name.isidentifier() and len(name) <= 40 else f"the parameter {_shown(name)}"


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "…"

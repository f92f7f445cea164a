"""Parses and checks the query string of a request."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

from chora_logging.errors import ConfigurationError, CursorError
from chora_logging.eventlog.meaning import Meaning
from chora_logging.eventlog.selection import Selection
from chora_logging.eventlog.source import Source
from chora_logging.web.limits import DEFAULT_LIMITS, LONGEST_QUERY_BYTES, MOST_PARAMETERS, Limits
from chora_logging.web.responses import Refusal

#: The filters of `Selection` that have one value each; *where* can be repeated and is handled apart.
FILTERS = ("task_id", "run_id", "trace_id", "event", "level", "status", "since", "until", "text")


class PageQuery(NamedTuple):
    """The parsed query of a page: filters, cursor, limit and order."""

    selection: Selection
    after: str | None
    limit: int
    newest_first: bool
    is_repeatable: bool


class StreamQuery(NamedTuple):
    """The parsed query of a stream: filters, and a cursor, `"end"`, or None for the beginning."""

    selection: Selection
    after: str | None


def page_query(query: bytes, log: Source, limits: Limits = DEFAULT_LIMITS) -> PageQuery:
    """Parse the query of a page of *log*.

    Raises:
        Refusal: a parameter is unknown, repeated or invalid.
    """
    parameters = _Parameters(query, (*FILTERS, "where", "after", "limit", "order"))
    return PageQuery(
        parameters.selection(log.meaning),
        parameters.after(log),
        parameters.whole("limit", limits.page, limits.largest_page),
        parameters.choice("order", ("asc", "desc")) == "desc",
        parameters.is_repeatable(),
    )


def trace_query(query: bytes, limits: Limits = DEFAULT_LIMITS) -> int:
    """Parse the query of a trace; return the limit of events.

    Raises:
        Refusal: a parameter is unknown, repeated or invalid.
    """
    return _Parameters(query, ("limit",)).whole("limit", limits.largest_page, limits.largest_page)


def stream_query(query: bytes, log: Source) -> StreamQuery:
    """Parse the query of a stream of *log*.

    Raises:
        Refusal: a parameter is unknown, repeated or invalid.
    """
    parameters = _Parameters(query, (*FILTERS, "where", "after", "from"))
    start = "end" if parameters.choice("from", ("start", "end")) == "end" else None
    return StreamQuery(parameters.selection(log.meaning), parameters.after(log) or start)


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

    def after(self, log: Source) -> str | None:
        value = self._values.get("after")
        try:
            if value is not None:
                log.check_cursor(value)
        except CursorError:
            rule = f"must be an unchanged cursor of an event or a page, got {_shown(value)}"
            raise _refused("invalid_parameter", "after", rule) from None
        return value

    def is_repeatable(self) -> bool:
        """Return whether the same query means the same later; False with a relative time such as `15m`."""
        return not any(self._values.get(name, "")[-1:].islower() for name in ("since", "until"))

    def whole(self, name: str, default: int, most: int) -> int:
        value = self._values.get(name)
        if value is None:
            return default
        if value.isascii() and value.isdigit() and len(value) < 10 and 1 <= int(value) <= most:
            return int(value)
        rule = f"must be a whole number from 1 to {most}, got {_shown(value)}"
        raise _refused("invalid_parameter", name, rule)

    def choice(self, name: str, choices: tuple[str, ...]) -> str:
        value = self._values.get(name, choices[0])
        if value not in choices:
            raise _refused("invalid_parameter", name, f"must be {' or '.join(choices)}, got {_shown(value)}")
        return value


def refused(error: ConfigurationError) -> Refusal:
    """Return the refusal of a filter that is invalid, or that turns out to take too much time."""
    return _refused("invalid_parameter", error.name, f"must be {error.allowed}, got {_shown(error.value)}")


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

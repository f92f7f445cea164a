"""The filter options of the commands; their values are checked before anything is read."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from typing import Any

import click

from chora_logging.cli import suggestions, when
from chora_logging.errors import ConfigurationError, nearest
from chora_logging.eventlog.meaning import NAMES
from chora_logging.eventlog.selection import Selection
from chora_logging.schema import LEVELS

#: The filters that compare a field: flags, argument of `Selection`, metavar, help text.
_FIELDS = (
    (("--task-id",), "task_id", "ID", "Only events of this task."),
    (("--run-id",), "run_id", "ID", "Only events of this run."),
    (("--trace", "--trace-id"), "trace_id", "ID", "Only events of this trace."),
    (("--event",), "event", "NAME", "Only events with this name or type."),
    (("--status",), "status", "STATUS", "Only events with this status."),
)


def fields_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the option `--field` to a command, which receives a dict by meaning as the argument `meanings`."""
    option = click.option(
        "--field",
        "meanings",
        metavar="MEANING=NAME",
        multiple=True,
        callback=_meanings,
        help="The field that has this meaning, such as level=sev, if its name is none of the usual ones; may "
        f"be given several times. Meanings: {', '.join(NAMES)}.",
    )
    return option(function)


def filter_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the filter options to a command, which receives their values as the argument `filters`.

    `filters` is a dict for `EventLog.read(**filters)`: only the options that were given, with valid
    values. A relative time is resolved once, for all logs.
    """

    @functools.wraps(function)
    def with_filters(*args: Any, **kwargs: Any) -> Any:
        given = {name: kwargs.pop(name) for name in names}
        filters = {name: value for name, value in given.items() if value not in (None, ())}
        filters.update(_times(filters.pop("since", None), filters.pop("until", None)))
        return function(*args, filters=filters, **kwargs)

    options = [
        click.option(
            *flags,
            name,
            metavar=metavar,
            help=text,
            callback=not_empty,
            shell_complete=suggestions.values(name),
        )
        for flags, name, metavar, text in _FIELDS
    ]
    options += [
        click.option(
            "--level",
            metavar="LEVEL",
            callback=_level,
            shell_complete=suggestions.levels,
            help="Only events of this level or above.",
        ),
        click.option("--since", metavar="WHEN", help=f"Only events since {when.FORMS}."),
        click.option("--until", metavar="WHEN", help="Only events before this time."),
        click.option(
            "--where",
            metavar="CONDITION",
            multiple=True,
            callback=_where,
            shell_complete=suggestions.conditions,
            help="Only events that meet this condition: user=anna, duration_ms>=1000, http.status!=200, "
            "tags[]=urgent, message:timeout (contains), message~=time.?out (regular expression), or 'not "
            "user=anna'; may be given several times. Of conditions with = : ~= on one field, one is enough.",
        ),
        click.option(
            "--text",
            metavar="TEXT",
            callback=not_empty,
            help="Only events that have this text anywhere, in any case.",
        ),
    ]
    names = [*(name for _, name, _, _ in _FIELDS), "level", "since", "until", "where", "text"]
    wrapped: Callable[..., Any] = with_filters
    for option in reversed(options):
        wrapped = option(wrapped)
    return wrapped


def not_empty(
    ctx: click.Context, param: click.Parameter, value: str | Sequence[str] | None
) -> str | Sequence[str] | None:
    """Reject an option with an empty value, or with several values of which one is empty."""
    if value is not None and "" in ([value] if isinstance(value, str) else value):
        raise click.BadParameter("must not be empty")
    return value


def _times(since: str | None, until: str | None) -> dict[str, datetime]:
    try:
        limits = dict(zip(("since", "until"), when.time_range(since, until), strict=True))
    except ValueError as error:
        name = str(error)
        value = since if name == "since" else until
        raise click.BadParameter(f"must be {when.FORMS}, got {value!r}", param_hint=f"'--{name}'") from None
    times = {
        name: datetime.fromtimestamp(max(limit, 0.0), timezone.utc)
        for name, limit in limits.items()
        if limit is not None
    }
    if len(times) == 2 and times["since"] >= times["until"]:
        given = f"{times['until'].isoformat()} and {times['since'].isoformat()}"
        raise click.UsageError(f"--until must be later than --since, got {given}")
    return times


def _level(ctx: click.Context, param: click.Parameter, value: str | None) -> str | int | None:
    if value is None:
        return None
    level: str | int = int(value) if value.isascii() and value.isdigit() else value
    try:
        Selection(level=level)
    except ConfigurationError as error:
        near = nearest(value, LEVELS)
        meant = f": did you mean {near}?" if near else ""
        raise click.BadParameter(f"must be {error.allowed}, got {value!r}{meant}") from None
    return level


def _where(ctx: click.Context, param: click.Parameter, values: Sequence[str]) -> Sequence[str]:
    try:
        Selection(where=values)
    except ConfigurationError as error:
        raise click.BadParameter(f"must be {error.allowed}, got {error.value!r}") from None
    return values


def _meanings(ctx: click.Context, param: click.Parameter, values: Sequence[str]) -> dict[str, str]:
    meanings: dict[str, str] = {}
    for text in values:
        meaning, _, name = text.partition("=")
        if meaning not in NAMES or not name:
            raise click.BadParameter(f"must be MEANING=NAME, one of {', '.join(NAMES)}, got {text!r}")
        if meanings.setdefault(meaning, name) != name:
            raise click.BadParameter(f"must name each meaning once, got {meaning} twice")
    return meanings

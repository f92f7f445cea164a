"""Chooses which fields of the events are shown."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import click

from chora_logging.cli import suggestions
from chora_logging.cli.logs import Found
from chora_logging.eventlog.events import Event, RawLine
from chora_logging.eventlog.meaning import Meaning
from chora_logging.eventlog.names import at

#: What a line shows in any case.
_COLUMNS = ("time", "level", "trace", "event")


@dataclass(frozen=True)
class Projection:
    """The fields that the user wants to see.

    Attributes:
        fields: Only these, in this order, with dots between names in objects; empty for all.
        hidden: Not these.
    """

    fields: Sequence[str] = ()
    hidden: Sequence[str] = ()

    def __bool__(self) -> bool:
        return bool(self.fields or self.hidden)

    def of(self, event: Event) -> Event:
        """Return *event* with only these fields; a `RawLine` stays as it is."""
        if not self or isinstance(event, RawLine):
            return event
        chosen = self.fields or event
        values = ((field, _value(event, field)) for field in chosen if field not in self.hidden)
        return Event({field: value for field, value in values if value is not None or field in event})

    def for_line(self, event: Event, meaning: Meaning) -> Event:
        """Return *event* for a line, in which the columns are always shown, unless they are hidden."""
        if not self.fields:
            return self.of(event)
        # Without a name, the message is the title.
        kinds = _COLUMNS if meaning.event_of(event) is not None else (*_COLUMNS, "message")
        columns = [field for kind in kinds if (field := meaning.field_of(kind, event)) is not None]
        return Projection([*columns, *self.fields], self.hidden).of(event)

    def all_of(self, found: Iterable[Found]) -> Iterator[Found]:
        """Yield *found* with only these fields."""
        return (Found(log, self.of(event)) for log, event in found)


def projection_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--fields` and `--hide` to a command, which receives a `Projection` as `projection`."""

    @functools.wraps(function)
    def with_projection(
        *args: Any, shown_fields: Sequence[str], hidden_fields: Sequence[str], **kwargs: Any
    ) -> Any:
        return function(*args, projection=Projection(shown_fields, hidden_fields), **kwargs)

    show = click.option(
        "--fields",
        "shown_fields",
        metavar="FIELD,…",
        multiple=True,
        callback=_names,
        shell_complete=suggestions.fields,
        help="Show only these fields, such as user,http.status; a line keeps its time, level and name.",
    )
    hide = click.option(
        "--hide",
        "hidden_fields",
        metavar="FIELD,…",
        multiple=True,
        callback=_names,
        shell_complete=suggestions.fields,
        help="Do not show these fields.",
    )
    return show(hide(with_projection))


def _names(ctx: click.Context, param: click.Parameter, values: Sequence[str]) -> Sequence[str]:
    names = [name.strip() for value in values for name in value.split(",")]
    if "" in names:
        raise click.BadParameter(f"must be names with commas between them, got {','.join(values)!r}")
    return list(dict.fromkeys(names))


def _value(event: Event, field: str) -> Any:
    value = event.get(field)
    return at(event, field) if value is None and "." in field else value

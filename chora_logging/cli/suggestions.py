"""Completes names for a shell: levels, and the fields and their values in the newest events of the logs."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Mapping
from typing import Any

import click

from chora_logging import settings
from chora_logging.schema import LEVELS

#: How many of the newest events are searched, and how many values and how long ones are offered.
SEARCHED_EVENTS, MOST_VALUES, LONGEST_VALUE = 300, 50, 60

#: Where the logs are that programs with this environment write.
_EXPECTED = (settings.resolve_orch_log_file, settings.resolve_events_file, settings.resolve_log_file)

Complete = Callable[[click.Context, click.Parameter, str], list[str]]


def levels(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Return the levels that begin with *incomplete*, in its case."""
    names = map(str.lower, LEVELS) if incomplete.islower() else iter(LEVELS)
    return [name for name in names if name.startswith(incomplete)]


def fields(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Return the fields that begin with what follows the last comma of *incomplete*."""
    before, comma, last = incomplete.rpartition(",")
    return [f"{before}{comma}{name}" for name in _fields(ctx) if name.startswith(last)]


def conditions(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Return the fields that begin with *incomplete*, ready for a value."""
    return [f"{name}=" for name in _fields(ctx) if name.startswith(incomplete)]


def values(field: str) -> Complete:
    """Return what completes a value of *field*, an argument of `Selection`."""

    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
        found: dict[str, None] = {}
        for event in _events(ctx):
            value = event.get(field, event.get("event_type") if field == "event" else None)
            if isinstance(value, str) and value.startswith(incomplete) and _is_offered(value):
                found[value] = None
        return list(itertools.islice(found, MOST_VALUES))

    return complete


def _fields(ctx: click.Context) -> list[str]:
    from chora_logging.eventlog.field_counts import paths_in  # loaded late, as in `_events`

    found: dict[str, None] = {}
    for event in _events(ctx):
        found.update(dict.fromkeys(name for name, _ in paths_in(event)))
    return sorted(filter(_is_offered, found))


def _events(ctx: click.Context) -> list[Mapping[str, Any]]:
    """Return the newest events of the logs that the command line names; none if anything fails."""
    from chora_logging.eventlog.log import EventLog

    # Arguments stay in `args` where the option that is completed has no value yet.
    given = [*ctx.args, *(ctx.params.get("files") or ()), *(ctx.params.get("log_paths") or ())]
    try:
        paths = given or filter(None, (resolve() for resolve in _EXPECTED))
        logs = [EventLog(path, on_skip=_ignore) for path in paths if os.path.isfile(path)]
        return [event for log in logs for event in log.last(SEARCHED_EVENTS)]
    except Exception:  # a shell that completes shows no errors
        return []


def _ignore(skipped: object) -> None:
    pass


def _is_offered(text: str) -> bool:
    # Log content is hostile: a shell inserts what is offered, and some do it without quotation marks.
    return len(text) <= LONGEST_VALUE and all(c.isalnum() or c in "_.-@/:" for c in text) and text[:1] != "-"

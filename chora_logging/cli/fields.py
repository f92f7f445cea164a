"""Reports on stderr what is odd about the fields in the conditions of a command."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import click

from chora_logging.cli import amounts
from chora_logging.cli.commands import PROGRAM
from chora_logging.cli.terminal import printable
from chora_logging.errors import nearest
from chora_logging.eventlog.comparing import WHERE, Asked
from chora_logging.eventlog.field_counts import paths_in
from chora_logging.eventlog.log import EventLog
from chora_logging.eventlog.pipe import Pipe
from chora_logging.eventlog.source import Source

#: How many of the newest events of each log are searched for a field that may have been meant.
SEARCHED_EVENTS = 100


def report_fields(logs: Sequence[Source | Pipe]) -> None:
    """Report which fields no line of *logs* has, and which have values that could not be compared."""
    asked: dict[str, list[Asked]] = {}
    for log in logs:
        for name, found in log.asked.items():
            if name.startswith(WHERE):
                asked.setdefault(name.removeprefix(WHERE), []).append(found)
    for field, found_in in asked.items():
        are_there = {found.is_there for found in found_in}
        if False in are_there and True not in are_there:
            near = nearest(field, _names(logs))
            meant = f" (did you mean {printable(near)}?)" if near else ""
            _say(f"no event that was read has a field {printable(field)}{meant}")
        if count := sum(found.unreadable for found in found_in):
            events = amounts.many(sum(found.events for found in found_in), "event")
            has = "has" if count == 1 else "have"
            _say(f"{count:,} of {events} {has} a {printable(field)} that cannot be compared with that")


def _names(logs: Iterable[Source | Pipe]) -> list[str]:
    """Return the names of fields, also inside objects, in the newest events of *logs* that are files."""
    names: dict[str, None] = {}
    for log in logs:
        if not isinstance(log, EventLog):  # a pipe can be read only once
            continue
        try:
            newest = log.last(SEARCHED_EVENTS)
        except OSError:
            continue
        for event in newest:
            names.update(dict.fromkeys(name for name, _ in paths_in(event)))
    return list(names)


def _say(text: str) -> None:
    click.echo(f"{PROGRAM}: {text}", err=True)

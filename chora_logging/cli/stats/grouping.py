"""The options of `chora-logging stats` that group events, and the output of the groups."""

from __future__ import annotations

import functools
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import click
from rich.cells import cell_len
from rich.text import Text

from chora_logging.cli import amounts, export, suggestions
from chora_logging.cli.commands import PROGRAM
from chora_logging.cli.event_line import cut
from chora_logging.cli.logs import Log
from chora_logging.cli.stats.groups import Asked, Groups, Row
from chora_logging.cli.table import shown
from chora_logging.cli.terminal import open_console, open_text, printable
from chora_logging.eventlog.histogram import parse_interval

#: The least width to which a column of values is cut.
NARROWEST_COLUMNS = 6

_HELP = {
    "p50": "The median of this field, of each group.",
    "p95": "Its 95th percentile, to three digits.",
    "p99": "Its 99th percentile, to three digits.",
    "avg": "Its average.",
    "sum": "Its sum.",
    "max": "Its largest number.",
    "distinct": "How many different values this field has; about, if there are more than 1,024.",
}


def group_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that group events to a command, which receives an `Asked` as the argument `asked`."""

    @functools.wraps(function)
    def with_asked(*args: Any, by: Sequence[str], per: int | None, top: int | None, **kwargs: Any) -> Any:
        measures = [(name, field) for name in _HELP for field in kwargs.pop(name)]
        asked = Asked(tuple(dict.fromkeys(by)), per, tuple(dict.fromkeys(measures)), top)
        if top is not None and not (by or per):
            raise click.UsageError("--top needs groups: use it together with --by or --per")
        return function(*args, asked=asked, **kwargs)

    options = [
        click.option(
            "--by",
            metavar="FIELD[,FIELD]",
            multiple=True,
            callback=_names,
            shell_complete=suggestions.fields,
            help="Count the events by the values of these fields; a path such as http.status too.",
        ),
        click.option(
            "--per",
            metavar="TIME",
            callback=_interval,
            help="Count the events in intervals of this length: 30s, 1m, 1h, 1d.",
        ),
        click.option(
            "--top",
            type=click.IntRange(min=1),
            metavar="N",
            help="Show only the N largest groups, of each interval: by the number asked for if it is one, "
            "else by the number of events.",
        ),
    ]
    options += [
        click.option(
            f"--{name}",
            metavar="FIELD",
            multiple=True,
            callback=_names,
            shell_complete=suggestions.fields,
            help=text,
        )
        for name, text in _HELP.items()
    ]
    wrapped: Callable[..., Any] = with_asked
    for option in reversed(options):
        wrapped = option(wrapped)
    return wrapped


def _names(ctx: click.Context, param: click.Parameter, values: Sequence[str]) -> Sequence[str]:
    names = [name.strip() for value in values for name in value.split(",")]
    if not all(names):
        raise click.BadParameter("must not be empty")
    return names


def _interval(ctx: click.Context, param: click.Parameter, value: str | None) -> int | None:
    if value is None:
        return None
    seconds = parse_interval(value)
    if seconds is None:
        raise click.BadParameter(f"must be a length of time such as 30s, 1m, 1h or 1d, got {value!r}")
    return seconds


def count_groups(logs: Iterable[Log], filters: dict[str, Any], asked: Asked) -> Groups:
    """Read *logs* once, and count the events that match the *filters* in groups.

    Raises:
        OSError: a log exists and cannot be read.
    """
    groups = Groups(asked)
    for log in logs:
        equal = groups.equal_events(log.meaning)
        groups.add_all(log.fields_of_events(asked.keys(log.meaning), equal, **filters), log.meaning)
        if equal is not None:
            equal.flush()
    return groups


def print_groups(groups: Groups, asked: Asked, form: str) -> None:
    """Print *groups* as a table, as JSON or as CSV, and on stderr what is not in it."""
    rows = groups.rows()
    if form == "json":
        click.echo(json.dumps(_as_dict(groups, asked, rows), indent=2))
        return
    if form == "csv":
        text = printable if sys.stdout.isatty() else str
        cells = ([*_time(row), *row.values, row.events, *row.measured] for row in rows)
        export.write_table(open_text(), asked.columns, cells, text)
    else:
        console = open_console()
        for line in as_lines(asked, rows, console.width):
            console.show(line)
    for note in notes(groups):
        click.echo(f"{PROGRAM}: {note}", err=True)


def notes(groups: Groups) -> Iterator[str]:
    """Yield what a reader of the results should know."""
    if groups.others:
        yield f"{amounts.many(groups.others, 'event')} of further groups, which are not counted separately"
    if groups.without_time:
        yield f"{amounts.unreadable(groups.without_time, groups.events, 'time')}, so they are in no interval"
    for field, number in sorted(groups.no_numbers.items()):
        are = "is no number" if number == 1 else "are no numbers"
        yield f"{amounts.many(number, 'value')} of {printable(field)} {are}"
    if groups.is_rounded:
        yield f"there is so much to count that percentiles are right to {groups.digits} digits only"


def _as_dict(groups: Groups, asked: Asked, rows: Iterable[Row]) -> dict[str, Any]:
    return {
        "events": groups.events,
        "groups": [
            dict(zip(asked.columns, [*_time(row), *row.values, row.events, *row.measured], strict=True))
            | ({"is_estimate": True} if row.is_estimate else {})
            for row in rows
        ],
        "events_of_others": groups.others,
        "without_time": groups.without_time,
        "no_numbers": dict(groups.no_numbers),
        "digits": groups.digits,
    }


def _time(row: Row) -> list[str | None]:
    return [] if row.time is None else [amounts.stamp(row.time)]


def as_lines(asked: Asked, rows: Sequence[Row], width: int) -> Iterator[Text]:
    """Yield the lines of a table of *rows* in *width* columns: numbers first, then the values."""
    heads, cells = _cells(asked, rows)
    columns = zip(map(printable, heads), *cells, strict=True)
    sizes = [max(map(cell_len, column)) for column in columns]
    numbers = len(heads) - len(asked.by)
    least = sum(min(size, NARROWEST_COLUMNS) + 2 for size in sizes[numbers:])
    kept = numbers
    while kept > 1 and sum(sizes[:kept]) + 2 * (kept - 1) + least > width:
        kept -= 1
    places = [*range(kept), *range(numbers, len(heads))]
    _narrow(sizes, places[kept:], width - sum(sizes[:kept]) - 2 * (len(places) - 1))
    for number, row in enumerate([list(map(printable, heads)), *cells]):
        line = Text(no_wrap=True)
        for place in places:
            text = row[place]
            if place < numbers and heads[place] != "time":
                text = " " * (sizes[place] - cell_len(text)) + text
            style = "bold" if not number else "cyan" if place < numbers else "default"
            line.append("  " if place else "").append(cut(text, sizes[place]), style)
        line.rstrip()
        line.truncate(width, overflow="ellipsis")
        yield line
    left_out = f"no room for {', '.join(map(printable, heads[kept:numbers]))}" if kept < numbers else ""
    for note in filter(None, (_legend(asked), left_out)):
        line = Text(note, "dim", no_wrap=True)
        line.truncate(width, overflow="ellipsis")
        yield line


def _cells(asked: Asked, rows: Iterable[Row]) -> tuple[list[str], list[list[str]]]:
    measured = _heads(asked)
    heads = [*(["time"] if asked.step else []), "events", *measured, *asked.by]
    cells = []
    for row in rows:
        until = 16 if asked.step and asked.step % 60 == 0 else 19
        moment = [] if row.time is None else [amounts.moment(row.time)[:until]]
        results = [
            _shown(measure, field, value, row.is_estimate)
            for (measure, field), value in zip(asked.measures, row.measured, strict=True)
        ]
        cells.append([*moment, f"{row.events:,}", *results, *map(shown, row.values)])
    return heads, cells


def _heads(asked: Asked) -> list[str]:
    """Return the heads of the columns with results: the measure alone if it is of one field."""
    times = Counter(measure for measure, _ in asked.measures)
    return [measure if times[measure] == 1 else f"{measure}_{field}" for measure, field in asked.measures]


def _legend(asked: Asked) -> str:
    """Return of which fields the results are."""
    by_field: dict[str, list[str]] = {}
    for head, (_, field) in zip(_heads(asked), asked.measures, strict=True):
        by_field.setdefault(field, []).append(head)
    return "; ".join(f"{', '.join(heads)}: {printable(field)}" for field, heads in by_field.items())


def _narrow(sizes: list[int], places: Sequence[int], room: int) -> None:
    """Cut the widest of the columns at *places* until they fit in *room*."""
    while places and sum(sizes[place] for place in places) > max(room, NARROWEST_COLUMNS * len(places)):
        widest = max(places, key=lambda place: sizes[place])
        sizes[widest] -= 1


def _shown(measure: str, field: str, value: float | None, is_estimate: bool) -> str:
    if value is None:
        return "-"
    if measure == "distinct":
        return f"{'~' * is_estimate}{value:,}"
    if field == "duration_ms" and value >= 0:
        return amounts.duration(value)
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:,.6g}"

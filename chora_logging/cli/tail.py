"""`chora-logging tail`: shows the newest events of the logs, and follows new ones."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime
from typing import Any

import click
from rich.text import Text

from chora_logging.cli.around import Context, InContext, context_of, context_options
from chora_logging.cli.commands import PROGRAM, LogCommand, NothingFound
from chora_logging.cli.event_line import (
    WIDE_LINE_COLUMNS,
    as_gap_line,
    as_left_out_line,
    as_line,
    as_raw_line,
    local_time,
)
from chora_logging.cli.filters import filter_options
from chora_logging.cli.live import Item, following, newest
from chora_logging.cli.logs import Found, Log, Logs, last, log_option
from chora_logging.cli.multiline import full_option, lines_of, without_lines
from chora_logging.cli.pacing import Pacing
from chora_logging.cli.progress import progress
from chora_logging.cli.projection import Projection, projection_options
from chora_logging.cli.table import LEFT_OUT
from chora_logging.cli.terminal import UNLIMITED, JsonLines, open_console, printable
from chora_logging.eventlog.events import Event, Gap, RawLine

#: How many characters of a log's name are shown on a wide and on a narrow screen; more if names are alike.
LABEL, SHORT_LABEL = 12, 4


@click.command("tail", cls=LogCommand)
@click.option("-f", "--follow", is_flag=True, help="Then show each new event as it is written, until Ctrl-C.")
@click.option(
    "-n",
    "--lines",
    "count",
    type=click.IntRange(min=0),
    default=10,
    show_default=True,
    metavar="N",
    help="How many of the newest matching events to show; they are held in memory.",
)
@log_option
@filter_options
@projection_options
@full_option
@context_options
@click.option("--json", "as_json", is_flag=True, help="Print the events as JSON Lines, as they are logged.")
def command(
    logs: Logs,
    filters: dict[str, Any],
    follow: bool,
    count: int,
    projection: Projection,
    full: bool,
    around: int | None,
    before: int | None,
    after: int | None,
    as_json: bool,
) -> None:
    """Show the newest events of the logs, or of a pipe, and each new one as it is written.

    An event is a line: time, level, a part of the trace id, name, task, run, and the other fields.
    Events of several logs are in the order of time. With -f new ones follow as they are written: none is
    missed or repeated, however often the logs are rotated. A line reports events that were deleted
    before they could be read. Without filters, lines that are not events are shown as they stand.

    A terminal that is far behind shows how many events it leaves out; a pipe or a file gets all of them.

    With -C, -B or -A, which are not for new events, a line -- shows where events are left out.

    From a pipe, the newest events are shown when it ends, or with -f all of them as they come.

    Ends with status 1 if no event matches.

    \b
    Examples:
      chora-logging tail
      chora-logging tail -f --level warning
      chora-logging tail -n 50 --trace 4bf92f3577b34da6a3ce929d0e0e4736
      chora-logging tail -n 3 'var/*/*.jsonl'
      cat .devlogs/*.log | chora-logging tail -n 5 --event job_failed
      chora-logging tail -n 1 --level error --full
      chora-logging tail -n 3 --level error -C 2
      chora-logging tail --fields duration_ms,status
      chora-logging tail -f --json | jq .event
    """
    context = context_of(around, before, after)
    if follow and context is not None:
        raise click.UsageError("-C, -B and -A are for events that are stored: they cannot be used with -f")
    chosen = list(logs.all) if follow else logs.existing()
    show: _ShowJson | _ShowLines
    show = _ShowJson(follow, projection) if as_json else _ShowLines(chosen, follow, projection, full)
    # A line that is not an event matches no filter.
    asked = filters if filters or as_json else {"raw": True}
    if follow:
        _report_missing(logs)
        with progress(chosen):
            stored, positions = newest(chosen, count, **asked)
        show(stored)
        for items in following(positions, **asked):
            show.show_new(items)
        return
    with progress(chosen):
        parts = [last(chosen, count, **asked)] if context is None else _last(chosen, count, filters, context)
    if count and not any(parts):
        raise NothingFound("no event matches" if filters else "there is no event yet")
    if isinstance(show, _ShowLines) and sum(map(len, parts)) == 1:
        show.show_single(parts[0][0])
        return
    for number, part in enumerate(parts):
        if number and isinstance(show, _ShowLines):
            show.show_left_out()
        show(part)


def _last(logs: Sequence[Log], count: int, filters: dict[str, Any], context: Context) -> list[list[Found]]:
    """Return the newest *count* matches with the events around them; between parts others are left out."""
    backwards = InContext(logs, filters, context, limit=count, newest_first=True)
    found = list(backwards)[::-1]
    begins = [0, *sorted(len(found) - position for position in backwards.begins), len(found)]
    return [found[begin:end] for begin, end in itertools.pairwise(begins)]


class _ShowJson:
    """Prints events as JSON Lines; gaps go to stderr, so that no program takes them for events."""

    def __init__(self, follow: bool, projection: Projection) -> None:
        self._lines = JsonLines(flush=follow)
        self._projection = projection

    def __call__(self, items: Iterable[Item]) -> None:
        for log, item in items:
            if isinstance(item, Gap):
                line = as_gap_line(item, UNLIMITED, label=printable(log.name))
                click.echo(f"{PROGRAM}: {line.plain}", err=True)
            else:
                self._lines.write(self._projection.of(item).json)

    show_new = __call__


class _ShowLines:
    """Prints each item as a line for people; on a terminal a new day has a line of its own."""

    def __init__(self, logs: Sequence[Log], follow: bool, projection: Projection, full: bool) -> None:
        self._console = open_console(flush=follow)
        self._labels = _labels(logs) if len(logs) > 1 else {}
        self._day: date | None = datetime.now().date()
        self._projection = projection
        self._is_full = full
        self._pacing = Pacing(self._console.height - 1) if self._console.is_terminal else None

    def __call__(self, items: Iterable[Item]) -> None:
        width = self._console.width
        lines = [line for log, item in items for line in self._lines(log, item, width)]
        self._console.show(*lines)

    def show_new(self, items: Sequence[Item]) -> None:
        """Print new items; a terminal that is behind shows how many are left out, and the newest."""
        if self._pacing is not None:
            left_out, items = self._pacing.shown(items)
            if left_out:
                self._console.show(as_left_out_line(left_out, self._console.width))
        if items:
            self(items)

    def show_left_out(self) -> None:
        """Show that events are left out."""
        self._console.show(LEFT_OUT)

    def show_single(self, item: Item) -> None:
        """Print an item that comes alone: on a terminal nothing of it is cut off."""
        self._is_full |= self._console.is_terminal
        self([item])

    def _lines(self, log: Log, item: Event | Gap, width: int) -> Iterator[Text]:
        label = self._labels.get(log, ("", ""))[width < WIDE_LINE_COLUMNS]
        if isinstance(item, Gap):
            yield as_gap_line(item, width, label=label)
        elif isinstance(item, RawLine):
            yield as_raw_line(item, width, label=label, whole=self._is_full)
        else:
            if self._console.is_terminal:
                yield from self._announced_day(log, item)
            yield from self._event_lines(log, item, width, label)

    def _event_lines(self, log: Log, event: Event, width: int, label: str) -> Iterator[Text]:
        shown = self._projection.for_line(event, log.meaning)
        dated, meaning = not self._console.is_terminal, log.meaning
        if not self._is_full:
            yield as_line(shown, width, label=label, dated=dated, meaning=meaning)
            return
        head = without_lines(shown, meaning)
        yield as_line(head, width, label=label, dated=dated, meaning=meaning, whole=True)
        yield from lines_of(shown, width, meaning)

    def _announced_day(self, log: Log, event: Event) -> Iterator[Text]:
        moment = local_time(event, log.meaning)
        if moment is not None and moment.date() != self._day:
            self._day = moment.date()
            line = Text(f"── {self._day:%A, %Y-%m-%d} ──", "dim")
            line.truncate(self._console.width)
            yield line


def _labels(logs: Sequence[Log]) -> dict[Log, tuple[str, str]]:
    """Return, by log, its name on a wide screen, and the shortest unambiguous prefix of it."""
    names = [printable(log.name) for log in logs]
    least = next(
        size for size in range(SHORT_LABEL, max(map(len, names)) + SHORT_LABEL) if _differ(names, size)
    )
    long = min(max(map(len, names)), max(LABEL, least))
    return {
        log: (f"{name[:long]:<{long}}", f"{name[:least]:<{min(least, long)}}")
        for log, name in zip(logs, names, strict=True)
    }


def _differ(names: Sequence[str], size: int) -> bool:
    return len({name[:size] for name in names}) == len(names)


def _report_missing(logs: Logs) -> None:
    missing = [log for log in logs.all if not log.events.exists()]
    # Most programs write only one of the two default logs.
    if missing and (not logs.variables or len(missing) == len(logs.all)):
        paths = ", ".join(printable(os.fspath(log.address)) for log in missing)
        click.echo(f"{PROGRAM}: waiting for {paths}", err=True)

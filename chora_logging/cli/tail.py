"""`chora-logging tail`: shows the newest events of the logs, and follows new ones."""

from __future__ import annotations

import os
import queue
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime
from typing import Any

import click
from rich.text import Text

from chora_logging.cli.commands import PROGRAM, LogCommand, NothingFound
from chora_logging.cli.event_line import WIDE_LINE_COLUMNS, as_gap_line, as_line, local_time
from chora_logging.cli.filters import filter_options
from chora_logging.cli.logs import Found, Log, Logs, last, log_option, merged
from chora_logging.cli.progress import progress
from chora_logging.cli.terminal import UNLIMITED, JsonLines, open_console, printable
from chora_logging.eventlog.events import Event, Gap
from chora_logging.eventlog.subscription import LONGEST_WAIT_SECONDS

#: How many characters of a log's name are shown on a wide and on a narrow screen; more if names are alike.
LABEL, SHORT_LABEL = 12, 4

#: The size of the queue of items to show. A full queue pauses the readers; the logs keep the rest.
WAITING_EVENTS = 1000

Item = tuple[Log, Event | Gap]

#: By log, the cursor after which to continue; None is the beginning of the log.
Positions = dict[Log, str | None]


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
@click.option("--json", "as_json", is_flag=True, help="Print the events as JSON Lines, as they are logged.")
def command(logs: Logs, filters: dict[str, Any], follow: bool, count: int, as_json: bool) -> None:
    """Show the newest events, and each new one as it is written.

    An event is a line: time, level, a part of the trace id, name, task, run, and the other fields.
    Events of several logs are in the order of time. With -f new ones follow as they are written: none is
    missed or repeated, however often the logs are rotated. A line reports events that were deleted
    before they could be read.

    Ends with status 1 if no event matches.

    \b
    Examples:
      chora-logging tail
      chora-logging tail -f --level warning
      chora-logging tail -n 50 --trace 4bf92f3577b34da6a3ce929d0e0e4736
      chora-logging tail -f --json | jq .event
    """
    chosen = list(logs.all) if follow else logs.existing()
    show = _ShowJson(follow) if as_json else _ShowLines(chosen, follow)
    if follow:
        _report_missing(logs)
        with progress(chosen):
            stored, positions = newest(chosen, count, **filters)
        _show_all(stored, show)
        _show_all(following(positions, **filters), show)
    with progress(chosen):
        found = last(chosen, count, **filters)
    if not found and count:
        raise NothingFound("no event matches" if filters else "there is no event yet")
    _show_all(found, show)


class _ShowJson:
    """Prints events as JSON Lines; gaps go to stderr, so that no program takes them for events."""

    def __init__(self, follow: bool) -> None:
        self._lines = JsonLines(flush=follow)

    def __call__(self, log: Log, item: Event | Gap) -> None:
        if isinstance(item, Gap):
            click.echo(
                f"{PROGRAM}: {as_gap_line(item, UNLIMITED, label=printable(log.name)).plain}", err=True
            )
        else:
            self._lines.write(item.json)


class _ShowLines:
    """Prints each item as a line for people; on a terminal a new day has a line of its own."""

    def __init__(self, logs: Sequence[Log], follow: bool) -> None:
        self._console = open_console(flush=follow)
        self._labels = _labels(logs) if len(logs) > 1 else {}
        self._day: date | None = datetime.now().date()

    def __call__(self, log: Log, item: Event | Gap) -> None:
        width = self._console.width
        label = self._labels.get(log, ("", ""))[width < WIDE_LINE_COLUMNS]
        if isinstance(item, Gap):
            self._console.show(as_gap_line(item, width, label=label))
            return
        if self._console.is_terminal:
            self._announce_day(log, item)
        self._console.show(
            as_line(item, width, label=label, dated=not self._console.is_terminal, meaning=log.meaning)
        )

    def _announce_day(self, log: Log, event: Event) -> None:
        moment = local_time(event, log.meaning)
        if moment is not None and moment.date() != self._day:
            self._day = moment.date()
            self._console.show(Text(f"── {self._day:%A, %Y-%m-%d} ──", "dim"))


def _show_all(items: Iterable[tuple[Log, Event | Gap]], show: _ShowJson | _ShowLines) -> None:
    for log, item in items:
        show(log, item)


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


def newest(logs: Sequence[Log], n: int, **filters: Any) -> tuple[list[Found], Positions]:
    """Return the newest *n* events of all *logs* together, oldest first, and where `following` continues.

    Promised: for each log, from the first of these events on, and also where they end, no event that
    matches the filters is missed or repeated.

    Args:
        logs: The logs; one that does not exist has no events.
        n: The number of events.
        filters: The arguments of `Selection`.

    Raises:
        OSError: a log exists and cannot be read.
    """
    stored: list[list[Found]] = []
    positions: Positions = {}
    for log in logs:
        events, positions[log] = _newest(log, n, filters)
        stored.append([Found(log, event) for event in events])
    return list(merged(stored))[-n:] if n else [], positions


def following(positions: Positions, **filters: Any) -> Iterator[Item]:
    """Yield what is written after *positions*, without end; events of several logs as they are written.

    Args:
        positions: The position in each log; a log that does not exist yet is waited for.
        filters: The arguments of `Selection`.

    Raises:
        OSError: a log exists and cannot be read.
    """
    logs = list(positions)
    if len(logs) == 1:
        for item in logs[0].events.follow_sync(positions[logs[0]], **filters):
            yield logs[0], item
    waiting: queue.Queue[Item | Exception] = queue.Queue(WAITING_EVENTS)

    def follow(log: Log) -> None:
        try:
            for item in log.events.follow_sync(positions[log], **filters):
                waiting.put((log, item))
        except Exception as error:
            waiting.put(error)

    for log in logs:
        threading.Thread(target=follow, args=(log,), daemon=True).start()
    while True:
        try:
            arrived = waiting.get(timeout=LONGEST_WAIT_SECONDS)
        except queue.Empty:
            continue
        if isinstance(arrived, Exception):
            raise arrived
        yield arrived


def _newest(log: Log, n: int, filters: dict[str, Any]) -> tuple[list[Event], str | None]:
    """Return the newest *n* events of *log*, oldest first, and the position after which to continue."""
    # The end is determined first: if no event matches now, every match will be written after it.
    end = log.events.last(1)
    again, position = _counts(log), end[0].cursor if end else None
    log.skipped.clear()
    newest: list[Event] = []
    for event in log.events.read(limit=n, newest_first=True, **filters):
        if not newest:
            again, position = _counts(log), event.cursor
        newest.append(event)
    skipped, asked = again
    log.skipped.subtract(skipped)  # lines after the position will be read again
    for meaning, (events, unreadable) in asked.items():
        log.events.asked[meaning].events -= events - bool(newest)  # the event at the position is not
        log.events.asked[meaning].unreadable -= unreadable
    return newest[::-1], position


def _counts(log: Log) -> tuple[Counter[str], dict[str, tuple[int, int]]]:
    asked = {meaning: (found.events, found.unreadable) for meaning, found in log.events.asked.items()}
    return Counter(log.skipped), asked

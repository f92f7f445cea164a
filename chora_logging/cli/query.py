"""`chora-logging query`: prints, exports or counts the events that match."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import click

from chora_logging.cli import export, suggestions
from chora_logging.cli.amounts import many, size
from chora_logging.cli.around import InContext, context_of, context_options
from chora_logging.cli.commands import PROGRAM, LogCommand, NothingFound
from chora_logging.cli.filters import filter_options, not_empty
from chora_logging.cli.logs import Found, Log, Logs, log_option, read
from chora_logging.cli.multiline import full_option
from chora_logging.cli.progress import goes_to_file, progress, progress_over
from chora_logging.cli.projection import Projection, projection_options
from chora_logging.cli.rows import Rows
from chora_logging.cli.terminal import JsonLines, flushed_often, open_console, open_text, printable
from chora_logging.cli.values import keys_of, value_of

FORMATS = ("table", "json", "csv")


def _check_target(ctx: click.Context, param: click.Parameter, path: str | None) -> str | None:
    if export.check_target(ctx, param, path) and str(path).endswith(".parquet"):
        export.check_parquet()
    return path


@click.command("query", cls=LogCommand)
@log_option
@filter_options
@projection_options
@full_option
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Print at most N rows.")
@click.option("--newest-first", is_flag=True, help="Print the newest event first, not the oldest.")
@context_options
@click.option("--count", is_flag=True, help="Print only how many events match.")
@click.option(
    "--by",
    "fields",
    metavar="FIELD",
    multiple=True,
    callback=not_empty,
    shell_complete=suggestions.fields,
    help="Count the events by the value of this field, most frequent first; may be given several times.",
)
@click.option("--format", "form", type=click.Choice(FORMATS), show_default="table", help="The output format.")
@click.option("--json", "as_json", is_flag=True, help="The same as --format json: JSON Lines, as logged.")
@click.option(
    "--to",
    "path",
    metavar="FILE",
    type=click.Path(dir_okay=False),
    callback=_check_target,
    help="Write to this file, .csv, .jsonl or .parquet (extra `parquet`); an existing file is replaced.",
)
def command(
    logs: Logs,
    filters: dict[str, Any],
    projection: Projection,
    full: bool,
    limit: int | None,
    newest_first: bool,
    around: int | None,
    before: int | None,
    after: int | None,
    count: bool,
    fields: Sequence[str],
    form: str | None,
    as_json: bool,
    path: str | None,
) -> None:
    """Print the events that match, or count them.

    On a terminal the table has the columns that fit; in a pipe it has all of them, as wide as the first rows
    need, so that they come at once. CSV has a column for
    each field of any event; text that a spreadsheet would run as a formula gets an apostrophe before it.
    Without filters, lines that are not events are in the table as they stand.
    Events that do not fit in memory go to a temporary file; --by holds each combination of values in
    memory. With -C, -B or -A a line -- in the table shows where events are left out.

    Ends with status 1 if no event matches.

    \b
    Examples:
      chora-logging query --level error --since 24h
      chora-logging query --status error --by event_type --by trace_id --limit 5
      chora-logging query --event task_started --since 15m --count
      chora-logging query --trace 4bf92f3577b34da6a3ce929d0e0e4736 --json
      chora-logging query --since yesterday --fields timestamp,event,duration_ms
      chora-logging query --where "duration_ms>=5" --where "not status=ok"
      chora-logging query --where "event~=^job_" --text build -C 2
      chora-logging query --since 7d --to week.csv
    """
    if path is not None and (count or fields):
        raise click.UsageError("--to writes events: it cannot be used with --count or --by")
    if path is not None and (form or as_json):
        raise click.UsageError(
            "--to takes the format from the file name: it cannot be used with --format or --json"
        )
    if (projection or full) and (count or fields):
        raise click.UsageError("--fields, --hide and --full cannot be used with --count or --by")
    if newest_first and (count or fields):
        raise click.UsageError("--newest-first cannot be used with --count or --by")
    context = context_of(around, before, after)
    if context is not None and (count or fields):
        raise click.UsageError("-C, -B and -A cannot be used with --count or --by")
    if count and not fields and limit is not None:
        raise click.UsageError("--limit cannot be used with --count")
    if as_json and form not in (None, "json"):
        raise click.UsageError(f"--json cannot be used together with --format {form}")
    form = "json" if as_json else form or "table"
    chosen = logs.existing()
    found: Iterable[Found]
    if context is None:
        # A line that is not an event matches no filter, and only a person can read it.
        raw = form == "table" and not filters and path is None
        found = read(chosen, limit=limit, newest_first=newest_first, raw=raw, **filters)
    else:
        found = InContext(chosen, filters, context, limit=limit, newest_first=newest_first)
    if fields:
        _print_counts(chosen, filters, fields, limit, form)
    elif count:
        _print_count(chosen, filters, form)
    elif path is not None:
        _write(chosen, found, path, projection)
    elif form == "table":
        _print_table(chosen, found, projection, full)
    elif form == "csv":
        _print_csv(chosen, found, projection)
    else:
        _print_json(chosen, projection.all_of(found))


def _print_table(logs: Sequence[Log], found: Iterable[Found], projection: Projection, full: bool) -> None:
    from chora_logging.cli.streamed_table import StreamedTable
    from chora_logging.cli.table import Table

    is_streamed = not (sys.stdout.isatty() or goes_to_file())
    console = open_console(flush=is_streamed)
    table = Table(console.width, with_log=len(logs) > 1, meaning=logs[0].meaning)
    begins = found.begins if isinstance(found, InContext) else frozenset[int]()
    found = projection.all_of(found)
    with contextlib.ExitStack() as bar:
        bar.enter_context(progress(logs))
        if is_streamed:
            streamed = StreamedTable(
                console, table, fields=projection.fields, begins=begins, full=full, on_begin=bar.close
            )
            streamed.print(found)
            if not streamed.count:
                raise _nothing()
            return
        rows = Rows(found, table.measure, projection.fields)
    with rows:
        if not rows.count:
            raise _nothing()
        is_single = rows.count == 1 and console.is_terminal
        for line in table.lines(rows, begins, full=full or is_single):
            console.show(line)


def _print_csv(logs: Sequence[Log], found: Iterable[Found], projection: Projection) -> None:
    with progress(logs):
        rows = Rows(projection.all_of(found), fields=projection.fields)
    with rows:
        if not rows.count:
            raise _nothing()
        shown = printable if sys.stdout.isatty() else str
        export.write_csv(rows, open_text(), with_log=len(logs) > 1, shown=shown)


def _print_json(logs: Sequence[Log], found: Iterable[Found]) -> None:
    lines, events = JsonLines(), iter(found)
    with flushed_often(), contextlib.ExitStack() as bar:
        bar.enter_context(progress(logs))
        first = next(events, None)
        if first is None:
            raise _nothing()
        if not goes_to_file():
            bar.close()  # it would be drawn between the events
        for _, event in itertools.chain([first], events):
            lines.write(event.json)


def _print_count(logs: Sequence[Log], filters: dict[str, Any], form: str) -> None:
    with progress(logs):
        number = sum(1 for log in logs for _ in log.fields_of_events(frozenset(), **filters))
    click.echo(json.dumps({"count": number}) if form == "json" else "count\n" * (form == "csv") + str(number))
    if not number:
        raise _nothing()


def _print_counts(
    logs: Sequence[Log],
    filters: dict[str, Any],
    fields: Sequence[str],
    limit: int | None,
    form: str,
) -> None:
    with progress(logs):
        counts = Counter(
            tuple(json.dumps(value_of(event, field, log.meaning)) for field in fields)
            for log in logs
            for event in log.fields_of_events(keys_of(fields, log.meaning), **filters)
        )
    if not counts:
        raise _nothing()
    most = [([json.loads(value) for value in values], number) for values, number in counts.most_common(limit)]
    if form == "json":
        lines = JsonLines()
        for values, number in most:
            lines.write(json.dumps(dict(zip([*fields, "count"], [*values, number], strict=True))).encode())
        return
    if form == "csv":
        shown = printable if sys.stdout.isatty() else str
        export.write_table(open_text(), [*fields, "count"], ([*values, n] for values, n in most), shown)
        return
    from chora_logging.cli.table import as_counts

    console = open_console()
    for line in as_counts(fields, most):
        line.truncate(console.width, overflow="ellipsis")
        console.show(line)


def _write(logs: Sequence[Log], found: Iterable[Found], path: str, projection: Projection) -> None:
    export.check_is_no_log(path, logs)
    with_log = len(logs) > 1
    with progress(logs):
        rows = Rows(projection.all_of(found), fields=projection.fields)
    with rows:
        if not rows.count:
            raise _nothing()
        times_read = 2 if path.endswith(".parquet") else 1
        with export.replacing(path) as part, progress_over(times_read * rows.size):
            if path.endswith(".parquet"):
                export.write_parquet(rows, part, with_log=with_log)
            elif path.endswith(".csv"):
                with open(part, "w", encoding="utf-8", newline="") as file:
                    export.write_csv(rows, file, with_log=with_log)
            else:
                rows.copy_to(part)
    message = f"{many(rows.count, 'event')} written to {printable(path)} ({size(os.path.getsize(path))})"
    click.echo(f"{PROGRAM}: {message}", err=True)


def _nothing() -> NothingFound:
    return NothingFound("no event matches")

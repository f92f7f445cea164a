"""The command `chora-logging sql`."""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import sys
from collections.abc import Sequence

import click

from chora_logging.cli import export
from chora_logging.cli.amounts import many, size
from chora_logging.cli.commands import PROGRAM, LogCommand, NothingFound
from chora_logging.cli.logs import Log, Logs, log_option
from chora_logging.cli.progress import goes_to_file, progress
from chora_logging.cli.reader_end import uninterrupted
from chora_logging.cli.sql import columns, results
from chora_logging.cli.sql.arrow import Stream
from chora_logging.cli.sql.results import Result
from chora_logging.cli.terminal import JsonLines, flushed_often, open_console, open_text, printable

FORMATS = ("table", "json", "csv")


def _check_query(ctx: click.Context, param: click.Parameter, query: str) -> str:
    if not query.strip():
        raise click.BadParameter("must not be empty")
    if query.encode(errors="ignore").decode() != query:
        raise click.BadParameter(f"must be UTF-8, got {query!r}")
    if len(query.split()) == 1:
        raise click.BadParameter(f'must be one argument, in quotation marks: "SELECT …", got {query!r}')
    return query


@click.command("sql", cls=LogCommand)
@click.argument("query", metavar="QUERY", callback=_check_query)
@log_option
@click.option("--format", "form", type=click.Choice(FORMATS), show_default="table", help="The output format.")
@click.option("--json", "as_json", is_flag=True, help="The same as --format json: JSON Lines.")
@click.option(
    "--to",
    "path",
    metavar="FILE",
    type=click.Path(dir_okay=False),
    callback=export.check_target,
    help="Write to this file, .csv, .jsonl or .parquet; an existing file is replaced, and that is said.",
)
def command(query: str, logs: Logs, form: str | None, as_json: bool, path: str | None) -> None:
    """Ask the logs in SQL, by DuckDB in this process (extra `sql`).

    The view events has the events of all logs: the same ones as for the other commands, with the same
    meaning, whoever wrote them. What an event does not have is NULL. Its columns are:

    \b
      timestamp    TIMESTAMP in UTC, as is everything else about time
      level        VARCHAR: a name as in logging, or another in upper case
      logger, event, task_id, run_id, trace_id, message
                   VARCHAR; what is not text in the log is JSON
      duration_ms  DOUBLE, whatever the unit in the log
      severity     DOUBLE: the level as a number, such as 40 for ERROR, which is
                   what --level compares; infinity for an unknown name
      is_error     BOOLEAN: an error as stats counts them
      log          VARCHAR: the name of the log
      line         JSON: the whole event; line->>'$.user.id' is a field of it

    QUERY is one SELECT. It changes nothing, reads no file but the logs, and loads no extension. Logs are
    read once, only for the columns that it needs; rows come as they are found. Files for a time hold what
    does not fit in 1 GB of memory, and the columns of a query that needs the events several times.

    Lines that are not events are counted on stderr; so are events without a time or level that can be
    read, if the query needs these. Ends with status 1 if there is no row.

    \b
    Examples:
      # the slowest traces
      chora-logging sql "SELECT trace_id, max(timestamp) - min(timestamp) AS took
        FROM events WHERE trace_id IS NOT NULL
        GROUP BY trace_id ORDER BY took DESC LIMIT 5"
      # errors per minute
      chora-logging sql "SELECT date_trunc('minute', timestamp) AS minute,
        count(*) AS errors FROM events WHERE is_error GROUP BY 1 ORDER BY 1"
      # how long most events of each kind take
      chora-logging sql "SELECT event, quantile_cont(duration_ms, 0.95) AS p95
        FROM events GROUP BY event ORDER BY p95 DESC NULLS LAST"
      # runs that have started and not ended
      chora-logging sql "SELECT task_id, run_id, min(timestamp) AS since
        FROM events GROUP BY task_id, run_id
        HAVING bool_or(event LIKE '%_started')
        AND NOT bool_or(event SIMILAR TO '.*_(completed|failed)')"
      # the busiest loggers
      chora-logging sql "SELECT logger, count(*) AS events,
        count(*) FILTER (is_error) AS errors
        FROM events GROUP BY logger ORDER BY events DESC"
      # what came before each error in its run
      chora-logging sql "SELECT run_id, lag(event) OVER run AS before, event
        FROM events WINDOW run AS (PARTITION BY run_id ORDER BY timestamp)
        QUALIFY is_error"
      # today's events, for other programs
      chora-logging sql --to today.parquet "SELECT * EXCLUDE (line) FROM events
        WHERE timestamp::DATE = current_date"
    """
    if path is not None and (form or as_json):
        raise click.UsageError(
            "--to takes the format from the file name: it cannot be used with --format or --json"
        )
    if as_json and form not in (None, "json"):
        raise click.UsageError(f"--json cannot be used together with --format {form}")
    form = "json" if as_json else form or "table"
    with uninterrupted():
        from chora_logging.cli.sql.database import Database, QueryError  # its package needs the extra
    asked = [log.events.asked for log in logs.existing()]
    with logs.rereadable() as found:
        try:
            if path is not None:
                _write(query, found, path)
                return
            with Database() as database, contextlib.ExitStack() as bar:
                bar.enter_context(progress(found))
                result = database.run(query, functools.partial(_open, found))
                first = next(result.chunks, None)
                if first is None:
                    raise _nothing()
                if not goes_to_file():
                    bar.close()  # it would be drawn between the rows
                _print(result._replace(chunks=itertools.chain([first], result.chunks)), form)
        except QueryError as error:
            raise click.UsageError(str(error)) from None
        finally:
            for counts, log in zip(asked, found, strict=True):  # a pipe was read in its copy
                counts.update(log.events.asked)


def _open(logs: Sequence[Log], names: Sequence[str]) -> Stream:
    for log in logs:  # it may be the second attempt
        log.skipped.clear()
        log.events.asked.clear()
    return Stream([(name, columns.COLUMNS[name].kind) for name in names], columns.read(logs, names))


def _print(result: Result, form: str) -> None:
    if form == "table":
        results.print_table(result, open_console(flush=not goes_to_file()))
        return
    with flushed_often():
        if form == "csv":
            results.write_csv(result, open_text(), printable if sys.stdout.isatty() else str)
            return
        lines = JsonLines()
        for line in results.json_lines(result):
            lines.write(line)


def _write(query: str, logs: Sequence[Log], path: str) -> None:
    from chora_logging.cli.sql.database import Database

    export.check_is_no_log(path, logs)
    earlier = "; it replaces an earlier file" * os.path.exists(path)
    with export.replacing(path) as part:
        with Database(part) as database, progress(logs):
            open_events = functools.partial(_open, logs)
            if path.endswith(".parquet"):
                count = database.write_parquet(query, open_events, part)
            else:
                count = _write_text(database.run(query, open_events), part, path)
        if not count:
            raise _nothing()
    message = f"{many(count, 'row')} written to {printable(path)} ({size(os.path.getsize(path))}){earlier}"
    click.echo(f"{PROGRAM}: {message}", err=True)


def _write_text(result: Result, part: str, path: str) -> int:
    with open(part, "w", encoding="utf-8", newline="") as file:
        if path.endswith(".csv"):
            return results.write_csv(result, file)
        count = 0
        for line in results.json_lines(result):
            file.write(line.decode() + "\n")
            count += 1
        return count


def _nothing() -> NothingFound:
    return NothingFound("the query gives no row")

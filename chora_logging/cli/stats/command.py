"""The command `chora-logging stats`."""

from __future__ import annotations

import json
from typing import Any

import click

from chora_logging.cli.commands import LogCommand, NothingFound
from chora_logging.cli.filters import filter_options
from chora_logging.cli.logs import Logs, log_option
from chora_logging.cli.progress import progress
from chora_logging.cli.stats.grouping import count_groups, group_options, print_groups
from chora_logging.cli.stats.groups import Asked
from chora_logging.cli.stats.screen import USUAL_COLUMNS, show
from chora_logging.cli.stats.survey import take_survey
from chora_logging.cli.terminal import UNLIMITED, open_console

FORMATS = ("table", "json", "csv")


@click.command("stats", cls=LogCommand)
@log_option
@filter_options
@group_options
@click.option("--format", "form", type=click.Choice(FORMATS), show_default="table", help="The output format.")
@click.option("--json", "as_json", is_flag=True, help="The same as --format json: all numbers as JSON.")
def command(logs: Logs, filters: dict[str, Any], asked: Asked, form: str | None, as_json: bool) -> None:
    """Show statistics of the events in the logs: how many, of what type, when, and how long they took.

    The logs are read once, in memory that does not grow with them. Durations are those of the field
    duration_ms or one like it; percentiles are right to three digits. An error is an event of level ERROR
    or above; one whose status, outcome or result is error, failed, failure, fatal, crashed, timeout or
    timed_out; or a typed one with an error_message or error. Up to 200 types are counted separately.
    Events whose level or time cannot be read are counted apart.

    With --by, --per or a number such as --p95 it is a table of groups instead. Numbers may be text that
    reads like one; other values are counted, and said. Up to 50,000 groups are counted separately.

    Ends with status 1 if no event matches.

    \b
    Examples:
      chora-logging stats
      chora-logging stats --since 24h --level WARNING
      chora-logging stats --event job_completed --json
      chora-logging stats --by event --p50 duration_ms --p95 duration_ms
      chora-logging stats --by trace_id --max duration_ms --top 5
      chora-logging stats --per 1m --by level --distinct task_id --format csv
    """
    if as_json and form not in (None, "json"):
        raise click.UsageError(f"--json cannot be used together with --format {form}")
    form = "json" if as_json else form or "table"
    if form == "csv" and not asked:
        raise click.UsageError("--format csv needs a table: use it together with --by, --per or --p95")
    found = logs.existing()
    if asked:
        with progress(found):
            groups = count_groups(found, filters, asked)
        if not groups.events:
            raise NothingFound("no event matches" if filters else "there is no event yet")
        print_groups(groups, asked, form)
        return
    with progress(found):
        survey = take_survey(found, filters)
    if not survey.tally.all.events:
        raise NothingFound("no event matches" if filters else "there is no event yet")
    if form == "json":
        click.echo(json.dumps(survey.as_dict(), indent=2))
        return
    console = open_console()
    show(survey, console, USUAL_COLUMNS if console.width == UNLIMITED else console.width)

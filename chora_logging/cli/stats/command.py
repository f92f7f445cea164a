"""The command `chora-logging stats`."""

from __future__ import annotations

import json
from typing import Any

import click

from chora_logging.cli.commands import LogCommand, NothingFound
from chora_logging.cli.filters import filter_options
from chora_logging.cli.logs import Logs, log_option
from chora_logging.cli.progress import progress
from chora_logging.cli.stats.screen import USUAL_COLUMNS, show
from chora_logging.cli.stats.survey import take_survey
from chora_logging.cli.terminal import UNLIMITED, open_console


@click.command("stats", cls=LogCommand)
@log_option
@filter_options
@click.option("--json", "as_json", is_flag=True, help="Print all numbers as JSON.")
def command(logs: Logs, filters: dict[str, Any], as_json: bool) -> None:
    """Show statistics of the events in the logs: how many, of what type, when, and how long they took.

    The logs are read once, in memory that does not grow with them. Durations are those of the field
    duration_ms or one like it; percentiles are right to three digits. An error is an event of level ERROR
    or above; one whose status, outcome or result is error, failed, failure, fatal, crashed, timeout or
    timed_out; or a typed one with an error_message or error. Up to 200 types are counted separately.
    Events whose level or time cannot be read are counted apart.

    Ends with status 1 if no event matches.

    \b
    Examples:
      chora-logging stats
      chora-logging stats --since 24h --level WARNING
      chora-logging stats --event job_completed --json
    """
    found = logs.existing()
    with progress(found):
        survey = take_survey(found, filters)
    if not survey.tally.all.events:
        raise NothingFound("no event matches" if filters else "there is no event yet")
    if as_json:
        click.echo(json.dumps(survey.as_dict(), indent=2))
        return
    console = open_console()
    show(survey, console, USUAL_COLUMNS if console.width == UNLIMITED else console.width)

"""The command `chora-logging check`."""

from __future__ import annotations

import json

import click

from chora_logging.cli.check.screen import show
from chora_logging.cli.check.verdict import judge
from chora_logging.cli.commands import LogCommand
from chora_logging.cli.logs import Logs, log_option
from chora_logging.cli.progress import progress
from chora_logging.cli.terminal import open_console, printable
from chora_logging.eventlog.source import is_address


@click.command("check", cls=LogCommand)
@log_option
@click.option(
    "--limit",
    type=click.IntRange(min=0),
    metavar="N",
    default=10,
    show_default=True,
    help="How many problems of each log to list; all are counted.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.pass_context
def command(ctx: click.Context, logs: Logs, limit: int, as_json: bool) -> None:
    """Check every line of the logs for damage, and how far back the files go.

    \b
    Damage, which makes the status 1:
      torn        a part of an event, or several events on one line
      foreign     something other than an event
      duplicated  the same line again, with the same timestamp
      unreadable  a damaged or inaccessible file, or a line that is too long
      missing     a file that was deleted, emptied, cut or replaced; not one that
                  was too old to be kept, or that another tool has rotated

    Reported, but not damage: events out of order (several writers take their timestamps before they
    take the lock, and clocks are set back), a last line that is still being written, a file that is a
    copy of another, and bytes that were deleted before they were checked. Each line is compared with at
    least the 250,000 lines before it.

    \b
    Examples:
      chora-logging check
      chora-logging check --limit 50
      chora-logging check --json
    """
    for log in logs.all:
        if is_address(log.address):
            allowed = "must be the path of a log: only files have lines to check"
            raise click.BadParameter(f"{allowed}, got {log.address}", param_hint="'--log'")
    found = logs.existing()
    if pipe := next((log for log in found if log.is_pipe), None):
        raise click.UsageError(f"the files of a log are checked, and {printable(pipe.name)} is a pipe")
    with progress(found):
        verdicts = [judge(log, limit, is_expected=bool(logs.variables)) for log in found]
    if as_json:
        sound = not any(verdict.damage for verdict in verdicts)
        result = {"sound": sound, "logs": [verdict.as_dict() for verdict in verdicts]}
        click.echo(json.dumps(result, indent=2))
    else:
        console = open_console()
        for number, verdict in enumerate(verdicts):
            if number:
                console.print()
            show(verdict, console, console.width)
    if any(verdict.damage for verdict in verdicts):
        ctx.exit(1)

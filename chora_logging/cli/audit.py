"""`chora-logging audit`: compares logs with what a NATS JetStream stream has of them."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Sequence

import click

from chora_logging.cli import paths
from chora_logging.cli.audit_report import JsonReport, Report, TextReport
from chora_logging.cli.commands import LogCommand
from chora_logging.cli.shipped_logs import logs_of, shipped_logs, state_path, warnings_on_stderr
from chora_logging.errors import OtherShipperError, ServerError
from chora_logging.eventlog.log import EventLog
from chora_logging.jetstream.address import Address
from chora_logging.jetstream.audit import Audit
from chora_logging.jetstream.connection import Connection
from chora_logging.jetstream.findings import total
from chora_logging.jetstream.holding import NOTHING
from chora_logging.jetstream.messages import subject
from chora_logging.jetstream.stream import Stream
from chora_logging.shipping.oversize import Oversize


@click.command("audit", cls=LogCommand)
@shipped_logs("A log that is shipped, with its backups")
@click.option("--repair", is_flag=True, help="Ship what is missing.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object with the findings of all logs.")
@click.pass_context
def command(
    ctx: click.Context,
    address: Address,
    named: Sequence[str],
    host: str | None,
    prefix: str,
    repair: bool,
    as_json: bool,
) -> None:
    """Compare logs with what a NATS JetStream stream has of them.

    Give the stream, and each log under its name, as `ship` has them. It runs beside shippers, writers and
    rotation, and changes no log.

    Each block of the stream is looked up in the files, by position and content. Lines that no block has are
    missing, and make the status 1. These are told, and are not missing: what the shipper has not come to
    yet, what only the stream has because files are deleted, what is older than the first block of a stream
    that has deleted blocks, and gaps that the shipper has reported. Lines at the end of a rotated file that
    were written in the last minute may still be shipped. What neither has any more is lost: status 1 too.
    So is a conflict that stops the shipper: another machine's lines, or a foreign message, under the name.

    With --repair what is missing is shipped as late blocks under PREFIX.HOST.LOG.late, where it does not
    disturb the shipper. Readers give these events at their place in the stream, with the field `late`. It
    may be killed and called again: nothing is shipped twice.

    With --json the object has `whole`, and `logs` with the same for each: the ranges of `stream` and
    `files`, `missing`, `unshipped`, `expired`, `lost` and `conflicts` as lists, and how much was `repaired`.

    Credentials come from the environment, as those of `ship`. The user needs the rights to publish to
    $JS.API.STREAM.INFO.STREAM, $JS.API.STREAM.MSG.GET.STREAM, $JS.API.CONSUMER.CREATE.STREAM.>,
    $JS.API.CONSUMER.DELETE.STREAM.> and $JS.API.CONSUMER.MSG.NEXT.STREAM.>, and to subscribe to _INBOX.>;
    for --repair also to publish to PREFIX.HOST.>.

    \b
    Examples:
      chora-logging audit nats://n1,n2/CLOG --log var/telemetry/events.jsonl
      chora-logging audit nats://n1/CLOG --log var/telemetry/events.jsonl --repair
    """
    logs = logs_of(named)
    for log in logs.values():
        if not log.exists():
            raise click.BadParameter(paths.why_absent(log.path), param_hint="'--log'")
    machine = host or socket.gethostname()
    report: Report = JsonReport(machine) if as_json else TextReport(machine)
    is_whole = True
    with warnings_on_stderr("audit"), Connection(address) as connection:
        try:
            for name, log in logs.items():
                with Audit(Stream(connection), subject(machine, name, prefix), log) as audit:
                    is_whole &= _examine(name, audit, _oversize_path(name, log), report, repair=repair)
        except ServerError as error:
            raise click.ClickException(str(error)) from None
    report.close()
    if not is_whole:
        ctx.exit(1)


def _examine(name: str, audit: Audit, oversize: str, report: Report, *, repair: bool) -> bool:
    """Report what an audit finds, repair it if that is wanted, and return whether nothing is missing."""
    try:
        found = audit.run()
        report.found(name, found)
        shipped = NOTHING
        if repair and found.missing:
            with contextlib.closing(Oversize(oversize)) as kept:
                shipped = audit.repair(kept)
    except OtherShipperError as error:  # the other logs are audited all the same
        report.fail(name, error)
        return False
    is_whole = not (found.is_unknown or found.lost or found.conflicts) and shipped == total(found.missing)
    report.end(name, found, shipped, is_whole=is_whole)
    return is_whole


def _oversize_path(name: str, log: EventLog) -> str:
    return f"{state_path(name, log, None)}.oversize"

"""`chora-logging audit`: compares logs with what a NATS JetStream stream has of them."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterable, Iterator, Sequence

import click

from chora_logging.cli import amounts, paths
from chora_logging.cli.commands import LogCommand
from chora_logging.cli.shipped_logs import logs_of, say, shipped_logs, state_path, warnings_on_stderr
from chora_logging.cli.terminal import printable
from chora_logging.errors import OtherShipperError, ServerError
from chora_logging.eventlog.events import Gap
from chora_logging.eventlog.log import EventLog
from chora_logging.eventlog.rotated.cursor import NO_LOG, Position
from chora_logging.jetstream.address import Address
from chora_logging.jetstream.audit import Audit, Findings, total
from chora_logging.jetstream.connection import Connection
from chora_logging.jetstream.holding import NOTHING, Amount, Part
from chora_logging.jetstream.messages import subject
from chora_logging.jetstream.oversize import Oversize
from chora_logging.jetstream.stream import Stream
from chora_logging.jetstream.tiling import Hole

#: How many places of one kind are shown for each log.
SHOWN = 20

_INDENT = 11


@click.command("audit", cls=LogCommand)
@shipped_logs("A log that is shipped, with its backups")
@click.option("--repair", is_flag=True, help="Ship what is missing.")
@click.pass_context
def command(
    ctx: click.Context, address: Address, named: Sequence[str], host: str | None, prefix: str, repair: bool
) -> None:
    """Compare logs with what a NATS JetStream stream has of them.

    Give the stream, and each log under its name, as `ship` has them. It runs beside shippers, writers and
    rotation, and changes no log.

    Each block of the stream is looked up in the files, by position and content. Lines that no block has are
    missing, and make the status 1. These are told, and are not missing: what the shipper has not come to
    yet, what only the stream has because files are deleted, what is older than the first block of a stream
    that has deleted blocks, and gaps that the shipper has reported. Lines at the end of a rotated file that
    were written in the last minute may still be shipped. What neither has any more is lost: status 1 too.

    With --repair what is missing is shipped as late blocks under PREFIX.HOST.LOG.late, where it does not
    disturb the shipper. Readers give these events at their place in the stream, with the field `late`. It
    may be killed and called again: nothing is shipped twice.

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
    is_whole = True
    with warnings_on_stderr("audit"), Connection(address) as connection:
        try:
            for name, log in logs.items():
                with Audit(Stream(connection), subject(machine, name, prefix), log) as audit:
                    is_whole &= _examine(f"{name} of {machine}", audit, _oversize_path(name, log), repair)
        except ServerError as error:
            raise click.ClickException(str(error)) from None
    if not is_whole:
        ctx.exit(1)


def _examine(name: str, audit: Audit, oversize: str, repair: bool) -> bool:
    """Print what an audit finds, repair it if that is wanted, and return whether nothing is missing."""
    try:
        found = audit.run()
        click.echo(f"{printable(name)} ({printable(found.subject)})")
        for label, text in _facts(found):
            click.echo(f"  {label:<{_INDENT}}{printable(text)}")
        shipped = NOTHING
        if repair and found.missing:
            with contextlib.closing(Oversize(oversize)) as kept:
                shipped = audit.repair(kept)
    except OtherShipperError as error:  # the other logs are audited all the same
        say("audit", str(error))
        return False
    missing = total(found.missing)
    click.echo(f"  {_conclusion(found, missing, shipped)}")
    return bool(found.blocks) and not found.lost and shipped == missing


def _oversize_path(name: str, log: EventLog) -> str:
    return f"{state_path(name, log, None)}.oversize"


def _conclusion(found: Findings, missing: Amount, shipped: Amount) -> str:
    lost = f" Lost: lines at {amounts.many(len(found.lost), 'place')}." if found.lost else ""
    if not found.blocks:
        return "The stream has nothing of this log: is that its --host, its --prefix and its name?"
    if not missing.lines:
        return f"Nothing {'else ' if lost else ''}is missing.{lost}"
    if shipped == missing:
        return f"Repaired: {_many(shipped)} shipped as late blocks.{lost}"
    return f"Missing: {_many(missing)}; --repair ships what the files have.{lost}"


def _facts(found: Findings) -> Iterator[tuple[str, str]]:
    yield "stream", _stream(found)
    if found.start is not None and found.end is not None:
        yield "", f"from {_position(found.start)} to {_position(found.end)}"
    size = sum(file.size for file in found.files)
    yield "files", f"{amounts.many(len(found.files), 'file')}, {amounts.size(size)}"
    if found.files:
        first, last = found.files[0], found.files[-1]
        yield "", f"from {_name(first.path)}, byte 0 to {_name(last.path)}, byte {last.size:,}"
    if found.rotated.lines:
        yield "rotated", f"{_many(found.rotated)} that only the stream has"
    if found.expired:
        yield "expired", f"{_many(total(found.expired))}, older than what the stream has"
    if found.unshipped:
        where = _name(found.unshipped[0].path)
        yield "unshipped", f"{_many(total(found.unshipped))}, from {where} on: the shipper is behind"
    if found.doubled.lines:
        yield "doubled", f"{_many(found.doubled)} that the stream has twice"
    yield from _listed("gap", map(_gap, found.gaps), len(found.gaps))
    yield from _listed("unreadable", map(_unreadable, found.unreadable), len(found.unreadable))
    yield from _listed("differing", map(_differing, found.differing), len(found.differing))
    yield from _listed("missing", map(_part, found.missing), len(found.missing))
    yield from _listed("lost", map(_hole, found.lost), len(found.lost))


def _listed(label: str, texts: Iterable[str], number: int) -> Iterator[tuple[str, str]]:
    for index, text in enumerate(texts):
        if index == SHOWN:
            yield "", f"… and {number - SHOWN:,} more"
            return
        yield label if not index else "", text


def _stream(found: Findings) -> str:
    if not found.blocks:
        return "nothing of this log"
    late = f", {found.late:,} of them late" if found.late else ""
    blocks = amounts.many(found.blocks, "block")
    return f"{blocks}{late}: {_many(found.stored)}, sequence {found.first:,} to {found.last:,}"


def _position(position: Position) -> str:
    file = "" if position.log_id == NO_LOG else f"generation {position.generation:,}, "
    return f"{file}byte {position.offset:,}"


def _gap(gap: Gap) -> str:
    size = "" if gap.bytes is None else f", {amounts.size(gap.bytes)}"
    until = "" if gap.until is None else f", before {amounts.moment(gap.until)}"
    return f"the shipper has reported: {gap.reason}{size}{until}"


def _unreadable(found: tuple[int, str]) -> str:
    return f"sequence {found[0]:,}: {found[1]}"


def _differing(sequence: int) -> str:
    return f"sequence {sequence:,} has other lines than the file"


def _part(part: Part) -> str:
    return f"{_name(part.path)}, byte {part.start.offset:,} to {part.end:,}: {_many(part.amount)}"


def _hole(hole: Hole) -> str:
    between = f"between sequence {hole.before:,} and {hole.after:,}"
    if hole.before == hole.after:
        between = f"in sequence {hole.before:,}"
    return f"{between}, from {_position(hole.start)} to {_position(hole.end)}"


def _many(amount: Amount) -> str:
    return f"{amounts.many(amount.lines, 'line')} ({amounts.size(amount.bytes)})"


def _name(path: str) -> str:
    return os.path.basename(path)

"""`chora-logging ship`: copies logs into a NATS JetStream stream."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import re
import signal
import socket
from collections.abc import Sequence
from typing import Any

import click

from chora_logging.cli import paths
from chora_logging.cli.commands import LogCommand
from chora_logging.cli.shipped_logs import logs_of, parsed, say, shipped_logs, state_path, warnings_on_stderr
from chora_logging.errors import ConfigurationError, NoAnswerError, ServerError
from chora_logging.eventlog.log import EventLog
from chora_logging.eventlog.reading import unended_bytes
from chora_logging.eventlog.times import DURATION_UNITS
from chora_logging.jetstream.address import Address
from chora_logging.jetstream.connection import ADVISED_VERSION, Connection
from chora_logging.jetstream.messages import subject
from chora_logging.jetstream.provision import Wanted, create
from chora_logging.jetstream.shipping import Shipment
from chora_logging.jetstream.stream import Stream
from chora_logging.options import is_loopback, parse_size
from chora_logging.shipping import metrics
from chora_logging.shipping.loop import ship
from chora_logging.shipping.oversize import Oversize
from chora_logging.shipping.progress import Progress
from chora_logging.shipping.state import State

#: How long the block under way may take when the shipper is stopped, in seconds, if there is a connection.
STOP_SECONDS = 5.0

#: The pause before the next try to make the stream, in seconds.
CREATE_AGAIN_SECONDS = 1.0

_STOPPING = (signal.SIGTERM, signal.SIGINT)

_DAYS = re.compile(r"(\d+(?:\.\d+)?)\s*d", re.ASCII)
_PARTS = re.compile(r"(\d+(?:\.\d+)?)\s*(h|min|m|s)", re.ASCII)


def _age(text: str) -> float:
    """Return a duration in seconds, such as 7d, 36h or 90min; 0 is for ever."""
    if text.strip() == "0":
        return 0.0
    if found := _DAYS.fullmatch(text.strip()):
        return float(found[1]) * 86400
    if (found := _PARTS.fullmatch(text.strip())) and float(found[1]):
        return float(found[1]) * DURATION_UNITS[found[2]] / 1000
    raise ConfigurationError("--max-age", text, "a duration such as 7d, 36h or 90min, or 0 for ever")


def _size(text: str) -> int:
    return parse_size("--max-size", text, least=1)


def _host_and_port(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not (colon and host and port.isdecimal() and int(port) < 65536):
        raise ConfigurationError("--metrics", text, "HOST:PORT, such as 127.0.0.1:9464")
    if not is_loopback(host.strip("[]")):
        rule = "an address of this machine alone, such as 127.0.0.1:9464 (it has no login: use a proxy)"
        raise ConfigurationError("--metrics", text, rule)
    return host.strip("[]"), int(port)


@click.command("ship", cls=LogCommand)
@shipped_logs("A log to ship, with its backups")
@click.option("--create", "make", is_flag=True, help="Make the stream unless it exists.")
@click.option(
    "--replicas",
    type=click.IntRange(1, 5),
    default=3,
    show_default=True,
    help="With --create: the number of servers that store the stream.",
)
@click.option(
    "--max-age",
    default="7d",
    show_default=True,
    callback=parsed(_age),
    help="With --create: how long the stream keeps events; 0 for ever.",
)
@click.option(
    "--max-size",
    callback=parsed(_size),
    help="With --create: how much the stream keeps, such as 50GB. Without it: no limit.",
)
@click.option(
    "--linger",
    type=click.FloatRange(0, 60),
    default=0.05,
    show_default=True,
    help="How many seconds to wait after a new line for others to send with it.",
)
@click.option(
    "--compress", type=click.Choice(["deflate", "none"]), default="deflate", show_default=True, help="How."
)
@click.option(
    "--state",
    type=click.Path(file_okay=False),
    help="The folder for the files of state. Without it: beside each log.",
)
@click.option(
    "--metrics",
    "listen",
    metavar="HOST:PORT",
    callback=parsed(_host_and_port),
    help="Serve /metrics and /healthz there, to this machine alone.",
)
@click.option(
    "--once",
    is_flag=True,
    help="End when everything that the logs have now is stored; with status 1 if one of them cannot be read.",
)
def command(
    address: Address,
    named: Sequence[str],
    host: str | None,
    prefix: str,
    make: bool,
    replicas: int,
    max_age: float,
    max_size: int | None,
    linger: float,
    compress: str,
    state: str | None,
    listen: tuple[str, int] | None,
    once: bool,
) -> None:
    """Copy logs into a NATS JetStream stream: each line once, in order, whatever dies meanwhile.

    It goes on where it was when it was stopped, and waits for servers and logs that are not there. The
    position is in the stream. End it with Ctrl-C or SIGTERM.

    Credentials come from the environment: NATS_CREDS, NATS_NKEY_SEED_FILE, NATS_USER with
    NATS_PASSWORD_FILE, NATS_TOKEN_FILE; and NATS_CA, NATS_CERT, NATS_KEY for TLS. All but the user are
    paths of files. The user needs the rights to publish to PREFIX.HOST.>, $JS.API.STREAM.INFO.STREAM and
    $JS.API.STREAM.MSG.GET.STREAM, and to subscribe to _INBOX.>; with --create also to
    $JS.API.STREAM.CREATE.STREAM.

    \b
    Examples:
      chora-logging ship nats://n1,n2,n3/CLOG --log /var/log/shop/web.log
      chora-logging ship nats://n1/CLOG --log app.log --create --replicas 1 --once
    """
    logs = logs_of(named)
    wanted = Wanted(prefix, replicas, max_age, max_size or -1) if make else None
    machine = host or socket.gethostname()
    with contextlib.ExitStack() as stack:
        stack.enter_context(warnings_on_stderr("ship"))
        connection = stack.enter_context(Connection(address))
        stream = Stream(connection)
        shipments = {}
        try:
            for name, log in logs.items():
                path = state_path(name, log, state)
                own = stack.enter_context(contextlib.closing(State(f"{path}.ship", log.path)))
                whole = stack.enter_context(contextlib.closing(Oversize(f"{path}.oversize")))
                shipments[name] = Shipment(
                    stream,
                    subject(machine, name, prefix),
                    log,
                    state=own,
                    oversize=whole,
                    compress=compress != "none",
                )
            if listen is not None:
                found = {name: (logs[name], shipment.progress) for name, shipment in shipments.items()}
                server = metrics.serve(metrics.Metrics(connection, found), *listen)
                stack.callback(server.shutdown)
            # Until the event loop takes them: Python would raise in the middle of making the loop.
            signal.pthread_sigmask(signal.SIG_BLOCK, _STOPPING)
            stack.callback(signal.pthread_sigmask, signal.SIG_UNBLOCK, _STOPPING)
            asyncio.run(_run(stream, logs, shipments, wanted, linger, not once))
        except ServerError as error:
            raise click.ClickException(str(error)) from None


async def _run(
    stream: Stream,
    logs: dict[str, EventLog],
    shipments: dict[str, Shipment],
    wanted: Wanted | None,
    linger: float,
    live: bool,
) -> None:
    asked = asyncio.Event()
    stop = asyncio.Event()  # of the connection's event loop, in which no message has to change threads
    for number in _STOPPING:
        asyncio.get_running_loop().add_signal_handler(number, asked.set)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPPING)

    refusals: list[str] = []

    async def ship_one(log: EventLog, shipment: Shipment) -> None:
        try:
            if not live and _is_absent(log):
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), log.path)
            await ship(
                log,
                shipment,
                linger=linger,
                live=live,
                stop=stop,
                on_unreadable=shipment.progress.fail,
                on_read=shipment.readable,
            )
            if not live:
                _say_what_is_left(log)
        except OSError as error:  # the other logs go on
            shipment.progress.fail(error)
            refusals.append(_sentence(error, log))
            if len(shipments) > 1:
                say("ship", refusals[-1])

    async def work() -> None:
        if wanted is not None:
            await _create(stream, wanted, [shipment.progress for shipment in shipments.values()])
        await asyncio.gather(*(ship_one(logs[name], shipment) for name, shipment in shipments.items()))
        if refusals:
            raise click.ClickException(refusals[0])

    async def end() -> None:
        stop.set()

    advising = asyncio.ensure_future(_advise(stream.connection))
    working = asyncio.wrap_future(stream.connection.submit(work()))
    stopping = asyncio.ensure_future(asked.wait())
    tasks: set[asyncio.Future[Any]] = {working, stopping, advising}
    try:
        await asyncio.wait(tasks - {advising}, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.wrap_future(stream.connection.submit(end()))
        await asyncio.wait({working}, timeout=STOP_SECONDS if stream.connection.is_connected else 0)
        if working.done():
            working.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


def _is_absent(log: EventLog) -> bool:
    """Return whether *log* has no file, and nothing that cannot be read stands in its place."""
    try:
        os.stat(log.path)
    except FileNotFoundError:
        return not log.exists()
    except OSError:
        return False
    return False


def _sentence(error: OSError, log: EventLog) -> str:
    """Return why *log* is not shipped any more, for people."""
    if isinstance(error, ServerError):
        return str(error)
    if isinstance(error, FileNotFoundError):
        return paths.why_absent(log.path)
    return f"{log.path} cannot be read: {error.strerror or error}"


def _say_what_is_left(log: EventLog) -> None:
    with contextlib.suppress(OSError):
        if left := unended_bytes(log.path):
            what = f"the last line is not whole: {left:,} bytes without a newline are not shipped yet"
            say("ship", f"{log.path}: {what}")


async def _create(stream: Stream, wanted: Wanted, waiting: Sequence[Progress]) -> None:
    """Make the stream, as soon as the servers can."""
    said = ""
    while True:
        try:
            for difference in await create(stream, wanted):
                say("ship", f"{stream.connection.address} exists: its {difference}; it is used as it is")
            return
        except NoAnswerError as error:
            for progress in waiting:
                progress.fail(error)
            if said != error.reason:
                said = error.reason
                say("ship", f"the stream cannot be made yet, trying again: {error}")
        await asyncio.sleep(CREATE_AGAIN_SECONDS)


async def _advise(connection: Connection) -> None:
    """Say once, when it is known, that the server is old."""
    while not connection.server_version:
        await asyncio.sleep(1)
    version = connection.server_version
    if tuple(map(int, version.split(".")[:2])) < ADVISED_VERSION:
        advised = ".".join(map(str, ADVISED_VERSION))
        say("ship", f"{connection.address}: the server has version {version}; {advised} or later is advised")

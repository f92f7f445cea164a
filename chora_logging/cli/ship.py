"""`chora-logging ship`: copies logs into a NATS JetStream stream, or to a collector by OTLP."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
from collections.abc import Sequence

import click
from click.core import ParameterSource

from chora_logging.cli.commands import LogCommand
from chora_logging.cli.ship_to_collector import ship_to_collector
from chora_logging.cli.shipments import metrics_of, run, signals_blocked
from chora_logging.cli.shipped_logs import logs_of, parsed, say, shipped_logs, state_path, warnings_on_stderr
from chora_logging.errors import ConfigurationError, NoAnswerError, ServerError
from chora_logging.eventlog.log import EventLog
from chora_logging.eventlog.times import DURATION_UNITS
from chora_logging.jetstream.address import SCHEME as NATS
from chora_logging.jetstream.address import Address
from chora_logging.jetstream.connection import ADVISED_VERSION, Connection
from chora_logging.jetstream.messages import subject
from chora_logging.jetstream.provision import Wanted, create
from chora_logging.jetstream.shipping import Shipment
from chora_logging.jetstream.stream import Stream
from chora_logging.options import is_loopback, parse_size
from chora_logging.otlp.endpoint import SCHEMES, Endpoint
from chora_logging.shipping.oversize import Oversize
from chora_logging.shipping.progress import Progress
from chora_logging.shipping.state import State

#: The pause before the next try to make the stream, in seconds.
CREATE_AGAIN_SECONDS = 1.0

#: How long to wait after a new line for others, in seconds: a message of a stream costs less than a request.
_LINGER_SECONDS, _LINGER_SECONDS_OF_OTLP = 0.05, 1.0
_LONGEST_LINGER = 60

#: The parameters that streams alone have.
_OF_STREAMS = {
    "prefix": "--prefix",
    "make": "--create",
    "replicas": "--replicas",
    "max_age": "--max-age",
    "max_size": "--max-size",
    "compress": "--compress",
}

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


def _linger(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= _LONGEST_LINGER:
        raise ConfigurationError("--linger", text, f"a number of seconds from 0 to {_LONGEST_LINGER}")
    return seconds


def _host_and_port(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not (colon and host and port.isdecimal() and int(port) < 65536):
        raise ConfigurationError("--metrics", text, "HOST:PORT, such as 127.0.0.1:9464")
    if not is_loopback(host.strip("[]")):
        rule = "an address of this machine alone, such as 127.0.0.1:9464 (it has no login: use a proxy)"
        raise ConfigurationError("--metrics", text, rule)
    return host.strip("[]"), int(port)


def _address(text: str) -> Address | Endpoint:
    scheme = text.partition("://")[0].lower()
    if scheme in (NATS, *SCHEMES):
        return Address.parse(text) if scheme == NATS else Endpoint.parse(text)
    allowed = (
        "the address of a stream, such as nats://host1,host2:4223/STREAM, or of a collector, such as "
        "https://collector:4318"
    )
    raise ConfigurationError("address", "…" if "@" in text else text, allowed)


@click.command("ship", cls=LogCommand)
@shipped_logs(
    "A log to ship, with its backups",
    metavar="nats://HOST[:PORT][,HOST…]/STREAM|https://HOST[:PORT]",
    parse=_address,
)
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
    metavar="SECONDS",
    callback=parsed(_linger),
    help=f"How long to wait after a new line for others to send with it, 0 to {_LONGEST_LINGER}. Without it: "
    f"{_LINGER_SECONDS}, and {_LINGER_SECONDS_OF_OTLP:g} for a collector.",
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
    help="Serve to this machine alone: /metrics for Prometheus, and /healthz, which has the problem of each "
    "log, and status 503 while one of them waits for a person.",
)
@click.option(
    "--once",
    is_flag=True,
    help="End when everything that the logs have now is stored; with status 1 if one of them cannot be read.",
)
@click.pass_context
def command(
    ctx: click.Context,
    address: Address | Endpoint,
    named: Sequence[str],
    host: str | None,
    prefix: str,
    make: bool,
    replicas: int,
    max_age: float,
    max_size: int | None,
    linger: float | None,
    compress: str,
    state: str | None,
    listen: tuple[str, int] | None,
    once: bool,
) -> None:
    """Copy logs into a NATS JetStream stream, or to an OpenTelemetry Collector and all that takes OTLP/HTTP.

    It goes on where it was when it was stopped, and waits for servers and logs that are not there. End it
    with Ctrl-C or SIGTERM.

    A stream gets each line once, in order, whatever dies meanwhile: it has the position. Credentials come
    from the environment: NATS_CREDS, NATS_NKEY_SEED_FILE, NATS_USER with NATS_PASSWORD_FILE,
    NATS_TOKEN_FILE; and NATS_CA, NATS_CERT, NATS_KEY for TLS. All but the user are paths of files. The user
    needs the rights to publish to PREFIX.HOST.>, $JS.API.STREAM.INFO.STREAM and
    $JS.API.STREAM.MSG.GET.STREAM, and to subscribe to _INBOX.>; with --create also to
    $JS.API.STREAM.CREATE.STREAM.

    A collector gets each line at least once, in order: after a kill the last request comes again. The
    position is in the file of state, .LOG.otlp. A second shipper of a log to the same address is refused, by
    a lock beside the log; one warning says where none can be made. What the collector refuses for good is
    kept in .LOG.oversize, counted and reported. Headers such as an API key, TLS and compression come from
    OTEL_EXPORTER_OTLP_HEADERS, _CERTIFICATE, _CLIENT_CERTIFICATE, _CLIENT_KEY, _COMPRESSION and _TIMEOUT;
    OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES say where the events come from.

    \b
    Examples:
      chora-logging ship nats://n1,n2,n3/CLOG --log /var/log/shop/web.log
      chora-logging ship nats://n1/CLOG --log app.log --create --replicas 1 --once
      chora-logging ship https://collector:4318 --log app.log
    """
    logs = logs_of(named)
    machine = host or socket.gethostname()
    is_stream = isinstance(address, Address)
    if linger is None:
        linger = _LINGER_SECONDS if is_stream else _LINGER_SECONDS_OF_OTLP
    if not is_stream:
        for parameter, option in _OF_STREAMS.items():
            if ctx.get_parameter_source(parameter) is ParameterSource.COMMANDLINE:
                raise click.UsageError(f"{option} is for streams (nats://…), and {address} is a collector")
    wanted = Wanted(prefix, replicas, max_age, max_size or -1) if make else None
    with contextlib.ExitStack() as stack:
        stack.enter_context(warnings_on_stderr("ship"))
        files = {name: state_path(name, log, state) for name, log in logs.items()}
        try:
            if isinstance(address, Address):
                connection = stack.enter_context(Connection(address))
                shipments = {
                    name: Shipment(
                        Stream(connection),
                        subject(machine, name, prefix),
                        log,
                        state=stack.enter_context(contextlib.closing(State(f"{files[name]}.ship", log.path))),
                        oversize=stack.enter_context(contextlib.closing(Oversize(f"{files[name]}.oversize"))),
                        compress=compress != "none",
                    )
                    for name, log in logs.items()
                }
                stack.enter_context(metrics_of(logs, shipments, listen, connection))
                stack.enter_context(signals_blocked())
                asyncio.run(_ship_to_stream(Stream(connection), logs, shipments, wanted, linger, not once))
            else:
                ship_to_collector(stack, address, logs, files, machine, listen, linger=linger, live=not once)
        except ServerError as error:
            raise click.ClickException(str(error)) from None


async def _ship_to_stream(
    stream: Stream,
    logs: dict[str, EventLog],
    shipments: dict[str, Shipment],
    wanted: Wanted | None,
    linger: float,
    live: bool,
) -> None:
    connection = stream.connection

    async def make() -> None:
        if wanted is not None:
            await _create(stream, wanted, [shipment.progress for shipment in shipments.values()])

    advising = asyncio.ensure_future(_advise(connection))
    try:
        await run(
            logs,
            shipments,
            linger=linger,
            live=live,
            # In the event loop of the connection no message has to change threads.
            submit=lambda work: asyncio.wrap_future(connection.submit(work)),
            may_store=lambda: connection.is_connected,
            before=make,
        )
    finally:
        advising.cancel()
        await asyncio.wait({advising})


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

"""uvicorn as `serve` runs it: its sockets, the bounds of its connections, and several workers."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import errno
import inspect
import ipaddress
import logging.config
import multiprocessing
import os
import resource
import signal
import socket
import stat
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import click
import uvicorn
from uvicorn.supervisors import Multiprocess

from chora_logging.config import get_logging_config
from chora_logging.options import is_loopback
from chora_logging.schema import ORCHESTRATOR_LOGGER, TELEMETRY_LOGGER
from chora_logging.web import create_app
from chora_logging.web.connections import PART_OF_A_CLIENT
from chora_logging.web.connections import UNIX as UNIX
from chora_logging.web.limits import DEFAULT_LIMITS

if TYPE_CHECKING:
    from uvicorn.protocols.http.h11_impl import H11Protocol as HTTPProtocol
else:
    from uvicorn.protocols.http.auto import AutoHTTPProtocol as HTTPProtocol

#: How long open connections may take to finish when the server stops, in seconds.
SHUTDOWN_SECONDS = 5

#: How long a client may be unreachable before its connection is closed, in seconds.
CLIENT_TIMEOUT_SECONDS = 30

#: How long a client may take to send the head of a request, in seconds.
HEAD_SECONDS = 10.0

#: How many connections may wait to be accepted.
WAITING_CONNECTIONS = 2048

#: How many connections are allowed in addition to those of streams.
OTHER_CONNECTIONS = 200

#: The permissions of a Unix socket: the server's user and group may connect.
_SOCKET_MODE = 0o660

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclasses.dataclass(frozen=True)
class Service:
    """What a server process serves, and how; each worker gets a copy.

    Attributes:
        app: The arguments of `create_app`.
        console: The form of the lines on stderr.
        proxies: The networks of the proxies whose headers for the client's address are believed, or "unix".
        tls: The files of the certificate and of its key.
        workers: The number of processes.
    """

    app: Mapping[str, Any]
    console: Literal["text", "json"]
    proxies: Sequence[Network | str] = ()
    tls: tuple[str, str] | None = None
    workers: int = 1

    def __call__(self) -> Callable[..., Any]:
        """Set up the process that serves, and return its application."""
        _set_up_logging(self.console)
        _allow_descriptors()
        if self.workers > 1:
            threading.Thread(target=_end_with_supervisor, daemon=True).start()
        return create_app(**self.app)

    def trusts(self, host: str) -> bool:
        """Return whether the peer with this address may have many connections."""
        if host == UNIX or is_loopback(host):
            return True
        with contextlib.suppress(ValueError):
            address = ipaddress.ip_address(host)
            return any(not isinstance(network, str) and address in network for network in self.proxies)
        return False

    def config(self) -> uvicorn.Config:
        """Return the configuration of uvicorn."""
        return uvicorn.Config(
            self,
            factory=True,
            http=BoundedProtocol,
            ws="none",
            log_config=None,
            lifespan="on",  # closes the connections to streams
            server_header=False,
            proxy_headers=bool(self.proxies),
            forwarded_allow_ips=[str(network) for network in self.proxies],
            timeout_graceful_shutdown=SHUTDOWN_SECONDS,
            workers=self.workers,
            ssl_certfile=self.tls and self.tls[0],
            ssl_keyfile=self.tls and self.tls[1],
        )


class BoundedProtocol(HTTPProtocol):
    """A connection of uvicorn, with a time limit for the head of a request, and bounds on their number.

    When there are too many, of all clients or of one, the connection that has waited longest for a
    request is closed for the new one: connections that say nothing keep nobody out. The number of open
    streams, and of pages that are read, is limited by the application.
    """

    #: The most connections.
    most = DEFAULT_LIMITS.streams + OTHER_CONNECTIONS

    _timer: asyncio.TimerHandle | None = None
    _waiting_since = 0.0
    _last: object = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        """Begin a connection."""
        super().connection_made(transport)
        # Without an address, uvicorn could only believe all that a header says, and not its last entry.
        self.client = self.client or (UNIX, 0)
        self._await_head()
        connections: list[Any] = list(self.connections)
        host = self.client[0]
        service: Service = self.config.app  # type: ignore[assignment]
        if not service.trusts(host):
            own = [each for each in connections if each.client and each.client[0] == host]
            self._make_room(own, int(self.most * PART_OF_A_CLIENT))
        self._make_room(connections, self.most)

    def connection_lost(self, exc: Exception | None) -> None:
        """End the connection."""
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take the next bytes, which may be the first of a request."""
        if self._timer is None and self._is_idle():
            self._await_head()
        super().data_received(data)
        if self.cycle is not self._last:
            self._stop_timer()

    def _await_head(self) -> None:
        self._last = self.cycle
        self._waiting_since = self.loop.time()
        self._timer = self.loop.call_later(HEAD_SECONDS, self._end)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _is_idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _make_room(self, connections: Sequence[Any], most: int) -> None:
        if len(connections) > most:
            idle = [each for each in connections if each is not self and each._is_idle()]
            min(idle, key=lambda each: each._waiting_since, default=self)._end()

    def _end(self) -> None:
        self.connections.discard(self)
        self.transport.abort()


class _Server(uvicorn.Server):
    """Calls a function once it handles Ctrl-C: an earlier one would leave a coroutine unawaited."""

    def __init__(self, config: uvicorn.Config, started: Callable[[], None]) -> None:
        super().__init__(config)
        self._started = started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._started()
        if self.should_exit and self.started:  # older versions of uvicorn would leave out the shutdown
            await self.shutdown(sockets)
            self.started = False

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for listening in sockets or ():  # afterwards uvicorn ends the process by the signal that it got
            if listening.family == socket.AF_UNIX:
                _remove(listening.getsockname())
        await super().shutdown(sockets)


class _Supervisor(Multiprocess):
    """Starts workers that a Ctrl-C of the terminal does not reach: this process ends them."""

    def init_processes(self) -> None:
        with _interrupts_blocked():
            super().init_processes()

    def keep_subprocess_alive(self) -> None:
        with _interrupts_blocked():
            super().keep_subprocess_alive()

    def handle_signals(self) -> None:  # some of them start workers
        with _interrupts_blocked():
            super().handle_signals()


def _end_with_supervisor() -> None:
    """End this worker, as SIGTERM does, when its supervisor is gone: nobody else would."""
    supervisor = multiprocessing.parent_process()
    if supervisor is not None:
        supervisor.join()
        os.kill(os.getpid(), signal.SIGTERM)


@contextlib.contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Block SIGINT during the `with` block, and for ever in the processes that are started in it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def run(service: Service, listening: socket.socket, started: Callable[[], None]) -> None:
    """Serve until a signal ends it; call *started* when the server can be asked."""
    config = service.config()
    if service.workers == 1:
        _Server(config, started).run([listening])
        return
    with tempfile.TemporaryDirectory() as folder:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
        _set_up_logging(service.console)
        started()
        supervisor: Any = _Supervisor
        target = {"target": uvicorn.Server(config).run}
        older = target if "target" in inspect.signature(Multiprocess).parameters else {}
        supervisor(config, sockets=[listening], **older).run()


@contextlib.contextmanager
def listen(host: str, port: int) -> Iterator[socket.socket]:
    """Listen on an address, during the `with` block.

    Raises:
        click.UsageError: it cannot be used.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        # With its protocol, asyncio knows that it is TCP, and does not let small responses wait 40 ms.
        with socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listening:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(AttributeError, OSError):
                # Accepted sockets inherit it. Without it, a client that vanished is noticed after 15 minutes.
                listening.setsockopt(
                    socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, CLIENT_TIMEOUT_SECONDS * 1000
                )
            listening.bind(address)
            listening.listen(WAITING_CONNECTIONS)
            yield listening
    except OSError as error:
        option = "--port" if error.errno in (errno.EADDRINUSE, errno.EACCES) else "--host"
        words = f"cannot listen on {bracketed(host)}:{port}: {error.strerror}; choose another {option}"
        raise click.UsageError(words) from error


@contextlib.contextmanager
def listen_unix(path: str) -> Iterator[socket.socket]:
    """Listen on a Unix socket, during the `with` block; the socket of a server that has died is replaced.

    Raises:
        click.UsageError: it cannot be used.
    """
    if not path:  # the kernel would choose a name that is in no folder
        raise click.UsageError("--uds must be the path of a socket, not empty")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        try:
            _remove_dead(path)
            mask = os.umask(0o777 & ~_SOCKET_MODE)
            try:
                listening.bind(path)
            finally:
                os.umask(mask)
            listening.listen(WAITING_CONNECTIONS)
        except OSError as error:
            reason = error.strerror or str(error)
            raise click.UsageError(f"cannot listen on {path}: {reason}; choose another --uds") from error
        try:
            yield listening
        finally:
            _remove(path)


def _remove(path: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(path)


def _remove_dead(path: str) -> None:
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise FileExistsError(errno.EEXIST, "there is something that is not a socket")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        if probe.connect_ex(path) == errno.ECONNREFUSED:
            os.unlink(path)


def bracketed(host: str) -> str:
    """Return *host* as it stands in a URL."""
    return f"[{host}]" if ":" in host else host


def _set_up_logging(console: Literal["text", "json"]) -> None:
    """Log to stderr and to LOG_FILE, but not to the logs that are served."""
    config = get_logging_config(console=console)
    for name in (ORCHESTRATOR_LOGGER, TELEMETRY_LOGGER):
        for handler in config["loggers"].pop(name)["handlers"]:
            del config["handlers"][handler]
    config["loggers"]["uvicorn.error"] = {"level": "WARNING"}
    logging.config.dictConfig(config)


def _allow_descriptors() -> None:
    """Raise the limit of open descriptors to its maximum: each client needs one."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))

"""Keeps a connection to NATS servers, whatever happens to it. The only module that imports `nats`.

The client of `nats-py` is closed for ever by many errors: a message that is too long, a password that was
changed, a permission of the wrong kind. It also sends a request that has timed out after it reconnects. So a
client here is never reconnected: it lives as long as its connection, and then a new one is made.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import threading
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from chora_logging.errors import ConfigurationError, MissingExtraError, NoAnswerError
from chora_logging.jetstream import client_logs
from chora_logging.jetstream.address import Address
from chora_logging.jetstream.answers import Answers
from chora_logging.jetstream.credentials import (
    NO_TLS,
    Credentials,
    Problem,
    is_encrypted,
    over_tls,
    with_advice,
)
from chora_logging.schema import OWN_LOGGER

if TYPE_CHECKING:
    from nats.aio.client import Client

#: How long a server may take to accept a connection, and to answer a request, in seconds.
CONNECT_SECONDS, ANSWER_SECONDS = 5.0, 5.0

#: The pause before the next try to connect, in seconds: it doubles from the first to the longest.
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.05, 5.0

#: How often a server is asked whether it is there, in seconds, and how many answers may be missing.
_PING_SECONDS, _MISSING_PINGS = 5, 2
#: How long to wait for the end of what is cancelled until it is cancelled again, in seconds.
_CANCEL_SECONDS = 0.1

#: The oldest server: older ones store what two publishers send with the same expected sequence twice.
OLDEST_VERSION = (2, 10)
ADVISED_VERSION = (2, 12)

_Result = TypeVar("_Result")

_logger = logging.getLogger(OWN_LOGGER)


class _Live(NamedTuple):
    """A client that was connected, and the event of the loss of its connection."""

    client: Client
    answers: Answers
    lost: asyncio.Future[None]


class Connection:
    """A connection to the servers of an address, made anew as often as it is lost.

    It has a daemon thread with an event loop of its own, from the first use on. Its coroutines can be awaited
    in any event loop; in its own, by `submit`, they are fastest.

    Args:
        address: The stream and its servers.
        credentials: What is shown to the servers; None takes the environment's.

    Attributes:
        address: As given.
        problem: Why there is no connection, or what a person must change; empty before the first try and if
            all is well.
        needs_a_person: Whether there is no connection until a person changes something.

    Raises:
        ConfigurationError: the credentials in the environment do not fit together.
        MissingExtraError: the extra `nats` is not installed.

    Thread safe. `close` it, or use it in a `with`. Not usable in a child after a fork.
    """

    def __init__(self, address: Address, *, credentials: Credentials | None = None) -> None:
        try:
            import nats  # noqa: F401  # tells now, and not in a thread, that it is missing
        except ModuleNotFoundError:
            raise MissingExtraError("nats-py", "nats") from None
        self.address = address
        self.problem = ""
        self.needs_a_person = False
        self._credentials = Credentials.from_environment() if credentials is None else credentials
        self._servers = list(address.servers)
        self._live: _Live | None = None
        self._said: set[str] = set()  # since the last connection
        self._is_closed = False
        self._lock = threading.RLock()  # `submit` may run in a finaliser
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._supervisor: asyncio.Task[None] | None = None
        self._connected: asyncio.Event

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.address)!r})"

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection now."""
        return self._live is not None and bool(self._live.client.is_connected)

    @property
    def server_version(self) -> str:
        """The version of the server that it is or was last connected to; empty before the first one."""
        return "" if self._live is None else _text(_version_of(self._live.client))

    @property
    def max_payload(self) -> int:
        """The longest message of the server, headers included, in bytes."""
        return 1024 * 1024 if self._live is None else int(self._live.client.max_payload)

    def submit(self, work: Coroutine[Any, Any, _Result]) -> Future[_Result]:
        """Run *work* in the connection's event loop and return its future.

        Raises:
            NoAnswerError: the connection has been closed.
        """
        with self._lock:
            if self._is_closed:
                work.close()
                raise NoAnswerError(str(self.address), "the connection has been closed")
            if self._loop is None:
                self._start()
            assert self._loop is not None
            return asyncio.run_coroutine_threadsafe(work, self._loop)

    async def with_client(
        self, work: Callable[[Any], Awaitable[_Result]], timeout: float = ANSWER_SECONDS
    ) -> _Result:
        """Call *work* with the connected `nats.aio.client.Client` in its event loop, and return its result.

        Raises:
            NoAnswerError: there was no connection for *timeout* seconds, it was lost before *work* was done,
                or the server did not answer.
            RefusedError: the servers refuse this client.
        """
        return await self._run(self._with_client(work, timeout))

    async def request(
        self,
        subject: str,
        payload: bytes,
        headers: dict[str, str] | None = None,
        timeout: float = ANSWER_SECONDS,
    ) -> bytes:
        """Publish a message and return the answer to it.

        Raises:
            NoAnswerError: nobody has answered; the message may have arrived all the same.
            RefusedError: this client may not publish to *subject*.
        """
        return await self._run(self._request(subject, payload, headers, timeout))

    def close(self) -> None:
        """Close the connection and end its thread; a second call does nothing."""
        with self._lock:
            was_closed, self._is_closed = self._is_closed, True
            loop, thread = self._loop, self._thread
        if was_closed or loop is None or thread is None:
            return
        ended = asyncio.run_coroutine_threadsafe(self._end(), loop)
        with contextlib.suppress(Exception):
            ended.result(ANSWER_SECONDS)
        loop.call_soon_threadsafe(loop.stop)
        if thread is not threading.current_thread():
            thread.join(ANSWER_SECONDS)

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    async def _run(self, work: Coroutine[Any, Any, _Result]) -> _Result:
        if asyncio.get_running_loop() is self._loop:
            return await work
        return await asyncio.wrap_future(self.submit(work))

    def _start(self) -> None:
        client_logs.silence()
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(client_logs.report)
        self._connected = asyncio.Event()
        self._supervisor = self._loop.create_task(self._supervise())
        self._thread = threading.Thread(
            target=self._run_loop, name=f"{client_logs.THREAD}{self.address}", daemon=True
        )
        self._thread.start()

    def _run_loop(self) -> None:
        assert self._loop is not None
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
        finally:
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.close()

    async def _end(self) -> None:
        assert self._supervisor is not None
        await _cancel({self._supervisor})
        if self._live is not None:
            await _dispose(self._live.client)
        await _cancel({task for task in asyncio.all_tasks() if task is not asyncio.current_task()})

    async def _supervise(self) -> None:
        """Connect, wait until the connection is lost, and begin again."""
        pause = FIRST_PAUSE_SECONDS
        while True:
            live = await self._connect_somewhere()
            if live is None:
                await asyncio.sleep(pause * random.uniform(0.5, 1))
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
                continue
            self._live = live
            self.problem, self.needs_a_person, pause = "", False, FIRST_PAUSE_SECONDS
            self._said.clear()
            self._connected.set()
            await asyncio.wait({live.lost})
            self._connected.clear()
            self._learn(live.client)
            self.problem = "the connection was lost"
            await _dispose(live.client)

    async def _connect_somewhere(self) -> _Live | None:
        """Try each server once, in random order; if none takes this client, return None and set `problem`."""
        problems: dict[Problem, str] = {}
        try:
            options = self._credentials.options()
        except ConfigurationError as error:
            self._say(str(error), True)
            return None
        for server in random.sample(self._servers, len(self._servers)):
            found = await self._connect(server, options)
            if isinstance(found, _Live):
                return found
            problems.setdefault(found, server)
        # In one order, or the same problems would be said twice.
        text = "; ".join(sorted(f"{server}: {problem.reason}" for problem, server in problems.items()))
        self._say(text, any(problem.needs_a_person for problem in problems))
        return None

    async def _connect(self, server: str, options: dict[str, Any]) -> _Live | Problem:
        """Return a client that is connected to *server*, or why there is none."""
        from nats.aio.client import Client

        errors: list[BaseException] = []
        lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        async def failed(error: BaseException) -> None:
            errors.append(error)
            answers.deny(str(error))

        def lose() -> None:
            answers.lose()
            if not lost.done():
                lost.set_result(None)

        async def closed() -> None:
            lose()

        client = Client()
        answers = Answers(client, str(self.address))
        if "tls" in options:
            secrets = {name: options[name] for name in ("password", "token") if name in options}
            options = options | {name: over_tls(client, secret) for name, secret in secrets.items()}
        try:
            await asyncio.wait_for(
                client.connect(
                    [f"nats://{server}"],
                    name=f"chora-logging {os.getpid()}",
                    allow_reconnect=False,
                    max_reconnect_attempts=1,
                    reconnect_time_wait=0,
                    connect_timeout=int(CONNECT_SECONDS),
                    ping_interval=_PING_SECONDS,
                    max_outstanding_pings=_MISSING_PINGS,
                    error_cb=failed,
                    closed_cb=closed,
                    **options,
                ),
                CONNECT_SECONDS,
            )
        except Exception as error:
            await _dispose(client)
            cause = errors[-1] if errors else error
            return with_advice(str(cause) or type(cause).__name__, options)
        except asyncio.CancelledError:
            await _dispose(client)
            raise
        if "tls" in options and not is_encrypted(client):
            await _dispose(client)
            return Problem(NO_TLS, True)
        version = _version_of(client)
        if version[:2] < OLDEST_VERSION:
            await _dispose(client)
            return Problem(
                f"the server has version {_text(version)}, and one before {_text(OLDEST_VERSION)} may store "
                f"the same events twice: upgrade it",
                True,
            )
        reading = client._reading_task
        if reading is None or not client.is_connected:
            return Problem("the server closed the connection")
        # It ends by a malformed message, too, without a word and without closing the client.
        reading.add_done_callback(lambda _: lose())
        try:
            await answers.listen()
        except Exception as error:
            await _dispose(client)
            return Problem(str(error) or type(error).__name__)
        return _Live(client, answers, lost)

    def _learn(self, client: Client) -> None:
        """Remember the other servers of the cluster, for when those of the address are gone."""
        for uri in client.discovered_servers:
            if uri.netloc and uri.netloc not in self._servers and len(self._servers) < 100:
                self._servers.append(uri.netloc)

    def _say(self, problem: str, needs_a_person: bool) -> None:
        self.problem, self.needs_a_person = problem, needs_a_person
        if problem not in self._said:
            self._said.add(problem)
            _logger.warning("%s: not connected, trying again: %s", self.address, problem)

    async def _ready(self, timeout: float) -> _Live:
        if not self._connected.is_set():
            try:
                await asyncio.wait_for(self._connected.wait(), timeout)
            except asyncio.TimeoutError:
                reason = f"not connected: {self.problem or 'no server has answered yet'}"
                raise NoAnswerError(str(self.address), reason) from None
        assert self._live is not None
        return self._live

    async def _with_client(self, work: Callable[[Any], Awaitable[_Result]], timeout: float) -> _Result:
        live = await self._ready(timeout)
        return await self._guarded(work(live.client), live.lost)

    async def _request(
        self, subject: str, payload: bytes, headers: dict[str, str] | None, timeout: float
    ) -> bytes:
        live = await self._ready(timeout)
        return await live.answers.request(subject, payload, headers, timeout)

    async def _guarded(self, work: Awaitable[_Result], lost: asyncio.Future[None]) -> _Result:
        """Wait for *work* until the connection is *lost*; raise our own errors."""
        from nats.errors import Error

        doing = asyncio.ensure_future(work)
        waiting: set[asyncio.Future[Any]] = {doing, lost}
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if doing.done() and not doing.cancelled():
                return doing.result()
        except (Error, OSError, asyncio.TimeoutError) as error:
            reason = (str(error) or type(error).__name__).removeprefix("nats: ")
            raise NoAnswerError(str(self.address), reason) from None
        finally:
            await _cancel({doing})
        raise NoAnswerError(str(self.address), "the connection was lost")


async def _cancel(tasks: set[asyncio.Task[Any]]) -> None:
    """End *tasks*; again what goes on: before Python 3.12, `asyncio.wait_for` may swallow a cancellation."""
    while tasks:
        for task in tasks:
            task.cancel()
        ended, tasks = await asyncio.wait(tasks, timeout=_CANCEL_SECONDS)
        for task in ended:  # else asyncio says that nobody has asked for their errors
            _ = task.cancelled() or task.exception()


async def _dispose(client: Client) -> None:
    with contextlib.suppress(Exception):
        await asyncio.wait_for(client.close(), CONNECT_SECONDS)


def _version_of(client: Client) -> tuple[int, ...]:
    version = client.connected_server_version
    return version.major, version.minor, version.patch


def _text(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))

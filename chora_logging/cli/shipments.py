"""Runs shipments until they have ended or are stopped."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import signal
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from typing import Any, Protocol

import click

from chora_logging.cli import paths
from chora_logging.cli.shipped_logs import say
from chora_logging.errors import ServerError
from chora_logging.eventlog.log import EventLog
from chora_logging.eventlog.reading import unended_bytes
from chora_logging.shipping import metrics
from chora_logging.shipping.loop import Destination, ship
from chora_logging.shipping.progress import Progress

#: How long the block under way may take when the shipper is stopped, in seconds, if it can be stored.
STOP_SECONDS = 5.0

_STOPPING = (signal.SIGTERM, signal.SIGINT)

#: Starts a coroutine in the event loop of the shipments.
Submit = Callable[[Coroutine[Any, Any, Any]], "asyncio.Future[Any]"]


class Shipment(Destination, Protocol):
    """A destination of one log."""

    progress: Progress

    def readable(self) -> None:
        """Note that the log can be read, whether or not there is anything new."""
        ...


@contextlib.contextmanager
def metrics_of(
    logs: Mapping[str, EventLog],
    shipments: Mapping[str, Shipment],
    listen: tuple[str, int] | None,
    connection: metrics.Connected | None = None,
) -> Iterator[None]:
    """Serve the metrics of *shipments* meanwhile, if there is an address to *listen* at.

    Raises:
        ClickException: nobody can listen there.
    """
    if listen is None:
        yield
        return
    found = {name: (logs[name], shipment.progress) for name, shipment in shipments.items()}
    try:
        server = metrics.serve(metrics.Metrics(connection, found), *listen)
    except OSError as error:
        place = f"{listen[0]}:{listen[1]}"
        why = f"{error.strerror or error}; give another port"
        raise click.ClickException(f"--metrics: cannot listen at {place}: {why}") from None
    try:
        yield
    finally:
        server.shutdown()


@contextlib.contextmanager
def signals_blocked() -> Iterator[None]:
    """Block the signals that stop a shipper until its event loop takes them.

    Python would raise in the middle of making the loop.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOPPING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPPING)


async def run(
    logs: Mapping[str, EventLog],
    shipments: Mapping[str, Shipment],
    *,
    linger: float,
    live: bool,
    submit: Submit,
    may_store: Callable[[], bool],
    before: Callable[[], Awaitable[None]] | None = None,
) -> None:
    """Ship *logs* to their *shipments* until all have ended, or a signal comes.

    Args:
        logs: The logs by name.
        shipments: The same names.
        linger, live: As for `ship`.
        submit: Starts the shipments.
        may_store: Returns whether the block under way is worth waiting for when a signal comes.
        before: Awaited before they begin.

    Raises:
        ClickException: a log was refused or could not be read; the others went on.
    """
    asked = asyncio.Event()
    stop = asyncio.Event()  # of the event loop of the shipments
    for number in _STOPPING:
        asyncio.get_running_loop().add_signal_handler(number, asked.set)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPPING)

    refusals: list[str] = []

    async def ship_one(log: EventLog, shipment: Shipment) -> None:
        try:
            if _is_absent(log):
                if not live:
                    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), log.path)
                say("ship", f"{paths.why_absent(log.path)}: waiting for it")
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
        if before is not None:
            await before()
        await asyncio.gather(*(ship_one(logs[name], shipment) for name, shipment in shipments.items()))
        if refusals and len(shipments) == 1:
            raise click.ClickException(refusals[0])
        if refusals:  # each was said when it came
            raise click.ClickException(f"{len(refusals)} of {len(shipments)} logs are not shipped")

    async def end() -> None:
        stop.set()

    working = submit(work())
    stopping = asyncio.ensure_future(asked.wait())
    tasks: set[asyncio.Future[Any]] = {working, stopping}
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        await submit(end())
        await asyncio.wait({working}, timeout=STOP_SECONDS if may_store() else 0)
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

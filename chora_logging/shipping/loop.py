"""Ships a log to a destination: from the position that the destination has, in order, until it is stopped."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Callable
from typing import Protocol

from chora_logging.errors import ServerError
from chora_logging.eventlog.events import Block, Gap
from chora_logging.eventlog.log import EventLog
from chora_logging.schema import OWN_LOGGER

#: The pause after a failed read of a log, in seconds.
READ_AGAIN_SECONDS = 5.0

_logger = logging.getLogger(OWN_LOGGER)


class Superseded(Exception):  # noqa: N818  # an event, not an error
    """The destination has another position than the one from which the log is shipped: ask it again."""


class Destination(Protocol):
    """Where a log is shipped to. It has the position: what it has stored is not given to it again."""

    async def resume(self, log: EventLog) -> str | None:
        """Return the cursor after the last lines that are stored; None if there are none.

        Raises:
            ServerError: *log* cannot be shipped, and a later try would not help.
        """
        ...

    async def put(self, item: Block | Gap) -> None:
        """Store *item*, and return when it is stored; try again for as long as it takes.

        Raises:
            Superseded: something else is stored than was put.
            ServerError: as for `resume`.
        """
        ...


async def ship(
    log: EventLog,
    destination: Destination,
    *,
    linger: float = 0.0,
    live: bool = True,
    stop: asyncio.Event | None = None,
    on_unreadable: Callable[[OSError], None] | None = None,
    on_read: Callable[[], None] | None = None,
) -> None:
    """Ship *log* to *destination*, until *stop* is set, or to its end if it is not *live*.

    While an item is stored the next one is read. A *live* log that cannot be read is tried again and again;
    that is logged once.

    Args:
        log: The log; it need not exist.
        destination: Where to.
        linger: How long to wait after a first new line for others to come into its block, in seconds.
        live: Go on at the end of the log.
        stop: Ends the shipping after the item under way.
        on_unreadable: Called each time the log could not be read; it is tried again.
        on_read: Called again and again as long as it can be read.

    Raises:
        ServerError: the destination refuses the log.
        OSError: *log* cannot be read, and is not *live*.
    """
    stopped = asyncio.Event() if stop is None else stop
    problem = ""
    while not stopped.is_set():
        after = await destination.resume(log)
        try:
            found = log.follow_blocks(after, linger=linger, live=live, on_read=on_read)
            if await _put_all(_items(found, stopped), destination):
                return
        except OSError as error:
            if isinstance(error, ServerError) or not live:
                raise
            if on_unreadable is not None:
                on_unreadable(error)
            if problem != str(error):
                problem = str(error)
                _logger.warning("%s cannot be read, trying again: %s", log.address, error)
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(stopped.wait(), READ_AGAIN_SECONDS)


async def _put_all(items: AsyncGenerator[Block | Gap, None], destination: Destination) -> bool:
    """Put *items*; return whether that was all, or the destination must be asked for its position again."""
    async with contextlib.aclosing(items):
        try:
            async for item in items:
                await destination.put(item)
        except Superseded:
            return False
        return True


async def _items(
    found: AsyncGenerator[list[Block | Gap], None], stopped: asyncio.Event
) -> AsyncGenerator[Block | Gap, None]:
    """Yield the items of *found* until *stopped* is set, and read the next ones meanwhile."""

    async def following() -> list[Block | Gap] | None:
        return await anext(found, None)

    stopping = asyncio.ensure_future(stopped.wait())
    reading = asyncio.ensure_future(following())
    try:
        while True:
            await asyncio.wait({reading, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if stopping.done() or (items := reading.result()) is None:
                return
            reading = asyncio.ensure_future(following())
            for item in items:
                if stopping.done():
                    return
                yield item
    finally:
        for task in (reading, stopping):
            task.cancel()
        await asyncio.wait({reading, stopping})
        await found.aclose()

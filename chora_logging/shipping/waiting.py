"""Waits between the tries to store something, and tells people why it waits."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable

from chora_logging.errors import RefusedError, ServerError
from chora_logging.eventlog.events import Gap
from chora_logging.eventlog.log import EventLog
from chora_logging.schema import OWN_LOGGER
from chora_logging.shipping.pressure import Pressure
from chora_logging.shipping.progress import Progress

#: The pause before the next try, in seconds: it doubles from the first to the longest; and when only a person
#: can help.
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS, SLOW_PAUSE_SECONDS = 0.05, 5.0, 30.0

#: A warning is due if the files hold what is not shipped for less than this many seconds more.
_SHORT_SECONDS = 600.0

#: The shortest pause between two such warnings, in seconds.
_WARNING_SECONDS = 60.0

_logger = logging.getLogger(OWN_LOGGER)


class Waiting:
    """The pauses of one shipment while nothing can be stored.

    Args:
        address: Where the log is shipped to, for people.
        log: The log.
        progress: Gets the errors.
        sleep: Waits for so many seconds.

    For one event loop.
    """

    def __init__(
        self,
        address: str,
        log: EventLog,
        progress: Progress,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._address = address
        self._log = log
        self._progress = progress
        self._sleep = sleep
        self._pressure = Pressure(log)
        self._warned = float("-inf")

    def readable(self) -> None:
        """Note that the log can be read, whether or not there is anything new."""
        if self._progress.readable():
            _logger.info("%s can be read again", self._log.address)

    def tell(self, error: ServerError) -> None:
        """Log why nothing is stored, unless that is known."""
        if error.reason != self._progress.problem:
            log = _logger.error if isinstance(error, RefusedError) else _logger.warning
            log("%s: %s waits: %s", self._address, self._log.address, error.reason)
        self._progress.fail(error)

    async def wait(self, pause: float, least: float = 0.0) -> float:
        """Wait before the next try, and return the pause before the one after it.

        Args:
            pause: What the last call has returned, or `FIRST_PAUSE_SECONDS`.
            least: The shortest pause, which the server has asked for.
        """
        if max(pause, least) >= LONGEST_PAUSE_SECONDS:
            await asyncio.get_running_loop().run_in_executor(None, self._warn_of_retention)
        if self._progress.needs_a_person:
            pause = SLOW_PAUSE_SECONDS
        await self._sleep(max(pause * random.uniform(0.5, 1), least))
        return min(2 * pause, LONGEST_PAUSE_SECONDS)

    def recover(self) -> None:
        """Note that the server does what it is asked."""
        if self._progress.recover():
            _logger.info("%s: %s goes on", self._address, self._log.address)

    def stored(self) -> None:
        """Note that something is stored: the log has no pressure any more."""
        self.recover()
        self._pressure.forget()

    def tell_gap(self, gap: Gap) -> None:
        """Log that events are missing in what is shipped, which a gap now says there."""
        sizes = [
            f"{number} {what}" for number, what in ((gap.files, "files"), (gap.bytes, "bytes")) if number
        ]
        of = f" ({', '.join(sizes)})" if sizes else ""
        what = "%s: events of %s are missing in what is shipped: %s%s"
        _logger.warning(what, self._address, self._log.address, gap.reason, of)

    def _warn_of_retention(self) -> None:
        left, now = self._pressure.seconds_left(self._progress.end), time.monotonic()
        if left is not None and left < _SHORT_SECONDS and now - self._warned >= _WARNING_SECONDS:
            self._warned = now
            _logger.warning(
                "%s: the files hold what is not shipped for about %.0f s more; then events are lost",
                self._log.address,
                left,
            )

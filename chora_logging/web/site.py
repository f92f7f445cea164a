"""The state that the routes of one application share: logs, limits, metrics, streams and threads."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Generator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from chora_logging import settings
from chora_logging.errors import ConfigurationError
from chora_logging.eventlog.rotated.packed import unpacking_at_most
from chora_logging.eventlog.source import Health, Source, is_address, open_source
from chora_logging.settings import StrPath
from chora_logging.web.connections import PART_OF_A_CLIENT, Streams
from chora_logging.web.limits import DEFAULT_LIMITS, MOST_LOGS, Limits
from chora_logging.web.metrics import Metrics
from chora_logging.web.responses import Refusal, busy

Logs = Mapping[str, StrPath | Source] | str

#: The number of threads that read pages: few, because they share one interpreter with the event loop.
READING_THREADS = 2

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_Result = TypeVar("_Result")


class Site:
    """Logs by name, with the limits, metrics and threads to serve them.

    Args:
        logs: The logs by name, or the address of a stream, whose name that of the log is then; None takes
            those of `default_logs`.
        limits: The limits of the application, in each server process.
        fields: The names of fields that mean something, for the logs that are not sources; see `EventLog`.

    Raises:
        ConfigurationError: a name, a path, a variable, *limits* or *fields* is invalid.
    """

    def __init__(
        self,
        logs: Logs | None = None,
        limits: Limits | None = None,
        fields: Mapping[str, str] | None = None,
    ) -> None:
        if limits is not None and not isinstance(limits, Limits):
            raise ConfigurationError("limits", limits, "a Limits, such as Limits(streams=100)")
        given = _named(default_logs() if logs is None else logs)
        self.logs = _checked(given, fields)
        self._own = [source for name, source in self.logs.items() if source is not given[name]]
        self.limits = DEFAULT_LIMITS if limits is None else limits
        self.metrics = Metrics(self.logs)
        self.streams = Streams(self.limits, self.metrics)
        self._reading: Counter[str | None] = Counter()
        self._readers = ThreadPoolExecutor(READING_THREADS, "chora-logging-reader")
        # Pages that take long keep the health check waiting no longer than the interpreter does.
        self._health = ThreadPoolExecutor(1, "chora-logging-health")

    def log(self, name: str) -> Source:
        """Return the log *name*.

        Raises:
            Refusal: there is no such log.
        """
        if name not in self.logs:
            known = ", ".join(self.logs)
            raise Refusal(404, "unknown_log", f"there is no log of that name; the logs are {known}")
        return self.logs[name]

    def chosen(self, names: str) -> dict[str, Source]:
        """Return the log *names*, or the logs of several names with commas between them.

        Raises:
            Refusal: there is no log of a name, or there are too many.
        """
        wanted = set(names.split(","))
        if len(wanted) > MOST_LOGS:
            raise Refusal(422, "too_many_logs", f"at most {MOST_LOGS} logs can be read at a time")
        for name in wanted:
            self.log(name)
        return {name: log for name, log in self.logs.items() if name in wanted}

    def close(self) -> None:
        """Close the sources that were opened here, not those that were given; they can still be used."""
        for source in self._own:
            source.close()

    async def read_health(self, log: Source) -> Health:
        """Return the health of *log*, read in a thread of its own."""
        return await asyncio.get_running_loop().run_in_executor(self._health, log.health)

    async def read(self, function: Callable[[], _Result]) -> _Result:
        """Call *function* in a reading thread; a cancellation takes effect after it has returned."""
        reading = asyncio.get_running_loop().run_in_executor(self._readers, function)
        try:
            return await asyncio.shield(reading)
        except asyncio.CancelledError:
            await asyncio.wait([reading])
            reading.exception()  # marks it as retrieved, else asyncio logs an error
            raise

    async def read_in_steps(
        self,
        steps: Generator[None, None, _Result],
        gone: Callable[[], Awaitable[bool]],
        client: str | None = None,
    ) -> _Result:
        """Run *steps* in the reading threads one by one, so that long requests alternate.

        Args:
            steps: The generator to run and close.
            gone: Returns whether the client has disconnected.
            client: The address of a client behind a proxy, which may have a part of the requests.

        Raises:
            Refusal: too many requests are being answered, or of one client, or the client has disconnected.
        """
        if self._reading.total() >= self.limits.pages:
            raise busy(f"{self._reading.total()} requests are being answered")
        most = max(1, int(self.limits.pages * PART_OF_A_CLIENT))
        if client is not None and self._reading[client] >= most:
            raise busy(f"{most} requests from {client} are being answered, the most allowed for one address")
        self._reading[client] += 1
        try:
            while not (done := await self.read(lambda: _step(steps, self.limits.unpacked))):
                if await gone():
                    raise Refusal(499, "gone", "the client has gone")
            return done[0]
        finally:
            self._reading[client] -= 1
            self._reading += Counter()  # forgets those without a request
            steps.close()


def default_logs() -> dict[str, StrPath]:
    """Return the logs that programs with this environment write: `orchestrator` and `telemetry`.

    Raises:
        ConfigurationError: a variable is invalid.
    """
    return {
        "orchestrator": settings.resolve_orch_log_file(),
        "telemetry": settings.resolve_events_file(),
    }


def _named(logs: Logs) -> Mapping[str, StrPath | Source]:
    if isinstance(logs, str) and is_address(logs):
        logs = {logs.rpartition("/")[2]: logs}
    if not isinstance(logs, Mapping) or not logs:
        allowed = "a mapping of names to paths with at least one log, or the address of a stream"
        raise ConfigurationError("logs", logs, allowed)
    return logs


def _checked(logs: Mapping[str, StrPath | Source], fields: Mapping[str, str] | None) -> dict[str, Source]:
    found = {}
    for name, log in logs.items():
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            allowed = "1 to 64 letters, digits, '.', '_' or '-', the first a letter or digit"
            raise ConfigurationError("the name of a log", name, allowed)
        if not isinstance(log, Source) and not is_address(log):
            log = settings.check_path(f"logs[{name!r}]", log)
        found[name] = open_source(log, fields=fields)
    return found


def _step(steps: Generator[None, None, _Result], unpacked: int) -> list[_Result]:
    """Run one step; return the result in a list if it was the last one, else an empty list."""
    try:
        with unpacking_at_most(unpacked):
            next(steps)
    except StopIteration as end:
        return [end.value]
    return []

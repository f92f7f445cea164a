"""`Shipment`: ships one log to a collector, each line at least once, in order, whatever dies meanwhile.

A collector has no position, so the state file has it. It is written after each answer, and synced while the
next request is under way: after a kill one request is sent once more, and after a power cut two at most. One
request of a log is under way at a time.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from enum import Enum, auto

from chora_logging.errors import NoAnswerError, RefusedError, ServerError
from chora_logging.eventlog.events import Block, Gap
from chora_logging.eventlog.log import EventLog
from chora_logging.eventlog.rotated.locating import joined
from chora_logging.otlp.client import Answer, Client
from chora_logging.otlp.records import Request
from chora_logging.otlp.settings import COMPRESSION, HEADERS
from chora_logging.schema import OWN_LOGGER
from chora_logging.shipping.oversize import KEPT_BYTES, Oversize, pieces, replacement, replacements
from chora_logging.shipping.progress import Progress
from chora_logging.shipping.state import Checkpoint, State
from chora_logging.shipping.waiting import FIRST_PAUSE_SECONDS, Waiting

#: The shortest pause between two reports of rejected records, in seconds.
REPORT_SECONDS = 60.0

#: The answers that are about the records of a request.
_MALFORMED, _TOO_LARGE = {400, 422}, {413}

#: The answers after which a later try may succeed; of the others from 500 on, too.
_PASSING = {408, 425, 429}

#: The answers from 500 on that are for good.
_UNABLE = {501, 505}

_REDIRECTS = {301, 302, 303, 307, 308}

#: What to do about the others.
_ADVICE = {
    401: f"check {HEADERS}",
    403: f"check {HEADERS}",
    404: "check the path of the address",
    405: "check the path of the address",
    407: "check the user and password of the proxy",
    415: f"it may not take protobuf, or not compressed: try {COMPRESSION}=none",
}

_LONGEST_ADDRESS = 200

#: How many different reasons are told at once.
_REASONS, _OTHERS = 5, "others"

_logger = logging.getLogger(OWN_LOGGER)


class _Outcome(Enum):
    STORED = auto()
    MALFORMED = auto()
    TOO_LARGE = auto()


class Shipment:
    """A `Destination`: a collector, for one log.

    Args:
        client: The client of the collector.
        log: The log.
        resource: Attributes of where its events come from.
        state: Its state file.
        oversize: Keeps the lines that the collector does not take.
        sleep: Waits for so many seconds.

    Attributes:
        progress: What it has done.

    For one event loop. The caller closes *client*, *state* and *oversize*, and the shipment before them.
    """

    def __init__(
        self,
        client: Client,
        log: EventLog,
        *,
        resource: Mapping[str, str],
        state: State,
        oversize: Oversize,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.progress = Progress()
        self._client = client
        self._address = str(client.endpoint)
        self._log = log
        self._resource = resource
        self._state = state
        self._oversize = oversize
        self._waiting = Waiting(self._address, log, self.progress, sleep)
        self._gap: Gap | None = None
        self._takes_records = False  # whether it has stored any since it refused one
        self._why_refused = ""
        self._rejected = 0  # of the last request that was stored
        self._rejections = Reports()
        self._cuts = Reports()
        self._remarks = Reports()
        self._syncing: asyncio.Future[None] | None = None  # of the last position

    async def resume(self, log: EventLog) -> str | None:
        """Return the cursor after the last block that is stored; see `Destination`."""
        self._gap = None
        saved = self._state.newest()
        if saved is not None and saved.stream != self._name:
            _logger.info("%s: %s goes on where it was for %s", self._address, log.address, saved.stream)
        self.progress.end = None if saved is None else saved.end
        return self.progress.end

    def readable(self) -> None:
        """Note that the log can be read, whether or not there is anything new."""
        self._waiting.readable()

    def close(self) -> None:
        """Report what has not been reported."""
        self._report(at_once=True)

    async def put(self, item: Block | Gap) -> None:
        """Store *item*; see `Destination`. A gap is stored with the block that follows it."""
        if isinstance(item, Gap):
            self._gap = item if self._gap is None else joined(self._gap, item)
            return
        for piece in pieces(item, before=self.progress.end):
            await self._put(piece)

    async def _put(self, block: Block) -> None:
        if block.overlong:
            await self._put_beginning(block)
            return
        lines = block.lines()
        outcome = await self._send(lines)
        if outcome is _Outcome.STORED:
            await self._stored(block, block.lines().count(b"\n") - self._rejected)
        elif block.chunk.count(b"\n", 0, block.size) > 1:
            for piece in pieces(block, before=self.progress.end, longest=block.size // 2):
                await self._put(piece)
        elif not await self._takes_others():
            await self._put(block)
        elif self._gap is not None:  # one of the two is refused
            if await self._send(b"") is not _Outcome.STORED:
                _logger.warning("%s: a gap in %s is refused: %s", self._address, self._log.address, self._gap)
                self._gap = None
            await self._put(block)
        elif outcome is _Outcome.TOO_LARGE:
            await self._put_beginning(block)
        else:
            await self._refuse(block, block.lines())

    async def _put_beginning(self, block: Block) -> None:
        """Store a marked event in place of the only line of *block*, which is too long."""
        self.progress.oversize += 1
        if block.overlong:
            what = "%s: a line of %d bytes is too long to be read, and stands in %s from byte %d on only"
            _logger.warning(what, self._log.address, block.length, block.path, block.start)
        else:
            await self._keep(block.lines())
        for event in replacements(block):
            if await self._send(event) is _Outcome.STORED:
                if not block.overlong:
                    self._cuts.add(f"of {block.length} bytes")
                await self._stored(block, 1 - self._rejected)
                return
        if block.overlong and not await self._takes_others():
            await self._put(block)
        else:
            await self._refuse(block, replacement(block, 8 * KEPT_BYTES) if block.overlong else b"")

    async def _refuse(self, block: Block, lines: bytes) -> None:
        """Count the only line of *block*, which the collector refuses; keep *lines* of it, and go on."""
        self._takes_records = False
        await self._reject(lines, 1, self._why_refused)
        await self._stored(block, lines=0)

    async def _takes_others(self) -> bool:
        """Wait until the collector takes an empty request, and return whether it did so at once.

        If not, it has refused everything, of which no line is the cause, and somebody has mended that.
        """
        if self._takes_records:
            return True
        resends = self.progress.resends
        await self._deliver(Request(self._resource, self._log.meaning).encoded())
        self._takes_records = True
        return self.progress.resends == resends

    async def _send(self, lines: bytes) -> _Outcome:
        """Send whole *lines* after the gap, if there is one, until there is an answer to go on with."""
        request = Request(self._resource, self._log.meaning)
        if self._gap is not None:
            request.add_gap(self._gap)
        request.add_lines(lines)
        self._rejected = 0
        if not request.records:  # blank lines
            return _Outcome.STORED
        outcome, answer = await self._deliver(request.encoded(), may_be_refused=True)
        if outcome is not _Outcome.STORED:
            self._why_refused = f"{answer.status} {answer.message}".strip()
            return outcome
        self._takes_records = True
        if self._gap is not None:
            self.progress.gaps += 1
            self._waiting.tell_gap(self._gap)
            self._gap = None
        if answer.rejected:
            self._rejected = min(answer.rejected, request.records)
            await self._reject(lines, self._rejected, answer.message)
        elif answer.message:
            self._remarks.add(answer.message)
        return outcome

    async def _deliver(self, request: bytes, *, may_be_refused: bool = False) -> tuple[_Outcome, Answer]:
        """Send *request* until it is stored, or until it is refused for what it has, if it may be that."""
        pause = FIRST_PAUSE_SECONDS
        while True:
            least = 0.0
            try:
                answer = await self._client.send(request)
                outcome = _outcome(answer)
                if outcome is _Outcome.STORED or (outcome is not None and may_be_refused):
                    self._waiting.stored()
                    return outcome, answer
                least = answer.retry_after
                raise _error(self._address, answer)
            except ServerError as error:
                self._waiting.tell(error)
            pause = await self._waiting.wait(pause, least)
            self.progress.resends += 1

    async def _stored(self, block: Block, lines: int) -> None:
        progress = self.progress
        progress.blocks += 1
        progress.bytes += block.length
        progress.lines += lines
        progress.end = block.cursor(block.length)
        progress.level_since = time.monotonic()
        self._report()
        if self._syncing is not None:
            await self._syncing
        self._state.save(Checkpoint(self._name, "", progress.end, 0))
        if self._state.is_sync_due():
            self._syncing = asyncio.get_running_loop().run_in_executor(None, self._state.sync)

    @property
    def _name(self) -> str:
        return self._address[:_LONGEST_ADDRESS]  # a checkpoint has no room for more

    async def _reject(self, lines: bytes, records: int, reason: str) -> None:
        """Keep *lines*, unless there are none, of which the collector has rejected so many *records*."""
        if lines:
            await self._keep(lines)
        self.progress.rejected += records
        self._rejections.add(reason or "it does not say why", records)
        self._report()

    async def _keep(self, lines: bytes) -> None:
        """Keep *lines* whole; wait while they cannot be written."""
        pause = FIRST_PAUSE_SECONDS
        while True:
            try:
                self._oversize.keep(lines)
            except OSError as error:
                reason = f"{self._oversize.path}: {error.strerror or error}, so no refused line can be kept"
                self._waiting.tell(RefusedError(self._address, reason))
            else:
                self._waiting.stored()
                return
            pause = await self._waiting.wait(pause)

    def _report(self, *, at_once: bool = False) -> None:
        log, kept = self._log.address, self._oversize.path
        if told := self._rejections.due(at_once):
            count, reasons = told
            what = "%s rejects %d record%s of %s for good; their lines are in %s: %s"
            _logger.error(what, self._address, count, "s" * (count != 1), log, kept, reasons)
        if told := self._cuts.due(at_once):
            count, sizes = told
            are = f"a line {sizes} is" if count == 1 else f"{count} lines, {sizes}, are"
            _logger.warning("%s: %s too long, and cut: the whole is in %s", log, are, kept)
        if told := self._remarks.due(at_once):
            _logger.warning("%s says of %s: %s", self._address, log, told[1])


class Reports:
    """What is to be said of many lines alike: at once, and then once in a while."""

    def __init__(self) -> None:
        self._waiting: Counter[str] = Counter()
        self._told = float("-inf")

    def add(self, reason: str, count: int = 1) -> None:
        """Count something for which there is a *reason*."""
        self._waiting[reason if reason in self._waiting or len(self._waiting) < _REASONS else _OTHERS] += (
            count
        )

    def due(self, at_once: bool) -> tuple[int, str] | None:
        """Return how much there is to say, and the reasons; None if there is nothing, or it is too early."""
        if not self._waiting or not (at_once or time.monotonic() - self._told >= REPORT_SECONDS):
            return None
        found, self._waiting, self._told = self._waiting, Counter(), time.monotonic()
        if len(found) == 1:
            return found.total(), next(iter(found))
        return found.total(), ", ".join(f"{reason} ({count})" for reason, count in found.most_common())


def _outcome(answer: Answer) -> _Outcome | None:
    """Return what has become of the records; None if the answer is not about them."""
    if 200 <= answer.status < 300:
        return _Outcome.STORED
    if answer.status in _MALFORMED:
        return _Outcome.MALFORMED
    return _Outcome.TOO_LARGE if answer.status in _TOO_LARGE else None


def _error(address: str, answer: Answer) -> ServerError:
    reason = f"it answers {answer.status}"
    if answer.message:
        reason += f" ({answer.message})"
    if answer.status in _PASSING or (answer.status >= 500 and answer.status not in _UNABLE):
        return NoAnswerError(address, reason)
    is_redirect = answer.status in _REDIRECTS
    advice = "give the address that it redirects to" if is_redirect else _ADVICE.get(answer.status)
    return RefusedError(address, f"{reason}: {advice}" if advice else reason)

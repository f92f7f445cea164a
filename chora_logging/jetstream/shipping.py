"""`Shipment`: ships one log into a stream, each block once, in order, whatever dies meanwhile.

The position is in the stream: each message has the cursors before and after its lines. One message of a log
is under way at a time, and each says which one must be the last of its subject. So a block is stored once or
refused, without any limit of time, and so is what a second shipper sends.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from urllib.parse import quote

from chora_logging.errors import AnswerError, NoAnswerError, OtherShipperError, RefusedError, ServerError
from chora_logging.eventlog.events import Block, Gap
from chora_logging.eventlog.log import EventLog
from chora_logging.eventlog.rotated import cursor
from chora_logging.eventlog.rotated.cursor import NO_LOG
from chora_logging.eventlog.rotated.locating import joined
from chora_logging.jetstream.messages import (
    END,
    EXPECTED_SEQUENCE,
    LINES,
    MESSAGE_ID,
    START,
    Head,
    Message,
    head_of,
    message,
)
from chora_logging.jetstream.provision import longest_message, what_is_wrong, with_advice
from chora_logging.jetstream.stream import Stored, Stream
from chora_logging.schema import OWN_LOGGER
from chora_logging.shipping.loop import Superseded
from chora_logging.shipping.oversize import Oversize, pieces, replacement
from chora_logging.shipping.progress import Progress
from chora_logging.shipping.state import Checkpoint, State
from chora_logging.shipping.waiting import FIRST_PAUSE_SECONDS, Waiting

#: The errors of JetStream if the last message of the subject is another one.
WRONG_SEQUENCE = {10071, 10164}

#: How much of the longest message of a server is left free, in bytes.
_SPARE_BYTES = 4096

_logger = logging.getLogger(OWN_LOGGER)


class Shipment:
    """A `Destination`: the subject of one log in a stream.

    Args:
        stream: The stream.
        subject: The subject of the log.
        log: The log.
        state: Its state file.
        oversize: Keeps lines that are too long.
        compress: Compress the lines.
        with_ids: Give the messages ids, by which the server finds duplicates too.
        headers: More headers for its messages.
        sleep: Waits for so many seconds.

    Attributes:
        progress: What it has done.
        shipper: Who this is, as its messages say.

    For one event loop. The caller closes *state* and *oversize*.
    """

    def __init__(
        self,
        stream: Stream,
        subject: str,
        log: EventLog,
        *,
        state: State,
        oversize: Oversize,
        compress: bool = True,
        with_ids: bool = True,
        headers: Mapping[str, str] = MappingProxyType({}),
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.subject = subject
        self.progress = Progress()
        self.shipper = f"{state.shipper} {place_of_shipper(log.path)}"
        self._stream = stream
        self._log = log
        self._state = state
        self._oversize = oversize
        self._compress = compress
        self._with_ids = with_ids
        self._headers = headers
        self._expected = 0
        self._longest: int | None = None  # the longest message that the stream takes, if it says so
        self._gap: Gap | None = None
        self._resumed: Stored | None = None  # the message of the position, until the first block
        self._waiting = Waiting(str(stream.connection.address), log, self.progress, sleep)
        self._syncing: asyncio.Future[None] | None = None

    async def resume(self, log: EventLog) -> str | None:
        """Return the cursor after the last block that is stored; see `Destination`."""
        last = await self._last()
        self._longest = await longest_message(self._stream)
        saved = self._state.load(self._stream.name, self.subject)
        self._gap, self._resumed = None, last
        self._waiting.recover()
        if last is None:
            self._expected = 0
            self.progress.end = None if saved is None else saved.end
            return self.progress.end
        self._expected = last.sequence
        self.progress.end = self._head(last).end
        return self.progress.end

    def readable(self) -> None:
        """Note that the log can be read, whether or not there is anything new."""
        self._waiting.readable()

    async def begin(self, sequence: int) -> None:
        """Go on after the message *sequence* of the subject, 0 before the first, instead of `resume`."""
        self._expected = sequence
        self._longest = await longest_message(self._stream)

    async def put(self, item: Block | Gap) -> None:
        """Store *item*; see `Destination`. A gap is stored with the block that follows it.

        As a message of its own it would be there twice if this process died before the block.
        """
        if isinstance(item, Gap):
            self._gap = item if self._gap is None else joined(self._gap, item)
            return
        if self._resumed is not None:
            self._check_log(self._resumed, item)
            self._resumed = None
        for piece in pieces(item, before=self.progress.end):
            await self._put(piece)

    async def _put(self, block: Block) -> None:
        made = self._made_of(block)
        limit = self._stream.connection.max_payload - _SPARE_BYTES
        limit = min(limit, self._longest or limit) - _length(made.headers)
        if block.overlong or len(made.payload) > limit:
            if block.chunk.count(b"\n", 0, block.size) > 1:
                for piece in pieces(block, before=self.progress.end, longest=block.size // 2):
                    await self._put(piece)
                return
            made = self._replacement(block, made, limit)
        pause = FIRST_PAUSE_SECONDS
        while (sequence := await self._try(made)) is None:
            pause = await self._waiting.wait(pause)
            self.progress.resends += 1
        self._stored(block, made.headers, sequence)

    async def _try(self, made: Message) -> int | None:
        """Send *made* once; return its sequence if it is stored, also if it was before."""
        try:
            headers = {**made.headers, EXPECTED_SEQUENCE: str(self._expected)}
            ack = await self._stream.publish(made._replace(headers=headers))
        except ServerError as error:
            if not isinstance(error, AnswerError) or error.code not in WRONG_SEQUENCE:
                await self._tell(error)
                return None
            ack = None
        if ack is not None and not ack.is_duplicate:
            return ack.sequence
        sequence = await self._sequence_of(made)
        if ack is not None and sequence is None:  # after a purge, of which the ids do not know
            made.headers.pop(MESSAGE_ID, None)
        return sequence

    def _made_of(self, block: Block) -> Message:
        made = message(
            block,
            self.subject,
            stream=self._stream.name,
            expected=self._expected,
            shipper=self.shipper,
            gap=self._gap,
            compress=self._compress,
            with_id=self._with_ids,
        )
        made.headers.update(self._headers)
        return made

    def _replacement(self, block: Block, made: Message, limit: int) -> Message:
        """Return *made* with a marked event in place of the line of *block*, which is too long."""
        self.progress.oversize += 1
        self._keep(block)
        line = replacement(block, max(limit, _SPARE_BYTES))
        small = self._made_of(block._replace(chunk=line, size=len(line), overlong=0))
        # The position is that of the line in the file.
        same = {name: value for name, value in made.headers.items() if name in (START, END, MESSAGE_ID)}
        return small._replace(headers={**small.headers, **same, LINES: "1"})

    def _keep(self, block: Block) -> None:
        """Keep the only line of *block* whole, and say where it is."""
        where = f"the whole is in {self._oversize.path}"
        if block.overlong:
            where = f"it is too long to be read, and stands in {block.path} from byte {block.start} on only"
        else:
            try:
                self._oversize.keep(block.lines())
            except OSError as error:
                where = f"the whole cannot be kept: {error}"
        _logger.warning(
            "%s: a line of %d bytes is cut in the stream: %s", self._log.address, block.length, where
        )

    def _stored(self, block: Block, headers: Mapping[str, str], sequence: int) -> None:
        self._expected = sequence
        progress = self.progress
        self._waiting.stored()
        if self._gap is not None:
            progress.gaps += 1
            self._waiting.tell_gap(self._gap)
            self._gap = None
        progress.blocks += 1
        progress.bytes += block.length
        progress.lines += int(headers[LINES])
        progress.end = headers[END]
        progress.level_since = time.monotonic()
        self._state.save(Checkpoint(self._stream.name, self.subject, progress.end, sequence))
        if self._state.is_sync_due() and (self._syncing is None or self._syncing.done()):
            self._syncing = asyncio.get_running_loop().run_in_executor(None, self._state.sync)

    async def _sequence_of(self, made: Message) -> int | None:
        """Return the sequence of *made* if it is stored; None to send it again.

        Raises:
            Superseded: an earlier process of this shipper had another block under way, and that is stored.
            OtherShipperError: somebody else's message is the last of the subject.
        """
        last = await self._last()
        if last is None:
            if self._expected:
                await self._say_what_is_gone()
            self._expected = 0
            return None
        if last.sequence == self._expected:  # the first copy is under way
            return None
        head = self._head(last)
        if (head.start, head.end) == (made.headers[START], made.headers[END]):
            return last.sequence
        if head.shipper == self.shipper:
            raise Superseded
        raise self._other(last, head)

    async def _say_what_is_gone(self) -> None:
        try:
            first = int((await self._stream.info())["state"]["first_seq"])
        except (ServerError, KeyError, TypeError, ValueError):
            return
        if first <= self._expected:
            _logger.warning(
                "%s: the messages of %s up to %d are gone: the stream was purged or made anew",
                self._stream.connection.address,
                self.subject,
                self._expected,
            )

    def _check_log(self, last: Stored, block: Block) -> None:
        """Raise if *last* is of another log than *block*, the first one after it."""
        if self._gap is None:  # the position is in our files, by content
            return
        head = self._head(last)
        theirs, ours = cursor.decode(head.end), cursor.decode(block.cursor(0))
        if NO_LOG not in (theirs.log_id, ours.log_id) and theirs.log_id != ours.log_id:
            raise self._refused(
                f"sequence {last.sequence} of {self.subject} is of another log, with the id "
                f"{theirs.log_id.hex()} instead of {ours.log_id.hex()}, from {named(head.shipper)}: two "
                f"logs have one name; give this machine another --host, or this log another name"
            )
        # A position in our newest file or later, with other content: of a clone, unless it was ours and the
        # file was rewritten.
        if (ours.log_id == NO_LOG or ours.generation <= theirs.generation) and self._is_foreign(last, head):
            raise self._other(last, head)

    def _is_foreign(self, last: Stored, head: Head) -> bool:
        saved = self._state.load(self._stream.name, self.subject)
        if saved is not None and saved.sequence != last.sequence:
            return True
        return head.shipper.split(" ")[1:] != self.shipper.split(" ")[1:]

    def _other(self, last: Stored, head: Head) -> OtherShipperError:
        return self._refused(
            f"another shipper ships {self.subject}: sequence {last.sequence} came from "
            f"{named(head.shipper)}, and this is {named(self.shipper)}; stop one of them, or give one "
            f"another --host"
        )

    def _refused(self, reason: str) -> OtherShipperError:
        return OtherShipperError(str(self._stream.connection.address), reason)

    def _head(self, stored: Stored) -> Head:
        head = head_of(stored.headers)
        if head is None:
            raise self._refused(not_made_by_a_shipper(stored, self._stream.name))
        return head

    async def _last(self) -> Stored | None:
        """Return the last message of the subject, however long it takes to get it."""
        pause = FIRST_PAUSE_SECONDS
        while True:
            try:
                return await self._stream.last_message(self.subject)
            except ServerError as error:
                await self._tell(error)
            pause = await self._waiting.wait(pause)

    async def _tell(self, error: ServerError) -> None:
        """Log why nothing is stored, unless that is known."""
        if isinstance(error, AnswerError):
            error = with_advice(error)
        # Not at the first silence.
        asked = isinstance(error, NoAnswerError) and self.progress.problem
        if asked and (wrong := await what_is_wrong(self._stream, self.subject)):
            error = RefusedError(error.address, wrong)
        self._waiting.tell(error)


def _length(headers: dict[str, str]) -> int:
    names_and_values = "".join([*headers, *headers.values()]).encode()
    return len(names_and_values) + len(": \r\n") * len(headers) + len("NATS/1.0\r\n\r\n")


def place_of_shipper(log: str) -> str:
    """Return the machine, and the path of its log, as the messages of its shipper have them."""
    return f"{quote(socket.gethostname())} {quote(os.fsencode(log))}"


def not_made_by_a_shipper(stored: Stored, stream: str) -> str:
    """Return what to do about a foreign message, which is the last of the subject of a log."""
    return (
        f"sequence {stored.sequence} of {stored.subject} was not made by a shipper: take another --prefix or "
        f"--host, or have it removed by `nats stream rmm {stream} {stored.sequence}`, which a stream with "
        f"deny_delete refuses"
    )


def named(shipper: str) -> str:
    """Return who a shipper is, for people."""
    number, _, place = shipper.partition(" ")
    return f"{place.replace(' ', ':')} ({number})" if place else "an unknown shipper"

"""Compares what a stream has of a log with the files of the log, and ships what is missing.

Each block of the stream is looked up in the files. What no block has is missing, unless the shipper has not
come to it yet, or the stream may have had it before its first block of the log. In the stream each block has
to begin where the one before it ends; where it does not, and no file has what was between, that is lost.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from chora_logging.errors import AnswerError, NoAnswerError, OtherShipperError
from chora_logging.eventlog.log import EventLog
from chora_logging.eventlog.rotated import cursor
from chora_logging.eventlog.rotated.cursor import NO_LOG, Position
from chora_logging.jetstream.blocks import LATE, LATE_HEADER
from chora_logging.jetstream.consumer import Consumer, Received
from chora_logging.jetstream.findings import File, Findings
from chora_logging.jetstream.holding import NOTHING, Amount, Holding, Spot, amount_of
from chora_logging.jetstream.messages import EXPECTED_SEQUENCE, LINES, Head, gap_of, head_of, lines_of
from chora_logging.jetstream.provision import with_advice
from chora_logging.jetstream.shipping import Shipment, named, not_made_by_a_shipper, place_of_shipper
from chora_logging.jetstream.stored import (
    BATCH,
    PATIENCE_SECONDS,
    call,
    discard,
    patiently,
    state_of,
)
from chora_logging.jetstream.stream import NO_STREAM, Stored, Stream
from chora_logging.jetstream.tiling import Hole, follows
from chora_logging.shipping.oversize import Oversize
from chora_logging.shipping.state import State

#: For how long the last lines of a rotated file may be on their way, in seconds: a shipper looks for lines
#: that came late when it has nothing else to do.
SETTLING_SECONDS = 60.0

_PAUSE_SECONDS = 0.2


class Audit:
    """Compares the files of one log with a stream.

    It can run beside the shipper, writers and rotation: it changes no file, and counts what was stored and
    written up to its beginning. Its memory grows with the number of places where something is missing, and
    not with the log.

    Args:
        stream: The stream.
        subject: The subject of the log.
        log: The log.

    For one thread, which is not that of the connection. `close` it, or use it in a `with`.
    """

    def __init__(self, stream: Stream, subject: str, log: EventLog) -> None:
        self._stream = stream
        self._subject = subject
        self._log = log
        self._findings = Findings(subject)
        self._holding: Holding | None = None
        self._holes: list[Hole] = []
        self._newest = 0  # the index of the file with the newest block so far
        self._oldest: Spot | None = None  # the place of the first block that is in a file
        self._late_sequence = 0

    def __enter__(self) -> Audit:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the files; a second call does nothing."""
        if self._holding is not None:
            self._holding.close()

    def run(self) -> Findings:
        """Compare, and return what was found; call it once.

        Raises:
            NoAnswerError: the servers cannot be read now.
            RefusedError: there is no such stream, or this user may not read it.
            OtherShipperError: the stream has something else under this name.
            OSError: the log cannot be read.
        """
        try:
            state = patiently(lambda: call(self._stream.connection, state_of(self._stream)))
            if state is None:
                raise AnswerError(self._address, "there is no such stream", NO_STREAM)
            last = self._last(self._subject)
            # The files after the position, so that they have what is before it.
            head = None if last is None else self._newest_head(last, state.first)
            position = None if head is None else cursor.decode(head.end)
            holding = self._holding = Holding(self._log.path, position)
            if head is not None:
                self._check_log(head, holding)
            if last is not None:
                for received in self._messages(self._subject, state.first, last.sequence):
                    self._take(received, holding)
            for received in self._messages(f"{self._subject}.{LATE}", state.first, state.last):
                self._take_late(received, holding)
        except AnswerError as error:
            raise with_advice(error) from None
        self._judge(holding, position, may_have_expired=state.first > 1)
        return self._findings

    def repair(self, oversize: Oversize) -> Amount:
        """Ship what `run` has found to be missing as late blocks, and return how much that was.

        They have a subject of their own: the last message of the log's subject is the position of its
        shipper. Another repair at the same time is refused.

        Args:
            oversize: Keeps lines that are too long for a message.

        Raises:
            OtherShipperError: another process repairs the same log.
        """
        shipped = NOTHING
        assert self._holding is not None
        shipment = Shipment(
            self._stream,
            f"{self._subject}.{LATE}",
            self._log,
            state=State("", self._log.path),
            oversize=oversize,
            headers={LATE_HEADER: "1"},
        )
        call(self._stream.connection, shipment.begin(self._late_sequence))
        for part in self._findings.missing:
            for block in self._holding.blocks(part):
                call(self._stream.connection, shipment.put(block))
                shipped = shipped.plus(amount_of(block))
        return shipped

    @property
    def _address(self) -> str:
        return str(self._stream.connection.address)

    def _last(self, subject: str) -> Stored | None:
        return patiently(lambda: call(self._stream.connection, self._stream.last_message(subject)))

    def _newest_head(self, last: Stored, first: int) -> Head | None:
        """Return the headers of the newest block; None if there is none."""
        if (head := head_of(last.headers)) is not None:
            return head
        self._findings.conflicts.append(not_made_by_a_shipper(last, self._stream.name))
        for received in self._messages(self._subject, first, last.sequence):
            head = head_of(received.headers) or head
        return head

    def _check_log(self, head: Head, holding: Holding) -> None:
        theirs = cursor.decode(head.end).log_id
        if NO_LOG not in (theirs, holding.log_id) and theirs != holding.log_id:
            raise OtherShipperError(
                self._address,
                f"the newest block of {self._subject} is of another log than {self._log.path}, with "
                f"the id {theirs.hex()} instead of {holding.log_id.hex()}: give the --host, and the name of "
                f"the log, under which it was shipped",
            )
        place = head.shipper.partition(" ")[2]
        if holding.is_other and place and place != place_of_shipper(self._log.path):
            self._findings.conflicts.append(
                f"{named(head.shipper)} has shipped other lines under {self._subject} than {self._log.path} "
                f"has there: give this machine another --host"
            )

    def _messages(self, subject: str, first: int, last: int) -> Iterator[Received]:
        """Yield the messages of *subject* between two sequences, in order."""
        connection = self._stream.connection
        consumer: Consumer | None = None
        deadline = time.monotonic() + PATIENCE_SECONDS

        def fetch() -> list[Received]:
            nonlocal consumer
            consumer = consumer or Consumer(self._stream, first, subject)
            try:
                return call(connection, consumer.fetch(BATCH))
            except BaseException:
                discard(connection, consumer)
                consumer = None
                raise

        try:
            while first <= last:
                found = patiently(fetch)
                if not found:
                    newest = self._last(subject)
                    if newest is None or newest.sequence < first:  # they have been deleted meanwhile
                        return
                    if time.monotonic() > deadline:
                        raise NoAnswerError(self._address, "a server does not have the newest messages")
                    time.sleep(_PAUSE_SECONDS)
                    continue
                deadline = time.monotonic() + PATIENCE_SECONDS
                yield from (message for message in found if message.sequence <= last)
                first = found[-1].sequence + 1
        finally:
            if consumer is not None:
                discard(connection, consumer)

    def _take(self, received: Received, holding: Holding) -> None:
        """Note a block under the subject of the log."""
        found = self._findings
        block = self._unpacked(received)
        if block is None:
            return
        start, end, lines = block
        # Positions alone do not tell whether a block is gone between the ends of two files.
        expected = received.headers.get(EXPECTED_SEQUENCE, "0")
        is_next = expected in ("0", str(found.last))
        if found.end is not None and not (is_next and follows(start, found.end)):
            self._note_hole(Hole(found.last, received.sequence, found.end, start), received)
        if found.start is None:
            found.first, found.start = received.sequence, start
        found.last, found.end = received.sequence, end
        if (gap := gap_of(received.headers)) is not None:
            found.gaps.append(gap)
        if lines is not None and start.offset == end.offset:
            found.late += 1
            spot, length = holding.find_late(lines, self._newest)
            self._cover(spot, lines, length, holding)
            return
        spot = self._compare(received.sequence, start, end, lines, holding)
        self._oldest = self._oldest or spot or Spot(0, 0)
        self._newest = max(self._newest, spot.file if spot else 0)

    def _take_late(self, received: Received, holding: Holding) -> None:
        """Note a block that a repair has shipped."""
        self._late_sequence = received.sequence
        block = self._unpacked(received)
        if block is None or block[2] is None:
            return
        start, end, lines = block
        self._findings.late += 1
        self._compare(received.sequence, start, end, lines, holding)
        left = (hole.without(start, end) for hole in self._holes)
        self._holes = [hole for hole in left if hole is not None]

    def _unpacked(self, received: Received) -> tuple[Position, Position, bytes | None] | None:
        """Return the positions of a block, and its lines; None for lines and blocks that cannot be read."""
        head = head_of(received.headers)
        if head is None:
            self._findings.unreadable.append((received.sequence, "it was not made by a shipper"))
            return None
        start, end = cursor.decode(head.start), cursor.decode(head.end)
        try:
            lines = lines_of(received.payload, received.headers)
            if str(lines.count(b"\n")) != received.headers.get(LINES) or not lines.endswith(b"\n"):
                raise ValueError("it does not have the lines that its headers say")
        except ValueError as error:
            self._findings.unreadable.append((received.sequence, str(error)))
            return start, end, None
        self._findings.blocks += 1
        self._findings.stored = self._findings.stored.plus(_amount_of(lines))
        return start, end, lines

    def _compare(
        self, sequence: int, start: Position, end: Position, lines: bytes | None, holding: Holding
    ) -> Spot | None:
        """Note a block with a position, and return where it is in the files."""
        spot, is_same = holding.find(start, end, lines or b"")
        if lines is None:
            self._holes.append(Hole(sequence, sequence, start, end))
        elif spot is None or is_same:
            self._cover(spot, lines, end.offset - start.offset, holding)
        else:
            self._findings.differing.append(sequence)
        return spot

    def _cover(self, spot: Spot | None, lines: bytes, length: int, holding: Holding) -> None:
        if spot is None:
            self._findings.rotated = self._findings.rotated.plus(_amount_of(lines))
        elif holding.add(spot, length):
            self._findings.doubled = self._findings.doubled.plus(_amount_of(lines))

    def _note_hole(self, hole: Hole, received: Received) -> None:
        if gap_of(received.headers) is not None:  # the shipper knew
            return
        state = patiently(lambda: call(self._stream.connection, state_of(self._stream)))
        if state is None or state.first > hole.before:  # deleted while it was read
            self._oldest = None
            return
        self._holes.append(hole)

    def _judge(self, holding: Holding, position: Position | None, *, may_have_expired: bool) -> None:
        """Sort what the stream does not have."""
        found = self._findings
        found.files = [File(file.path, holding.size(index)) for index, file in enumerate(holding.files)]
        oldest = self._oldest if may_have_expired else None
        tails = []
        for part in holding.parts(holding.shipped, *([oldest] if oldest else [])):
            if part.start >= holding.shipped:
                found.unshipped.append(part)
            elif oldest is not None and part.start < oldest:
                found.expired.append(part)
            elif part.is_tail:
                tails.append(part)
            else:
                found.missing.append(part)
        recently = (time.time() - SETTLING_SECONDS) * 1000
        if found.unshipped and position is not None:  # the shipper has something else to do
            recently = min(recently, position.time)
        for part in tails:
            (found.unshipped if part.time > recently else found.missing).append(part)
        found.missing.sort(key=lambda part: part.start)
        found.lost = [hole for hole in self._holes if not holding.has_begin(hole.start, hole.end)]


def _amount_of(lines: bytes) -> Amount:
    return Amount(lines.count(b"\n"), len(lines))

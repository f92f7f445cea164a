"""Reads the messages of a stream in order: what is stored in batches, what is new as it arrives."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import secrets
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from typing import Any, NamedTuple

from chora_logging.errors import NoAnswerError, ServerError
from chora_logging.jetstream.connection import ANSWER_SECONDS
from chora_logging.jetstream.stream import Stream

#: How often a server says that it is there while nothing is new, in seconds, and after how many missing
#: signs of life the consumer is made anew.
HEARTBEAT_SECONDS, MISSING_HEARTBEATS = 1.0, 3

#: How many new messages are asked for at a time, and for how long, in seconds.
_ASKED_FOR, _ASKED_SECONDS = 10_000, 60.0

#: How long the server keeps a consumer that nobody uses, in seconds.
_UNUSED_SECONDS = 30.0

#: What a server stores with each message, and with each header, besides their text, in bytes.
_MESSAGE_BYTES, _HEADER_BYTES = 46, 4

#: The statuses of an answer: there is nothing (more), the request has expired, it was used up.
_HEARTBEAT, _EMPTY, _EXPIRED = "100", "404", "408"


class Received(NamedTuple):
    """A message of a stream.

    Attributes:
        sequence: Its sequence in the stream.
        subject: Its subject.
        payload: Its content.
        headers: Its headers.
        time: When the server stored it, in seconds since 1970.
        pending: How many messages for the consumer come after it.
    """

    sequence: int
    subject: str
    payload: bytes
    headers: Mapping[str, str]
    time: float
    pending: int

    @property
    def size(self) -> int:
        """About how many bytes it takes in the stream."""
        headers = sum(len(name) + len(value) + _HEADER_BYTES for name, value in self.headers.items())
        return len(self.payload) + len(self.subject) + headers + _MESSAGE_BYTES


class Consumer:
    """The messages of a stream from one on, in order, each once.

    It pulls, so that a slow reader makes nobody buffer. It is of no use after an error: make another one
    from the message after the last one that was returned.

    Args:
        stream: The stream.
        start: The sequence of the first message, or the time since which they were stored.
        subject: Only messages with this subject, which may have wildcards. It is only one, because servers
            of version 2.10 return nothing if one of several has no message.

    Attributes:
        first: The sequence of the first message that it can return; 0 before the first answer.

    For the event loop of the stream's connection.
    """

    def __init__(self, stream: Stream, start: int | datetime, subject: str = ">") -> None:
        self._stream = stream
        self._name = f"chora-logging-{secrets.token_hex(8)}"
        self._config = _config(self._name, start, subject)
        self.first = 0
        self._client: Any = None
        self._subscription: Any = None
        self._inbox = ""
        self._requests = 0
        self._delivered = 0
        self._arrived: list[Any] = []
        self._news = asyncio.Event()

    async def fetch(self, count: int) -> list[Received]:
        """Return the next messages of those that are stored; fewer than *count* only at the end.

        Raises:
            ServerError: the messages cannot be read now.
        """
        return await self._stream.connection.with_client(lambda client: self._fetch(client, count))

    async def follow(self, deliver: Callable[[list[Received]], None]) -> None:
        """Call *deliver* with the next messages as they arrive, and with none every second, until an error.

        Raises:
            ServerError: the consumer, the connection or the server is lost.
        """
        await self._stream.connection.with_client(lambda client: self._follow(client, deliver))

    async def close(self) -> None:
        """Delete the consumer, if the server is there."""
        with contextlib.suppress(Exception):
            if self._subscription is not None:
                subscription, self._subscription = self._subscription, None
                await subscription.unsubscribe()
                await self._stream.api(f"CONSUMER.DELETE.{self._stream.name}.{self._name}")

    async def _fetch(self, client: Any, count: int) -> list[Received]:
        reply = await self._ask(client, {"batch": count, "no_wait": True})
        found: list[Received] = []
        while len(found) < count:
            messages, status = await self._next(reply, ANSWER_SECONDS)
            found += messages
            if status in (_EMPTY, _EXPIRED) or (messages and not messages[-1].pending):
                break
        return found

    async def _follow(self, client: Any, deliver: Callable[[list[Received]], None]) -> None:
        request = {
            "batch": _ASKED_FOR,
            "expires": _nanoseconds(_ASKED_SECONDS),
            "idle_heartbeat": _nanoseconds(HEARTBEAT_SECONDS),
        }
        left, reply = 0, ""
        while True:
            if left <= 0:
                reply, left = await self._ask(client, request), _ASKED_FOR
            messages, status = await self._next(reply, HEARTBEAT_SECONDS * MISSING_HEARTBEATS)
            left -= len(messages)
            if status in (_EMPTY, _EXPIRED):
                left = 0
            deliver(messages)

    async def _ask(self, client: Any, request: dict[str, Any]) -> str:
        """Send a request for messages and return the subject of its answers."""
        if self._client is None:
            await self._create(client)
        elif self._client is not client:
            raise self._lost("the connection was lost")
        self._requests += 1
        reply = f"{self._inbox}.{self._requests}"
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{self._stream.name}.{self._name}"
        await client.publish(subject, json.dumps(request).encode(), reply=reply)
        return reply

    async def _create(self, client: Any) -> None:
        self._inbox = client.new_inbox()
        self._subscription = await client.subscribe(f"{self._inbox}.*", cb=self._arrive)
        body = {"stream_name": self._stream.name, "config": self._config}
        answer = await self._stream.api(f"CONSUMER.CREATE.{self._stream.name}.{self._name}", body)
        self.first = int(answer["delivered"]["stream_seq"]) + 1
        if self.first < self._config.get("opt_start_seq", 0):
            # A server that lacks the first message begins after its last one, which has been read long ago.
            raise self._lost("a server does not have the newest messages yet")
        self._client = client

    async def _arrive(self, message: Any) -> None:
        self._arrived.append(message)
        self._news.set()

    async def _next(self, reply: str, patience: float) -> tuple[list[Received], str]:
        """Return what has arrived: messages, and the status that ends the request *reply*, or ""."""
        if not self._arrived:
            self._news.clear()
            try:
                await asyncio.wait_for(self._news.wait(), patience)
            except asyncio.TimeoutError:
                raise self._lost("the server is silent") from None
        arrived, self._arrived = self._arrived, []
        found: list[Received] = []
        end = ""
        for message in arrived:
            status = (message.headers or {}).get("Status")
            if status is None or not message.subject.startswith(self._inbox):
                found.append(self._received(message))
            elif status in (_EMPTY, _EXPIRED):
                end = status if message.subject == reply else end
            elif status != _HEARTBEAT:
                raise self._lost(message.headers.get("Description") or f"status {status}")
        return found, end

    def _received(self, message: Any) -> Received:
        try:
            sequence, delivered, time, pending = _acknowledged(message.reply)
        except ValueError:
            raise self._lost("a message did not come from the stream") from None
        self._delivered += 1
        if delivered != self._delivered:
            raise self._lost("messages were lost on their way")
        return Received(sequence, message.subject, message.data, message.headers or {}, time, pending)

    def _lost(self, reason: str) -> ServerError:
        return NoAnswerError(str(self._stream.connection.address), reason)


async def read_singly(
    stream: Stream, start: int, count: int, subject: str = ">", *, before: float = math.inf
) -> list[Received]:
    """Return the next messages with sequences less than *before*, each by a request to the leader.

    This is slow, and reads over a message whose subject or headers are malformed: as nothing checks them when
    they are stored, such a message may end each connection by which a consumer receives it.

    Raises:
        ServerError: the messages cannot be read now.
    """
    found: list[Received] = []
    while len(found) < count and start < before:
        each = await stream.next_message(start, subject)
        if each is None or each.sequence >= before:
            break
        found.append(Received(each.sequence, each.subject, each.payload, each.headers, each.time, 0))
        start = each.sequence + 1
    return found


def _config(name: str, start: int | datetime, subject: str) -> dict[str, Any]:
    config: dict[str, Any] = {
        "name": name,
        "filter_subject": subject,
        "ack_policy": "none",
        "replay_policy": "instant",
        "mem_storage": True,
        "num_replicas": 1,
        "inactive_threshold": _nanoseconds(_UNUSED_SECONDS),
    }
    if isinstance(start, datetime):
        since = start.astimezone(timezone.utc).isoformat()
        config |= {"deliver_policy": "by_start_time", "opt_start_time": since}
    else:
        config |= {"deliver_policy": "by_start_sequence", "opt_start_seq": max(1, start)}
    return config


def _acknowledged(reply: str) -> tuple[int, int, float, int]:
    """Return from the reply subject of a message: sequence, number of the delivery, time, messages left.

    >>> _acknowledged("$JS.ACK.CLOG.name.1.42.7.1759049651000000000.3")
    (42, 7, 1759049651.0, 3)
    """
    tokens = reply.split(".")
    if tokens[:2] != ["$JS", "ACK"] or len(tokens) < 9:
        raise ValueError(reply)
    first = 5 if len(tokens) == 9 else 7  # newer servers put a domain and an account before the stream
    sequence, delivered, time, pending = map(int, tokens[first : first + 4])
    return sequence, delivered, time / 1e9, pending


def _nanoseconds(seconds: float) -> int:
    return int(seconds * 1_000_000_000)

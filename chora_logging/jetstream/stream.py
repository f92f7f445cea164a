"""A stream of JetStream: stores messages, returns the last one of a subject, is created and compared."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any, NamedTuple

from chora_logging.errors import AnswerError, NoAnswerError
from chora_logging.eventlog.times import seconds
from chora_logging.jetstream.connection import ANSWER_SECONDS, Connection
from chora_logging.jetstream.messages import Message

#: The errors of JetStream for a message, and a stream, that is not there.
NO_MESSAGE, NO_STREAM = 10037, 10059

#: Those that pass: a message with the same id is under way; there is no leader; the storage has failed.
_OUTAGE = {10158, 10008, 10077}


class Ack(NamedTuple):
    """The answer of a stream that has stored a message.

    Attributes:
        sequence: The sequence of the message.
        is_duplicate: Whether it had been stored before.
    """

    sequence: int
    is_duplicate: bool


class Stored(NamedTuple):
    """A message of a stream, and when the server stored it, in seconds since 1970."""

    sequence: int
    subject: str
    payload: bytes
    headers: dict[str, str]
    time: float


class Stream:
    """A stream, by a connection to its servers. Each method is a coroutine for any event loop.

    Args:
        connection: The connection; its address names the stream.

    All methods raise:
        NoAnswerError: nobody has answered, or that nobody can now; a message may be stored all the same.
        RefusedError: this client may not do that.
        AnswerError: JetStream answers with an error.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.name = connection.address.stream

    async def publish(self, message: Message, timeout: float = ANSWER_SECONDS) -> Ack:
        """Store *message* and return the answer."""
        answer = await self._ask(message.subject, message.payload, message.headers, timeout)
        try:
            return Ack(int(answer["seq"]), bool(answer.get("duplicate")))
        except (KeyError, TypeError, ValueError):
            raise self._unclear(message.subject) from None

    async def last_message(self, subject: str) -> Stored | None:
        """Return the last message of *subject*; None if there is none.

        The leader answers: another server may not have it yet.
        """
        return await self._message({"last_by_subj": subject})

    async def next_message(self, sequence: int, subject: str = ">") -> Stored | None:
        """Return the first message of *subject* with *sequence* or a later one; None if there is none.

        The leader answers, and also gives a message that ends the connection of a client that receives it.
        """
        return await self._message({"seq": sequence, "next_by_subj": subject})

    async def info(self) -> dict[str, Any]:
        """Return the answer of `STREAM.INFO`: its `config`, `created`, `state` and more."""
        return await self.api(f"STREAM.INFO.{self.name}")

    async def api(self, method: str, request: dict[str, Any] | None = None) -> dict[str, Any]:
        """Call *method* of the API of JetStream, such as `STREAM.INFO.CLOG`, and return its answer."""
        body = b"" if request is None else json.dumps(request).encode()
        return await self._ask(f"$JS.API.{method}", body, None, ANSWER_SECONDS)

    async def _message(self, which: dict[str, Any]) -> Stored | None:
        method = f"STREAM.MSG.GET.{self.name}"
        try:
            answer = await self.api(method, which)
        except AnswerError as error:
            if error.code == NO_MESSAGE:
                return None
            raise
        try:
            found = answer["message"]
            headers = parse_headers(base64.b64decode(found.get("hdrs") or b""))
            payload = base64.b64decode(found.get("data") or b"")
            return Stored(
                int(found["seq"]), found["subject"], payload, headers, seconds(found["time"]) or 0.0
            )
        except (KeyError, TypeError, ValueError, binascii.Error):
            raise self._unclear(method) from None

    async def _ask(
        self, subject: str, payload: bytes, headers: dict[str, str] | None, timeout: float
    ) -> dict[str, Any]:
        try:
            answer = json.loads(await self.connection.request(subject, payload, headers, timeout))
        except ValueError:
            raise self._unclear(subject) from None
        if not isinstance(answer, dict):
            raise self._unclear(subject)
        error = answer.get("error")
        if isinstance(error, dict):
            code = int(error.get("err_code") or error.get("code") or 0)
            address, reason = str(self.connection.address), str(error.get("description", ""))
            if code in _OUTAGE:
                raise NoAnswerError(address, f"{reason} ({code})")
            raise AnswerError(address, reason, code)
        return answer

    def _unclear(self, subject: str) -> NoAnswerError:
        return NoAnswerError(str(self.connection.address), f"the answer to {subject} is not JetStream's")


def parse_headers(data: bytes) -> dict[str, str]:
    """Return the headers of a message from the form in which they travel; of two of one name the first."""
    headers: dict[str, str] = {}
    for line in data.split(b"\r\n")[1:]:
        name, colon, value = line.partition(b":")
        if colon:
            headers.setdefault(name.decode("utf-8", "replace"), value.decode("utf-8", "replace").strip())
    return headers

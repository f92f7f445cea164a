"""The requests that one client of NATS has under way, and what ends them.

The client's own requests know nothing of a refusal or a lost connection, and end after their time only.
"""

from __future__ import annotations

import asyncio
import itertools
import re
from typing import Any, NamedTuple

from chora_logging.errors import NoAnswerError, RefusedError, ServerError

_DENIED = re.compile(r"permissions violation for (publish|subscription) (?:to )?\"?([^\"\s]+)", re.IGNORECASE)

#: The status of an answer that the server itself gives.
_NOBODY_LISTENS = "503"

#: The reason why a server that is connected does not answer, but for a missing stream or JetStream.
_NO_LEADER = "there is no leader, for which more than half of the servers must run and reach each other"


class _Request(NamedTuple):
    subject: str  # in small letters, as in the errors of a server
    answer: asyncio.Future[Any]  # a message or an error


class Answers:
    """The requests of a connected client, and their answers.

    Args:
        client: A connected `nats.aio.client.Client`.
        address: For errors.

    For the event loop of the client.
    """

    def __init__(self, client: Any, address: str) -> None:
        self._client = client
        self._address = address
        self._inbox: str = client.new_inbox()
        self._numbers = itertools.count(1)
        self._requests: dict[str, _Request] = {}
        self._end: ServerError | None = None

    async def listen(self) -> None:
        """Receive answers: call it once, before the first request."""
        await self._client.subscribe(f"{self._inbox}.*", cb=self._take)

    async def request(
        self, subject: str, payload: bytes, headers: dict[str, str] | None, timeout: float
    ) -> bytes:
        """Publish a message and return the answer to it; see `Connection.request`."""
        if self._end is not None:
            raise self._end
        loop = asyncio.get_running_loop()
        reply, answer = f"{self._inbox}.{next(self._numbers)}", loop.create_future()
        self._requests[reply] = _Request(subject.lower(), answer)
        late = NoAnswerError(self._address, f"no answer within {timeout:g} s: perhaps {_NO_LEADER}")
        timer = loop.call_later(timeout, _set, answer, late)
        try:
            await self._client.publish(subject, payload, reply=reply, headers=headers)
            found = await answer
        except Exception as error:  # of the client, which only `connection` may know
            reason = (str(error) or type(error).__name__).removeprefix("nats: ")
            raise NoAnswerError(self._address, reason) from None
        finally:
            timer.cancel()
            del self._requests[reply]
        if isinstance(found, ServerError):
            raise found
        if (found.headers or {}).get("Status") == _NOBODY_LISTENS:
            is_api = subject.startswith("$JS.API.")
            hint = "enable JetStream on the servers, unless" if is_api else "no stream takes it, or"
            raise NoAnswerError(self._address, f"nobody answers to {subject}: {hint} {_NO_LEADER}")
        return bytes(found.data)

    def lose(self) -> None:
        """End all requests: the connection was lost."""
        self._end_all(NoAnswerError(self._address, "the connection was lost"))

    def deny(self, message: str) -> None:
        """End what a server's *message*, in small letters, says is denied."""
        match = _DENIED.search(message)
        if match is None:
            return
        kind, denied = match[1].lower(), match[2].lower()
        if kind == "subscription" and denied == f"{self._inbox}.*".lower():
            prefix = self._inbox.rpartition(".")[0]
            self._end_all(RefusedError(self._address, f"this user may not subscribe to {prefix}.>"))
        for request in self._requests.values():
            if kind == "publish" and request.subject == denied:
                _set(request.answer, RefusedError(self._address, f"this user may not publish to {match[2]}"))

    async def _take(self, message: Any) -> None:
        if (request := self._requests.get(message.subject)) is not None:
            _set(request.answer, message)

    def _end_all(self, error: ServerError) -> None:
        self._end = error
        for request in self._requests.values():
            _set(request.answer, error)


def _set(answer: asyncio.Future[Any], result: object) -> None:
    if not answer.done():
        answer.set_result(result)

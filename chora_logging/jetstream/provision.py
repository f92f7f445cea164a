"""Makes the stream of a shipper, compares one that exists, and finds out why one takes nothing."""

from __future__ import annotations

from typing import Any, NamedTuple

from chora_logging.errors import AnswerError, RefusedError, ServerError
from chora_logging.jetstream.stream import NO_STREAM, Stream

NANOSECONDS = 1_000_000_000

#: How long the server finds duplicates by their ids, in seconds. The shipper does not need it.
DUPLICATE_SECONDS = 120

#: The retention of a stream that keeps its messages, whoever reads them.
KEEPING = "limits"

#: What to do about errors of JetStream.
_ADVICE = {
    NO_STREAM: "make the stream once with --create",
    10002: "raise the limits of the account",
    10054: "raise the max_msg_size of the stream: to 1 MiB, or -1 for no limit",
    10060: "another stream has the subject: name that one, or take another --prefix",
    10005: "take fewer --replicas, or more servers",
    10074: "take fewer --replicas, or more servers",
    10065: "another stream has these subjects: take another --prefix",
    10039: "enable JetStream for this account",
    10076: "enable JetStream on the servers",
}


class Wanted(NamedTuple):
    """The stream that a user asks for.

    Attributes:
        prefix: The first token of its subjects.
        replicas: The number of servers that store it.
        max_age: How long it keeps a message, in seconds; 0 for ever.
        max_bytes: How much it keeps, in bytes; -1 for all.
    """

    prefix: str
    replicas: int
    max_age: float
    max_bytes: int

    def config(self, name: str) -> dict[str, Any]:
        """Return the configuration for a stream called *name*."""
        return {
            "name": name,
            "description": "events, shipped by chora-logging",
            "subjects": [f"{self.prefix}.>"],
            "retention": KEEPING,
            "storage": "file",
            "discard": "old",
            "num_replicas": self.replicas,
            "max_age": int(self.max_age * NANOSECONDS),
            "max_bytes": self.max_bytes,
            "duplicate_window": int(min(self.max_age or DUPLICATE_SECONDS, DUPLICATE_SECONDS) * NANOSECONDS),
            "deny_delete": True,
        }


async def create(stream: Stream, wanted: Wanted) -> list[str]:
    """Make the stream unless it exists, and return in what it differs from *wanted*, a sentence each.

    Raises:
        NoAnswerError: no server can make it now; a later try may succeed.
        RefusedError: no server ever will; the message says what to do.
    """
    config = wanted.config(stream.name)
    try:
        return differences((await stream.info())["config"], config)
    except AnswerError as error:
        if error.code != NO_STREAM:
            raise with_advice(error) from None
    try:
        await stream.api(f"STREAM.CREATE.{stream.name}", config)
    except AnswerError as error:
        raise with_advice(error) from None
    return []


def differences(found: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    """Return in what the configuration *found* differs from the one *wanted*.

    >>> differences({"max_age": 5}, {"max_age": 7, "description": "x"})
    ['max_age is 5, and 7 was asked for']
    """
    return [
        f"{name} is {found.get(name)!r}, and {value!r} was asked for"
        for name, value in wanted.items()
        if name != "description" and found.get(name) != value
    ]


async def longest_message(stream: Stream) -> int | None:
    """Return the longest message that *stream* takes, headers included; None if that is not known.

    Raises:
        RefusedError: the stream does not keep what it acknowledges.
    """
    try:
        config = (await stream.info())["config"]
        retention, longest = config["retention"], config.get("max_msg_size", -1)
    except (ServerError, KeyError, TypeError):  # this user may not ask
        return None
    if retention != KEEPING:
        reason = (
            f"the stream {stream.name} has the retention {retention!r}, which drops events that nobody "
            f"waits for, or that somebody has read: {KEEPING!r} is allowed; take another stream"
        )
        raise RefusedError(str(stream.connection.address), reason)
    return longest if isinstance(longest, int) and longest > 0 else None


async def what_is_wrong(stream: Stream, subject: str) -> str:
    """Return why *stream* takes no message of *subject*, for people; empty if it does, or nobody says why."""
    try:
        config = (await stream.info())["config"]
        subjects = config["subjects"]
    except AnswerError as error:
        return with_advice(error).reason if error.code in _ADVICE else ""
    except (ServerError, KeyError, TypeError):
        return ""
    if any(_matches(pattern, subject) for pattern in subjects):
        return ""
    return (
        f"the stream {stream.name} takes {', '.join(subjects)}, and not {subject}: "
        f"add it to the subjects of the stream, or take another --prefix"
    )


def with_advice(error: AnswerError) -> RefusedError:
    """Return *error* as one that says what to do."""
    advice = _ADVICE.get(error.code)
    reason = f"{error.reason} ({error.code})"
    return RefusedError(error.address, reason if advice is None else f"{reason}: {advice}")


def _matches(pattern: str, subject: str) -> bool:
    mine, theirs = subject.split("."), pattern.split(".")
    for index, token in enumerate(theirs):
        if token == ">":
            return len(mine) > index
        if index >= len(mine) or token not in ("*", mine[index]):
            return False
    return len(mine) == len(theirs)

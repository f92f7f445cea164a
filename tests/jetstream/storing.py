"""Stores blocks in a stream as a shipper does, but of any lines and with any fault."""

from __future__ import annotations

import dataclasses
import json
import socket
import zlib

from chora_logging.eventlog.rotated.cursor import NO_LOG, Position, encode
from chora_logging.jetstream import blocks, messages
from tests.jetstream.servers import done

#: A cursor of files: readers of a stream only look whether it is one.
SOME_CURSOR = encode(Position(NO_LOG, 0, 0, bytes(6), bytes(6), 0, 0))


@dataclasses.dataclass
class Place:
    """A log of a machine, which stores its blocks in a stream."""

    stream: object
    host: str = "web1"
    log: str = "shop"
    prefix: str = ""

    @property
    def subjects(self):
        """What the subjects begin with; without a prefix the name of the stream."""
        return self.prefix or self.stream.name.lower()

    def store(self, lines, *, compress=False, late=False, gap=None, headers=None, payload=None):
        """Store one block of *lines*; return its sequence."""
        subject = messages.subject(self.host, self.log, self.subjects) + ".late" * late
        made = {
            messages.LOG: "00" * 8,
            messages.START: SOME_CURSOR,
            messages.END: SOME_CURSOR,
            messages.LINES: str(lines.count(b"\n")),
        }
        if compress:
            lines, made[messages.ENCODING] = zlib.compress(lines), messages.DEFLATE
        if late:
            made[blocks.LATE_HEADER] = "1"
        if gap is not None:
            made[messages.GAP] = json.dumps(gap._asdict())
        return publish(
            self.stream, subject, lines if payload is None else payload, {**made, **(headers or {})}
        )


def publish(stream, subject, payload, headers=None):
    """Publish a message; return its sequence."""
    return json.loads(done(stream, stream.connection.request(subject, payload, headers)))["seq"]


def publish_raw(port, subject, payload, headers=b""):
    """Publish any bytes as no client does, to the server that listens on *port*."""
    head = b"HPUB %s %d %d" % (subject, len(headers), len(headers) + len(payload))
    if not headers:
        head = b"PUB %s %d" % (subject, len(payload))
    with (
        socket.create_connection(("127.0.0.1", port), timeout=20) as client,
        client.makefile("rb") as answers,
    ):
        client.sendall(b'CONNECT {"verbose":false,"headers":true,"protocol":1}\r\n')
        client.sendall(b"%s\r\n%s%s\r\nPING\r\n" % (head, headers, payload))
        assert b"PONG\r\n" in iter(answers.readline, b"")


def line(**fields):
    """An event as a line."""
    return json.dumps(fields).encode() + b"\n"


def lines(*numbers, **fields):
    """Numbered events as lines."""
    return b"".join(line(n=number, **fields) for number in numbers)

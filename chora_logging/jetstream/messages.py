"""The messages of a stream: their subjects, headers and payloads. Bytes in, bytes out; no I/O.

A message is a *block*: whole lines of one log exactly as they stand in the file. Its headers say where it
stands in the log, so that the last message of a subject is the position of its shipper.
"""

from __future__ import annotations

import base64
import json
import re
import zlib
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any, NamedTuple

from chora_logging.errors import CursorError
from chora_logging.eventlog.events import Block, Gap
from chora_logging.eventlog.rotated import cursor
from chora_logging.eventlog.rotated.cursor import FileOrigin, Position

#: The first token of subjects.
PREFIX = "clog"

#: What the server reads: the id by which it finds duplicates, the stream that must store the message, and
#: the sequence of the last message of the subject.
MESSAGE_ID = "Nats-Msg-Id"
EXPECTED_STREAM = "Nats-Expected-Stream"
EXPECTED_SEQUENCE = "Nats-Expected-Last-Subject-Sequence"

#: What readers and the shipper read: the log id, the cursors before and after the lines, their number, the
#: gap before them as JSON, and who shipped them.
LOG = "Clog-Log"
START = "Clog-Start"
END = "Clog-End"
LINES = "Clog-Lines"
GAP = "Clog-Gap"
SHIPPER = "Clog-Shipper"
ENCODING = "Content-Encoding"
DEFLATE = "deflate"

#: The longest payload after decompression, in bytes.
LONGEST_PAYLOAD_BYTES = 32 * 1024 * 1024

_LONGEST_TOKEN = 64
_KEPT_OF_A_LONG_TOKEN = 40
_PLAIN = re.compile(rb"[A-Za-z0-9_-]")
_ESCAPED = re.compile(r"=([0-9A-F]{2})")
_COMPRESSION_LEVEL = 1


def token(text: str) -> str:
    """Return *text* as one token of a subject, at most 64 characters.

    >>> token("web-1"), token("shop.example"), token("")
    ('web-1', 'shop=2Eexample', '_')
    """
    data = text.encode("utf-8", "surrogateescape")
    escaped = "".join(chr(byte) if _PLAIN.match(bytes([byte])) else f"={byte:02X}" for byte in data) or "_"
    if len(escaped) <= _LONGEST_TOKEN:
        return escaped
    return f"{escaped[:_KEPT_OF_A_LONG_TOKEN]}=~{blake2b(data, digest_size=8).hexdigest()}"


def text_of(token: str) -> str:
    """Return the text of a *token*; that of a long one is cut.

    >>> text_of("shop=2Eexample"), text_of("a" * 40 + "=~0123456789abcdef") == "a" * 40 + "…"
    ('shop.example', True)
    """
    kept, cut, _ = token.partition("=~")
    data = b"".join(
        bytes([int(part, 16)]) if index % 2 else part.encode()
        for index, part in enumerate(_ESCAPED.split(kept))
    )
    return data.decode("utf-8", "replace") + "…" * bool(cut)


def subject(host: str, log: str, prefix: str = PREFIX) -> str:
    """Return the subject of the messages of one log.

    >>> subject("web1", "shop.orders")
    'clog.web1.shop=2Eorders'
    """
    return f"{prefix}.{token(host)}.{token(log)}"


class Message(NamedTuple):
    """A message to publish."""

    subject: str
    payload: bytes
    headers: dict[str, str]


class Head(NamedTuple):
    """What the headers of a stored message say of its block.

    Attributes:
        log_id: The first 8 bytes of the log's id as hexadecimal digits; zeros for a log without a sidecar.
        start: The cursor before the lines.
        end: The cursor after the lines.
        shipper: Who shipped it.
    """

    log_id: str
    start: str
    end: str
    shipper: str


def message(
    block: Block,
    subject: str,
    *,
    stream: str,
    expected: int,
    shipper: str = "",
    gap: Gap | None = None,
    compress: bool = True,
    with_id: bool = True,
) -> Message:
    """Return the message that stores *block*.

    Args:
        block: At least one whole line.
        subject: The subject of its log.
        stream: The stream that must take it.
        expected: The sequence of the last message of the subject; 0 if it has none.
        shipper: Who ships it.
        gap: The gap before it.
        compress: Compress the lines, unless they would become longer.
        with_id: Give the message an id, by which the server finds duplicates.
    """
    lines = block.lines()
    begin, end = _position(block, 0), _position(block, block.length)
    headers = {
        EXPECTED_STREAM: stream,
        EXPECTED_SEQUENCE: str(expected),
        LOG: (cursor.decode(block.late) if block.late else begin).log_id.hex(),
        START: block.late or cursor.encode(begin),
        END: block.late or cursor.encode(end),
        LINES: str(lines.count(b"\n")),
        SHIPPER: shipper,
    }
    if with_id:
        headers[MESSAGE_ID] = _id(subject, block.start, end)
    if gap is not None:
        headers[GAP] = json.dumps(gap._asdict())
    payload = zlib.compress(lines, _COMPRESSION_LEVEL) if compress else lines
    if len(payload) < len(lines):
        headers[ENCODING] = DEFLATE
    else:
        payload = lines
    return Message(subject, payload, headers)


def message_id(subject: str, block: Block) -> str:
    """Return the id of the message with *block*: the same for the same lines, whenever they are read.

    A cursor is not: it has the time of the file. Nor is the position alone: machines cloned from one image
    have the same log id and the same offsets, so the content before and after counts too.
    """
    return _id(subject, block.start, _position(block, block.length))


def _position(block: Block, end: int) -> Position:
    """Return where the first *end* bytes of *block* end, which `Block.cursor` does not say of late lines."""
    origin, offset, before = block.place(end)
    assert isinstance(origin, FileOrigin), "only files are shipped"
    return origin.position(offset, before)


def _id(subject: str, start: int, end: Position) -> str:
    parts = (
        subject.encode(),
        end.log_id,
        end.generation.to_bytes(8, "big", signed=True),
        start.to_bytes(8, "big"),
        end.offset.to_bytes(8, "big"),
        end.head,
        end.guard,
    )
    digest = blake2b(digest_size=12)
    for part in parts:
        digest.update(len(part).to_bytes(4, "big") + part)
    return base64.urlsafe_b64encode(digest.digest()).decode("ascii")


def head_of(headers: Mapping[str, str] | None) -> Head | None:
    """Return what *headers* say of a block; None for those of a message that no shipper has made."""
    found = headers or {}
    try:
        cursor.decode(found[START]), cursor.decode(found[END])
        return Head(found[LOG], found[START], found[END], found.get(SHIPPER, ""))
    except (KeyError, CursorError):
        return None


def gap_of(headers: Mapping[str, str] | None) -> Gap | None:
    """Return the gap before the block with *headers*; None if there is none."""
    text = (headers or {}).get(GAP)
    if text is None:
        return None
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, dict) or not isinstance(values.get("reason"), str):
        return Gap("the shipper reported a gap that cannot be read")
    numbers = {name: _number(values.get(name)) for name in ("files", "bytes", "since", "until")}
    resumes = values.get("resumes")
    return Gap(values["reason"], **numbers, resumes=resumes if isinstance(resumes, str) else None)


def _number(value: object) -> Any:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def lines_of(payload: bytes, headers: Mapping[str, str] | None) -> bytes:
    """Return the lines of a block as they stood in the file.

    Raises:
        ValueError: the payload is damaged, too long, or encoded in another way; the message is for people.
    """
    encoding = (headers or {}).get(ENCODING)
    if encoding is None:
        lines = payload
    elif encoding == DEFLATE:
        lines = _inflated(payload)
    else:
        raise ValueError(f"the payload is encoded as {encoding[:40]!r}")
    if len(lines) > LONGEST_PAYLOAD_BYTES:
        raise ValueError(f"the payload is longer than {LONGEST_PAYLOAD_BYTES} bytes")
    return lines


def _inflated(payload: bytes) -> bytes:
    reader = zlib.decompressobj()
    try:
        lines = reader.decompress(payload, LONGEST_PAYLOAD_BYTES + 1)
    except zlib.error as error:
        raise ValueError(f"the payload cannot be decompressed: {error}") from None
    if len(lines) <= LONGEST_PAYLOAD_BYTES and not reader.eof:
        raise ValueError("the payload cannot be decompressed: it is cut")
    return lines

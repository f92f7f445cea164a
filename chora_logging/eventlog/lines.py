"""A line as an event: which are, and why the others are not."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from chora_logging.eventlog.items import Block, Event, Skipped
from chora_logging.eventlog.strict_json import strict_json

#: How much of a line that is no event is shown.
SHOWN = 200

_BOM = b"\xef\xbb\xbf"

_decode = msgspec.json.Decoder(dict[str, Any]).decode


def parse(line: bytes) -> dict[str, Any] | None:
    """The JSON object on *line*, or None if there is something else.

    What older writers made and JSON forbids (NaN, halves of surrogate pairs) is accepted.
    """
    return read_line(line)[0]


def read_line(line: bytes) -> tuple[dict[str, Any] | None, bytes]:
    """The same, and the object as strict JSON: *line* itself where it is."""
    try:
        return _decode(line), line
    except (msgspec.MsgspecError, ValueError, RecursionError):
        pass
    try:
        event = json.loads(line.removeprefix(_BOM))
        return (event, strict_json(event)) if isinstance(event, dict) else (None, b"")
    except (ValueError, RecursionError):
        return None, b""


def events_of(
    block: Block,
    matches: Callable[[dict[str, Any]], bool],
    may_match: Callable[[bytes], bool],
    skipped: Callable[[Skipped], None],
) -> Iterator[Event]:
    """The events of *block* that match, in order.

    Args:
        block: Lines of a file.
        matches: Whether an event is asked for.
        may_match: Whether there can be such an event in some bytes; others are not decoded.
        skipped: Called with each line that is neither blank nor an event.
    """
    if block.overlong:
        reason = f"{block.overlong} bytes are too long for a line"
        skipped(Skipped(block.path, block.start, reason, b""))
        return
    data = block.data
    if not may_match(data):
        return
    end = 0
    for line in data[:-1].split(b"\n"):
        start, end = end, end + len(line) + 1
        if not may_match(line):
            continue
        event, strict = read_line(line)
        if event is None:
            if line.strip():
                skipped(Skipped(block.path, block.start + start, why_not(line), line[:SHOWN]))
        elif matches(event):
            yield Event(event, block.place(end), strict)


def why_not(line: bytes) -> str:
    """Why *line* is no event, in a few words."""
    if line.startswith(b"\0"):
        return "zeros, as a crashed file system leaves them"
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError:
        return "not UTF-8"
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        return "several values on one line" if error.msg == "Extra data" else "not JSON"
    except (ValueError, RecursionError):
        return "JSON beyond Python's limits"
    return "JSON, but not an object"

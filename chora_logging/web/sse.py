"""Server-sent events as bytes, by the WHATWG specification: no input and no output, only framing.

An event is one `data` line, because its JSON holds no newline and no carriage return; U+2028, NUL and
what looks like a field are characters of a value there and end nothing. Its `id` is its cursor, which
is made of letters, digits, `-` and `_`. Nothing else has an `id`: whoever reconnects goes on from the
last real event.

Nor is there a blank line but at the end of an event: the specification lets one after anything else
pass, and yet clients take it for an event without data (httpx-sse does, as soon as it has seen an id).
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import msgspec

from chora_logging.eventlog import Event, Gap
from chora_logging.formatting.timestamps import rfc3339

#: What a stream says when there is nothing to say.
HEARTBEAT = b":\n"


def opening(retry: int) -> bytes:
    """The beginning of a stream: how long clients wait before they reconnect, in milliseconds."""
    return b"retry: %d\n" % retry


def frames(items: Iterable[Event | Gap]) -> bytes:
    """Events and gaps, framed."""
    return b"".join([_event(item) if isinstance(item, Event) else gap_frame(item) for item in items])


def gap_frame(gap: Gap) -> bytes:
    """A gap, as an event of that name."""
    return b"event: gap\ndata: %s\n\n" % msgspec.json.encode(gap_fields(gap))


def _event(event: Event) -> bytes:
    return b"id: %s\ndata: %s\n\n" % (event.cursor.encode(), event.json)


def gap_fields(gap: Gap) -> dict[str, Any]:
    """What *gap* says: times as text, files by name only, nothing about what nobody knows."""
    fields = {name: value for name, value in gap._asdict().items() if value not in (None, "")}
    for name in ("since", "until"):
        if name in fields:
            fields[name] = rfc3339(fields[name])
    if "resumes" in fields:
        fields["resumes"] = os.path.basename(fields["resumes"])
    return fields

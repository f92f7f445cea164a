"""Formats events as server-sent events (WHATWG HTML specification), without any I/O.

An event is one `data` line, because its JSON has no newline and no carriage return; U+2028, NUL and
text that looks like a field are ordinary characters in it. Its `id` is its cursor, which consists of
letters, digits, `-`, `_` and `.`. Only events have an `id`, so a client that reconnects resumes after the
last event.

A blank line is sent only at the end of an event. The specification ignores other blank lines, but some
clients take one for an event without data (httpx-sse does once it has seen an id).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from chora_logging.eventlog import Event, Gap
from chora_logging.formatting.timestamps import rfc3339

#: The heartbeat: a comment line.
HEARTBEAT = b":\n"


def opening(retry: int) -> bytes:
    """Return the beginning of a stream: the milliseconds that clients wait before they reconnect."""
    return b"retry: %d\n" % retry


def frames(items: Iterable[Event | Gap]) -> bytes:
    """Return *items* as server-sent events."""
    return b"".join([_event(item) if isinstance(item, Event) else gap_frame(item) for item in items])


def gap_frame(gap: Gap) -> bytes:
    """Return a gap as a server-sent event named `gap`."""
    return b"event: gap\ndata: %s\n\n" % msgspec.json.encode(gap_fields(gap))


def unreadable_frame(counts: Mapping[str, int]) -> bytes:
    """Return what could not be understood since the stream began, as an event named `unreadable`."""
    return b"event: unreadable\ndata: %s\n\n" % msgspec.json.encode(counts)


def _event(event: Event) -> bytes:
    # Some clients take the id as soon as they have its line: too early if the event is then cut off.
    return b"data: %s\nid: %s\n\n" % (event.json, event.cursor.encode())


def gap_fields(gap: Gap) -> dict[str, Any]:
    """Return the known values of *gap* for JSON: times as RFC 3339 strings, files by name without folder."""
    fields = {name: value for name, value in gap._asdict().items() if value not in (None, "")}
    for name in ("since", "until"):
        if name in fields:
            fields[name] = rfc3339(fields[name])
    if log := getattr(gap, "log", ""):  # one of several
        fields["log"] = log
    if os.path.isabs(fields.get("resumes", "")):  # a file; another source names a place
        fields["resumes"] = os.path.basename(fields["resumes"])
    return fields

"""Gives events in OpenTelemetry's layout the form of our own lines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chora_logging.eventlog.meaning import CONTAINERS, OTEL_NUMBER, TYPE, Meaning
from chora_logging.eventlog.names import at, without

#: The meanings whose fields come first in a line, so that no field of the caller's has their names.
_FIRST = ("time", "level", "message", "event", "trace", "span", "logger")

#: The names that stay as they are: a number on a scale of its own, and a field that our lines have beside the
#: name of the event.
_LEFT = (OTEL_NUMBER, TYPE)


def opened(event: Mapping[str, Any], meaning: Meaning) -> dict[str, Any]:
    """Return *event* with the fields of its containers at its top, and our names for what it says itself.

    As in our own lines, a field in a container that has the name of one of these gets an underscore.
    """
    rest, containers = event, []
    for path in CONTAINERS:
        inner = event.get(path) or at(event, path)
        if isinstance(inner, dict):
            containers.append(inner)
            rest = without(rest, path)
    line: dict[str, Any] = {}
    for kind in _FIRST:
        for name, value in meaning.found(kind, rest):
            if name in _LEFT or (kind == "event" and isinstance(value, dict)):
                continue
            rest = without(rest, name)
            line[meaning.names(kind)[0]] = value
            break
    line.update(rest)
    for inner in containers:
        for name, value in inner.items():
            while name in line:
                name += "_"
            line[name] = value
    return line

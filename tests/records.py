"""Records and objects for several tests, and strict readers of lines."""

from __future__ import annotations

import json
import logging
import sys

from chora_logging.formatting.formatter import EventFormatter
from chora_logging.schema import EVENT_MARK


def record_of(msg="hi", *args, name="app", exc_info=None, **extra):
    """Return a record as a logger makes it."""
    logger = logging.Logger(name)
    return logger.makeRecord(name, logging.INFO, "/app/job.py", 7, msg, args, exc_info, "run", extra)


def line_of(record, formatter=None):
    """Return the fields of the line, which are the same from the slow path and the fast path."""
    formatter = formatter or EventFormatter()
    lines = {formatter.format(record) for _ in range(3)}
    assert len(lines) == 1, "the first line and the later ones differ"
    text = lines.pop()
    assert "\n" not in text
    return json.loads(text, object_pairs_hook=_unique)


def _unique(pairs):
    fields = dict(pairs)
    assert len(fields) == len(pairs), f"a key is repeated in {pairs}"
    return fields


def strict(text):
    """Return the object in *text*, parsed strictly."""
    assert "\n" not in text
    assert "\r" not in text
    assert len(text.encode("utf-8").split(b"\n")) == 1

    def refuse(name):
        raise AssertionError(f"{name} is not JSON")

    def unique(pairs):
        names = [name for name, _ in pairs]
        assert len(set(names)) == len(names), f"a key is repeated: {names}"
        return dict(pairs)

    fields = json.loads(text, parse_constant=refuse, object_pairs_hook=unique)
    assert isinstance(fields, dict)
    return fields


def failure():
    """Return the exc_info of a caught exception."""
    try:
        raise ValueError("boom")
    except ValueError:
        return sys.exc_info()


class Event:
    """A stand-in for a telemetry event; the real ones are tested with the telemetry package."""

    def __init__(self, trace_id=None):
        self.trace_id = trace_id

    def model_copy(self, update):
        return Event(update["trace_id"])

    def model_dump_json(self):
        return json.dumps({"event_type": "x", "trace_id": self.trace_id, "rate": 1.0})

    def model_dump(self):
        return {"event_type": "x", "trace_id": self.trace_id, "object": object}


setattr(Event, EVENT_MARK, True)


setattr(Event, EVENT_MARK, True)


class Raises:
    """Raises on any access."""

    def __str__(self):
        raise ValueError("no")

    def __repr__(self):
        raise ValueError("no")

    def __iter__(self):
        raise ValueError("no")

    def __len__(self):
        raise ValueError("no")

    def __bool__(self):
        raise ValueError("no")

    def __eq__(self, other):
        raise ValueError("no")

    def __hash__(self):
        raise ValueError("no")

    def __getattr__(self, name):
        raise ValueError("no")


class Proxy:
    """Stands for an object, as werkzeug's LocalProxy and Django's SimpleLazyObject do."""

    def __init__(self, wrapped):
        object.__setattr__(self, "_wrapped", wrapped)

    @property
    def __class__(self):
        return self._wrapped.__class__

    def __getattr__(self, name):
        return getattr(self._wrapped, name)

    def __setattr__(self, name, value):
        setattr(self._wrapped, name, value)

    def __iter__(self):
        return iter(self._wrapped)

    def __len__(self):
        return len(self._wrapped)

    def __getitem__(self, key):
        return self._wrapped[key]

    def __str__(self):
        return str(self._wrapped)

    def __repr__(self):
        return repr(self._wrapped)

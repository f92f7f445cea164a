"""What is put on a record before it is formatted: the trace id."""

from __future__ import annotations

import logging

from chora_logging import speedups
from chora_logging.context import SIGNS, context_trace_id, current, surrounding_ids
from chora_logging.schema import EVENT_MARK

#: Class attribute of records whose trace id is settled, `None` too: they have crossed a queue, and what
#: is current where they come out is none of their business.
SETTLED_MARK = "__chora_settled__"


class TraceIdFilter(logging.Filter):
    """Put `trace_id` on each record, and `span_id` when an OpenTelemetry span is active.

    Attach it to a *handler*: a filter on a logger does not see the records of the loggers below it.
    The first of these that has an id gives it: the record itself (`extra={"trace_id": …}`, that key of
    a dict message, or a `TelemetryEvent`'s own), `trace_context`, an active OpenTelemetry span,
    `CHORA_TRACE_ID`, `TRACEPARENT`. Where none has, `trace_id` is `None`.

    Never drops a record and never raises. The id is that of the thread or task that calls the handler;
    for a handler behind a queue use `EventQueueHandler`, which settles the id before the queue.
    """

    def __init__(self) -> None:
        super().__init__()

    def filter(self, record: logging.LogRecord) -> bool:
        """Put the ids on *record* and let it pass."""
        attributes = record.__dict__
        if attributes.get("trace_id") is not None:
            return True
        if type(record.msg) is not str:
            trace_id = explicit_trace_id(record.msg)
            if trace_id is not None:
                attributes["trace_id"] = trace_id
                return True
        if type(record) is not logging.LogRecord and getattr(type(record), SETTLED_MARK, False):
            attributes["trace_id"] = None
            return True
        trace_id = context_trace_id()
        if trace_id is None:
            trace_id, span_id = surrounding_ids()
            # An event's line is the event's own JSON and has no room for a span.
            if span_id and "span_id" not in attributes and not hasattr(type(record.msg), EVENT_MARK):
                attributes["span_id"] = span_id
        attributes["trace_id"] = trace_id
        return True


def explicit_trace_id(message: object) -> object:
    """Return the trace id that a dict message or a telemetry event carries itself, or `None`."""
    try:
        if isinstance(message, dict):
            return message.get("trace_id")
        if getattr(type(message), EVENT_MARK, False):
            return getattr(message, "trace_id", None)
    except Exception:
        # A caller's object that raises when asked: it has no id, and the record goes on.
        pass
    return None


if speedups.in_use:
    speedups.trace_by(TraceIdFilter, current, surrounding_ids, SIGNS)

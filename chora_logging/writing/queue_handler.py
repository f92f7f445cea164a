"""A handler that passes records to another thread or process without flattening them.

The standard library's `QueueHandler` turns a record into text before the queue: the trace id is that
of the listener's thread, an exception becomes part of the message, a dict message its `repr`. This
handler freezes the record instead: it resolves everything that depends on the place of the call and
copies the caller's objects as plain values. The formatter behind the queue finds the same fields.
"""

from __future__ import annotations

import logging
import logging.handlers
from collections.abc import Callable
from typing import Any

from chora_logging.context import TraceIdFilter
from chora_logging.errors import ConfigurationError
from chora_logging.formatting.fields import describe, exception_of, message_fields, rendered_message, text_of
from chora_logging.formatting.values import default, plain, plain_key, plain_text
from chora_logging.options import check_callable, checked_names
from chora_logging.schema import EVENT_MARK, FIELDS_ATTRIBUTE, SETTLED_ATTRIBUTE, WRITTEN_TO_ATTRIBUTE

_AS_THEY_ARE = (str, int, float, bool, type(None))
_trace_ids = TraceIdFilter()
_exceptions = logging.Formatter()


class FrozenRecord(logging.LogRecord):
    """A record that no longer depends on where it was logged, and can be pickled."""

    __slots__ = (WRITTEN_TO_ATTRIBUTE,)


class FrozenEvent:
    """A telemetry event as the text of its line, which can be written without the event's class."""

    __slots__ = ("_text", "trace_id")

    def __init__(self, text: str, trace_id: Any) -> None:
        self._text = text
        self.trace_id = trace_id

    def model_dump_json(self) -> str:
        """Return the event's JSON."""
        return self._text

    __str__ = model_dump_json


setattr(FrozenEvent, EVENT_MARK, True)


class EventQueueHandler(logging.handlers.QueueHandler):
    """Put records on a queue, ready to be written by any thread or process.

    Start a `logging.handlers.QueueListener` on the same queue, with the handlers that write, and stop
    it before the program ends: records still in the queue then are lost. The formatters and filters of
    those handlers work as if there were no queue.

    Promised: the trace id is that of the thread or task that logs; exceptions, dict messages and
    telemetry events keep their fields; the caller's objects are copied during the call, so that later
    changes do not show, and none of them is pickled. Never raises into the caller: a full queue goes
    to `handleError`.

    Not promised: objects reach the formatter as plain values, so its `json_default` does not see them;
    pass it here.

    Args:
        queue: Any object with `put_nowait`; a multiprocessing queue works, too.
        json_default: Called with each object that JSON cannot represent; returns its replacement.

    Example:
        >>> import queue, logging.handlers
        >>> records = queue.Queue()
        >>> file = EventFileHandler("var/app.log")
        >>> file.setFormatter(EventFormatter())
        >>> listener = logging.handlers.QueueListener(records, file)
        >>> listener.start()
        >>> logging.getLogger("shop").addHandler(EventQueueHandler(records))
        >>> with trace_context("order-7"):
        ...     logging.getLogger("shop").warning("Stock is low")
        >>> listener.stop()
        >>> EventLog("var/app.log").last(1)[0]["trace_id"]
        'order-7'
    """

    @checked_names()
    def __init__(self, queue: Any, *, json_default: Callable[[Any], Any] | None = None) -> None:
        super().__init__(queue)
        check_callable("json_default", json_default)
        usual = type(self).enqueue is logging.handlers.QueueHandler.enqueue
        if usual and not hasattr(queue, "put_nowait"):
            raise ConfigurationError("queue", queue, "a queue with put_nowait, as queue.SimpleQueue() is")
        self.json_default: Callable[[Any], Any] = json_default or default

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        """Return a frozen copy of *record*; the record and its objects stay unchanged."""
        if type(record) is FrozenRecord:
            return record
        try:
            return self._frozen(record)
        except Exception as error:
            return _unfrozen(record, error)

    def _frozen(self, record: logging.LogRecord) -> logging.LogRecord:
        settled = logging.LogRecord.__new__(logging.LogRecord)
        settled.__dict__.update(record.__dict__)
        _trace_ids.filter(settled)
        settled.__dict__[SETTLED_ATTRIBUTE] = None  # a process behind the queue may have other bound fields
        further = settled.__dict__.get(FIELDS_ATTRIBUTE)
        settled.msg, problems = self._message(record, settled)
        settled.args = None
        if problems:
            settled.__dict__[FIELDS_ATTRIBUTE] = {
                **problems,
                **(further if isinstance(further, dict) else {}),
            }
        settled.exc_info, settled.exc_text = None, self._exception(record)
        frozen = FrozenRecord.__new__(FrozenRecord)
        setattr(frozen, WRITTEN_TO_ATTRIBUTE, getattr(record, WRITTEN_TO_ATTRIBUTE, None))
        for name, value in settled.__dict__.items():
            key: Any = name if type(name) in (str, int) else plain_key(name)
            kept = type(value) in _AS_THEY_ARE or type(value) is FrozenEvent
            frozen.__dict__[key] = value if kept else plain(value, self.json_default)
        return frozen

    def _message(self, record: logging.LogRecord, settled: logging.LogRecord) -> tuple[Any, Any]:
        """Return a plain message, and further fields with the problems of making it."""
        message: Any = record.msg
        fields = message_fields(message) if type(message) is not str else None
        if fields is not None:
            return plain(fields, self.json_default), {}
        if not getattr(type(message), EVENT_MARK, False):
            text, problems = rendered_message(record)
            return plain_text(text), problems
        trace_id = settled.__dict__.get("trace_id")
        try:
            if message.trace_id is None and trace_id is not None:
                message = message.model_copy(update={"trace_id": trace_id})
            return FrozenEvent(message.model_dump_json(), trace_id), {}
        except Exception:
            return plain(getattr(message, "__dict__", text_of(message)), self.json_default), {}

    def _exception(self, record: logging.LogRecord) -> str | None:
        info = exception_of(record)
        if info is None:
            return record.exc_text
        try:
            text: Any = (self.formatter or _exceptions).formatException(info)
        except Exception:
            return plain_text(describe(info[1]))
        return plain_text("\n".join(text) if isinstance(text, list) else text)


def _unfrozen(record: logging.LogRecord, error: Exception) -> logging.LogRecord:
    """Return a minimal record in place of one that could not be frozen."""
    frozen = FrozenRecord("", logging.ERROR, "", 0, plain_text(text_of(record.msg)), None, None)
    frozen.__dict__["format_error"] = plain_text(describe(error))
    for name in ("name", "levelname", "levelno", "created"):
        value = record.__dict__.get(name)
        if type(value) in _AS_THEY_ARE:
            frozen.__dict__[name] = value
    frozen.__dict__["trace_id"] = frozen.__dict__[SETTLED_ATTRIBUTE] = None
    return frozen

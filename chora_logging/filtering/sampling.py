"""A filter that keeps a share of the traces, each as a whole."""

from __future__ import annotations

import contextlib
import hashlib
import logging

from chora_logging.context import explicit_trace_id, get_trace_id
from chora_logging.errors import ConfigurationError
from chora_logging.options import checked_names, parse_level
from chora_logging.schema import SETTLED_ATTRIBUTE

_HASHES = 2**64


class TraceSampleFilter(logging.Filter):
    """Let a share of the traces pass: all records of a trace, or none.

    Promised: the decision depends on the trace id alone, so all handlers, processes and machines with the
    same *share* keep the same traces; with a larger one they keep these and more. Records without a
    trace id pass. Nothing is raised.

    The trace id is the record's own or the current one, as for `TraceIdFilter`.

    Args:
        share: The share of the traces that pass, from 0 to 1.
        always: The level from which on records pass whatever their trace, such as `"ERROR"`; None for none.

    Raises:
        ConfigurationError: An argument is invalid or unknown.

    Example:
        >>> sample = TraceSampleFilter(0.1)
        >>> record = logging.makeLogRecord({"trace_id": "4bf92f3577b34da6a3ce929d0e0e4736"})
        >>> sample.filter(record) == sample.filter(record)
        True
    """

    @checked_names()
    def __init__(self, share: float, *, always: str | int | None = None) -> None:
        super().__init__()
        self.share: float = -1.0
        with contextlib.suppress(TypeError, ValueError):
            self.share = float(share)
        if not 0 <= self.share <= 1 or isinstance(share, bool):
            raise ConfigurationError("share", share, "a number from 0 to 1")
        self.always: int | None = None if always is None else parse_level("always", always)

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether the trace of *record* is one of those that pass."""
        try:
            if self.always is not None and record.levelno >= self.always:
                return True
            attributes = record.__dict__
            trace_id = attributes.get("trace_id")
            if trace_id is None and SETTLED_ATTRIBUTE not in attributes:
                trace_id = explicit_trace_id(record.msg) or get_trace_id()
            return trace_id is None or self.keeps(str(trace_id))
        except Exception:  # of the caller's objects
            return True

    def keeps(self, trace_id: str) -> bool:
        """Return whether the records of this trace pass."""
        digest = hashlib.blake2b(trace_id.encode("utf-8", "backslashreplace"), digest_size=8).digest()
        return int.from_bytes(digest, "big") < self.share * _HASHES

"""Trace ids: their rules, and the headers that carry them."""

from __future__ import annotations

import os
import re
from collections.abc import Callable

from chora_logging.errors import TraceIdError
from chora_logging.schema import TRACE_ID_MAX

# Control characters, the two line separators of Unicode, and unpaired surrogates.
_forbidden = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]").search
#: The trace id that W3C trace context uses for none.
NO_TRACE = "0" * 32
_traceparent = re.compile("([0-9a-f]{2})-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?").fullmatch
# Visible ASCII: what headers, environments, URLs and terminals carry unchanged.
_in_header = re.compile(f"[\x21-\x7e]{{1,{TRACE_ID_MAX}}}").fullmatch


def check_trace_id(trace_id: str) -> str:
    """Return *trace_id* if it is valid in lines, headers and environments.

    Raises:
        TraceIdError: It is not a string, empty, too long, or has control characters.
    """
    if not isinstance(trace_id, str):
        raise TraceIdError(trace_id, "be a string")
    if not trace_id:
        raise TraceIdError(trace_id, "not be empty")
    if len(trace_id) > TRACE_ID_MAX:
        raise TraceIdError(trace_id, f"have at most {TRACE_ID_MAX} characters")
    if _forbidden(trace_id):
        raise TraceIdError(trace_id, "have no control characters")
    return trace_id


def new_trace_id() -> str:
    """Make a random trace id, in the form that W3C trace context and OpenTelemetry use."""
    return os.urandom(16).hex()


def trace_id_of_headers(get: Callable[[str], str]) -> str | None:
    """Return the trace id in the headers of a request, or `None`.

    Args:
        get: Returns the value of the header with a lower-case name, or an empty string.
    """
    parent = parse_traceparent(get("traceparent"))
    if parent is not None:
        return parent
    given = (get("x-trace-id"), get("x-request-id"))
    return next((value for value in given if _in_header(value)), None)


def parse_traceparent(value: str) -> str | None:
    """Return the trace id of a W3C `traceparent`, or `None` if that is invalid."""
    match = _traceparent(value)
    if match is None or match[1] == "ff" or match[2] == NO_TRACE:
        return None
    if match[1] == "00" and len(value) != 55:
        return None
    return match[2]

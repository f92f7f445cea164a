"""Valid and invalid trace ids, in calls and in headers."""

from __future__ import annotations

import os
import pickle

import pytest

from chora_logging.context import get_trace_id, set_trace_id, trace_context
from chora_logging.errors import TraceIdError
from chora_logging.trace_ids import new_trace_id, parse_traceparent

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


class TestIds:
    """Valid and invalid ids."""

    @pytest.mark.parametrize("trace_id", ["a", "x" * 200, "a b", "ünï-código", "日本", "{}\"'"])
    def test_are_taken(self, trace_id):
        """Any text of up to 200 characters without control characters."""
        with trace_context(trace_id):
            assert get_trace_id() == trace_id

    @pytest.mark.parametrize(
        ("trace_id", "message"),
        [
            ("", "trace_id must not be empty, got ''"),
            ("x" * 201, "trace_id must have at most 200 characters, got 'xxx"),
            ("a\nb", "trace_id must have no control characters, got 'a\\nb'"),
            ("\x7f", "trace_id must have no control characters, got '\\x7f'"),
            ("\x9b31m", "trace_id must have no control characters"),
            ("\u2029", "trace_id must have no control characters"),
            ("\ud800", "trace_id must have no control characters"),
            (5, "trace_id must be a string, got 5"),
            (b"a", "trace_id must be a string"),
        ],
    )
    @pytest.mark.parametrize("function", [trace_context, set_trace_id])
    def test_are_refused(self, function, trace_id, message):
        """An id that would break lines, headers or environments is a ValueError."""
        with pytest.raises(TraceIdError) as caught:
            function(trace_id)

        assert str(caught.value).startswith(message)
        assert isinstance(caught.value, ValueError)
        assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)

    def test_new_ids_differ_after_fork(self):
        """Two processes create different ids."""
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            os.write(write, new_trace_id().encode())
            os._exit(0)
        os.waitpid(child, 0)

        assert os.read(read, 100).decode() != new_trace_id()
        os.close(read)
        os.close(write)


class TestHeaders:
    """Ids in headers."""

    @pytest.mark.parametrize(
        ("value", "trace_id"),
        [
            (PARENT, TRACE),
            (PARENT + "-extra", None),
            (PARENT.replace("00-", "cc-", 1) + "-extra", TRACE),
            (PARENT.replace("00-", "ff-", 1), None),
            (PARENT.upper(), None),
            (f"00-{'0' * 32}-00f067aa0ba902b7-01", None),
            (TRACE, None),
            ("", None),
            (PARENT + "\n", None),
        ],
    )
    def test_traceparent(self, value, trace_id):
        """A valid W3C traceparent is used, of later versions too."""
        assert parse_traceparent(value) == trace_id

"""The compiled fast path puts the same ids on records as `TraceIdFilter`, from any source."""

from __future__ import annotations

import contextlib
import copy
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry import trace

from chora_logging import EventFileHandler, EventFormatter, TraceIdFilter, speedups, trace_context
from tests.accounting import events_of
from tests.records import Event, record_of

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
VARIABLES = {
    "CHORA_TRACE_ID": st.sampled_from([None, "", "env", "no\x01", "x" * 200, "x" * 201, "ü", "\udc80"]),
    "TRACEPARENT": st.sampled_from([None, "", PARENT, "00-" + "0" * 32 + PARENT[35:], PARENT + "-x", "ü"]),
}
#: trace_context, the ids of an active span, the environment.
surroundings = st.tuples(
    st.sampled_from([None, None, "context"]),
    st.sampled_from([None, None, (7, 9), (2**128 - 1, 2**64 - 1), (0, 1)]),
    st.fixed_dictionaries(VARIABLES),
)
own = st.sampled_from([{}, {}, {"a": 1}, {"trace_id": "own"}, {"trace_id": None, "a": 1}, {"span_id": "own"}])
messages = st.sampled_from(["m", "m", {"a": 1}, {"trace_id": "message"}, Event("event"), Event(None), 5])


@contextlib.contextmanager
def surrounded(context, span, variables):
    """Set the sources of a record's ids."""
    with contextlib.ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            if value is None:
                patch.delenv(name, raising=False)
            else:
                patch.setenv(name, value)
        if context:
            stack.enter_context(trace_context(context))
        if span:
            active = trace.NonRecordingSpan(trace.SpanContext(*span, is_remote=False))
            stack.enter_context(trace.use_span(active))
        yield


def handler_on(path):
    """A handler with our formatter and filter."""
    handler = EventFileHandler(path)
    handler.setFormatter(EventFormatter())
    handler.addFilter(TraceIdFilter())
    return handler


@settings(max_examples=150)
@given(cases=st.lists(st.tuples(surroundings, messages, own), min_size=1, max_size=8))
def test_the_same_ids(tmp_path_factory, cases):
    """Lines and records are the same, for any message and fields, after any earlier sources of ids."""
    folder = tmp_path_factory.mktemp("logs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(speedups, "in_use", False)
        reference = handler_on(folder / "pure.log")
    handler = handler_on(folder / "app.log")
    for where, message, extra in cases:
        with surrounded(*where):
            for _ in range(3):
                one = record_of(message)
                one.__dict__.update(extra)
                other = copy.copy(one)
                reference.handle(one)
                handler.handle(other)
                assert list(one.__dict__.items()) == list(other.__dict__.items())
    for each in (reference, handler):
        each.close()

    assert (folder / "app.log").read_bytes() == (folder / "pure.log").read_bytes()


@pytest.mark.parametrize(
    "where",
    [
        (None, None, {"CHORA_TRACE_ID": "env"}),
        (None, None, {"TRACEPARENT": PARENT}),
        (None, (7, 9), {}),
        ("context", (7, 9), {"CHORA_TRACE_ID": "env"}),
    ],
    ids=["CHORA_TRACE_ID", "TRACEPARENT", "span", "trace_context"],
)
def test_they_take_the_fast_path(tmp_path, where):
    """A record with ids from any source is written by the compiled code."""
    handler = handler_on(tmp_path / "app.log")
    with surrounded(*where):
        for _ in range(2):
            handler.handle(record_of(a=1))
        record = record_of(a=1)
        taken = handler._writer is not None and handler._writer.write(handler, record)
    handler.close()

    assert taken is speedups.in_use


def test_a_changed_environment(tmp_path, monkeypatch):
    """The environment is read when the record is written."""
    handler = handler_on(tmp_path / "app.log")
    wanted = []
    for trace_id in ["one", "one", "two", None, "one", "no\x01", "three"]:
        if trace_id is None:
            del os.environ["CHORA_TRACE_ID"]
        else:
            monkeypatch.setenv("CHORA_TRACE_ID", trace_id)
        wanted.append(trace_id if trace_id != "no\x01" else None)
        handler.handle(record_of(a=1))
    handler.close()

    assert [event.get("trace_id") for event in events_of(tmp_path / "app.log")] == wanted


def test_a_message_with_an_id_of_its_own(tmp_path):
    """The id of a dict message or an event wins over all other sources."""
    handler = handler_on(tmp_path / "app.log")
    with trace_context("context"):
        handler.handle(record_of({"trace_id": "message", "a": 1}))
        event = record_of(Event("event"))
        handler.handle(event)
    handler.close()

    first, _ = events_of(tmp_path / "app.log")
    assert (first["trace_id"], first.get("trace_id_")) == ("message", None)
    assert event.__dict__["trace_id"] == "event"


def test_an_interrupt_passes(tmp_path, monkeypatch):
    """KeyboardInterrupt during the lookup of a span is raised into the caller; the record is not written."""
    handler = handler_on(tmp_path / "app.log")
    handler.handle(record_of(a=1))

    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr(trace, "get_current_span", interrupted)
    with pytest.raises(KeyboardInterrupt):
        handler.handle(record_of(a=1))
    handler.close()

    assert len(events_of(tmp_path / "app.log")) == 1

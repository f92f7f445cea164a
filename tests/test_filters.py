"""TraceIdFilter: which id a record gets, and that no record is dropped."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys

import pytest

from chora_logging.context import get_trace_id, trace_context
from chora_logging.filters import TraceIdFilter
from tests.records import Event, record_of

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def filtered(record):
    """Return *record* after the filter, which lets every record pass."""
    assert TraceIdFilter().filter(record) is True
    return record


@pytest.fixture
def span():
    """An active OpenTelemetry span."""
    from opentelemetry.sdk.trace import TracerProvider

    provider = TracerProvider(shutdown_on_exit=False)
    with provider.get_tracer("tests").start_as_current_span("work") as span:
        yield span.get_span_context()
    provider.shutdown()


class TestPrecedence:
    """The first source that has an id gives it."""

    def test_from_the_record_down_to_none(self, monkeypatch):
        """Record, context, environment: each is asked when those before it have nothing."""
        assert filtered(record_of()).trace_id is None
        monkeypatch.setenv("TRACEPARENT", f"00-{TRACE}-00f067aa0ba902b7-01")
        assert filtered(record_of()).trace_id == TRACE
        monkeypatch.setenv("CHORA_TRACE_ID", "env")
        assert filtered(record_of()).trace_id == "env"
        with trace_context("context"):
            assert filtered(record_of()).trace_id == "context"
            assert filtered(record_of({"trace_id": "dict"})).trace_id == "dict"
            assert filtered(record_of(Event("event"))).trace_id == "event"
            assert filtered(record_of({"trace_id": "dict"}, trace_id="extra")).trace_id == "extra"

    def test_none_on_the_record_is_no_id(self):
        """An explicit None, in extra or in a dict message, does not hide the context."""
        with trace_context("context"):
            assert filtered(record_of(trace_id=None)).trace_id == "context"
            assert filtered(record_of({"trace_id": None})).trace_id == "context"
            assert filtered(record_of(Event(None))).trace_id == "context"

    def test_extra_with_a_trace_id_does_not_raise(self):
        """A logger call may name the field that the filter sets."""
        logger = logging.getLogger("filtered")
        handler = logging.NullHandler()
        handler.addFilter(TraceIdFilter())
        logger.addHandler(handler)

        logger.warning("m", extra={"trace_id": "mine"})

    def test_hostile_messages(self):
        """A message that raises when it is asked for its id passes without one."""

        class Hostile(dict):
            def get(self, *args):
                raise ValueError("no")

        class HostileEvent(Event):
            def __getattribute__(self, name):
                raise ValueError("no")

        for message in (Hostile(a=1), HostileEvent(), object(), None):
            assert filtered(record_of(message)).trace_id is None


class TestOpenTelemetry:
    """Active spans."""

    def test_active_span_gives_both_ids(self, span):
        """Trace and span id are those of the span, in hexadecimal."""
        record = filtered(record_of())

        assert record.trace_id == f"{span.trace_id:032x}"
        assert record.span_id == f"{span.span_id:016x}"
        assert get_trace_id() == record.trace_id

    def test_context_wins_over_the_span(self, span):
        """Who sets an id by hand means it."""
        with trace_context("mine"):
            record = filtered(record_of())

        assert record.trace_id == "mine"
        assert not hasattr(record, "span_id")

    def test_span_wins_over_the_environment(self, span, monkeypatch):
        """A span is nearer than the process's environment."""
        monkeypatch.setenv("CHORA_TRACE_ID", "env")

        assert filtered(record_of()).trace_id == f"{span.trace_id:032x}"

    def test_callers_span_id_is_kept(self, span):
        """A span id that the caller gives stays."""
        assert filtered(record_of(span_id="mine")).span_id == "mine"

    def test_events_get_no_span_id(self, span):
        """A telemetry event's line has the event's own fields only."""
        record = filtered(record_of(Event(None)))

        assert record.trace_id == f"{span.trace_id:032x}"
        assert not hasattr(record, "span_id")

    def test_without_a_span_there_is_none(self):
        """OpenTelemetry being loaded is not a span being active."""
        import opentelemetry.trace  # noqa: F401

        record = filtered(record_of())

        assert record.trace_id is None
        assert not hasattr(record, "span_id")

    def test_half_imported_opentelemetry(self, monkeypatch):
        """A module that is still being imported elsewhere is no reason to fail."""
        monkeypatch.setitem(sys.modules, "opentelemetry.trace", object())

        assert filtered(record_of()).trace_id is None

    def test_opentelemetry_is_never_imported(self):
        """Filtering loads neither OpenTelemetry nor pydantic nor asyncio."""
        code = (
            "import logging, sys\n"
            "from chora_logging import TraceIdFilter\n"
            "TraceIdFilter().filter(logging.makeLogRecord({}))\n"
            "print([m for m in ('opentelemetry', 'pydantic', 'asyncio') if m in sys.modules])"
        )
        result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)

        assert result.stdout.strip() == "[]", result.stderr


class Keeping(logging.Handler):
    """Keeps the trace ids of its records."""

    def __init__(self):
        super().__init__()
        self.seen = []
        self.addFilter(TraceIdFilter())

    def emit(self, record):
        self.seen.append((record.name, record.trace_id))


class TestOnAHandler:
    """The filter where it belongs."""

    def test_records_of_all_loggers_get_it(self):
        """A handler of the root logger sees child loggers' records with their id, and root's."""
        handler = Keeping()
        logging.getLogger().addHandler(handler)
        with trace_context("a"):
            logging.getLogger("some.library").warning("m")
            logging.getLogger().warning("m")

        assert handler.seen == [("some.library", "a"), ("root", "a")]

    def test_concurrent_tasks_keep_apart(self):
        """Each of many requests at once logs under its own id."""
        handler = Keeping()
        logging.getLogger("requests").addHandler(handler)

        async def request(number):
            async with trace_context(f"request-{number}"):
                for _ in range(3):
                    await asyncio.sleep(0)
                    logging.getLogger("requests").warning("m", extra={"number": number})
                await asyncio.to_thread(logging.getLogger("requests").warning, "m")

        async def main():
            await asyncio.gather(*(request(number) for number in range(20)))

        asyncio.run(main())

        counts = {trace_id: 0 for _, trace_id in handler.seen}
        for _, trace_id in handler.seen:
            counts[trace_id] += 1
        assert counts == {f"request-{number}": 4 for number in range(20)}

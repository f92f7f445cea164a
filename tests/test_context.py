"""The current trace id in blocks, calls, tasks, threads and processes, and the filter that adds it."""

from __future__ import annotations

import asyncio
import collections
import concurrent.futures
import contextvars
import logging
import os
import subprocess
import sys
import threading

import pytest

from chora_logging.context import (
    TraceIdFilter,
    child_env,
    get_trace_id,
    set_trace_id,
    trace_context,
)
from chora_logging.testing import capture_events
from tests.records import Event, record_of

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


class TestBlocks:
    """`with trace_context(...)`."""

    def test_sets_and_puts_back(self):
        """The id applies inside the block, the former one after it; blocks may nest."""
        assert get_trace_id() is None
        with trace_context("a") as outer:
            with trace_context("b"):
                assert get_trace_id() == "b"
            assert get_trace_id() == outer == "a"
        assert get_trace_id() is None

    def test_puts_back_after_an_exception(self):
        """An exception propagates, and the former id is restored."""
        with pytest.raises(KeyError), trace_context("a"):
            raise KeyError
        assert get_trace_id() is None

    def test_without_an_id_each_entry_gets_a_new_one(self):
        """New ids are 32 hexadecimal digits, as OpenTelemetry's are."""
        context = trace_context()
        with context as first:
            pass
        with context as second:
            pass

        assert first != second
        assert len(first) == len(bytes.fromhex(first)) * 2 == 32

    def test_one_object_may_be_entered_again(self):
        """Nested blocks of the same object end in order."""
        context = trace_context()
        with context as outer:
            with context as inner:
                assert get_trace_id() == inner
            assert get_trace_id() == outer
        assert get_trace_id() is None

    def test_async_block(self):
        """`async with` works as `with` does."""

        async def main():
            async with trace_context("a") as trace_id:
                await asyncio.sleep(0)
                assert get_trace_id() == trace_id == "a"
            return get_trace_id()

        assert asyncio.run(main()) is None

    def test_one_object_in_many_tasks(self):
        """Tasks that enter the same object concurrently do not affect each other."""
        context = trace_context()

        async def work():
            async with context as mine:
                for _ in range(5):
                    await asyncio.sleep(0)
                    assert get_trace_id() == mine
            assert get_trace_id() is None
            return mine

        async def main():
            return await asyncio.gather(*(work() for _ in range(10)))

        assert len(set(asyncio.run(main()))) == 10
        assert context._tokens == []

    def test_closed_in_another_context(self):
        """A generator closed in another context ends its block without an error."""

        def generator():
            with trace_context("a"):
                yield

        running = generator()
        contextvars.copy_context().run(next, running)
        running.close()

        assert get_trace_id() is None


class TestDecorator:
    """`@trace_context(...)`."""

    def test_function(self):
        """Each call runs with the id, or with a new one without an argument."""

        @trace_context("a")
        def named(value):
            """Doc."""
            return value, get_trace_id()

        @trace_context()
        def fresh():
            return get_trace_id()

        assert named(1) == (1, "a")
        assert named.__doc__ == "Doc."
        assert fresh() != fresh()
        assert get_trace_id() is None

    def test_coroutine_function(self):
        """The id applies until the coroutine ends, in each of many concurrent ones."""

        @trace_context()
        async def work():
            before = get_trace_id()
            await asyncio.sleep(0)
            assert get_trace_id() == before
            return before

        async def main():
            return await asyncio.gather(*(work() for _ in range(10)))

        assert len(set(asyncio.run(main()))) == 10

    def test_recursion(self):
        """The blocks of a decorated recursive function end in order."""

        @trace_context()
        def down(levels):
            mine = get_trace_id()
            if levels:
                down(levels - 1)
            assert get_trace_id() == mine

        down(5)

    def test_generator_functions_are_refused(self):
        """Their body would run outside of the block; the error shows the alternative."""

        def generator():
            yield

        async def agenerator():
            yield

        for function in (generator, agenerator):
            with pytest.raises(TypeError, match="inside it"):
                trace_context("a")(function)

    def test_what_cannot_be_called_is_refused(self):
        """A class method is a function only after the other decorator; the error says what to do."""
        with pytest.raises(TypeError, match="write it below the other decorator"):
            trace_context("a")(classmethod(lambda cls: None))


class TestWhereItGoes:
    """Tasks, threads and processes."""

    def test_tasks_and_to_thread(self):
        """Tasks, `gather` and `to_thread` inherit the id and do not leak theirs."""

        async def child():
            before = get_trace_id()
            set_trace_id("child's own")
            return before

        async def main():
            with trace_context("a"):
                results = await asyncio.gather(child(), child(), asyncio.to_thread(get_trace_id))
                results.append(await asyncio.create_task(child()))
                return results, get_trace_id()

        assert asyncio.run(main()) == (["a"] * 4, "a")

    def test_threads_and_executors_by_hand(self):
        """A bare thread has no id; work wrapped with the current id has it."""
        seen = []
        with trace_context("a"), concurrent.futures.ThreadPoolExecutor(2) as pool:
            bare = pool.submit(get_trace_id)
            wrapped = pool.submit(trace_context(get_trace_id())(get_trace_id))
            copied = pool.submit(contextvars.copy_context().run, get_trace_id)
            thread = threading.Thread(
                target=trace_context(get_trace_id())(lambda: seen.append(get_trace_id()))
            )
            thread.start()
            thread.join()

        assert (bare.result(), wrapped.result(), copied.result(), seen) == (None, "a", "a", ["a"])

    def test_threads_that_inherit_the_context(self):
        """With `thread_inherit_context` an executor's thread keeps its first id; wrapped work has its own."""
        program = """
import concurrent.futures
from chora_logging.context import get_trace_id, trace_context
with concurrent.futures.ThreadPoolExecutor(1) as pool:
    for trace_id in ("a", "b"):
        with trace_context(trace_id):
            bare = pool.submit(get_trace_id)
            print(bare.result(), pool.submit(trace_context(get_trace_id())(get_trace_id)).result())
"""
        inheriting = [sys.executable, "-X", "thread_inherit_context=1", "-c", program]
        done = subprocess.run(inheriting, capture_output=True, text=True, check=True)

        bare = "a" if sys.version_info >= (3, 14) else "None"
        assert done.stdout.splitlines() == [f"{bare} a", f"{bare} b"]

    def test_run_in_executor(self):
        """Wrapped work has the id in `loop.run_in_executor`."""

        async def main():
            loop = asyncio.get_running_loop()
            with trace_context("a"):
                return await loop.run_in_executor(None, trace_context(get_trace_id())(get_trace_id))

        assert asyncio.run(main()) == "a"

    def test_subprocess(self):
        """A child process started with child_env has the id."""
        code = "from chora_logging.context import get_trace_id; print(get_trace_id())"
        with trace_context("workflow-ü"):
            result = subprocess.run(
                [sys.executable, "-X", "utf8", "-c", code],
                env=child_env(),
                capture_output=True,
                encoding="utf-8",
                check=True,
                timeout=60,
            )

        assert result.stdout.strip() == "workflow-ü"

    def test_child_env_is_a_copy(self):
        """The environment itself is not changed; without an id the copy is equal to it."""
        assert child_env() == dict(os.environ)
        with trace_context("a"):
            assert child_env() == {**os.environ, "CHORA_TRACE_ID": "a"}
        assert "CHORA_TRACE_ID" not in os.environ


class TestEnvironment:
    """CHORA_TRACE_ID and TRACEPARENT."""

    def test_precedence(self, monkeypatch):
        """Context, then CHORA_TRACE_ID, then TRACEPARENT; each change takes effect immediately."""
        monkeypatch.setenv("TRACEPARENT", PARENT)
        assert get_trace_id() == TRACE
        monkeypatch.setenv("CHORA_TRACE_ID", "env")
        assert get_trace_id() == "env"
        with trace_context("a"):
            assert get_trace_id() == "a"
        monkeypatch.delenv("CHORA_TRACE_ID")
        monkeypatch.delenv("TRACEPARENT")
        assert get_trace_id() is None

    @pytest.mark.parametrize("value", ["x" * 201, "a\nb", "\x7f", "\udc80", "", "\u2028"])
    def test_unusable_ids_are_passed_over(self, monkeypatch, value):
        """An invalid id raises nothing into the caller: the next source is used."""
        monkeypatch.setenv("CHORA_TRACE_ID", value)
        monkeypatch.setenv("TRACEPARENT", PARENT)

        assert get_trace_id() == TRACE

    def test_plain_mapping_will_do(self, monkeypatch):
        """If os.environ has another structure, its documented interface gives the same ids."""
        from chora_logging import context

        monkeypatch.setattr(context, "_environ", {"CHORA_TRACE_ID": "env"})
        monkeypatch.setattr(context, "_trace_key", "CHORA_TRACE_ID")

        assert get_trace_id() == "env"


class TestSetting:
    """Setting an id without a block."""

    def test_set_and_reset(self):
        """A set id stays until it is reset, cleared or the context ends."""
        token = set_trace_id("a")
        assert get_trace_id() == "a"
        inner = set_trace_id(None)
        assert get_trace_id() is None
        inner.var.reset(inner)
        assert get_trace_id() == "a"
        token.var.reset(token)
        assert get_trace_id() is None


def filtered(record):
    """Return *record* after the filter, which drops no record."""
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
        """Record, context, environment: each is used when those before it have no id."""
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
        """A logger call may pass the field that the filter sets."""
        logger = logging.getLogger("filtered")
        handler = logging.NullHandler()
        handler.addFilter(TraceIdFilter())
        logger.addHandler(handler)

        logger.warning("m", extra={"trace_id": "mine"})

    def test_hostile_messages(self):
        """A message that raises when its id is read gets none and is not dropped."""

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
        """An id set explicitly wins over the span."""
        with trace_context("mine"):
            record = filtered(record_of())

        assert record.trace_id == "mine"
        assert not hasattr(record, "span_id")

    def test_span_wins_over_the_environment(self, span, monkeypatch):
        """The active span wins over the process's environment."""
        monkeypatch.setenv("CHORA_TRACE_ID", "env")

        assert filtered(record_of()).trace_id == f"{span.trace_id:032x}"

    def test_callers_span_id_is_kept(self, span):
        """A span id that the caller passes is not replaced."""
        assert filtered(record_of(span_id="mine")).span_id == "mine"

    def test_events_get_no_span_id(self, span):
        """A telemetry event's line has the event's own fields only."""
        record = filtered(record_of(Event(None)))

        assert record.trace_id == f"{span.trace_id:032x}"
        assert not hasattr(record, "span_id")

    def test_without_a_span_there_is_none(self):
        """If OpenTelemetry is loaded but no span is active, there is no id."""
        import opentelemetry.trace  # noqa: F401

        record = filtered(record_of())

        assert record.trace_id is None
        assert not hasattr(record, "span_id")

    def test_half_imported_opentelemetry(self, monkeypatch):
        """A module that another thread is still importing raises nothing."""
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


class TestOnAHandler:
    """The filter on a handler, that of `capture_events`."""

    def test_records_of_all_loggers_get_it(self):
        """A handler sees the records of all loggers with their id."""
        with capture_events() as captured, trace_context("a"):
            logging.getLogger("some.library").warning("m")
            logging.getLogger().warning("m")

        assert [(event["logger"], event["trace_id"]) for event in captured.events] == [
            ("some.library", "a"),
            ("root", "a"),
        ]

    def test_concurrent_tasks_keep_apart(self):
        """Each of many concurrent requests logs with its own id."""

        async def request(number):
            async with trace_context(f"request-{number}"):
                for _ in range(3):
                    await asyncio.sleep(0)
                    logging.getLogger("requests").warning("m", extra={"number": number})
                await asyncio.to_thread(logging.getLogger("requests").warning, "m")

        async def main():
            await asyncio.gather(*(request(number) for number in range(20)))

        with capture_events() as captured:
            asyncio.run(main())

        counts = collections.Counter(event["trace_id"] for event in captured.events)
        assert counts == {f"request-{number}": 4 for number in range(20)}

"""Fields bound to a block, a context or a logger: where they go, and which field of a name wins."""

from __future__ import annotations

import asyncio
import concurrent.futures
import json
import logging
import logging.handlers
import os
import pickle
import queue
import subprocess
import sys

import pytest

from chora_logging import context
from chora_logging.binding import BoundLogger, bind, get_bound_fields, set_bound_fields
from chora_logging.context import TraceIdFilter, trace_context
from chora_logging.errors import ConfigurationError
from chora_logging.formatting.formatter import EventFormatter
from chora_logging.orchestrator import log_orchestrator_event
from chora_logging.telemetry import ContentGeneratedEvent, EventEmitter
from chora_logging.writing.buffered import BufferedEventFileHandler
from chora_logging.writing.handler import EventFileHandler
from chora_logging.writing.queue_handler import EventQueueHandler
from tests.records import record_of

library = logging.getLogger("some.library")


def log_to(path, kind=EventFileHandler):
    """Have the root logger write to *path*; return the handler."""
    handler = kind(path)
    handler.setFormatter(EventFormatter())
    handler.addFilter(TraceIdFilter())
    logging.getLogger().addHandler(handler)
    logging.getLogger().setLevel(logging.INFO)
    return handler


def lines_of(path, *names):
    """The lines of the log, or of each the values of these fields."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [tuple(line.get(name) for name in names) for line in lines] if names else lines


class TestBlocks:
    def test_nest_and_end(self):
        """An inner block adds fields and wins by name; the end of a block restores the former fields."""
        with bind(user_id=7, step=1) as outer:
            with bind(step=2) as inner:
                assert get_bound_fields() == inner == {"user_id": 7, "step": 2}
            assert get_bound_fields() == outer == {"user_id": 7, "step": 1}
        assert get_bound_fields() == {}
        with pytest.raises(TypeError):
            outer["user_id"] = 8

    def test_decorator_and_async_block(self):
        """Functions and coroutine functions run with the fields; generator functions are refused."""

        @bind(job="import")
        def work():
            return get_bound_fields()

        @bind(job="export")
        async def later():
            async with bind(part=1):
                await asyncio.sleep(0)
                return get_bound_fields()

        def generator():
            yield

        assert work() == {"job": "import"}
        assert asyncio.run(later()) == {"job": "export", "part": 1}
        assert get_bound_fields() == {}
        with pytest.raises(TypeError, match=r"use `with bind\(…\):` inside it"):
            bind(job="x")(generator)

    def test_set_and_cleared(self):
        """Fields that are set stay until they are set again or the token restores the former ones."""
        token = set_bound_fields(user_id=7)
        set_bound_fields(**get_bound_fields(), step=1)
        assert get_bound_fields() == {"user_id": 7, "step": 1}
        set_bound_fields()
        assert get_bound_fields() == {}
        token.var.reset(token)
        assert get_bound_fields() == {}

    @pytest.mark.parametrize("name", ["name", "args", "message", "taskName", "asctime", "_chora_fields"])
    @pytest.mark.parametrize("function", [bind, set_bound_fields])
    def test_names_of_logging_are_refused(self, function, name):
        """The name of an attribute of records is an error in one sentence, at the call."""
        with pytest.raises(ConfigurationError) as caught:
            function(**{name: 1})

        rule = "a name that is no attribute of logging.LogRecord"
        assert str(caught.value) == f"a bound field must be {rule}, got {name!r}"

    def test_the_trace_id_has_its_own_function(self):
        """`trace_id` is refused, with the name of what sets it."""
        with pytest.raises(ConfigurationError, match="must be no trace id, which is that of trace_context"):
            bind(trace_id="a")


class TestWhereTheyGo:
    def test_tasks_and_threads(self):
        """Tasks and `to_thread` inherit the fields and do not leak theirs; other threads are given them."""

        async def task(number):
            with bind(number=number):
                await asyncio.sleep(0)
                return await asyncio.to_thread(get_bound_fields)

        async def main():
            with bind(user_id=7):
                return await asyncio.gather(*map(task, range(3))), get_bound_fields()

        assert asyncio.run(main()) == ([{"user_id": 7, "number": n} for n in range(3)], {"user_id": 7})
        with bind(user_id=7), concurrent.futures.ThreadPoolExecutor(1) as pool:
            wrapped = pool.submit(bind(**get_bound_fields())(get_bound_fields))
        assert wrapped.result() == {"user_id": 7}

    @pytest.mark.parametrize("kind", [EventFileHandler, BufferedEventFileHandler])
    def test_records_of_libraries(self, tmp_path, kind):
        """Records of any logger have the fields in the block and not after it, a child process's too."""
        handler = log_to(tmp_path / "app.jsonl", kind)
        with trace_context("a"), bind(user_id=7, tags=["x"]):
            for _ in range(3):  # later ones take another path than the first
                library.warning("%s", "in")
            child = os.fork()
            if child == 0:
                library.warning("in child")
                logging.shutdown()
                os._exit(0)
            os.waitpid(child, 0)
        library.warning("after")
        handler.flush()

        found = lines_of(tmp_path / "app.jsonl", "message", "trace_id", "user_id", "tags")
        inside = [(message, "a", 7, ["x"]) for message in ("in", "in", "in", "in child")]
        assert found == [*inside, ("after", None, None, None)]

    def test_the_records_own_fields_win(self, tmp_path):
        """`extra` and a dict message win over a bound field of the same name; nothing is doubled."""
        log_to(tmp_path / "app.jsonl")
        with bind(user_id=7, event="bound"):
            for _ in range(3):
                library.warning("m", extra={"user_id": 8, "event": "own"})
                library.warning({"user_id": 8, "event": "own"})
                log_orchestrator_event("own", user_id=8, name="n")

        lines = lines_of(tmp_path / "app.jsonl")
        assert {(line["event"], line["user_id"]) for line in lines} == {("own", 8)}
        assert not any(name.endswith("_") for line in lines for name in line)

    def test_typed_events_keep_their_schema(self, tmp_path):
        """The line of a typed event has the event's fields only, from the emitter and from a handler."""
        log_to(tmp_path / "app.jsonl")
        event = ContentGeneratedEvent(
            content_config_id="c", generator_type="jinja2", status="success", duration_ms=1
        )
        with bind(user_id=7), EventEmitter(tmp_path / "events.jsonl") as emitter:
            emitter.emit(event)

        assert lines_of(tmp_path / "events.jsonl") == lines_of(tmp_path / "app.jsonl")
        assert "user_id" not in lines_of(tmp_path / "events.jsonl")[0]

    def test_through_a_queue_and_a_memory_handler(self, tmp_path):
        """A record that is written later has the fields of its call, not those of the place of writing."""
        handler = log_to(tmp_path / "app.jsonl")
        memory = logging.handlers.MemoryHandler(9, flushLevel=99, target=handler)
        memory.addFilter(TraceIdFilter())
        waiting = queue.SimpleQueue()
        logging.getLogger().handlers[:] = [EventQueueHandler(waiting), memory]
        with bind(user_id=7):
            library.warning("bound")
        with trace_context("a"):
            library.warning("not")
        with bind(user_id=8, worker=1):
            memory.close()
            while not waiting.empty():
                handler.handle(pickle.loads(pickle.dumps(waiting.get())))

        assert (
            lines_of(tmp_path / "app.jsonl", "message", "user_id", "worker")
            == [
                ("bound", 7, None),
                ("not", None, None),
            ]
            * 2
        )

    def test_a_program_that_binds_nothing_pays_nothing(self):
        """The filter does not look for fields before the first are bound, even if `bind` is imported."""
        code = (
            "import logging\n"
            "from chora_logging import TraceIdFilter, bind, context, trace_context\n"
            "record = logging.makeLogRecord({})\n"
            "with trace_context('a'): TraceIdFilter().filter(record)\n"
            "print(context.put_bound_fields, '_chora_settled' in record.__dict__)"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

        assert done.stdout.split() == ["None", "False"]
        bind(user_id=7)
        assert context.put_bound_fields is not None


class TestBoundLogger:
    def test_merges_extra(self):
        """The fields of the adapter and of the call are on the record; those of the call win."""
        log = BoundLogger(library, user_id=7).bind(step=1)
        message, kwargs = log.process("m", {"extra": {"step": 2, "total": 3}, "stacklevel": 1})

        assert (message, kwargs) == ("m", {"extra": {"user_id": 7, "step": 2, "total": 3}, "stacklevel": 1})
        assert BoundLogger(log, more=1).bind(last=2).extra == {"more": 1, "last": 2}

    @pytest.mark.parametrize("merge", [{}, {"merge_extra": True}] if sys.version_info >= (3, 13) else [{}])
    def test_of_an_adapter(self, tmp_path, merge):
        """Fields of an adapter of the standard library, of this one and of the call are on the record."""
        log_to(tmp_path / "app.jsonl")
        below = logging.LoggerAdapter(logging.LoggerAdapter(library, {"tenant": 1}), {"step": 1}, **merge)
        log = BoundLogger(below, order_id=7, user="a").bind(user="b")
        log.warning("m", extra={"total": 30})

        (line,) = lines_of(tmp_path / "app.jsonl")
        fields = {"tenant": 1, "step": 1, "order_id": 7, "user": "b", "total": 30}
        assert fields.items() <= line.items()

    def test_of_an_adapter_with_a_process_of_its_own(self, tmp_path):
        """It goes on doing what it does to messages."""

        class Prefix(logging.LoggerAdapter):
            def process(self, msg, kwargs):
                return f"[{self.extra['shop']}] {msg}", kwargs

        log_to(tmp_path / "app.jsonl")
        BoundLogger(Prefix(library, {"shop": "s1"}), order_id=7).warning("m")

        (line,) = lines_of(tmp_path / "app.jsonl")
        assert (line["message"], line["order_id"]) == ("[s1] m", 7)

    @pytest.mark.parametrize("logger", ["shop", None, logging])
    def test_of_no_logger(self, logger):
        """The name of a logger, or anything else, is refused at once."""
        with pytest.raises(
            ConfigurationError, match=r"^logger must be a logger, as logging\.getLogger gives"
        ):
            BoundLogger(logger)

    def test_names_that_logging_refuses(self, tmp_path):
        """A field with the name of a record attribute is a field of the line; nothing is raised."""
        log_to(tmp_path / "app.jsonl")
        BoundLogger(library, args="a").warning("m", extra={"name": "n", "message": "own"})

        (line,) = lines_of(tmp_path / "app.jsonl")
        assert (line["args"], line["name"], line["message"], line["message_"]) == ("a", "n", "m", "own")

    def test_formats_like_any_record(self):
        """A bound field of a type that JSON has no form for becomes what `extra` becomes."""
        record = record_of("m")
        with bind(when={1, 2}):
            TraceIdFilter().filter(record)

        assert json.loads(EventFormatter().format(record))["when"] == [1, 2]

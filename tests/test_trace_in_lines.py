"""Lines have the trace id of their caller across threads, executors, tasks, hooks and queues."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import logging
import logging.handlers
import pickle
import queue
import subprocess
import sys
import threading

import pytest

from chora_logging import context
from chora_logging.config import setup_logging
from chora_logging.context import TraceIdFilter, child_env, get_trace_id, set_trace_id, trace_context
from chora_logging.formatting.formatter import EventFormatter
from chora_logging.schema import OWN_LOGGER
from chora_logging.writing.handler import EventFileHandler
from chora_logging.writing.queue_handler import EventQueueHandler
from tests.accounting import events_of
from tests.records import Event, record_of


@pytest.fixture(params=["direct", "queue"])
def app(request, tmp_path):
    """A logger on a file, directly or through a queue and a listener's thread, and a reader of its lines."""
    log = tmp_path / "app.log"
    handler = EventFileHandler(log)
    handler.setFormatter(EventFormatter())
    handler.addFilter(TraceIdFilter())
    logger = logging.getLogger("app")
    logger.setLevel("INFO")
    logger.propagate = False
    listener = None
    if request.param == "queue":
        through = queue.SimpleQueue()
        logger.addHandler(EventQueueHandler(through))
        listener = logging.handlers.QueueListener(through, handler)
        listener.start()
    else:
        logger.addHandler(handler)

    def traces():
        """The trace id of each message, or None."""
        if listener is not None:
            listener.stop()
        return {event["message"]: event.get("trace_id") for event in events_of(log)}

    yield logger, traces
    handler.close()


def test_threads_and_executors(app):
    """A thread that is passed a trace logs with its id; other threads log without one."""
    logger, traces = app
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for number in range(40):
            with trace_context(f"t-{number}"):
                pool.submit(trace_context(get_trace_id())(logger.info), f"wrapped {number}")
                pool.submit(contextvars.copy_context().run, logger.info, f"copied {number}")
                pool.submit(logger.info, f"bare {number}")
                thread = threading.Thread(
                    target=trace_context(get_trace_id())(logger.info), args=(f"{number}",)
                )
                thread.start()
                thread.join()

    expected = {
        f"{kind}{number}": f"t-{number}" for number in range(40) for kind in ("wrapped ", "copied ", "")
    }
    assert traces() == expected | {f"bare {number}": None for number in range(40)}


def test_tasks(app):
    """Tasks, `gather`, `to_thread`, `run_in_executor` and callbacks log with the trace that started them."""
    logger, traces = app

    async def request(number):
        loop = asyncio.get_running_loop()
        called = asyncio.Event()
        with trace_context(f"t-{number}"):
            loop.call_soon(lambda: (logger.info(f"callback {number}"), called.set()))
            await asyncio.sleep(0)
            logger.info(f"task {number}")
            await asyncio.create_task(child(number))
            await asyncio.gather(asyncio.to_thread(logger.info, f"to_thread {number}"), called.wait())
            await loop.run_in_executor(None, trace_context(get_trace_id())(logger.info), f"executor {number}")

    async def child(number):
        logger.info(f"child {number}")

    async def main():
        await asyncio.gather(*map(request, range(20)))

    asyncio.run(main())
    kinds = ("callback", "task", "child", "to_thread", "executor")
    assert traces() == {f"{kind} {number}": f"t-{number}" for number in range(20) for kind in kinds}


@pytest.mark.parametrize(
    ("run", "expected"),
    [
        (lambda work: work(), "t" if sys.version_info < (3, 14) else None),
        (lambda work: contextvars.Context().run(work), None),  # as every thread does from 3.14 on
    ],
    ids=["thread", "context"],
)
def test_unhandled_exception_in_a_thread(app, monkeypatch, run, expected):
    """A record of `threading.excepthook` has the trace of the failed thread unless its context has ended."""
    logger, traces = app
    monkeypatch.setattr(
        threading, "excepthook", lambda it: logger.error("failed", exc_info=(it.exc_type, it.exc_value, None))
    )

    def work():
        set_trace_id("t")
        raise ValueError("no")

    thread = threading.Thread(target=run, args=(work,))
    thread.start()
    thread.join()

    assert traces() == {"failed": expected}


def test_exception_that_is_caught_in_a_thread(app):
    """The function that a thread runs logs its exception with its own trace, on every Python."""
    logger, traces = app

    def work():
        set_trace_id("t")
        try:
            raise ValueError("no")
        except ValueError:
            logger.exception("failed")

    thread = threading.Thread(target=contextvars.Context().run, args=(work,))
    thread.start()
    thread.join()

    assert traces() == {"failed": "t"}


def test_the_records_of_caplog(caplog, tmp_path):
    """The records that pytest keeps have the trace id, though its handler has no filter."""
    setup_logging(log_file=tmp_path / "app.log", console=False)
    with trace_context("t"):
        logging.getLogger("shop").info("Order placed")

    assert [record.trace_id for record in caplog.records] == ["t"]


def test_unhandled_exception_of_a_program(tmp_path):
    """A record of `sys.excepthook` in a child process that fails has the trace of its parent."""
    program = """
import logging, sys
from chora_logging import setup_logging
setup_logging(log_file=sys.argv[1], console=False)
sys.excepthook = lambda *info: logging.getLogger("app").critical("unhandled", exc_info=info)
raise ValueError("no")
"""
    log = tmp_path / "app.log"
    with trace_context("parent"):
        done = subprocess.run([sys.executable, "-c", program, str(log)], env=child_env(), check=False)

    (event,) = events_of(log)
    assert done.returncode == 1
    assert (event["message"], event["trace_id"]) == ("unhandled", "parent")
    assert event["exception"].endswith("ValueError: no")


def test_the_root_logger_and_libraries(tmp_path):
    """With the filter on the handler every logger's lines have the trace: root, children, libraries."""
    handler = EventFileHandler(tmp_path / "app.log")
    handler.setFormatter(EventFormatter())
    handler.addFilter(TraceIdFilter())
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel("INFO")
    with trace_context("t"):
        logging.info("root")
        logging.getLogger("a.b.c").info("child")
        logging.getLogger("third.party").warning("library")
    root.removeHandler(handler)
    handler.close()

    assert {event["message"]: event["trace_id"] for event in events_of(tmp_path / "app.log")} == {
        "root": "t",
        "child": "t",
        "library": "t",
    }


def filtered(record):
    """Return *record* after a `TraceIdFilter`."""
    TraceIdFilter().filter(record)
    return record


class TestKeptBack:
    """Records that are written later than they are logged, inside another trace."""

    @pytest.mark.parametrize("message", ["m", {"a": 1}, Event(None)], ids=["text", "dict", "event"])
    def test_behind_a_memory_handler(self, tmp_path, message):
        """An id that was sought and not found is not sought again; one that was found stays."""
        file = EventFileHandler(tmp_path / "app.jsonl")
        file.setFormatter(EventFormatter())
        file.addFilter(TraceIdFilter())
        memory = logging.handlers.MemoryHandler(100, target=file, flushLevel=logging.CRITICAL)
        memory.addFilter(TraceIdFilter())
        for _ in range(3):  # the slow path and the fast path
            memory.handle(record_of(message))
        with trace_context("one"):
            memory.handle(record_of(message))
        with trace_context("two"):
            memory.flush()
        file.close()

        *outside, inside = events_of(tmp_path / "app.jsonl")
        assert [event.get("trace_id") for event in outside] == [None, None, None]
        assert inside["trace_id"] == "one"
        assert not any("settled" in key for event in outside for key in event)

    def test_behind_the_queue_of_the_standard_library(self, monkeypatch):
        """A record that a queue pickles and another process writes keeps the answer "none"."""
        received = queue.Queue()
        handler = logging.handlers.QueueHandler(received)
        handler.addFilter(TraceIdFilter())
        handler.handle(record_of())
        monkeypatch.setenv("CHORA_TRACE_ID", "the listener's")
        record = filtered(pickle.loads(pickle.dumps(received.get())))

        assert record.trace_id is None

    def test_a_second_filter_outside_of_the_trace(self):
        """An id that was found is not replaced, and a caller's None is resolved at the first filter only."""
        with trace_context("one"):
            found = filtered(record_of(trace_id=None))
        none = filtered(record_of(trace_id=None))
        with trace_context("two"):
            assert filtered(found).trace_id == "one"
            assert filtered(none).trace_id is None

    @pytest.mark.parametrize("fmt", [None, "%(message)s"])
    def test_the_answer_is_not_a_field(self, fmt):
        """The mark of the answer "none" is in no line, whatever the options."""
        for reserved in (None, ["args"]):
            formatter = EventFormatter(fmt, reserved_attrs=reserved)
            assert "settled" not in "".join(formatter.format(filtered(record_of(a=1))) for _ in range(3))


class TestInvalidVariables:
    """Values in the environment that cannot be used."""

    @pytest.fixture
    def own_log(self, tmp_path, monkeypatch):
        """A root handler that filters as programs do; gives the messages of the package's own logger."""
        monkeypatch.setattr(context, "_said", set())
        context._usable_id.cache_clear()
        handler = EventFileHandler(tmp_path / "app.jsonl")
        handler.setFormatter(EventFormatter())
        handler.addFilter(TraceIdFilter())
        logging.getLogger().addHandler(handler)
        yield lambda: [e["message"] for e in events_of(tmp_path / "app.jsonl") if e["logger"] == OWN_LOGGER]
        logging.getLogger().removeHandler(handler)
        handler.close()

    @pytest.mark.parametrize(
        ("name", "value", "message"),
        [
            (
                "CHORA_TRACE_ID",
                "x" * 201,
                "CHORA_TRACE_ID must have at most 200 characters, got '" + "x" * 76 + "...; it is ignored",
            ),
            (
                "CHORA_TRACE_ID",
                "a\nb",
                "CHORA_TRACE_ID must have no control characters, got 'a\\nb'; it is ignored",
            ),
            ("TRACEPARENT", "abc", "TRACEPARENT must be a W3C traceparent, got 'abc'; it is ignored"),
        ],
        ids=["long", "newline", "traceparent"],
    )
    def test_said_once(self, own_log, monkeypatch, name, value, message):
        """The log says once which variable is ignored and why; the records are written without an id."""
        monkeypatch.setenv(name, value)
        for _ in range(3):
            logging.getLogger("app").warning("m")
            assert get_trace_id() is None
            context._usable_id.cache_clear()

        assert own_log() == [message]

    def test_each_value(self, own_log, monkeypatch):
        """Another value is said too; one that other sources win over is not looked at."""
        for value in ("a\n", "b\n", "a\n"):
            monkeypatch.setenv("CHORA_TRACE_ID", value)
            with trace_context("t"):
                logging.getLogger("app").warning("m")
        assert own_log() == []
        for value in ("a\n", "b\n", "a\n"):
            monkeypatch.setenv("CHORA_TRACE_ID", value)
            logging.getLogger("app").warning("m")

        assert len(own_log()) == 2

    def test_no_trace_is_not_invalid(self, own_log, monkeypatch):
        """A traceparent with the id of no trace, all zeros, and an empty variable are said by nobody."""
        monkeypatch.setenv("CHORA_TRACE_ID", "")
        monkeypatch.setenv("TRACEPARENT", "00-" + "0" * 32 + "-" + "0" * 16 + "-00")
        logging.getLogger("app").warning("m")

        assert own_log() == []

    def test_a_logger_that_raises(self, own_log, monkeypatch):
        """A logger class that raises costs the message and not the record that was logged."""

        def raises(*args, **kwargs):
            raise ValueError("no")

        monkeypatch.setattr(logging.getLogger(OWN_LOGGER), "warning", raises)
        monkeypatch.setenv("CHORA_TRACE_ID", "a\n")

        assert get_trace_id() is None

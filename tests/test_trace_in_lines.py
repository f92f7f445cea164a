"""Lines have the trace id of their caller across threads, executors, tasks, hooks and queues."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import logging
import logging.handlers
import queue
import subprocess
import sys
import threading

import pytest

from chora_logging.context import TraceIdFilter, child_env, get_trace_id, set_trace_id, trace_context
from chora_logging.formatting.formatter import EventFormatter
from chora_logging.writing.handler import EventFileHandler
from chora_logging.writing.queue_handler import EventQueueHandler
from tests.accounting import events_of


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


def test_unhandled_exception_in_a_thread(app, monkeypatch):
    """A record of `threading.excepthook` has the trace that was set in the failed thread."""
    logger, traces = app
    monkeypatch.setattr(
        threading, "excepthook", lambda it: logger.error("failed", exc_info=(it.exc_type, it.exc_value, None))
    )

    def work():
        set_trace_id("t")
        raise ValueError("no")

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()

    assert traces() == {"failed": "t"}


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

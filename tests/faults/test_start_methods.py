"""Worker processes, however started, log through handlers of their own on the same path."""

from __future__ import annotations

import concurrent.futures
import logging
import logging.config
import multiprocessing
import subprocess
import sys

import pytest

from chora_logging.context import trace_context
from tests.accounting import assert_exact, assert_small, events_of
from tests.faults.writer import write

MAX_BYTES = 20_000


def configuration(log):
    """The configuration that a user writes once for the parent and every worker; a plain dictionary."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"event": {"()": "chora_logging.EventFormatter"}},
        "filters": {"trace": {"()": "chora_logging.TraceIdFilter"}},
        "handlers": {
            "file": {
                "class": "chora_logging.EventFileHandler",
                "filename": str(log),
                "maxBytes": MAX_BYTES,
                "backupCount": 5000,
                "formatter": "event",
                "filters": ["trace"],
            }
        },
        "loggers": {"work": {"handlers": ["file"], "level": "INFO"}},
    }


def work(number):
    """One task of a worker."""
    with trace_context(f"task-{number}"):
        write(logging.getLogger("work"), f"task-{number}", 50)


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_workers_configure_themselves(tmp_path, method):
    """Workers of a pool get a dictionary, no handler is pickled, and parent and workers share the log."""
    log = tmp_path / "events.log"
    logging.config.dictConfig(configuration(log))
    write(logging.getLogger("work"), "parent", 50)
    with concurrent.futures.ProcessPoolExecutor(
        3,
        multiprocessing.get_context(method),
        initializer=logging.config.dictConfig,
        initargs=(configuration(log),),
    ) as pool:
        assert list(pool.map(work, range(20), chunksize=1)) == [None] * 20

    assert_exact(log, {"parent": 50, **{f"task-{number}": 50 for number in range(20)}})
    assert_small(log, MAX_BYTES)
    assert {event.get("trace_id") for event in events_of(log) if event["writer"] == "task-7"} == {"task-7"}


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_a_logger_as_an_argument(tmp_path, method):
    """A logger passed to a worker is pickled by name and logs through the worker's own handler."""
    log = tmp_path / "events.log"
    logging.config.dictConfig(configuration(log))
    context = multiprocessing.get_context(method)
    worker = context.Process(target=work_with, args=(logging.getLogger("work"), configuration(log)))
    worker.start()
    worker.join(60)

    assert worker.exitcode == 0
    assert_exact(log, {"worker": 10})


def work_with(logger, settings):
    """Body of a worker that was passed a logger."""
    logging.config.dictConfig(settings)
    write(logger, "worker", 10)


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
@pytest.mark.parametrize("package", ["multiprocessing", "billiard"])
def test_the_end_of_a_worker(tmp_path, package, method):
    """A worker that ends writes what it has buffered, also one of billiard, which starts those of Celery."""
    log = tmp_path / "events.log"
    program = [sys.executable, "-W", "ignore", "-m", "tests.faults.buffered_worker", package, method, log]
    subprocess.run(program, check=True, timeout=60)

    assert_exact(log, {"worker": 30})

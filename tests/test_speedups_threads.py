"""Threads that log at the same time do not switch for each line."""

from __future__ import annotations

import logging
import resource
import threading

from chora_logging import EventFileHandler, EventFormatter, TraceIdFilter, speedups
from tests.accounting import lines_of

THREADS, EVENTS = 4, 1_000


def test_threads_do_not_switch(tmp_path):
    """Most lines cost no thread switch, which takes longer than the line."""
    handler = EventFileHandler(tmp_path / "app.log", maxBytes=0)
    handler.setFormatter(EventFormatter())
    handler.addFilter(TraceIdFilter())
    logger = logging.getLogger("app")
    logger.addHandler(handler)
    logger.propagate = False
    logger.setLevel(logging.INFO)

    # A busy machine may preempt the process in the middle of a line: then the disk seems slow, and the
    # interpreter lock is released for a moment.
    switches = [switches_of(lambda number: logger.info("Event %d", number)) for _ in range(10)]
    handler.close()

    assert len(lines_of(tmp_path / "app.log")) == 10 * THREADS * EVENTS
    # It is two per line if the interpreter lock is released while a line is written.
    assert min(switches) < THREADS * EVENTS / 2 or not speedups.in_use


def switches_of(call):
    """Return how often the threads of this process sleep while some of them make calls."""
    together = threading.Barrier(THREADS)

    def work():
        together.wait()
        for number in range(EVENTS):
            call(number)

    threads = [threading.Thread(target=work) for _ in range(THREADS)]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw - before

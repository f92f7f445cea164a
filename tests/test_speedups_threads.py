"""Threads that log at the same time do not hand each other the interpreter for each line."""

from __future__ import annotations

import logging
import resource
import threading

from chora_logging import EventFileHandler, EventFormatter, TraceIdFilter, speedups
from tests.accounting import lines_of

THREADS, EVENTS = 4, 1_000


def test_threads_keep_their_turn(tmp_path):
    """Most lines cost no switch of threads, which takes longer than the line."""
    handler = EventFileHandler(tmp_path / "app.log", maxBytes=0)
    handler.setFormatter(EventFormatter())
    handler.addFilter(TraceIdFilter())
    logger = logging.getLogger("app")
    logger.addHandler(handler)
    logger.propagate = False
    logger.setLevel(logging.INFO)

    # A machine that is busy takes the processor away in the middle of a line: then the disk passes for slow,
    # and the interpreter is given away for a moment.
    switches = [switches_of(lambda number: logger.info("Event %d", number)) for _ in range(10)]
    handler.close()

    assert len(lines_of(tmp_path / "app.log")) == 10 * THREADS * EVENTS
    # It is two for each line where the interpreter is given away while a line is written.
    assert min(switches) < THREADS * EVENTS / 2 or not speedups.in_use


def switches_of(call):
    """How often the threads of this process go to sleep while some of them make calls."""
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

"""A program whose worker buffers its events, and ends.

`python -m tests.faults.buffered_worker PACKAGE METHOD LOG`
"""

from __future__ import annotations

import importlib
import sys

from tests.faults.writer import logger_on, write


def work(log):
    """Log events that are still buffered when the worker ends."""
    write(logger_on(log, buffered=True, flush_interval=60), "worker", 30)


if __name__ == "__main__":
    package, method, log = sys.argv[1:]
    worker = importlib.import_module(package).get_context(method).Process(target=work, args=(log,))
    worker.start()
    worker.join()

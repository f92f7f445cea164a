"""Processes that are started by `forkserver` or `spawn`: they write one log under the trace id of the caller.

`python process_pool.py [FOLDER]` runs a `ProcessPoolExecutor` and a `multiprocessing.Process` of each kind,
and prints the events of one trace.
"""

import logging
import multiprocessing
import os
import pathlib
import sys
from concurrent.futures import ProcessPoolExecutor

from chora_logging import EventLog, get_trace_id, setup_logging, trace_context

log = logging.getLogger("shop")


def start(log_file):
    """Set up logging: a process that is not forked has none."""
    setup_logging(log_file=log_file, console=False)


def traced(trace_id, function, *args):
    """Call *function* under the caller's trace id, and log its exception there.

    It is a function of a module because the arguments of `submit` are pickled.
    """
    with trace_context(trace_id):
        try:
            return function(*args)
        except Exception:
            log.exception("%s failed", function.__name__)
            raise


def charge(order_id):
    log.info("Order %d charged", order_id, extra={"order_id": order_id, "pid": os.getpid()})
    if order_id % 10 == 7:
        raise ValueError(f"order {order_id} has no price")


def alone(log_file, *task):
    """Do the same in a single process."""
    start(log_file)
    traced(*task)


def main():
    log_file = pathlib.Path([*sys.argv, "."][1]) / "pool.jsonl"
    for method in ("forkserver", "spawn"):
        context = multiprocessing.get_context(method)
        with ProcessPoolExecutor(2, context, initializer=start, initargs=(log_file,)) as pool:
            for order_id in range(1, 21):
                with trace_context(f"{method}-{order_id}"):
                    pool.submit(traced, get_trace_id(), charge, order_id)
        with trace_context(f"{method}-21"):
            process = context.Process(target=alone, args=(log_file, get_trace_id(), charge, 21))
            process.start()
        process.join()
    for event in EventLog(log_file).read(trace_id="spawn-7"):
        print(event["level"], event["logger"], event["message"])


if __name__ == "__main__":
    main()

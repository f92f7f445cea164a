"""Hands records to a thread that writes them, so that no request waits for the disk.

Run `python queue_logging.py [folder]`; it writes `queue.jsonl`. Works on every Python; from 3.12 on a
configuration file can do the same (`logging_queue.yaml`).
"""

from __future__ import annotations

import logging
import logging.handlers
import os
import pathlib
import queue
import sys

from chora_logging import EventFileHandler, EventFormatter, EventQueueHandler, trace_context


def set_up(path: str) -> logging.handlers.QueueListener:
    file = EventFileHandler(path)
    file.setFormatter(EventFormatter())
    handler = EventQueueHandler(queue.SimpleQueue())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    return logging.handlers.QueueListener(handler.queue, file, respect_handler_level=True)


def main() -> None:
    listener = set_up("queue.jsonl")
    listener.start()
    try:
        logger = logging.getLogger("shop")
        with trace_context("req-1"):
            logger.info({"event": "order_placed", "order_id": 7, "items": ["tea", "cup"]})
            try:
                int("7 EUR")
            except ValueError:
                logger.exception("No price", extra={"order_id": 7})
    finally:
        listener.stop()  # writes the records still in the queue
        for handler in listener.handlers:
            handler.close()
    print(pathlib.Path("queue.jsonl").read_text(encoding="utf-8"), end="")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        os.chdir(sys.argv[1])
    main()

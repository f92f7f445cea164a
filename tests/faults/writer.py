"""A program that writes numbered events: `python -m tests.faults.writer LOG WRITER COUNT [option=value …]`.

Options: `size` (bytes of padding), `pause` (seconds after each event), `acknowledge` (a line on stdout
after each event), `start` (a file to wait for), `threads`, `buffered`, and every keyword of the handler.
"""

from __future__ import annotations

import ast
import logging
import os
import sys
import threading
import time

from chora_logging.formatting.formatter import EventFormatter
from chora_logging.writing.buffered import BufferedEventFileHandler
from chora_logging.writing.handler import EventFileHandler

#: The handlers that were made; the test closes them at its end.
made = []


def logger_on(log, name="writer", *, buffered=False, **options):
    """A separate logger with one handler on *log*."""
    handler = (BufferedEventFileHandler if buffered else EventFileHandler)(log, **options)
    made.append(handler)
    handler.setFormatter(EventFormatter())
    logger = logging.Logger(name, logging.INFO)
    logger.addHandler(handler)
    return logger


def write(logger, writer, count, *, first=0, size=0, pause=0, acknowledge=False):
    """Log the events *first* … *count* - 1 of *writer*."""
    padding = "x" * size
    for number in range(first, count):
        logger.info("event %d", number, extra={"writer": writer, "seq": number, "padding": padding})
        if acknowledge:
            os.write(1, b"%d\n" % number)
        if pause:
            time.sleep(pause)


def wait_for(path):
    """Return when *path* exists."""
    deadline = time.monotonic() + 60
    while not os.path.exists(path):
        if time.monotonic() > deadline:
            raise TimeoutError(path)
        time.sleep(0.002)


def main(log, writer, count, *options):
    """Run the program."""
    settings = {}
    for option in options:
        name, value = option.split("=", 1)
        try:
            settings[name] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            settings[name] = value
    start, threads = settings.pop("start", None), settings.pop("threads", 1)
    size, acknowledge = settings.pop("size", 0), settings.pop("acknowledge", False)
    pause = settings.pop("pause", 0)
    logger = logger_on(log, **settings)
    if start:
        wait_for(start)
    if threads == 1:
        write(logger, writer, int(count), size=size, pause=pause, acknowledge=acknowledge)
        return
    pool = [
        threading.Thread(target=write, args=(logger, f"{writer}.{n}", int(count)), kwargs={"size": size})
        for n in range(threads)
    ]
    for thread in pool:
        thread.start()
    for thread in pool:
        thread.join()


if __name__ == "__main__":
    main(*sys.argv[1:])

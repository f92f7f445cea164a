"""chora_logging in an application with its own logging configuration, which stays; `app.jsonl` is added.

Run `python drop_in.py [folder]`.
"""

from __future__ import annotations

import logging
import logging.config
import os
import pathlib
import sys

from chora_logging import setup_logging, trace_context

# The application's own configuration: a console, a text file, and an audit trail that does not propagate.
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "short": {"format": "%(levelname)s %(message)s"},
        "audit": {"format": "audit: %(message)s"},
    },
    "handlers": {
        "console": {"class": "logging.StreamHandler", "formatter": "short", "stream": "ext://sys.stdout"},
        "file": {"class": "logging.FileHandler", "formatter": "short", "filename": "app.txt"},
        "trail": {"class": "logging.FileHandler", "formatter": "audit", "filename": "audit.txt"},
    },
    "loggers": {"shop.audit": {"level": "INFO", "handlers": ["trail"], "propagate": False}},
    "root": {"level": "INFO", "handlers": ["console", "file"]},
}


def run_application() -> None:
    logging.getLogger("shop").info("Order %s placed", 7, extra={"event": "order_placed", "order_id": 7})
    logging.getLogger("shop.audit").info("order 7 by ann", extra={"user": "ann"})


def main() -> None:
    logging.config.dictConfig(LOGGING)
    setup_logging(log_file="app.jsonl")  # the one line that is added

    with trace_context("req-1"):
        run_application()

    for name in ("app.txt", "audit.txt", "app.jsonl"):
        print(f"--- {name}", pathlib.Path(name).read_text(encoding="utf-8"), sep="\n", end="")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        os.chdir(sys.argv[1])
    main()

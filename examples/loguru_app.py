"""loguru in front of our handler: its calls stay, and their fields stand in the line itself.

`python loguru_app.py [FOLDER]` prints the lines. Copy the function `to_logging`.
"""

import logging
import pathlib
import sys

from loguru import logger

from chora_logging import setup_logging, trace_context


def to_logging(message):
    """Pass a message of loguru on to `logging`, with its fields, its exception and its place in the code."""
    record = message.record
    target = logging.getLogger(record["name"])
    level, error = record["level"], record["exception"]
    if target.isEnabledFor(level.no):
        fields = {**record["extra"], "message": record["message"]}
        info = error and (error.type, error.value, error.traceback)
        place = record["file"].path, record["line"]
        made = target.makeRecord(target.name, level.no, *place, fields, (), info, record["function"])
        made.levelname = level.name
        target.handle(made)


def main():
    log_file = pathlib.Path([*sys.argv, "."][1]) / "loguru.jsonl"
    setup_logging(log_file=log_file, console=False)
    logger.remove()
    logger.add(to_logging)
    with trace_context("req-1"):
        logger.bind(order_id=7).success("Order {} placed", 7)
        try:
            raise ValueError("no price")
        except ValueError:
            logger.exception("Order {} failed", 7)
    print(log_file.read_text(), end="")


if __name__ == "__main__":
    main()

"""Logging set up from a file: `logging.json`, `.yaml`, `.toml`, `.ini`, `logging_queue.json` or `.yaml`.

Run `python load_config.py [file [folder]]`; each of these files writes `logs/app.jsonl` below the folder.
"""

from __future__ import annotations

import json
import logging
import logging.config
import os
import pathlib
import sys
from typing import Any

from chora_logging import TraceIdFilter, log_orchestrator_event, trace_context


def read_config(path: pathlib.Path) -> dict[str, Any]:
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".yaml":
        import yaml

        return dict(yaml.safe_load(text))
    if path.suffix == ".toml":
        if sys.version_info >= (3, 11):
            import tomllib
        else:
            import tomli as tomllib
        return tomllib.loads(text)
    return dict(json.loads(text))


def set_up(path: pathlib.Path) -> None:
    if path.suffix == ".ini":
        logging.config.fileConfig(path, disable_existing_loggers=False, encoding="utf-8")
        for handler in logging.getLogger().handlers:
            handler.addFilter(TraceIdFilter())  # an INI file cannot declare filters
        return
    config = read_config(path)
    if sys.version_info < (3, 12) and "queue" in config["handlers"]:
        sys.exit(f"{path.name} needs Python 3.12; queue_logging.py does the same on every Python")
    logging.config.dictConfig(config)


def run_application() -> None:
    logging.getLogger("shop").info("Order placed", extra={"event": "order_placed", "order_id": 7})
    log_orchestrator_event("job_started", task_id="job-1", status="running")
    try:
        int("7 EUR")
    except ValueError:
        logging.getLogger("shop").exception("No price")


def main(path: pathlib.Path) -> None:
    set_up(path)
    listeners = [getattr(handler, "listener", None) for handler in logging.getLogger().handlers]
    for listener in filter(None, listeners):
        listener.start()
    with trace_context("req-1"):
        run_application()
    for listener in filter(None, listeners):
        listener.stop()  # at the end of the program: writes the records still in the queue
    print(pathlib.Path("logs/app.jsonl").read_text(encoding="utf-8"), end="")


if __name__ == "__main__":
    chosen = (
        pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else pathlib.Path(__file__).with_name("logging.json")
    )
    chosen = chosen.absolute()
    if len(sys.argv) > 2:
        os.chdir(sys.argv[2])
    main(chosen)

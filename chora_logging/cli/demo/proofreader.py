"""A subprocess of a worker: it reads a page, and its events carry the worker's trace id.

The trace id came in the environment, made by `child_env`; nothing here asks for it.
"""

from __future__ import annotations

import os
import time

from chora_logging.cli.demo.pen import PageValidated, Pen


def main(writer: str, path: str, task: str, run: str, max_bytes: int) -> None:
    """Read the page at *path*, and report on stdout what was written about it."""
    pen = Pen(writer, max_bytes)
    began = time.perf_counter()
    pen.log("proof_started", task, run, status="running")
    with open(path, encoding="utf-8") as file:
        text = file.read()
    duration = round((time.perf_counter() - began) * 1000)
    pen.emit(
        PageValidated,
        content_config_id=os.path.basename(path),
        validation_passed=text.count("<") == text.count(">"),
        rule_count=1,
        duration_ms=duration,
        status="success",
    )
    pen.log("proof_completed", task, run, status="completed", duration_ms=duration)
    pen.report()

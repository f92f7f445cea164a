"""Scenario `calls`: single calls, compared with their lower bounds in the same run.

A filtered call is compared with that of the standard library, an event with its construction and its JSON,
and a call whose trace id comes from the environment or a span with one without. Each loop runs in a process
of its own, interleaved, in pieces. Times are process (CPU) times, so other programs add little.
"""

from __future__ import annotations

import json
import logging
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

from tests.benchmarks.emit import shuffled
from tests.benchmarks.rivals import Log, json_formatter, ours, ours_optimized, rotating, standard_library
from tests.benchmarks.table import table
from tests.benchmarks.worker import ROOT

FULL = (9, 20_000)
QUICK = (3, 2_000)
PIECES = 20

#: Makes so many calls.
Loop = Callable[[int], None]


def debug(log: Log) -> Loop:
    """Calls below the level of the logger, with fields as a program passes them."""
    logger = logging.getLogger("orchestrator_events")

    def loop(count: int) -> None:
        for number in range(count):
            logger.debug("Task finished", extra={"task_id": "task-123", "number": number})

    return loop


def debug_standard(log: Log) -> Loop:
    handler = rotating(log)
    handler.setFormatter(json_formatter("msgspec", "MsgspecFormatter"))
    standard_library(handler)
    return debug(log)


def debug_ours(log: Log) -> Loop:
    ours(log)
    return debug(log)


def debug_optimized(log: Log) -> Loop:
    ours_optimized(log)
    return debug(log)


def info(log: Log) -> Loop:
    one = ours(log)
    return lambda count: one(0, 0, count)


def info_with_variable(log: Log) -> Loop:
    os.environ["CHORA_TRACE_ID"] = "4bf92f3577b34da6a3ce929d0e0e4736"
    return info(log)


def info_in_span(log: Log) -> Loop:
    from opentelemetry import trace

    span = trace.NonRecordingSpan(trace.SpanContext(7, 9, is_remote=False))
    loop = info(log)

    def within(count: int) -> None:
        with trace.use_span(span):
            loop(count)

    return within


def info_again(log: Log) -> Loop:
    return info(log)


def info_bound(log: Log) -> Loop:
    from chora_logging import bind

    loop = info(log)

    def within(count: int) -> None:
        with bind(user_id=7, session="4bf92f35"):
            loop(count)

    return within


def info_redacted(log: Log) -> Loop:
    from chora_logging import RedactFilter
    from chora_logging.attaching import handlers_reached

    loop = info(log)
    for handler in handlers_reached(logging.getLogger("orchestrator_events")):
        handler.addFilter(RedactFilter())
    return loop


def event_alone(log: Log) -> Loop:
    from chora_logging.telemetry import ContentGeneratedEvent

    def loop(count: int) -> None:
        for number in range(count):
            ContentGeneratedEvent(
                content_config_id="config-123", generator_type="jinja2", status="success", duration_ms=number
            ).model_dump_json()

    return loop


def event_emitted(log: Log) -> Loop:
    os.environ["CHORA_EVENTS_FILE"] = str(log.path)
    from chora_logging.telemetry import ContentGeneratedEvent, emit_event

    def loop(count: int) -> None:
        for number in range(count):
            emit_event(
                ContentGeneratedEvent(
                    content_config_id="config-123",
                    generator_type="jinja2",
                    status="success",
                    duration_ms=number,
                )
            )

    return loop


def full_event_alone(log: Log) -> Loop:
    from chora_logging.telemetry import ContentGeneratedEvent

    def loop(count: int) -> None:
        for number in range(count):
            ContentGeneratedEvent(
                timestamp="2026-01-01T00:00:00.000000Z",
                trace_id="4bf92f3577b34da6a3ce929d0e0e4736",
                event_type="chora.content_generated",
                content_config_id="config-123",
                generator_type="jinja2",
                status="success",
                duration_ms=number,
                error_message=None,
            ).model_dump_json()

    return loop


def full_event_emitted(log: Log) -> Loop:
    os.environ["CHORA_EVENTS_FILE"] = str(log.path)
    from chora_logging.telemetry import ContentGeneratedEvent, emit_event

    def loop(count: int) -> None:
        for number in range(count):
            emit_event(
                ContentGeneratedEvent(
                    timestamp="2026-01-01T00:00:00.000000Z",
                    trace_id="4bf92f3577b34da6a3ce929d0e0e4736",
                    event_type="chora.content_generated",
                    content_config_id="config-123",
                    generator_type="jinja2",
                    status="success",
                    duration_ms=number,
                    error_message=None,
                )
            )

    return loop


#: The calls compared, in groups; the first of each group is its baseline.
GROUPS: dict[str, dict[str, Callable[[Log], Loop]]] = {
    "filtered out: `logger.debug` at INFO": {
        "RotatingFileHandler + python-json-logger, msgspec": debug_standard,
        "**chora_logging**": debug_ours,
        "**chora_logging** with `optimize=True`": debug_optimized,
    },
    "the trace id: `logger.info` with six fields": {
        "**chora_logging**, none": info,
        "**chora_logging**, `CHORA_TRACE_ID` in the environment": info_with_variable,
        "**chora_logging**, an active OpenTelemetry span": info_in_span,
    },
    "filters: `logger.info` with six fields": {
        "**chora_logging**, `TraceIdFilter`": info_again,
        "**chora_logging**, two fields of `bind` more": info_bound,
        "**chora_logging**, `RedactFilter`, no secret in the record": info_redacted,
    },
    "a typed event: `ContentGeneratedEvent(…)`": {
        "constructed, and `model_dump_json()`": event_alone,
        "**chora_logging**: constructed, and `emit_event`": event_emitted,
    },
    "a typed event with all fields given": {
        "constructed, and `model_dump_json()`": full_event_alone,
        "**chora_logging**: constructed, and `emit_event`": full_event_emitted,
    },
}
CALLS = {call.__name__: call for group in GROUPS.values() for call in group.values()}


def run(*, quick: bool = False, rounds: int | None = None, events: int | None = None) -> str:
    """Time all calls, interleaved, and return the table."""
    usual_rounds, usual_events = QUICK if quick else FULL
    rounds, events = rounds or usual_rounds, events or usual_events
    times: dict[str, list[float]] = {key: [] for key in CALLS}
    for turn in range(rounds):
        for key in shuffled(list(CALLS), turn):
            times[key] += in_a_process(key, events)
    title = (
        "### Single calls: microseconds of CPU\n\n"
        f"{events:,} calls a round, median and minimum of {rounds} interleaved rounds × {PIECES} pieces, "
        "each round in a fresh process.\n\n"
    )
    return title + show(times)


def show(times: dict[str, list[float]]) -> str:
    """The table: each call with its ratio to the first of its group."""
    rows = []
    for title, group in GROUPS.items():
        keys = {label: times[call.__name__] for label, call in group.items() if times[call.__name__]}
        if not keys:
            continue
        base = min(next(iter(keys.values())))
        for label, values in keys.items():
            numbers = [
                f"{value:.2f}" for value in (statistics.median(values), min(values), min(values) / base)
            ]
            rows.append([label, *numbers, title])
    return table(["call", "median µs", "min µs", "× the first, min", "what"], rows)


def in_a_process(key: str, events: int) -> list[float]:
    """The microseconds per call in each piece."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "tests.benchmarks.calls", key, str(events), folder]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{key} failed:\n{done.stderr}")
    times: list[float] = json.loads(done.stdout)
    return times


def work(key: str, events: int, folder: str) -> list[float]:
    """The pieces of one round; empty if a requirement is not installed."""
    try:
        loop = CALLS[key](Log(pathlib.Path(folder) / "bench.log"))
    except ImportError:
        return []
    loop(min(events, 1_000))
    times = []
    piece = max(events // PIECES, 1)
    for _ in range(PIECES):
        began = time.process_time()
        loop(piece)
        times.append((time.process_time() - began) / piece * 1e6)
    return times


if __name__ == "__main__":
    print(json.dumps(work(sys.argv[1], int(sys.argv[2]), sys.argv[3])))

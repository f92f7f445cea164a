"""Scenario `tails`: the slowest calls of eight threads, with rotation.

Each thread times each of its calls. Rotations are timed separately, because handlers like those of the
standard library call `doRollover`: they are the second table. The interpreter switches between busy threads
every 5 ms; the row of the NullHandler shows its share of the tails. Each writer has a process of its own.
"""

from __future__ import annotations

import json
import logging
import pathlib
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from typing import Any

from tests.benchmarks.rivals import LOGGER, RIVALS, Log
from tests.benchmarks.table import table
from tests.benchmarks.worker import ROOT

THREADS = 8
FULL = (5, 20_000)
QUICK = (1, 2_000)
MAX_BYTES = 1_000_000
BACKUPS = 5
ENTERED = ("ours", "rotating_msgspec", "concurrent", "floor_record")
SHARES = (0.5, 0.99, 0.999)


def run(*, quick: bool = False, rounds: int | None = None, events: int | None = None) -> str:
    """Run the writers, interleaved, and return the tables of calls and of rotations."""
    usual_rounds, usual_events = QUICK if quick else FULL
    rounds, events = rounds or usual_rounds, events or usual_events
    calls: dict[str, list[float]] = {key: [] for key in ENTERED if not RIVALS[key].missing}
    rotations: dict[str, list[float]] = {key: [] for key in calls}
    for _ in range(rounds):
        for key in calls:
            outcome = in_a_process(key, events)
            calls[key] += outcome["calls"]
            rotations[key] += outcome["rotations"]
    title = (
        f"### Tails: {THREADS} threads, rotation at {MAX_BYTES / 1e6:g} MB\n\n"
        f"Microseconds; {THREADS} × {events:,} calls a round, {rounds} interleaved rounds.\n\n"
    )
    head = ["writer", "p50", "p99", "p99.9", "max", "rotations", "rotation, median", "rotation, max", ""]
    return title + table(head, [row(key, calls[key], rotations[key]) for key in calls])


def row(key: str, calls: Sequence[float], rotations: Sequence[float]) -> list[str]:
    """A writer's line of the table."""
    numbers = [*percentiles(calls, SHARES), max(calls)]
    cells = [f"{number:,.1f}" for number in numbers]
    cells.append(f"{len(rotations):,}")
    cells += (
        [f"{n:,.0f}" for n in (percentiles(rotations, [0.5])[0], max(rotations))] if rotations else ["", ""]
    )
    return [RIVALS[key].name, *cells, ""]


def percentiles(values: Sequence[float], shares: Sequence[float]) -> list[float]:
    """The values at these percentiles."""
    ordered = sorted(values)
    return [ordered[min(int(len(ordered) * share), len(ordered) - 1)] for share in shares]


def in_a_process(key: str, events: int) -> dict[str, list[float]]:
    """The times of each call and of each rotation in a process."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "tests.benchmarks.tails", key, str(events), folder]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{key} failed:\n{done.stderr}")
    outcome: dict[str, list[float]] = json.loads(done.stdout)
    return outcome


def work(key: str, events: int, folder: str) -> dict[str, list[float]]:
    """Run all threads together, each timing its calls."""
    loop = RIVALS[key].open(Log(pathlib.Path(folder) / "bench.log", MAX_BYTES, BACKUPS))
    loop(0, -100, 0)
    rotations: list[float] = []
    for handler in logging.getLogger(LOGGER).handlers:
        if isinstance(handler, logging.handlers.BaseRotatingHandler):
            time_rotations(handler, rotations)
    together = threading.Barrier(THREADS)
    found: list[list[float]] = []

    def calls(writer: int) -> None:
        times = []
        together.wait()
        for number in range(events):
            began = time.perf_counter()
            loop(writer, number, number + 1)
            times.append((time.perf_counter() - began) * 1e6)
        found.append(times)

    threads = [threading.Thread(target=calls, args=(writer,)) for writer in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {"calls": [call for times in found for call in times], "rotations": rotations}


def time_rotations(handler: Any, times: list[float]) -> None:
    """Record the time of each rotation of a handler."""
    rotate = handler.doRollover

    def timed() -> None:
        began = time.perf_counter()
        rotate()
        times.append((time.perf_counter() - began) * 1e6)

    handler.doRollover = timed


if __name__ == "__main__":
    print(json.dumps(work(sys.argv[1], int(sys.argv[2]), sys.argv[3])))

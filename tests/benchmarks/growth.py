"""Scenario `growth`: the cost of an event with more threads, earlier events, or processes.

Threads: so many threads of one process write one log; the time is divided by the number of all events. For
comparison there are the cost of threads without a log (the NullHandler), and the standard library's handler.
Events: one thread writes without a pause, rotation at 10 MB with five backups, and its CPU time is measured
after so many events; the last point, 10⁷, takes about two minutes. Processes: all write to one log at the
same time.
"""

from __future__ import annotations

import itertools
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import threading
import time

from tests.benchmarks import processes
from tests.benchmarks.rivals import RIVALS, Log
from tests.benchmarks.table import table
from tests.benchmarks.worker import ROOT

#: Rounds, events of a measured piece, and the largest number of events before one.
FULL = (5, 20_000, 10**7)
QUICK = (1, 2_000, 10**4)
THREADS = (1, 8, 64)
PROCESSES = (1, 2, 4, 8)
PIECES = 10
OURS, OTHER = "ours", "concurrent"
GROWING = ("floor_record", "rotating_msgspec")


def run(*, quick: bool = False, rounds: int | None = None, events: int | None = None) -> str:
    """Return one table each for threads, events and processes."""
    usual_rounds, usual_events, most = QUICK if quick else FULL
    rounds, events = rounds or usual_rounds, events or usual_events
    before = [0, *itertools.takewhile(lambda n: n <= min(most, 500 * events), (10**k for k in range(4, 8)))]
    parts = [
        "### Growth: 1 to 64 threads of one process\n\n"
        f"Microseconds per event, all threads together; {events:,} events, {rounds} interleaved rounds.\n",
        by_threads(events, rounds),
        "### Growth: events written before\n\n"
        f"Microseconds of CPU per event; {PIECES} pieces of {events // PIECES:,}.\n",
        show([(f"after {n:,}", times) for n, times in zip(before, by_events(before, events), strict=True)]),
        "### Growth: 1 to 8 processes, one log\n\n"
        f"Events a second, {events // 4:,} of each process, median of {rounds} interleaved rounds.\n",
        by_processes(events // 4, rounds),
    ]
    return "\n".join(parts)


def show(measured: list[tuple[str, list[float]]]) -> str:
    """A table of microseconds, with the ratio to the first row."""
    base = min(measured[0][1])
    rows = [
        [label, f"{statistics.median(times):.2f}", f"{min(times):.2f}", f"{min(times) / base:.2f}", ""]
        for label, times in measured
    ]
    return table(["**chora_logging**", "median µs", "min µs", "× the first, min", ""], rows)


def by_threads(events: int, rounds: int) -> str:
    """The table of threads: ours, and the growth of the others."""
    keys = [key for key in (OURS, *GROWING) if not RIVALS[key].missing]
    times: dict[str, dict[int, list[float]]] = {key: {count: [] for count in THREADS} for key in keys}
    for _ in range(rounds):
        for key in keys:
            for count in THREADS:
                times[key][count] += in_a_process("threads", key, str(count), str(events))
    rows = []
    for count in THREADS:
        numbers = [f"{statistics.median(times[OURS][count]):.2f}", f"{min(times[OURS][count]):.2f}"]
        numbers += [f"{min(times[key][count]) / min(times[key][1]):.2f}" for key in keys]
        rows.append([f"{count} thread{'s' if count > 1 else ''}", *numbers, ""])
    others = [f"× 1 thread: {RIVALS[key].name}" for key in keys[1:]]
    return table(["**chora_logging**", "median µs", "min µs", "× 1 thread, min", *others, ""], rows)


def by_events(before: list[int], events: int) -> list[list[float]]:
    """The microseconds per event of each piece after so many events."""
    times = in_a_process("events", OURS, *map(str, [*before, events]))
    return [times[at : at + PIECES] for at in range(0, len(times), PIECES)]


def by_processes(events: int, rounds: int) -> str:
    """The table of events a second, for ours and the rival that also rotates safely between processes."""
    keys = [key for key in (OURS, OTHER) if not RIVALS[key].missing]
    rows = []
    for count in PROCESSES:
        speeds: dict[str, list[float]] = {key: [] for key in keys}
        for _ in range(rounds):
            for key in keys:
                speeds[key].append(processes.once(key, processes.SIZES["10 MB"], events, count).per_second)
        middle = [statistics.median(values) for values in speeds.values()]
        ratio = f"{middle[0] / middle[1]:.2f}" if len(middle) == 2 else ""
        other = f"{middle[1]:,.0f}" if len(middle) == 2 else "not installed"
        rows.append([f"{count} process{'es' if count > 1 else ''}", f"{middle[0]:,.0f}", other, ratio, ""])
    return table(["", "**chora_logging**", "concurrent-log-handler", "× as fast", ""], rows)


def in_a_process(what: str, key: str, *numbers: str) -> list[float]:
    """Run one of the functions below in a fresh process; return its measurements."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "tests.benchmarks.growth", folder, what, key, *numbers]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{what} failed:\n{done.stderr}")
    times: list[float] = json.loads(done.stdout)
    return times


def threads(key: str, log: Log, count: int, events: int) -> list[float]:
    """Have so many threads write so many events together."""
    loop = RIVALS[key].open(log)
    loop(0, -1_000, 0)
    together = threading.Barrier(count + 1)

    def share(writer: int) -> None:
        together.wait()
        loop(writer, 0, events // count)
        together.wait()

    workers = [threading.Thread(target=share, args=(writer,)) for writer in range(count)]
    for worker in workers:
        worker.start()
    together.wait()
    began = time.perf_counter()
    together.wait()
    taken = time.perf_counter() - began
    for worker in workers:
        worker.join()
    return [taken / (events // count * count) * 1e6]


def after_events(key: str, log: Log, *numbers: int) -> list[float]:
    """Pieces timed whenever so many events have been written."""
    *before, events = numbers
    loop = RIVALS[key].open(log)
    loop(0, -1_000, 0)
    piece, written, times = events // PIECES, 0, []
    for count in before:
        loop(0, written, count)
        for first in range(count, count + piece * PIECES, piece):
            began = time.process_time()
            loop(0, first, first + piece)
            times.append((time.process_time() - began) / piece * 1e6)
        written = max(written, count + piece * PIECES)
    return times


if __name__ == "__main__":
    folder, what, key, *counts = sys.argv[1:]
    measure = threads if what == "threads" else after_events
    print(json.dumps(measure(key, Log(pathlib.Path(folder) / "bench.log"), *map(int, counts))))

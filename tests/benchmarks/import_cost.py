"""Scenario `import`: what the three logging parts cost at start, beside the parts that they stand on.

Fresh interpreters in turns, the clock read inside them, so that the start of Python itself is in neither
number. The least of many is the cost; the rest is the machine.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile

from tests.benchmarks.table import table
from tests.benchmarks.worker import ROOT

FULL = 40
QUICK = 5
STATEMENTS = {
    "`import logging.handlers, pythonjsonlogger.msgspec`": (
        "import logging.handlers, pythonjsonlogger.msgspec"
    ),
    "**chora_logging**: import it and touch the three parts": (
        "import chora_logging as c; c.EventFormatter, c.EventFileHandler, c.TraceIdFilter"
    ),
    "**chora_logging**: import it alone": "import chora_logging",
}


def run(*, quick: bool = False, rounds: int | None = None, events: int | None = None) -> str:
    """Time the imports in turns and give the table; *events* means nothing here."""
    rounds = rounds or (QUICK if quick else FULL)
    times: dict[str, list[float]] = {label: [] for label in STATEMENTS}
    with tempfile.TemporaryDirectory() as compiled:
        for _ in range(rounds + 1):
            for label, statement in STATEMENTS.items():
                times[label].append(milliseconds(statement, compiled))
    # The first round compiles what was never imported before.
    kept = {label: values[1:] for label, values in times.items()}
    base = min(next(iter(kept.values())))
    rows = [
        [label, f"{min(values):.2f}", f"{statistics.median(values):.2f}", f"{min(values) / base:.2f}"]
        for label, values in kept.items()
    ]
    title = f"### Import\n\nMilliseconds in a fresh interpreter, {rounds} rounds in turns.\n\n"
    return title + table(["statement", "least ms", "median ms", "× the first"], rows)


def milliseconds(statement: str, compiled: str) -> float:
    """What a statement takes in a fresh interpreter that keeps what it compiles in a folder."""
    program = (
        f"import time; began = time.perf_counter()\n{statement}\nprint((time.perf_counter() - began) * 1e3)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONPYCACHEPREFIX": compiled}
    # With it nothing would be kept, and ours compiled anew each time: installed packages are compiled.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    return float(done.stdout)

"""Scenario `import`: the import time of the three logging parts, compared with that of their dependencies.

Fresh interpreters, interleaved, read the clock themselves, so that neither number includes the start of
Python. The minimum of many rounds is the cost; the rest is noise.
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
    """Time the imports, interleaved, and return the table; *events* is ignored."""
    rounds = rounds or (QUICK if quick else FULL)
    times: dict[str, list[float]] = {label: [] for label in STATEMENTS}
    with tempfile.TemporaryDirectory() as compiled:
        for _ in range(rounds + 1):
            for label, statement in STATEMENTS.items():
                times[label].append(milliseconds(statement, compiled))
    # The first round compiles modules to bytecode.
    kept = {label: values[1:] for label, values in times.items()}
    base = min(next(iter(kept.values())))
    rows = [
        [label, f"{min(values):.2f}", f"{statistics.median(values):.2f}", f"{min(values) / base:.2f}"]
        for label, values in kept.items()
    ]
    title = f"### Import\n\nMilliseconds in a fresh interpreter, {rounds} interleaved rounds.\n\n"
    return title + table(["statement", "min ms", "median ms", "× the first"], rows)


def milliseconds(statement: str, compiled: str) -> float:
    """The time of a statement in a fresh interpreter that caches its bytecode in a folder."""
    program = (
        f"import time; began = time.perf_counter()\n{statement}\nprint((time.perf_counter() - began) * 1e3)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONPYCACHEPREFIX": compiled}
    # Otherwise no bytecode is cached, and our modules are compiled each time, unlike installed packages.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    return float(done.stdout)

"""Scenario `scale`: questions to a large log, beside the programs that people ask instead.

The peers are interleaved, in a new random order each round, on the same rotated files, which are read once
before. Each is a program that is started for its question, as in a shell; ours includes the start of Python.
The processor time is that of the program, on all cores: it says more on a machine under other load, and more
about DuckDB, which uses every core. `--events 8700000` makes 2 GB.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import os
import pathlib
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

from tests.benchmarks.read_set import SIZE, LogSet, make
from tests.benchmarks.readers import PROGRAMS
from tests.benchmarks.table import table, version
from tests.benchmarks.worker import ROOT

#: Rounds and events: of a full run (200 MB), and of a quick one.
FULL = (5, 870_000)
QUICK = (2, 30_000)
#: The sizes at which the log is rotated, in bytes.
SIZES = (SIZE, 10 * SIZE)

_DUCKDB = """import duckdb, json, sys
duckdb.execute("SET enable_progress_bar = false")
print(json.dumps(duckdb.execute(sys.argv[1], [sys.argv[2:]]).fetchall()))
"""
_GROUPS = (
    "SELECT coalesce(event, event_type), count(*), quantile_disc(duration_ms, 0.95) FROM read_ndjson(?) "
    "WHERE coalesce(event, event_type) IS NOT NULL GROUP BY ALL"
)


@dataclasses.dataclass(frozen=True)
class Peer:
    """A program that answers a question.

    Attributes:
        name: The name in the table.
        needs: The module or program that it requires.
        command: Returns the command.
        answer: Returns what is compared, from its output.
    """

    name: str
    needs: str
    command: Callable[[LogSet], list[str]]
    answer: Callable[[bytes], Any]

    @property
    def missing(self) -> bool:
        """Whether its requirement is not installed."""
        return shutil.which(self.needs) is None and importlib.util.find_spec(self.needs) is None


def ours(log: LogSet, *arguments: str) -> list[str]:
    """Return a command of ours."""
    return [sys.executable, "-m", "chora_logging", *arguments, "--log", str(log.path)]


def _sum(output: bytes) -> int:
    return sum(map(int, output.split()))


def _lines(output: bytes) -> int:
    return output.count(b"\n")


def _rows(output: bytes) -> dict[str, Any]:
    return {name: (number, _to_three_digits(p95)) for name, number, p95 in json.loads(output)}


def _groups(output: bytes) -> dict[str, Any]:
    groups = json.loads(output)["groups"]
    return {
        each["event"]: (each["events"], _to_three_digits(each["p95_duration_ms"]))
        for each in groups
        if each["event"] is not None
    }


def _to_three_digits(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.2e}")


#: By question, the programs that answer it; the first one is the baseline.
QUESTIONS = {
    "The events of one trace": [
        Peer("`grep -hF`", "grep", lambda log: ["grep", "-hF", log.trace_id, *log.files], _lines),
        Peer(
            "**chora_logging**: `query --trace ID --json`",
            "json",
            lambda log: ours(log, "query", "--trace", log.trace_id, "--json"),
            _lines,
        ),
    ],
    "How many errors": [
        Peer("`grep -hc`", "grep", lambda log: ["grep", "-hc", '"level":"ERROR"', *log.files], _sum),
        Peer(
            "**chora_logging**: `query --level error --count`",
            "json",
            lambda log: ours(log, "query", "--level", "error", "--count"),
            _sum,
        ),
        Peer("`jq`", "jq", lambda log: ["jq", 'select(.level == "ERROR") | 1', *log.files], _sum),
    ],
    "How many events since a time, one in a hundred": [
        Peer(
            "**chora_logging**: `query --since TIME --count`",
            "json",
            lambda log: ours(log, "query", "--since", log.late, "--count"),
            _sum,
        ),
        Peer("`jq`", "jq", lambda log: ["jq", f'select(.timestamp >= "{log.late}") | 1', *log.files], _sum),
    ],
    "Events and the 95th percentile of durations, by event": [
        Peer(
            "DuckDB, `read_ndjson`",
            "duckdb",
            lambda log: [sys.executable, "-c", _DUCKDB, _GROUPS, *log.files],
            _rows,
        ),
        Peer(
            "**chora_logging**: `stats --by event --p95 duration_ms`",
            "json",
            lambda log: ours(log, "stats", "--by", "event", "--p95", "duration_ms", "--json"),
            _groups,
        ),
    ],
}


def run(*, quick: bool = False, rounds: int | None = None, events: int | None = None) -> str:
    """Compare, time, and return the tables."""
    usual_rounds, usual_events = QUICK if quick else FULL
    rounds, events = rounds or usual_rounds, events or usual_events
    parts = []
    for size in SIZES:
        with tempfile.TemporaryDirectory() as folder:
            log = make(pathlib.Path(folder), events, size)
            amount = f"{log.size / 1e6:,.0f} MB in {len(log.files)} rotated files, {events:,} events"
            parts.append(
                f"### Large: {amount}\n\n"
                f"Seconds, medians and minima of {rounds} interleaved rounds. {versions()}.\n"
            )
            parts += [show(question, peers, log, rounds) for question, peers in QUESTIONS.items()]
    return "\n".join(parts)


def show(question: str, peers: list[Peer], log: LogSet, rounds: int) -> str:
    """Return the table of a question."""
    there = [peer for peer in peers if not peer.missing]
    answers = {peer.name: peer.answer(ask(peer, log)[2]) for peer in there}
    times: dict[str, list[tuple[float, float]]] = {peer.name: [] for peer in there}
    first = there[0].name
    for turn in range(rounds):
        for peer in random.Random(turn).sample(there, len(there)):
            times[peer.name].append(ask(peer, log)[:2])
    walls = {name: [wall for wall, _ in found] for name, found in times.items()}
    least = {name: min(found) for name, found in walls.items()}
    cpus = {name: min(cpu for _, cpu in found) for name, found in times.items()}
    rows = []
    for peer in peers:
        if peer.missing:
            rows.append([peer.name, "not installed", *[""] * 4, ""])
            continue
        name = peer.name
        numbers = (statistics.median(walls[name]), least[name], least[name] / least[first])
        numbers += (cpus[name], cpus[name] / cpus[first])
        same = "same" if answers[name] == answers[first] else f"{answers[name]} instead of {answers[first]}"
        rows.append([name, *(f"{number:.2f}" for number in numbers), same])
    head = ["program", "median", "min", "× the first", "processor, min", "× the first", "answer"]
    return f"**{question}**\n\n" + table(head, rows)


def ask(peer: Peer, log: LogSet) -> tuple[float, float, bytes]:
    """Run a program; return the seconds that passed, those of the processor, and the output."""
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "PYTHONPATH": str(ROOT)}
    before, began = _processor_seconds(), time.perf_counter()
    done = subprocess.run(
        peer.command(log), stdin=subprocess.DEVNULL, capture_output=True, env=environment, check=True
    )
    return time.perf_counter() - began, _processor_seconds() - before, done.stdout


def _processor_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def versions() -> str:
    """The versions of the programs."""
    from tests.benchmarks.read import of_program

    programs = [of_program(name, PROGRAMS[name]) for name in ("grep", "jq")]
    return ", ".join([*programs, f"duckdb {version('duckdb')}"])

"""Scenario `read`: the time to find a trace, to read all events, and to get the last events.

The readers are interleaved, in a new random order each round, on the same rotated files, which are read once
before. On a machine under other load only the minima are comparable.
"""

from __future__ import annotations

import pathlib
import random
import statistics
import subprocess
import tempfile
import time
from typing import Any

from tests.benchmarks.read_set import LogSet, make
from tests.benchmarks.readers import PROGRAMS, REQUIREMENTS, TASKS, Reader, Task
from tests.benchmarks.table import table, version

#: Rounds and events: of a full run (65 MB), and of a quick one.
FULL = (15, 283_000)
QUICK = (3, 30_000)


def run(*, quick: bool = False, rounds: int | None = None, events: int | None = None) -> str:
    """Compare, time, and return the tables."""
    usual_rounds, usual_events = QUICK if quick else FULL
    rounds, events = rounds or usual_rounds, events or usual_events
    with tempfile.TemporaryDirectory() as folder:
        log = make(pathlib.Path(folder), events)
        head = (
            f"### Reading: {log.size / 1e6:.0f} MB in {len(log.files)} rotated files, {events:,} events\n\n"
            f"Milliseconds, median and minimum of {rounds} interleaved rounds. {versions()}.\n"
        )
        return "\n".join([head, *(show(task, log, *measure(task, log, rounds)) for task in TASKS.values())])


def measure(task: Task, log: LogSet, rounds: int) -> tuple[dict[str, str], dict[str, list[float]]]:
    """The result and the times of each reader."""
    readers = [reader for reader in task.readers if not reader.missing]
    verdicts = {reader.name: compare(reader, task, log) for reader in readers}
    times: dict[str, list[float]] = {reader.name: [] for reader in readers}
    for turn in range(rounds):
        random.Random(turn).shuffle(readers)
        for reader in readers:
            began = time.perf_counter()
            reader.function(log)
            times[reader.name].append((time.perf_counter() - began) * 1e3)
    return verdicts, times


def compare(reader: Reader, task: Task, log: LogSet) -> str:
    """Return "same" if a reader finds the expected number, else what it found."""
    wanted, found = task.answer(log), reader.function(log)
    return "same" if found == wanted else f"found {found} of {wanted}"


def show(task: Task, log: LogSet, verdicts: dict[str, str], times: dict[str, list[float]]) -> str:
    """The table of a task: the fastest first, the readers that are not installed last."""
    least = {name: min(values) for name, values in times.items()}
    first = next(reader.name for reader in task.readers if reader.name in least)
    remarks = {reader.name: reader.remark for reader in task.readers}
    rows = []
    for name in sorted(least, key=least.__getitem__):
        numbers = [f"{statistics.median(times[name]):.1f}", f"{least[name]:.1f}"]
        numbers += [f"{least[name] / least[first]:.2f}"]
        if task.title == TASKS["all"].title:
            numbers.append(f"{log.events / least[name] * 1e3:,.0f}")
        rows.append([name, *numbers, "; ".join(filter(None, [verdicts[name], remarks[name]]))])
    head = ["reader", "median ms", "min ms", f"× {first.split(',')[0]}, min"]
    head += ["events/s, min"] if task.title == TASKS["all"].title else []
    blank = [""] * (len(head) - 2)
    rows += [
        [reader.name, "not installed", *blank, ""] for reader in task.readers if reader.name not in times
    ]
    return f"**{task.title}**\n\n" + table([*head, "found"], rows)


def versions() -> str:
    """The versions of the programs and of the libraries."""
    libraries = [name.partition(">")[0] for name in REQUIREMENTS]
    found = [f"{name} {version(name)}" for name in [*libraries, "msgspec", "orjson"]]
    return ", ".join([*(of_program(name, option) for name, option in PROGRAMS.items()), *found])


def of_program(name: str, option: str) -> str:
    """The name of a program, with the version that it prints."""
    try:
        done: Any = subprocess.run([name, option], capture_output=True, text=True)
    except FileNotFoundError:
        return f"{name} (not installed)"
    return f"{name} {done.stdout.splitlines()[0].rpartition(' ')[2].removeprefix('jq-')}"

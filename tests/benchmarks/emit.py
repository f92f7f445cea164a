"""Scenario `emit`: the microseconds of one event in a process that writes alone.

Each round starts every rival once, each in a fresh process, in a new random order, so that other load on the
machine affects all alike. A process warms up, then writes its events in twenty pieces, each timed, so that
a hiccup of the machine spoils a piece and not the round. No log reaches the size at which it would rotate.
The sum of the floors is the sum of their medians, or of their minima. On a machine under other load (see the
first line) only the minima are comparable.
"""

from __future__ import annotations

import json
import math
import pathlib
import random
import statistics
import tempfile

from tests.benchmarks.rivals import RIVALS, Log, Rival, expected
from tests.benchmarks.table import table
from tests.benchmarks.worker import Writer

#: Rounds and events: of a full run, and of a quick one.
FULL = (9, 20_000)
QUICK = (3, 3_000)
PIECES = 20
COMPARED = 50


def run(*, quick: bool = False, rounds: int | None = None, events: int | None = None) -> str:
    """Compare, time, and return the table."""
    usual_rounds, usual_events = QUICK if quick else FULL
    rounds, events = rounds or usual_rounds, events or usual_events
    installed = {key: rival for key, rival in RIVALS.items() if not rival.missing}
    verdicts = {key: compare(key, rival) for key, rival in installed.items()}
    times: dict[str, list[float]] = {key: [] for key in installed}
    for turn in range(rounds):
        for key in shuffled(list(installed), turn):
            times[key] += microseconds(key, events)
    title = (
        "### One process: microseconds per event\n\n"
        f"`logger.info(…, extra={{six fields}})` or the equivalent of a rival; {events:,} events a round, "
        f"median and minimum of {rounds} interleaved rounds × {PIECES} pieces, "
        "each round in a fresh process.\n\n"
    )
    return title + show(times, verdicts)


def shuffled(keys: list[str], turn: int) -> list[str]:
    """The order of a round."""
    random.Random(turn).shuffle(keys)
    return keys


def microseconds(key: str, events: int) -> list[float]:
    """The microseconds per event in each piece of a round."""
    piece = math.ceil(events / PIECES)
    with tempfile.TemporaryDirectory() as folder:
        log = Log(pathlib.Path(folder) / "bench.log")
        writer = Writer(key, log, events=events, piece=piece, warm_up=min(1_000, events))
        writer.go()
        times = writer.result()
    sizes = [min(piece, events - first) for first in range(0, events, piece)]
    return [(end - start) / size * 1e6 for start, end, size in zip(times, times[1:], sizes, strict=False)]


def compare(key: str, rival: Rival) -> str:
    """Compare a rival's lines with the events logged, by the same rules for `ours` and all others."""
    if rival.floor:
        return ""
    with tempfile.TemporaryDirectory() as folder:
        log = Log(pathlib.Path(folder) / "bench.log")
        writer = Writer(key, log, events=COMPARED, piece=COMPARED, writer=7)
        writer.go()
        writer.result()
        lines = log.path.read_bytes().splitlines()
    return judge(lines, rival)


def judge(lines: list[bytes], rival: Rival) -> str:
    """Return "same" if the lines hold the events that were logged, else the difference."""
    if len(lines) != COMPARED:
        return f"{len(lines)} lines for {COMPARED} events"
    for number, line in enumerate(lines):
        wanted = expected(7, number)
        try:
            fields = rival.fields(json.loads(line))
        except (ValueError, KeyError) as error:
            return f"line {number + 1}: {error!r}"
        wrong = sorted(name for name, value in wanted.items() if fields.get(name) != value)
        if wrong:
            return f"other values: {', '.join(wrong)}"
    return "same"


def show(times: dict[str, list[float]], verdicts: dict[str, str]) -> str:
    """The table: the fastest first, then the floors, then the rivals that are not installed."""
    middle = {key: statistics.median(values) for key, values in times.items()}
    least = {key: min(values) for key, values in times.items()}
    floors = [key for key in middle if RIVALS[key].floor]
    floor = sum(middle[key] for key in floors if RIVALS[key].summed)
    total = sum(least[key] for key in floors if RIVALS[key].summed)

    def line(key: str) -> list[str]:
        said = "; ".join(filter(None, [verdicts[key], RIVALS[key].remark]))
        numbers = [f"{value:.2f}" for value in (middle[key], least[key])]
        numbers += [f"{middle[key] / floor:.2f}", f"{least[key] / total:.2f}"]
        return [RIVALS[key].name, *numbers, said]

    measured = sorted((key for key in middle if key not in floors), key=middle.__getitem__)
    rows = [line(key) for key in [*measured, *floors]]
    rows.append(["sum of the floors", f"{floor:.2f}", f"{total:.2f}", "1.00", "1.00", ""])
    rows += [
        [rival.name, "not installed", "", "", "", ""] for key, rival in RIVALS.items() if key not in times
    ]
    return table(["writer", "median µs", "min µs", "× floors", "× floors, min", "six fields"], rows)

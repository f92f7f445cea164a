"""Scenario `processes`: eight processes write to one log; how fast, and what is missing after.

All open the log, then all start at once; the time is from the first start to the last end. Afterwards
every file in the folder is read: an event is *lost* if no file has it, *doubled* if one has it twice,
and a line that is no JSON object with the event's fields is *torn*. No backup is deleted meanwhile.
"""

from __future__ import annotations

import collections
import dataclasses
import itertools
import json
import pathlib
import statistics
import tempfile

from tests.benchmarks.rivals import RIVALS, Log, Rival
from tests.benchmarks.table import table
from tests.benchmarks.worker import Writer

WRITERS = 8
#: Rounds and events of each writer: the whole, and a look.
FULL = (5, 4_000)
QUICK = (1, 500)
SIZES = {"10 MB": 10 * 1024 * 1024, "100 kB": 100 * 1000}
#: The fastest of the standard library's; those that cannot rotate have nothing to lose here.
ENTERED = ("ours", "rotating_msgspec", "concurrent", "loguru")


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What one run gave."""

    per_second: float
    lost: int
    doubled: int
    torn: int
    files: int


def run(*, quick: bool = False, rounds: int | None = None, events: int | None = None) -> str:
    """Run both sizes in turns and give a table for each."""
    usual_rounds, usual_events = QUICK if quick else FULL
    rounds, events = rounds or usual_rounds, events or usual_events
    parts = []
    for label, size in SIZES.items():
        outcomes: dict[str, list[Outcome]] = {key: [] for key in ENTERED if not RIVALS[key].missing}
        for _ in range(rounds):
            for key, list_of in outcomes.items():
                list_of.append(once(key, size, events))
        parts.append(
            f"### {WRITERS} processes, one log, rotation at {label}\n\n"
            f"{WRITERS} × {events:,} events, {rounds} rounds in turns; median of the speed, "
            "sum of what went wrong, files at the end.\n\n" + show(outcomes, rounds * WRITERS * events)
        )
    return "\n".join(parts)


def once(key: str, size: int, events: int, processes: int = WRITERS) -> Outcome:
    """One log, all writers at once."""
    with tempfile.TemporaryDirectory() as folder:
        log = Log(pathlib.Path(folder) / "bench.log", size, 400)
        writers = [
            Writer(key, log, events=events, piece=events, writer=number) for number in range(processes)
        ]
        for writer in writers:
            writer.go()
        times = [writer.result() for writer in writers]
        files = [path.read_bytes().splitlines() for path in written(log)]
    seconds = max(ends[-1] for ends in times) - min(ends[0] for ends in times)
    return count(files, RIVALS[key], events, processes * events / seconds, processes)


def written(log: Log) -> list[pathlib.Path]:
    """The log and its backups, however they are named; files for locks are hidden ones."""
    return [path for path in log.path.parent.iterdir() if not path.name.startswith(".")]


def count(
    files: list[list[bytes]], rival: Rival, events: int, per_second: float, writers: int = WRITERS
) -> Outcome:
    """Hold the lines of all files against what was logged."""
    seen: collections.Counter[tuple[int, int]] = collections.Counter()
    torn = 0
    for line in itertools.chain(*files):
        key = identity(line, rival)
        if key is None:
            torn += 1
        else:
            seen[key] += 1
    wanted = {(writer, number) for writer in range(writers) for number in range(events)}
    doubled = sum(times - 1 for times in seen.values())
    return Outcome(per_second, len(wanted - set(seen)), doubled, torn, len(files))


def identity(line: bytes, rival: Rival) -> tuple[int, int] | None:
    """Which event a line is, or nothing if it is none."""
    try:
        fields = rival.fields(json.loads(line))
        return fields["writer"], fields["number"]
    except (ValueError, KeyError, TypeError):
        return None


def show(outcomes: dict[str, list[Outcome]], total: int) -> str:
    """The table, fastest first."""
    speed = {key: statistics.median(one.per_second for one in all_of) for key, all_of in outcomes.items()}
    rows = []
    for key in sorted(outcomes, key=speed.__getitem__, reverse=True):
        lost, doubled, torn = (
            sum(getattr(one, name) for one in outcomes[key]) for name in ("lost", "doubled", "torn")
        )
        files = f"{statistics.median(one.files for one in outcomes[key]):.0f}"
        share = f"{lost:,} ({lost / total:.1%})" if lost else "0"
        rows.append([RIVALS[key].name, f"{speed[key]:,.0f}", share, f"{doubled:,}", f"{torn:,}", files])
    rows += [[RIVALS[key].name, "not installed", "", "", "", ""] for key in ENTERED if key not in outcomes]
    return table(["writer", "events/s", "lost", "doubled", "torn", "files"], rows)

"""Scenario `processes`: the speed of eight processes that write to one log, and their losses.

All open the log, then all start together; the time is from the first start to the last end. Afterwards
every file in the folder is read. An event that no file has is *lost*, one that occurs twice is *doubled*,
and a line that is not a JSON object with the event's fields is *torn*. No backup is deleted meanwhile.
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
#: Rounds and events of each writer: of a full run, and of a quick one.
FULL = (5, 4_000)
QUICK = (1, 500)
SIZES = {"10 MB": 10 * 1024 * 1024, "100 kB": 100 * 1000}
#: Of the standard library only the fastest; rivals that do not rotate cannot lose events here.
ENTERED = ("ours", "rotating_msgspec", "concurrent", "loguru")


@dataclasses.dataclass(frozen=True)
class Outcome:
    """The result of one run."""

    per_second: float
    lost: int
    doubled: int
    torn: int
    files: int


def run(*, quick: bool = False, rounds: int | None = None, events: int | None = None) -> str:
    """Run both sizes, interleaved, and return a table for each."""
    usual_rounds, usual_events = QUICK if quick else FULL
    rounds, events = rounds or usual_rounds, events or usual_events
    parts = []
    for label, size in SIZES.items():
        outcomes: dict[str, list[Outcome]] = {key: [] for key in ENTERED if not RIVALS[key].missing}
        for _ in range(rounds):
            for key, list_of in outcomes.items():
                list_of.append(once(key, size, events, WRITERS))
        parts.append(
            f"### {WRITERS} processes, one log, rotation at {label}\n\n"
            f"{WRITERS} × {events:,} events, {rounds} interleaved rounds; median speed, "
            "total errors, files at the end.\n\n" + show(outcomes, rounds * WRITERS * events)
        )
    return "\n".join(parts)


def once(key: str, size: int, events: int, processes: int) -> Outcome:
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
    """The log and its backups, under whatever names; lock files are hidden."""
    return [path for path in log.path.parent.iterdir() if not path.name.startswith(".")]


def count(
    files: list[list[bytes]], rival: Rival, events: int, per_second: float, writers: int = WRITERS
) -> Outcome:
    """Compare the lines of all files with the events logged."""
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
    """The event that a line holds, or None."""
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

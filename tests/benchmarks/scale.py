"""Scenario `scale`: questions to a large log, beside the programs that people ask instead.

The peers are interleaved, in a new random order each round, on the same rotated files, which are read once
before. Each is started for its question by a line of bash, whose length is what one types; ours and DuckDB
include the start of Python.
The processor time is that of the program, on all cores: it says more on a machine under other load, and more
about DuckDB, which uses every core. `--events 8700000` makes 2 GB. Our number of different values is an
estimate, as its help says. lnav has the format that `chora-logging lnav-format` prints. hl and angle-grinder
are not among the peers: the project's scripts cannot install them.
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

#: Programs that have these names in the shell, in Python: ours is not installed, DuckDB's is not from PyPI.
_SHIMS = {
    "chora-logging": "import sys; from chora_logging.cli import main; sys.exit(main(sys.argv[1:]))",
    "duckdb": "import duckdb, json, sys; duckdb.execute('SET enable_progress_bar = false'); "
    "print(json.dumps(duckdb.execute(sys.argv[-1]).fetchall(), default=str))",
}


@dataclasses.dataclass(frozen=True)
class Peer:
    """A program that answers a question.

    Attributes:
        name: The name in the table.
        line: As it is typed into a shell in the log's folder. `$TRACE` is a trace id, `$LATE` a time.
        answer: Returns what is compared, from its output.
        needs: The module or program that it requires; that of its name unless given.
    """

    name: str
    line: str
    answer: Callable[[bytes], Any]
    needs: str = ""

    @property
    def missing(self) -> bool:
        """Whether its requirement is not installed."""
        needed = self.needs or self.name
        return shutil.which(needed) is None and importlib.util.find_spec(needed) is None


def ours(arguments: str, answer: Callable[[bytes], Any]) -> Peer:
    """Return a command of ours."""
    return Peer("**chora_logging**", f"chora-logging {arguments} app.log", answer, "json")


def duckdb(query: str, answer: Callable[[bytes], Any]) -> Peer:
    """Return DuckDB with a query of its view of the files."""
    query = query.replace("EVENTS", "read_ndjson('app.log*')")
    return Peer("duckdb", f'duckdb "{query}"', answer)


def lnav(query: str, answer: Callable[[bytes], Any]) -> Peer:
    """Return lnav with a query of its view of the files."""
    query = query.replace("EVENTS", "chora_logging")
    return Peer("lnav", f'lnav -n -c ";{query}" -c ":write-json-to -" app.log*', answer)


def _values(output: bytes) -> list[list[Any]]:
    return sorted(([*row.values()] for row in json.loads(output)), key=repr)


def _only(output: bytes) -> int:
    return int(_values(output)[0][0])


def _sum(output: bytes) -> int:
    return sum(map(int, output.split()))


def _lines(output: bytes) -> int:
    return output.count(b"\n")


def _pairs(output: bytes) -> dict[str, int]:
    """The counts of `uniq -c`."""
    return {name.decode(): int(count) for count, name in map(bytes.split, output.splitlines())}


def _rows(output: bytes) -> list[list[Any]]:
    return sorted(json.loads(output), key=repr)


def _number(output: bytes) -> int:
    return int(json.loads(output)[0][0])


def _our_rows(output: bytes) -> list[list[Any]]:
    return sorted(([*json.loads(line).values()] for line in output.splitlines()), key=repr)


def _three_digits(output: bytes) -> list[list[Any]]:
    return [[name, events, _to_three_digits(p95)] for name, events, p95 in _rows(output)]


def _minutes(output: bytes) -> dict[str, int]:
    return {minute[:16].replace(" ", "T"): events for minute, events in json.loads(output)}


def _groups(*columns: str) -> Callable[[bytes], list[list[Any]]]:
    """Return a function that gives these columns of our groups, as `_rows` those of others."""

    def rows(output: bytes) -> list[list[Any]]:
        groups = json.loads(output)["groups"]
        return sorted(([group.get(name) for name in columns] for group in groups), key=repr)

    return rows


def _lnav_minutes(output: bytes) -> dict[str, int]:
    return {minute[:16].replace(" ", "T"): events for minute, events in _values(output)}


def _our_p95(output: bytes) -> list[list[Any]]:
    rows = _groups("event", "events", "p95_duration_ms")(output)
    return [[name, events, _to_three_digits(p95)] for name, events, p95 in rows if name is not None]


def _our_minutes(output: bytes) -> dict[str, int]:
    return {minute[:16]: events for minute, events in _groups("time", "events")(output) if events}


def _to_three_digits(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.2e}")


_NOT_ENDED = (
    "group by all having bool_or(event = 'job_started') "
    "and not bool_or(event in ('job_completed', 'job_failed'))"
)

#: By question, the programs that answer it; the first one is the baseline.
QUESTIONS = {
    "The events of one trace": [
        Peer("grep", "grep -hF $TRACE app.log*", _lines),
        ours("query --trace $TRACE --json", _lines),
        lnav("select log_text from EVENTS where trace_id = '$TRACE'", lambda output: len(_values(output))),
    ],
    "How many errors": [
        Peer("grep", """grep -hc '"level":"ERROR"' app.log*""", _sum),
        lnav("select count(*) from EVENTS where level = 'ERROR'", _only),
        ours("query --level error --count", _sum),
        Peer("jq", """jq 'select(.level == "ERROR") | 1' app.log*""", _sum),
    ],
    "How many events since a time, one in a hundred": [
        ours("query --since $LATE --count", _sum),
        Peer("jq", "jq --arg t $LATE 'select(.timestamp >= $t) | 1' app.log*", _sum),
        lnav("select count(*) from EVENTS where log_time >= replace(trim('$LATE', 'Z'), 'T', ' ')", _only),
    ],
    "How many took at least a second": [
        ours("query --where 'duration_ms>=1000' --count", _sum),
        Peer("jq", "jq 'select(.duration_ms >= 1000) | 1' app.log*", _sum),
        duckdb("select count(*) from EVENTS where duration_ms >= 1000", _number),
        lnav("select count(*) from EVENTS where duration_ms >= 1000", _only),
    ],
    "How many messages match a regular expression": [
        ours("query --where 'message~=Order [0-9]*7 of' --count", _sum),
        Peer("jq", """jq 'select((.message // "") | test("Order [0-9]*7 of")) | 1' app.log*""", _sum),
        duckdb("select count(*) from EVENTS where regexp_matches(message, 'Order [0-9]*7 of')", _number),
        lnav("select count(*) from EVENTS where log_body regexp 'Order [0-9]*7 of'", _only),
    ],
    "How many traces": [
        Peer("jq", "jq -r .trace_id app.log* | sort -u | wc -l", _sum),
        duckdb("select count(distinct trace_id) from EVENTS", _number),
        lnav("select count(distinct trace_id) from EVENTS", _only),
        ours("stats --distinct trace_id --json", lambda output: _groups("distinct_trace_id")(output)[0][0]),
    ],
    "Errors by minute": [
        ours("stats --per 1m --level error --json", _our_minutes),
        Peer("jq", """jq -r 'select(.level == "ERROR").timestamp[:16]' app.log* | sort | uniq -c""", _pairs),
        duckdb(
            "select date_trunc('minute', timestamp), count(*) from EVENTS where level = 'ERROR' group by all",
            _minutes,
        ),
        lnav(
            "select timeslice(log_time, '1m') m, count(*) from EVENTS where level = 'ERROR' group by m",
            _lnav_minutes,
        ),
    ],
    "Events and the 95th percentile of durations, by event": [
        duckdb(
            "select coalesce(event, event_type) e, count(*), quantile_disc(duration_ms, 0.95) "
            "from EVENTS where e is not null group by all",
            _three_digits,
        ),
        ours("stats --by event --p95 duration_ms --json", _our_p95),
    ],
    "The five longest durations of a trace": [
        duckdb(
            "select max(duration_ms) m from EVENTS group by trace_id order by m desc nulls last limit 5",
            _rows,
        ),
        lnav(
            "select max(duration_ms) m from EVENTS group by trace_id order by m desc nulls last limit 5",
            _values,
        ),
        ours("stats --by trace_id --max duration_ms --top 5 --json", _groups("max_duration_ms")),
    ],
    "Runs that have started and not ended": [
        duckdb(f"select task_id from EVENTS {_NOT_ENDED}", _rows),
        lnav(
            "select task_id from EVENTS group by task_id having max(event = 'job_started') "
            "and not max(event in ('job_completed', 'job_failed'))",
            _values,
        ),
        ours(f'sql --json "select task_id from events {_NOT_ENDED}"', _our_rows),
    ],
}


def run(*, quick: bool = False, rounds: int | None = None, events: int | None = None) -> str:
    """Compare, time, and return the tables."""
    usual_rounds, usual_events = QUICK if quick else FULL
    rounds, events = rounds or usual_rounds, events or usual_events
    parts = []
    for size in SIZES:
        with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as place:
            log = make(pathlib.Path(folder), events, size)
            programs = set_up(pathlib.Path(place))
            amount = f"{log.size / 1e6:,.0f} MB in {len(log.files)} rotated files, {events:,} events"
            parts.append(
                f"### Large: {amount}\n\n"
                f"Seconds, medians and minima of {rounds} interleaved rounds. {versions()}.\n"
            )
            parts += [show(question, peers, log, programs, rounds) for question, peers in QUESTIONS.items()]
    return "\n".join(parts)


def show(question: str, peers: list[Peer], log: LogSet, programs: pathlib.Path, rounds: int) -> str:
    """Return the table of a question."""
    there = [peer for peer in peers if not peer.missing]
    answers = {peer.name: peer.answer(ask(peer, log, programs)[2]) for peer in there}
    times: dict[str, list[tuple[float, float]]] = {peer.name: [] for peer in there}
    first = there[0].name
    for turn in range(rounds):
        for peer in random.Random(turn).sample(there, len(there)):
            times[peer.name].append(ask(peer, log, programs)[:2])
    walls = {name: [wall for wall, _ in found] for name, found in times.items()}
    least = {name: min(found) for name, found in walls.items()}
    cpus = {name: min(cpu for _, cpu in found) for name, found in times.items()}
    rows = []
    for peer in peers:
        if peer.missing:
            rows.append([peer.name, str(len(peer.line)), "not installed", *[""] * 4, ""])
            continue
        name = peer.name
        numbers = (statistics.median(walls[name]), least[name], least[name] / least[first])
        numbers += (cpus[name], cpus[name] / cpus[first])
        same = "same" if answers[name] == answers[first] else f"{answers[name]} instead of {answers[first]}"
        rows.append([name, str(len(peer.line)), *(f"{number:.2f}" for number in numbers), same])
    head = ["program", "typed", "median", "min", "× the first", "processor, min", "× the first", "answer"]
    lines = "\n".join(peer.line for peer in peers)
    return f"**{question}**\n\n```sh\n{lines}\n```\n\n" + table(head, rows)


def ask(peer: Peer, log: LogSet, programs: pathlib.Path) -> tuple[float, float, bytes]:
    """Run a program; return the seconds that passed, those of the processor, and the output."""
    environment = {
        **{name: value for name, value in os.environ.items() if name != "XDG_CONFIG_HOME"},
        "HOME": str(programs / "home"),
        "LC_ALL": "C.UTF-8",
        "PATH": f"{programs / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "TRACE": log.trace_id,
        "LATE": log.late,
    }
    before, began = _processor_seconds(), time.perf_counter()
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {peer.line}"],
        cwd=log.path.parent,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env=environment,
        check=True,
    )
    return time.perf_counter() - began, _processor_seconds() - before, done.stdout


def set_up(programs: pathlib.Path) -> pathlib.Path:
    """Put the programs of `_SHIMS`, and a home with our format for lnav, into an empty folder; return it."""
    for name, code in _SHIMS.items():
        program = programs / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(f"#!{sys.executable}\n{code}\n")
        program.chmod(0o755)
    formats = programs / "home" / ".config" / "lnav" / "formats" / "installed"
    formats.mkdir(parents=True)
    command = [sys.executable, "-m", "chora_logging", "lnav-format"]
    text = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout
    (formats / "chora_logging.json").write_bytes(text)
    return programs


def _processor_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def versions() -> str:
    """The versions of the programs."""
    from tests.benchmarks.read import of_program

    programs = [of_program(name, PROGRAMS[name]) for name in ("grep", "jq", "lnav")]
    return ", ".join([*programs, f"duckdb {version('duckdb')}"])

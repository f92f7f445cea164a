"""Every reader, one function each: it does one task on a log and returns its result.

Fairness: all read the same files, which are in the page cache, each through its ordinary interface, in the
fastest way that its documentation shows for the task. A Python library is called in a process that has
imported it. A program is started each time, because that is the only way to use it. Ours is in the table
both ways. `read` compares the results before it times the readers.
"""

from __future__ import annotations

import collections
import dataclasses
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from tests.benchmarks.read_set import LogSet
from tests.benchmarks.worker import ROOT

#: The Python libraries that are not dependencies of ours.
REQUIREMENTS = ("duckdb>=1.2", "polars>=1.20")
PROGRAMS = {"grep": "--version", "jq": "--version", "lnav": "-V", "tail": "--version"}

Function = Callable[[LogSet], Any]


@dataclasses.dataclass(frozen=True)
class Reader:
    """A way to do a task.

    Attributes:
        name: The name in the table.
        function: Does the task, and returns the result to compare with the task's `answer`.
        needs: The module or program that it requires.
        remark: A remark for the table.
    """

    name: str
    function: Function
    needs: str
    remark: str = ""

    @property
    def missing(self) -> bool:
        """Whether its requirement is not installed."""
        return shutil.which(self.needs) is None and importlib.util.find_spec(self.needs) is None


@dataclasses.dataclass(frozen=True)
class Task:
    """A task for the readers.

    Attributes:
        title: The heading of the table.
        answer: Returns the expected result.
        readers: The readers that can do it; the first one is the baseline.
    """

    title: str
    answer: Function
    readers: list[Reader] = dataclasses.field(default_factory=list)


TASKS = {
    "find": Task("Find one trace: its events out of the whole set", lambda log: len(log.lines)),
    "all": Task("Read every event as a dictionary", lambda log: log.events),
    "last": Task("The last 100 events", lambda log: 100),
}


def reader(task: str, name: str, needs: str = "json", remark: str = "") -> Callable[[Function], Function]:
    """Register a reader for a task."""

    def enter(function: Function) -> Function:
        TASKS[task].readers.append(Reader(name, function, needs, remark))
        return function

    return enter


def output(*command: str) -> int:
    """The number of lines that a program prints."""
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, env=environment)
    return done.stdout.count(b"\n")


@reader("find", "`grep -F`, the program", "grep", "lines, any field")
def grep(log: LogSet) -> int:
    """The lines that contain the id anywhere."""
    return output("grep", "-hF", log.trace_id, *log.files)


@reader("find", "**chora_logging**: `EventLog.read(trace_id=…)`", remark="events with cursors, exact field")
def ours_find(log: LogSet) -> int:
    """The events of the trace."""
    from chora_logging import EventLog

    return len(list(EventLog(log.path).read(trace_id=log.trace_id)))


@reader("find", "**chora_logging**: the same, including the start of Python and the import")
def ours_find_process(log: LogSet) -> int:
    """The same in a fresh interpreter."""
    program = (
        "import sys; from chora_logging import EventLog\n"
        "for event in EventLog(sys.argv[1]).read(trace_id=sys.argv[2]): print(event.json.decode())"
    )
    return output(sys.executable, "-c", program, str(log.path), log.trace_id)


@reader("find", "DuckDB, `read_ndjson_objects`", "duckdb", "all cores; JSON text")
def duckdb_objects(log: LogSet) -> int:
    """The objects of the trace, without columns."""
    sql = "SELECT json FROM read_ndjson_objects(?) WHERE json->>'trace_id' = ?"
    return len(_duckdb(sql, log))


@reader("find", "DuckDB, `read_json`", "duckdb", "all cores; it infers the columns")
def duckdb_json(log: LogSet) -> int:
    """The rows of the trace."""
    sql = "SELECT COLUMNS(*)::VARCHAR FROM read_json(?, format = 'newline_delimited') WHERE trace_id = ?"
    return len(_duckdb(sql, log))


@reader("find", "DuckDB, `read_json` with one column", "duckdb", "all cores; the ids only")
def duckdb_column(log: LogSet) -> int:
    """The ids of the trace, with the one column declared."""
    columns = "{'trace_id': 'VARCHAR'}"
    sql = f"SELECT * FROM read_json(?, format = 'newline_delimited', columns = {columns}) WHERE trace_id = ?"
    return len(_duckdb(sql, log))


def _duckdb(sql: str, log: LogSet) -> list[Any]:
    import duckdb

    with duckdb.connect() as connection:
        rows: list[Any] = connection.execute(sql, [log.files, log.trace_id]).fetchall()
        return rows


@reader("find", "polars, `scan_ndjson`", "polars", "all cores; it infers the columns")
def polars_find(log: LogSet) -> int:
    """The rows of the trace."""
    import polars

    frame = polars.scan_ndjson(log.files, infer_schema_length=1000)
    found: int = frame.filter(polars.col("trace_id") == log.trace_id).collect().height
    return found


@reader("find", "`jq`, the program", "jq")
def jq(log: LogSet) -> int:
    """The events of the trace."""
    return output("jq", "-c", f'select(.trace_id == "{log.trace_id}")', *log.files)


@reader("find", "`lnav -n`, the program", "lnav", "each file by itself: of several it shows one")
def lnav(log: LogSet) -> int:
    """The lines with the id."""
    return sum(output("lnav", "-n", "-c", f":filter-in {log.trace_id}", file) for file in log.files)


@reader("find", "a loop with `json.loads`")
def loop_find(log: LogSet) -> int:
    """Decode every line."""
    found = []
    for file in log.files:
        with open(file, "rb") as lines:
            for line in lines:
                event = json.loads(line)
                if event.get("trace_id") == log.trace_id:
                    found.append(event)
    return len(found)


@reader("all", "a loop with `json.loads`")
def loop_all(log: LogSet) -> int:
    """The obvious loop."""
    return _count_all(log, json.loads)


@reader("all", "**chora_logging**: `EventLog.read()`", remark="with cursors, every line checked")
def ours_all(log: LogSet) -> int:
    """Every event."""
    from chora_logging import EventLog

    count = 0
    for _ in EventLog(log.path).read():
        count += 1
    return count


@reader("all", "floor: a loop with msgspec", "msgspec", "decoding only; stops at a malformed line")
def msgspec_all(log: LogSet) -> int:
    """The decoder that we use."""
    import msgspec

    return _count_all(log, msgspec.json.Decoder(dict[str, Any]).decode)


@reader("all", "a loop with orjson", "orjson", "decoding only; stops at a malformed line")
def orjson_all(log: LogSet) -> int:
    """Another fast decoder."""
    import orjson

    return _count_all(log, orjson.loads)


def _count_all(log: LogSet, decode: Callable[[bytes], Any]) -> int:
    count = 0
    for file in log.files:
        with open(file, "rb") as lines:
            for line in lines:
                decode(line)
                count += 1
    return count


@reader("last", "`tail -n 100`, the program", "tail", "lines")
def tail(log: LogSet) -> int:
    """The last lines of the live file."""
    return output("tail", "-n", "100", str(log.path))


@reader("last", "**chora_logging**: `EventLog.last(100)`", remark="events with cursors")
def ours_last(log: LogSet) -> int:
    """The last events."""
    from chora_logging import EventLog

    return len(EventLog(log.path).last(100))


@reader("last", "a loop with `json.loads`, the last 100 kept")
def loop_last(log: LogSet) -> int:
    """Read all events for the last ones."""
    last: collections.deque[Any] = collections.deque(maxlen=100)
    for file in log.files:
        with open(file, "rb") as lines:
            last.extend(map(json.loads, lines))
    return len(last)

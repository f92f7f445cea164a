"""Runs a query by DuckDB, in this process and on nothing but the events."""

from __future__ import annotations

import contextlib
import json
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any, NamedTuple, TypeVar

import duckdb

from chora_logging.cli.sql.arrow import Stream
from chora_logging.cli.sql.columns import COLUMNS
from chora_logging.cli.sql.results import Result, Row

#: How much memory a query may take, in bytes with their unit; what needs more goes to temporary files.
MEMORY = "1GB"

#: How many rows are fetched at a time, and how much of a result is held before the first ones are given.
FETCHED_ROWS, HELD_RESULT = 1000, "16KB"

#: How often a query that is to end is told so, in seconds.
_INTERRUPT_SECONDS = 0.05

#: What the optimizer must not do while a query is planned on a table without rows.
_MISLED_BY_NO_ROWS = "statistics_propagation,filter_pushdown,filter_pullup,empty_result_pullup,top_n"

#: The message of the error that a column gives which was not read.
_UNREAD = "this column was not read"

#: A column that is read where a query needs none: it costs least.
_CHEAPEST = "log"

_Done = TypeVar("_Done")

#: Opens the events for reading, with these columns.
Open = Callable[[Sequence[str]], Stream]


class QueryError(Exception):
    """A query is refused, or fails: the message is one sentence."""


class Plan(NamedTuple):
    """What a query needs of the events.

    Attributes:
        columns: The columns.
        is_read_once: Whether it reads the events at most once.
    """

    columns: Sequence[str]
    is_read_once: bool


class Database:
    """An empty database in memory, for one query.

    It reads and writes no file, loads no extension and reaches no network, whatever the query says. Only
    temporary files of its own hold what does not fit in memory, and one other file may be written to. It
    runs in a thread of its own, so that the caller can be interrupted.

    Args:
        written: The path of a file that `write_parquet` may write to.
    """

    def __init__(self, written: str | None = None) -> None:
        with contextlib.ExitStack() as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="chora-logging-sql-"))
            self._connection = duckdb.connect(
                config={
                    "allow_community_extensions": False,
                    "autoinstall_known_extensions": False,
                    "autoload_known_extensions": False,
                    "memory_limit": MEMORY,
                    "python_enable_replacements": False,
                    "temp_directory": folder,
                }
            )
            stack.callback(self._connection.close)
            allowed = "" if written is None else _quoted(written, "'")
            for setting in (
                "TimeZone = 'UTC'",
                f"streaming_buffer_size = '{HELD_RESULT}'",
                f"allowed_paths = [{allowed}]",
                "enable_external_access = false",
            ):
                self._connection.execute(f"SET {setting}")
            self._thread = stack.enter_context(ThreadPoolExecutor(1, "sql"))
            self._held = stack.pop_all()
        self._streams: list[Stream] = []

    def __enter__(self) -> Database:
        return self

    def __exit__(self, *error: object) -> None:
        self._connection.interrupt()  # closing would wait for rows that nobody fetches
        self._held.close()

    def run(self, query: str, open_events: Open) -> Result:
        """Run *query*, and return its result, whose rows are fetched as they are asked for.

        Raises:
            QueryError: the query is not one SELECT, or DuckDB refuses it; also while rows are fetched.
            OSError: the events cannot be read.
        """
        return self._attempt(query, open_events, self._begin)

    def write_parquet(self, query: str, open_events: Open, path: str) -> int:
        """Write the result of *query* to the file *path*, and return the number of rows.

        Raises:
            QueryError, OSError: as for `run`.
        """

        def copy(text: str) -> int:
            target, option = _quoted(path, "'"), "FORMAT parquet, COMPRESSION zstd, USE_TMP_FILE false"
            done = self._connection.execute(f"COPY ({text}\n) TO {target} ({option})")
            row = done.fetchone()
            return 0 if row is None else int(row[0])

        return self._attempt(query, open_events, copy)

    def _attempt(self, query: str, open_events: Open, execute: Callable[[str], _Done]) -> _Done:
        plan, text = self._wait_for(lambda: self._prepared(query))
        try:
            return self._on_events(plan, text, open_events, execute)
        except QueryError as error:
            if _UNREAD not in str(error):
                raise
        # The plan of another version of DuckDB may be read wrongly: then all columns are read.
        return self._on_events(Plan(list(COLUMNS), False), text, open_events, execute)

    def _on_events(self, plan: Plan, text: str, open_events: Open, execute: Callable[[str], _Done]) -> _Done:
        stream = open_events(plan.columns)
        self._streams.append(stream)

        def executed() -> _Done:
            self._provide(plan, stream)
            return execute(text)

        return self._wait_for(executed)

    def _prepared(self, query: str) -> tuple[Plan, str]:
        text = self._checked(query)
        stub = ", ".join(f'"{name}" {column.type}' for name, column in COLUMNS.items())
        self._connection.execute(f"CREATE TABLE events ({stub})")
        self._connection.execute(f"SET disabled_optimizers = '{_MISLED_BY_NO_ROWS}'")
        found = self._connection.execute(f"EXPLAIN (FORMAT json) {text}").fetchall()
        plan = _plan(json.loads(found[0][1]))
        text = self._without_zones(text)
        self._connection.execute("DROP TABLE events")
        self._connection.execute("RESET disabled_optimizers")
        self._connection.execute("SET lock_configuration = true")
        return plan, text

    def _checked(self, query: str) -> str:
        statements = self._connection.extract_statements(query)
        if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
            raise QueryError("a query must be one SELECT (or FROM, WITH, DESCRIBE or SUMMARIZE)")
        return statements[0].query.rstrip().rstrip(";")

    def _without_zones(self, text: str) -> str:
        """Return *text* with times in UTC instead of those with a zone, for which DuckDB may need pytz."""
        with contextlib.suppress(duckdb.Error):  # DESCRIBE itself cannot be described
            columns = self._connection.execute(f"DESCRIBE {text}").fetchall()
            zoned = [_quoted(name) for name, kind, *_ in columns if kind == "TIMESTAMP WITH TIME ZONE"]
            if zoned:
                changed = ", ".join(f"{name}::TIMESTAMP AS {name}" for name in zoned)
                return f"SELECT * REPLACE ({changed}) FROM ({text}\n)"
        return text

    def _provide(self, plan: Plan, stream: Stream) -> None:
        """Make the view `events`; a column that the plan does not need is an error when it is used."""
        columns = [
            f'"{name}"' if name in plan.columns else f"error('{_UNREAD}')::{column.type} AS \"{name}\""
            for name, column in COLUMNS.items()
        ]
        source = "_stream"
        self._connection.execute("DROP VIEW IF EXISTS events")
        self._connection.register(source, stream)
        if not plan.is_read_once:
            self._connection.execute("CREATE OR REPLACE TEMP TABLE _copy AS SELECT * FROM _stream")
            source = "_copy"
        self._connection.execute(f"CREATE TEMP VIEW events AS SELECT {', '.join(columns)} FROM {source}")

    def _begin(self, text: str) -> Result:
        result = self._connection.execute(text)
        described = result.description or ()
        first = result.fetchmany(FETCHED_ROWS)

        def rows() -> Iterator[list[Row]]:
            some = first
            while some:
                yield some
                some = self._wait_for(lambda: result.fetchmany(FETCHED_ROWS))

        names, types = [column[0] for column in described], [str(column[1]) for column in described]
        return Result(names, types, rows())

    def _wait_for(self, work: Callable[[], _Done]) -> _Done:
        """Return what *work* returns, in the thread of the database; an interrupt ends it."""
        future = self._thread.submit(work)
        try:
            return future.result()
        except duckdb.Error as error:
            self._raise_reading_error()
            raise QueryError(_sentence(error)) from None
        except BaseException:
            self._end(future)
            raise

    def _raise_reading_error(self) -> None:
        for stream in self._streams:
            if stream.error is not None:
                raise stream.error

    def _end(self, future: Future[Any]) -> None:
        while not future.done():
            self._connection.interrupt()
            wait([future], _INTERRUPT_SECONDS)


def _plan(operators: Iterable[dict[str, Any]]) -> Plan:
    """Return what DuckDB's plan of a query says about the events."""
    needed: set[str] = set()
    scans = 0
    is_repeated = False
    waiting = list(operators)
    while waiting:
        operator = waiting.pop()
        waiting += operator.get("children", ())
        name = str(operator.get("name", ""))
        is_repeated |= name.startswith("REC")  # a recursive query reads several times what it has once
        if "SCAN" in name and "Table" in operator.get("extra_info", {}):
            scans += 1
            projections = operator["extra_info"].get("Projections") or ()
            needed.update([projections] if isinstance(projections, str) else projections)
    if is_repeated or not needed <= COLUMNS.keys():
        return Plan(list(COLUMNS), False)
    return Plan([name for name in COLUMNS if name in needed] or [_CHEAPEST], scans <= 1)


def _quoted(text: str, mark: str = '"') -> str:
    return mark + text.replace(mark, mark * 2) + mark


def _sentence(error: duckdb.Error) -> str:
    """Return the message of *error* without the excerpt of the query that it points at."""
    text = " ".join(re.split(r"\nLINE |\n\nStack Trace|\nPossible solutions", str(error))[0].split())
    if isinstance(error, duckdb.BinderException | duckdb.CatalogException):
        text += f" (the columns of events are {', '.join(COLUMNS)})"
    return text

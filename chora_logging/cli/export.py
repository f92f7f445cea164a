"""Writes events as CSV and Parquet, and checks and replaces files atomically."""

from __future__ import annotations

import contextlib
import importlib
import itertools
import json
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import IO, Any

import click

from chora_logging.cli.logs import Log
from chora_logging.cli.reader_end import uninterrupted
from chora_logging.cli.rows import Rows
from chora_logging.errors import MissingExtraError

#: The file name suffixes that `--to` accepts.
ENDINGS = (".csv", ".jsonl", ".parquet")

#: The characters that begin a formula in a spreadsheet.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")

_SPECIAL = re.compile(r'[,"\r\n]')

#: How many rows of a Parquet file are in memory at a time.
BATCH_EVENTS = 10_000

_INT64 = range(-(2**63), 2**63)
#: Up to this magnitude a float represents every integer exactly.
_EXACT = 2**53


def check_target(ctx: click.Context, param: click.Parameter, path: str | None) -> str | None:
    """Check the path of a file to write, the value of an option.

    Raises:
        click.BadParameter: its suffix is not one of `ENDINGS`, or there is no such folder.
    """
    if path is not None and not path.endswith(ENDINGS):
        raise click.BadParameter(f"must end in {', '.join(ENDINGS[:-1])} or {ENDINGS[-1]}, got {path!r}")
    if path is not None and not os.path.isdir(os.path.dirname(os.path.abspath(path))):
        raise click.BadParameter(f"must be in a folder that exists, got {path!r}")
    return path


def check_is_no_log(path: str, logs: Iterable[Log]) -> None:
    """Check that *path*, the value of `--to`, is not a file of one of *logs*.

    Raises:
        click.BadParameter: it is.
    """
    if os.path.realpath(path) in {os.path.realpath(file) for log in logs for file in log.files()}:
        raise click.BadParameter(f"must not be a log that is read, got {path!r}", param_hint="'--to'")


def write_csv(rows: Rows, file: IO[str], *, with_log: bool, shown: Callable[[str], str] = str) -> None:
    """Write *rows* as CSV, with a column for each field of any event.

    Text that a spreadsheet would run as a formula gets an apostrophe before it, so that it is safe to
    open a log that anybody can write to. Lists and objects are JSON; null is an empty cell.

    Args:
        rows: The events.
        file: The file to write to, opened with `newline=""`.
        with_log: Whether to add the column `log`.
        shown: Applied to each cell.
    """
    fields = [field for field in rows.fields if not with_log or field != "log"]
    cells = ([*([log] if with_log else ()), *map(event.get, fields)] for log, event in rows)
    write_table(file, [*(["log"] if with_log else ()), *fields], cells, shown)


def write_table(
    file: IO[str], heads: Iterable[str], rows: Iterable[Iterable[Any]], shown: Callable[[str], str] = str
) -> None:
    """Write *heads* and *rows* of values as CSV, with the rules of `write_csv`."""
    for row in itertools.chain([heads], rows):
        cells = [_quoted(shown(as_cell(value))) for value in row]
        file.write((",".join(cells) or '""') + "\n")  # readers skip an empty line


def as_cell(value: Any) -> str:
    """Return *value* as a cell of CSV.

    >>> as_cell(None), as_cell(-5), as_cell("-5"), as_cell([1]), as_cell('=HYPERLINK("http://x")')
    ('', '-5', '-5', '[1]', '\\'=HYPERLINK("http://x")')
    """
    if value is None:
        return ""
    return harmless(value) if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def harmless(text: str) -> str:
    """Return *text* with an apostrophe before it if a spreadsheet would run it as a formula."""
    if not text.startswith(_FORMULA) or _is_number(text):
        return text
    return "'" + text


def write_parquet(rows: Rows, path: str, *, with_log: bool) -> None:
    """Write *rows* to the Parquet file *path*, with a column for each field, and `log` if *with_log*.

    The type of a column is integer, float, boolean or string. It is string for types that do not fit
    together, integers beyond 64 bits, lists and objects; what is not a string is JSON then.

    Raises:
        MissingExtraError: pyarrow is not installed.
    """
    pyarrow, parquet = _pyarrow()
    fields = [field for field in rows.fields if not with_log or field != "log"]
    kinds = {field: _kind(seen) for field, seen in _seen(rows, fields).items()}
    types = {int: pyarrow.int64(), float: pyarrow.float64(), bool: pyarrow.bool_(), str: pyarrow.string()}
    columns = [("log", types[str])] if with_log else []
    schema = pyarrow.schema(columns + [(field, types[kinds[field]]) for field in fields])
    with parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        for batch in _batches(rows):
            data = [[log for log, _ in batch]] if with_log else []
            data += [[_as_kind(kinds[field], event.get(field)) for _, event in batch] for field in fields]
            arrays = [pyarrow.array(values, item.type) for values, item in zip(data, schema, strict=True)]
            writer.write_batch(pyarrow.record_batch(arrays, schema=schema))


def check_parquet() -> None:
    """Check for pyarrow, before anything is read.

    Raises:
        MissingExtraError: pyarrow is not installed.
    """
    _pyarrow()


@contextlib.contextmanager
def replacing(path: str) -> Iterator[str]:
    """Yield the path of a new file that replaces *path* at the end, or is deleted after an exception.

    Raises:
        OSError: the file cannot be created or cannot replace *path*.
    """
    target = os.path.realpath(path)  # replaces the target of a link, not the link
    folder, name = os.path.split(target)
    try:
        fd, part = tempfile.mkstemp(prefix=f".{name}.", suffix=".part", dir=folder)
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from None
    os.close(fd)
    umask = os.umask(0)
    os.umask(umask)
    try:
        os.chmod(part, 0o666 & ~umask)
        yield part
        os.replace(part, target)
    except BaseException:
        os.unlink(part)
        raise


def _pyarrow() -> tuple[Any, Any]:
    try:
        with uninterrupted():
            return importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    except ModuleNotFoundError:
        raise MissingExtraError("pyarrow", "parquet") from None


def _seen(rows: Rows, fields: Sequence[str]) -> dict[str, set[str]]:
    seen: dict[str, set[str]] = {field: set() for field in fields}
    for _, event in rows:
        for field, value in event.items():
            if value is not None and field in seen:
                seen[field].add(_sort_of(value))
    return seen


def _sort_of(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return "exact" if abs(value) <= _EXACT else "whole" if value in _INT64 else "text"
    return {bool: "truth", float: "number"}.get(type(value), "text")


def _kind(seen: set[str]) -> type:
    """Return the type that holds every value unchanged; strings hold all of them."""
    if seen == {"truth"}:
        return bool
    if seen and seen <= {"exact", "whole"}:
        return int
    return float if seen and seen <= {"exact", "number"} else str


def _as_kind(kind: type, value: Any) -> Any:
    if value is None or (isinstance(value, kind) and kind is not int):
        return value
    return json.dumps(value, ensure_ascii=False) if kind is str else kind(value)


def _batches(rows: Iterable[tuple[str, dict[str, Any]]]) -> Iterator[list[tuple[str, dict[str, Any]]]]:
    batch = []
    for row in rows:
        batch.append(row)
        if len(batch) == BATCH_EVENTS:
            yield batch
            batch = []
    if batch:
        yield batch


def _quoted(cell: str) -> str:
    # The module csv does not quote a carriage return, which ends a row for readers.
    if not _SPECIAL.search(cell):
        return cell
    return '"' + cell.replace('"', '""') + '"'


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True

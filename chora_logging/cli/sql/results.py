"""Prints the rows of a result as a table, JSON Lines or CSV."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from typing import IO, Any, NamedTuple

import msgspec
from rich.cells import cell_len
from rich.text import Text

from chora_logging.cli import export
from chora_logging.cli.event_line import cut, text_of
from chora_logging.cli.table import fit
from chora_logging.cli.terminal import UNLIMITED, Screen, printable

Row = tuple[Any, ...]

#: The types whose values are the same in Python and in JSON, and those of them that are numbers.
_NUMBERS = frozenset(
    (
        "TINYINT",
        "SMALLINT",
        "INTEGER",
        "BIGINT",
        "UTINYINT",
        "USMALLINT",
        "UINTEGER",
        "UBIGINT",
        "FLOAT",
        "DOUBLE",
    )
)
_PLAIN = _NUMBERS | {"BOOLEAN", "VARCHAR"}
_OTHER_NUMBERS = ("HUGEINT", "UHUGEINT", "DECIMAL")

_JSON = "JSON"

#: The integers that JSON is written with; larger ones are written digit by digit.
_INT64 = range(-(2**63), 2**64)

_encode = msgspec.json.Encoder().encode


class Result(NamedTuple):
    """The result of a query.

    Attributes:
        names: The names of its columns.
        types: Their types in SQL.
        chunks: The rows, some at a time.
    """

    names: Sequence[str]
    types: Sequence[str]
    chunks: Iterator[list[Row]]

    def rows(self) -> Iterator[Row]:
        """Return the rows, one by one."""
        return itertools.chain.from_iterable(self.chunks)


def json_lines(result: Result) -> Iterator[bytes]:
    """Yield each row as an object of strict JSON: times are RFC 3339, what is no number is null."""
    names = _unique(result.names)
    convert = [_to_json(kind) for kind in result.types]
    for row in result.rows():
        values = [change(value) if change else value for change, value in zip(convert, row, strict=True)]
        yield _encode(dict(zip(names, values, strict=True)))


def write_csv(result: Result, file: IO[str], shown: Callable[[str], str] = str) -> int:
    """Write the rows as CSV by the rules of `export.write_csv`, and return their number."""
    count = itertools.count()
    rows = ([_as_value(value) for value in row] for row, _ in zip(result.rows(), count, strict=False))
    export.write_table(file, result.names, rows, shown)
    return next(count)


def print_table(result: Result, console: Screen) -> None:
    """Print the rows as a table; the columns are as wide as the first rows need."""
    first = [list(map(_cell, row)) for row in next(result.chunks, [])]
    names = _unique(result.names)
    heads = dict(zip(names, map(printable, result.names), strict=True))
    natural = {
        name: max(cell_len(heads[name]), *(cell_len(row[place]) for row in first))
        for place, name in enumerate(names)
    }
    widths = fit(natural, console.width)
    places = [(place, widths[name]) for place, name in enumerate(names) if name in widths]
    is_number = [kind in _NUMBERS or kind.startswith(_OTHER_NUMBERS) for kind in result.types]
    is_cut = console.width < UNLIMITED

    def line(cells: Sequence[str], style: str = "") -> Text:
        found = Text(no_wrap=True)
        for place, width in places:
            text = cells[place]
            space = " " * max(0, width - cell_len(text))
            text = cut(text, width - len(space)) if is_cut else text
            text = space + text if is_number[place] else text + space
            found.append("  " if found else "").append(text, style or ("cyan" if is_number[place] else ""))
        found.rstrip()
        return found

    console.show(line(list(heads.values()), "bold"))
    for cells in first:
        console.show(line(cells))
    for row in result.rows():
        console.show(line(list(map(_cell, row))))
    if left_out := [heads[name] for name in names if name not in widths]:
        foot = Text(f"no room for {', '.join(left_out)}", "dim", no_wrap=True)
        foot.truncate(console.width, overflow="ellipsis")
        console.show(foot)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}" + f".{value:%f}".rstrip("0") * bool(value.microsecond)
    if isinstance(value, float) and math.isfinite(value):
        return (
            f"{value:.6f}".rstrip("0").rstrip(".") if 1e-3 <= abs(value) < 1e15 or not value else f"{value:g}"
        )
    value = _as_value(value)
    return str(value) if isinstance(value, float) else text_of(value)


def _to_json(kind: str) -> Callable[[Any], Any] | None:
    if kind in _PLAIN:
        return None
    return _raw if kind == _JSON else _in_json


def _raw(value: str | None) -> msgspec.Raw | None:
    # JSON may have line ends between its tokens.
    return None if value is None else msgspec.Raw(value.replace("\n", " ").replace("\r", " ").encode())


def _in_json(value: Any) -> Any:
    value = _as_value(value)
    if isinstance(value, int) and value not in _INT64:
        return msgspec.Raw(str(value).encode())
    if isinstance(value, list):
        return list(map(_in_json, value))
    if isinstance(value, dict):
        return {name: _in_json(inner) for name, inner in value.items()}
    return value


def _as_value(value: Any) -> Any:
    """Return *value* as one that JSON has, or as text."""
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, datetime):
        return value.isoformat(timespec="microseconds") + "Z" * (value.tzinfo is None)
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).hex()
    if isinstance(value, list | tuple):
        return [_as_value(inner) for inner in value]
    if isinstance(value, dict):
        return {str(_as_value(name)): _as_value(inner) for name, inner in value.items()}
    return str(value)


def _unique(names: Iterable[str]) -> list[str]:
    """Return *names*, with a number behind those that came before.

    >>> _unique(["count", "count", "max"])
    ['count', 'count_1', 'max']
    """
    found: dict[str, None] = {}
    for name in names:
        numbered = (f"{name}_{number}" for number in itertools.count(1))
        found[next(each for each in itertools.chain([name], numbered) if each not in found)] = None
    return list(found)

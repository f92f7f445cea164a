"""Formats what has several lines, such as a traceback, below the line of its event."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import click
from rich.cells import chop_cells
from rich.text import Text

from chora_logging.cli.terminal import printable
from chora_logging.eventlog.meaning import USUAL, Meaning

#: How far the lines are indented, in columns.
INDENT = 4

#: The narrowest text that a line is broken into, in columns.
NARROWEST = 8


def full_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the option `--full` to a command."""
    text = "Show whole lines, and tracebacks and other text of several lines below; so is a single event."
    return click.option("--full", is_flag=True, help=text)(function)


def without_lines(event: Mapping[str, Any], meaning: Meaning = USUAL) -> Mapping[str, Any]:
    """Return *event* without the values that `lines_of` shows; of its message the first line stays."""
    below = _values(event, meaning)
    if not below:
        return event
    kept = {field: value for field, value in event.items() if field not in below}
    message = meaning.field_of("message", event)
    if message in below:
        kept[message] = event[message].strip().splitlines()[0]
    return kept


def lines_of(
    event: Mapping[str, Any], width: int, meaning: Meaning = USUAL, *, indent: int = INDENT
) -> Iterator[Text]:
    """Yield the values of *event* that have several lines, each line escaped and broken to fit.

    Args:
        event: The event.
        width: The columns of the terminal.
        meaning: The meaning of its fields; a traceback comes last, and no name stands above it.
        indent: How far the lines are indented, in columns.
    """
    below = _values(event, meaning)
    message = meaning.field_of("message", event)
    exceptions = meaning.names("exception")
    for field in sorted(below, key=lambda name: name in exceptions):
        lines = below[field].strip("\r\n").splitlines()
        if field == message:
            lines = below[field].strip().splitlines()[1:]
        elif field not in exceptions:
            yield from _broken(f"{field}:", width, indent, "dim")
        for number, line in enumerate(lines, 1):
            is_error = field in exceptions and number == len(lines)
            yield from _broken(line, width, indent, "red" if is_error else "dim")


def _values(event: Mapping[str, Any], meaning: Meaning) -> dict[str, str]:
    """Return the values that have several lines, and all of those that are tracebacks."""
    found: dict[str, str] = {}
    exception = meaning.field_of("exception", event)
    for field, value in event.items():
        if field == exception:
            text = meaning.exception_of(event)
            found.update({field: text} if text is not None else {})
        elif isinstance(value, str) and "\n" in value.strip():
            found[field] = value
    nested = None if exception in found else meaning.exception_of(event)
    if nested is not None and "\n" in nested:  # as `error.stack_trace` in an object
        found[meaning.names("exception")[0]] = nested
    return found


def _broken(line: str, width: int, indent: int, style: str) -> Iterator[Text]:
    text = printable(line.expandtabs().rstrip())
    indent = min(indent, max(0, width - NARROWEST))
    for part in chop_cells(text, max(NARROWEST, width - indent)) or [""]:
        yield Text(f"{' ' * indent}{part}".rstrip(), style)

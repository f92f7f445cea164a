"""Prints a verdict for people, on a terminal of any width."""

from __future__ import annotations

import math
import os

from rich.console import Console
from rich.table import Table
from rich.text import Text

from chora_logging.cli import amounts
from chora_logging.cli.check.examining import DAMAGE, JITTER_SECONDS, Examination, Problem
from chora_logging.cli.check.verdict import Retention, Verdict
from chora_logging.cli.terminal import NARROW_COLUMNS, WIDE_COLUMNS, printable

#: How many files are shown, the newest ones; older files are shown if they have problems.
SHOWN_FILES = 8

Fact = tuple[str, str]


def show(verdict: Verdict, console: Console, width: int) -> None:
    """Print *verdict* in at most *width* columns; the last line sums it up."""
    _print(console, Text(printable(verdict.log.address), "bold"), width)
    console.print(_files(verdict.files, width))
    left_out = len(verdict.files) - len(_shown(verdict.files))
    if left_out:
        _print(console, Text(f"… and {amounts.many(left_out, 'older file')} without a problem", "dim"), width)
    if verdict.events:
        console.print()
        console.print(_facts([*_retained(verdict.retention), *_order(verdict)]))
    if verdict.problems:
        console.print()
        _show_problems(verdict, console, width)
    console.print()
    console.print(_last_line(verdict))


def _facts(facts: list[Fact]) -> Table:
    table = Table.grid(padding=(0, 1, 0, 0))
    table.add_column(style="bold", no_wrap=True, min_width=9)
    table.add_column()
    for label, text in facts:
        table.add_row(label, Text(text))
    return table


def _files(files: list[Examination], width: int) -> Table:
    titles: tuple[str, ...] = ("size", "events", "skipped", "from", "to")
    titles = titles if width >= WIDE_COLUMNS else titles[:3] if width >= NARROW_COLUMNS else ()
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("file", header_style="bold")
    for title in titles:
        table.add_column(title, header_style="bold", justify="right", no_wrap=True)
    for file in _shown(files):
        name = Text(printable(os.path.basename(file.path)), no_wrap=True, overflow="ellipsis")
        skipped = Text(f"{file.skipped:,}", "red" if file.skipped else "dim")
        cells = (amounts.size(file.size), f"{file.events:,}", skipped, *_times(file))
        table.add_row(name, *cells[: len(titles)])
    return table


def _shown(files: list[Examination]) -> list[Examination]:
    newest = files[-SHOWN_FILES:]
    return [file for file in files if file.found or file in newest]


def _times(file: Examination) -> tuple[str, str]:
    if not math.isfinite(file.first):
        return "", ""
    return amounts.moments(file.first, file.last)


def _retained(found: Retention) -> list[Fact]:
    if found.first is None or found.last is None:
        return [("retained", "no event has a valid timestamp")]
    since = f", from {amounts.moment(found.first)}"
    lines = [("retained", amounts.span(found.last - found.first) + since)]
    if found.rate is None:
        return lines
    rate = f"{amounts.size(found.rate * 3600)} an hour in its newest files"
    if found.files is None or found.file_size is None:
        return [*lines, ("rate", f"{rate}; it has not been rotated yet")]
    origin = "the default" if found.is_assumed else "as its backups show"
    capacity = f"{amounts.many(found.files, 'file')} of {amounts.size(found.file_size)} ({origin})"
    lines.append(("rate", rate))
    lines.append(("lasts", f"{amounts.span(found.lasts or 0.0)} at that rate: {capacity}"))
    return lines


def _order(verdict: Verdict) -> list[Fact]:
    late, latest = verdict.late
    if not late:
        return []
    events = f"{amounts.many(late, 'event')} out of order by up to {amounts.duration(latest * 1000)}"
    usual = ", usual with several writers" if latest <= JITTER_SECONDS else ""
    return [("order", events + usual)]


def _show_problems(verdict: Verdict, console: Console, width: int) -> None:
    for problem in verdict.problems:
        _print(console, _problem(problem), width)
    more = sum(verdict.found.values()) - len(verdict.problems)
    if more > 0:
        _print(console, Text(f"… and {more:,} more: --limit shows more of them", "dim"), width)


def _problem(problem: Problem) -> Text:
    place = f":{problem.line}" if problem.line else ""
    line = Text().append(f"{printable(os.path.basename(problem.path))}{place}", "magenta")
    is_damage = problem.kind in DAMAGE
    line.append(f"  {problem.kind}", "bold red" if is_damage else "yellow")
    line.append(f"  {printable(problem.reason)}")
    line.append(f"  {printable(problem.text.decode('utf-8', 'backslashreplace'))}", "dim")
    line.rstrip()
    return line


def _last_line(verdict: Verdict) -> Text:
    events = amounts.many(verdict.events, "event")
    if not verdict.damage:
        text = f"{events}, each on a whole line of its own" if verdict.events else "there is no event yet"
        return Text().append("Sound", "bold green").append(f": {text}.")
    kinds = ", ".join(f"{number:,} {kind}" for kind, number in verdict.damage.items())
    return Text().append("Damaged", "bold red").append(f": {kinds}; {events}.")


def _print(console: Console, line: Text, width: int) -> None:
    line.no_wrap = True
    line.truncate(width, overflow="ellipsis")
    console.print(line)

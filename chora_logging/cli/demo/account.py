"""Compares the logs of a run, read byte by byte, with the events that the writers report."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from chora_logging.cli.amounts import many
from chora_logging.cli.demo.crew import SECRET, Report
from chora_logging.cli.terminal import printable
from chora_logging.eventlog.rotated.file_set import paths_of


@dataclass
class Account:
    """One log: the events written, the events found, and every kind of difference.

    Attributes:
        path: The live file.
        written: The number of events that each writer wrote.
        traces: The number of events in the files, by trace.
        seen: The number of events that a follower of the log received.
        found: The number of events in the files.
        lost: Events that were written and are not in the files.
        doubled: Events that are in the files more than once.
        disordered: Events that come after a later one of the same writer.
        unknown: Events that no writer reports.
        torn: Lines that are not one whole JSON object.
        unredacted: Lines with a secret.
        rotations: How often the log was rotated.
        size: The total size of the files in bytes.
    """

    path: str
    written: Mapping[str, int]
    seen: int
    traces: Counter[str] = field(default_factory=Counter)
    found: int = 0
    lost: int = 0
    doubled: int = 0
    disordered: int = 0
    unknown: int = 0
    torn: int = 0
    unredacted: int = 0
    rotations: int = 0
    size: int = 0

    @property
    def total(self) -> int:
        """The number of events that all writers wrote."""
        return sum(self.written.values())

    def differences(self) -> list[str]:
        """Return a phrase for each kind of difference; none if the log is complete."""
        phrases = {
            "lost": self.lost,
            "doubled": self.doubled,
            "out of order": self.disordered,
            "unexpected": self.unknown,
            "torn lines": self.torn,
            "lines with a secret": self.unredacted,
            "not seen live": self.found - self.seen,
        }
        return [f"{number} {phrase}" for phrase, number in phrases.items() if number]


def take_account(path: str, written: Mapping[str, int], seen: int) -> Account:
    """Read the whole log *path*, and compare it with the number of events *written* by each writer.

    Every event must have the fields `writer` and `seq`, which counts from 0 for each writer. No process
    may write to the log meanwhile.
    """
    account = Account(path, written, seen)
    found: dict[str, set[int]] = {writer: set() for writer in written}
    last: dict[str, int] = {}
    paths = paths_of(path)
    account.rotations = max(0, len(paths) - 1)
    for line in _lines(paths):
        account.size += len(line)
        account.unredacted += SECRET.encode() in line
        event = _event(line)
        if event is None:
            account.torn += 1
            continue
        account.found += 1
        writer, number = event.get("writer"), event.get("seq")
        if not isinstance(number, int) or not 0 <= number < written.get(str(writer), 0):
            account.unknown += 1
            continue
        account.traces[str(event.get("trace_id"))] += 1
        writer = str(writer)
        if number in found[writer]:
            account.doubled += 1
        elif number < last.get(writer, -1):
            account.disordered += 1
        found[writer].add(number)
        last[writer] = max(number, last.get(writer, -1))
    account.lost = account.total - sum(map(len, found.values()))
    return account


@dataclass
class Summary:
    """The result of a run."""

    folder: str
    seconds: float
    workers: int
    interrupted: bool
    report: Report
    accounts: dict[str, Account]

    @property
    def complete_traces(self) -> int:
        """The number of traces that have, in each log, exactly as many events as were written."""
        return sum(
            all(account.traces[trace_id] == counts[log] for log, account in self.accounts.items())
            and all(counts[log] for log in self.accounts)
            for trace_id, counts in self.report.traces.items()
        )

    @property
    def problems(self) -> list[str]:
        """All problems, a line each; none if the logs are complete."""
        found = list(self.report.problems)
        for log, account in self.accounts.items():
            found += [f"{log}: {difference}" for difference in account.differences()]
        if broken := len(self.report.traces) - self.complete_traces:
            found.append(f"{broken} of {len(self.report.traces)} traces are incomplete")
        if not self.interrupted and not any(account.total for account in self.accounts.values()):
            found.append("no worker wrote anything")
        return found

    def as_dict(self) -> dict[str, Any]:
        """Return the result for `--json`."""
        return {
            "ok": not self.problems,
            "problems": self.problems,
            "interrupted": self.interrupted,
            "folder": self.folder,
            "seconds": round(self.seconds, 3),
            "workers": self.workers,
            "processes": self.workers + self.proofreaders,
            "jobs": dict(self.report.jobs),
            "traces": {"written": len(self.report.traces), "complete": self.complete_traces},
            "logs": {log: _account_as_dict(account) for log, account in self.accounts.items()},
        }

    @property
    def proofreaders(self) -> int:
        """The number of subprocesses of workers that wrote events."""
        writers = {writer for account in self.accounts.values() for writer in account.written}
        return max(0, len(writers) - self.workers)

    def print(self, console: Console) -> None:
        """Print the table and the verdict."""
        console.print()
        console.print(self._table())
        jobs, traces = self.report.jobs, len(self.report.traces)
        console.print(
            f"\n {many(traces, 'trace')}, {self.complete_traces:,} complete over both logs\n"
            f" {many(jobs['completed'] + jobs['failed'], 'job')}, {jobs['failed']:,} failed on purpose"
        )
        console.print()
        for problem in self.problems:
            console.print(Text(f" {printable(problem)}", "bold red"))
        total = sum(account.total for account in self.accounts.values())
        if self.problems:
            console.print(Text("The logs are not whole.", "bold red"))
        else:
            verdict = Text("Nothing is missing: ", "bold green")
            verdict.append(
                f"{many(total, 'event')} of {many(self.workers + self.proofreaders, 'process', 'es')}, "
                "each in its log exactly once.",
                "default not bold",
            )
            console.print(verdict)
        console.print(Text(f"See for yourself: {printable(self.folder)}", "dim"), soft_wrap=True)

    def _table(self) -> Table:
        table = Table(box=box.SIMPLE_HEAD, pad_edge=True, show_edge=False)
        table.add_column("")
        for log in self.accounts:
            table.add_column(log, justify="right", style="cyan", no_wrap=True)
        accounts = list(self.accounts.values())
        for name, numbers in {
            "events written": [account.total for account in accounts],
            "in the files": [account.found for account in accounts],
            "seen live": [account.seen for account in accounts],
        }.items():
            table.add_row(name, *(f"{number:,}" for number in numbers))
        for name, numbers in {
            "lost": [account.lost for account in accounts],
            "doubled": [account.doubled for account in accounts],
            "torn": [account.torn for account in accounts],
            "out of order": [account.disordered for account in accounts],
            "with a secret": [account.unredacted for account in accounts],
        }.items():
            table.add_row(
                name, *(Text(f"{number:,}", "bold red" if number else "green") for number in numbers)
            )
        table.add_row("rotations", *(f"{account.rotations:,}" for account in accounts), end_section=True)
        return table


def _lines(paths: list[str]) -> Iterator[bytes]:
    for path in paths:
        if os.path.getsize(path):
            with open(path, "rb") as file:
                yield from file


def _event(line: bytes) -> dict[str, Any] | None:
    try:
        event = json.loads(line) if line.endswith(b"\n") else None
    except ValueError:
        return None
    return event if isinstance(event, dict) else None


def _account_as_dict(account: Account) -> dict[str, Any]:
    return {
        "file": account.path,
        "written": account.total,
        "found": account.found,
        "seen": account.seen,
        "lost": account.lost,
        "doubled": account.doubled,
        "torn": account.torn,
        "unredacted": account.unredacted,
        "out_of_order": account.disordered,
        "unknown": account.unknown,
        "rotations": account.rotations,
        "bytes": account.size,
        "writers": dict(account.written),
    }

"""How the demo ended: the accounts of both logs as one result, for machines and for eyes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from chora_logging.cli.demo.account import Account
from chora_logging.cli.demo.crew import Report
from chora_logging.cli.terminal import printable


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
        """How many traces have, in each log, exactly as many events as were written."""
        return sum(
            all(account.traces[trace_id] == counts[log] for log, account in self.accounts.items())
            and all(counts[log] for log in self.accounts)
            for trace_id, counts in self.report.traces.items()
        )

    @property
    def problems(self) -> list[str]:
        """Everything that is not as it should be; nothing if the logs are whole."""
        found = list(self.report.problems)
        for log, account in self.accounts.items():
            found += [f"{log}: {difference}" for difference in account.differences()]
        if broken := len(self.report.traces) - self.complete_traces:
            found.append(f"{broken} of {len(self.report.traces)} traces are incomplete")
        if not self.interrupted and not any(account.total for account in self.accounts.values()):
            found.append("no worker wrote anything")
        return found

    def as_dict(self) -> dict[str, Any]:
        """The result for `--json`."""
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
        """How many subprocesses of workers wrote too."""
        writers = {writer for account in self.accounts.values() for writer in account.written}
        return max(0, len(writers) - self.workers)

    def print(self, console: Console) -> None:
        """Print the table and the verdict."""
        console.print()
        console.print(self._table())
        jobs, traces = self.report.jobs, len(self.report.traces)
        console.print(
            f"\n {_many(traces, 'trace')}, {self.complete_traces:,} complete over both logs\n"
            f" {_many(jobs['completed'] + jobs['failed'], 'job')}, {jobs['failed']:,} failed on purpose"
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
                f"{_many(total, 'event')} of {_many(self.workers + self.proofreaders, 'process', 'es')}, "
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
        }.items():
            table.add_row(
                name, *(Text(f"{number:,}", "bold red" if number else "green") for number in numbers)
            )
        table.add_row("rotations", *(f"{account.rotations:,}" for account in accounts), end_section=True)
        return table


def _account_as_dict(account: Account) -> dict[str, Any]:
    return {
        "file": account.path,
        "written": account.total,
        "found": account.found,
        "seen": account.seen,
        "lost": account.lost,
        "doubled": account.doubled,
        "torn": account.torn,
        "out_of_order": account.disordered,
        "unknown": account.unknown,
        "rotations": account.rotations,
        "bytes": account.size,
        "writers": dict(account.written),
    }


def _many(number: int, noun: str, ending: str = "s") -> str:
    return f"{number:,} {noun}{'' if number == 1 else ending}"

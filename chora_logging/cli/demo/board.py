"""Shows events while the demo runs: as they arrive, as many as people can follow."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.text import Text

from chora_logging.cli.event_line import as_line
from chora_logging.eventlog.following import Follower
from chora_logging.eventlog.rotated.file_set import paths_of

#: The interval at which events are shown, in seconds.
SHOWN_EVERY_SECONDS = 0.6

#: Fields for the account, which are not shown.
_HIDDEN = ("writer", "seq")


class Board:
    """Follows the logs, counts every event, and shows some of them.

    Args:
        logs: The file of each log.
        console: Where to show events; None shows nothing.

    Close it, or use it in a `with`.
    """

    def __init__(self, logs: Mapping[str, str], console: Console | None) -> None:
        self.seen = dict.fromkeys(logs, 0)
        self._logs = logs
        self._console = console
        self._followers = {log: Follower(path) for log, path in logs.items()}
        self._waiting: list[dict[str, Any]] = []
        self._shown_at = float("-inf")
        self._traces: set[str] = set()
        self._failed = False

    def poll(self) -> None:
        """Read the new events, and show some of them if the interval has passed."""
        for log, follower in self._followers.items():
            while (events := follower.poll()) is not None:
                self.seen[log] += len(events)
                if self._console is not None:
                    self._waiting += events
        if time.monotonic() >= self._shown_at + SHOWN_EVERY_SECONDS:
            self.show()

    def show(self) -> None:
        """Show some of the waiting events, and how many are left out."""
        if self._console is None or not self._waiting:
            return
        events = sorted(self._waiting, key=lambda event: str(event.get("timestamp")))
        self._waiting = []
        self._shown_at = time.monotonic()
        chosen = self._choose(events)
        for event in chosen:
            self._console.print(as_line(event, self._console.width, hidden=_HIDDEN))
        if more := len(events) - len(chosen):
            rotations = sum(max(0, len(paths_of(path)) - 1) for path in self._logs.values())
            total = sum(self.seen.values())
            line = Text(f"  … {more:,} more not shown · {total:,} so far · {rotations:,} rotations", "dim")
            line.truncate(self._console.width, overflow="ellipsis")
            self._console.print(line)

    def close(self) -> None:
        """Close the files."""
        for follower in self._followers.values():
            follower.close()

    def __enter__(self) -> Board:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _choose(self, events: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Choose whole traces: those begun before, and a new one; completed and failed ones alternate."""
        traces: dict[str, list[dict[str, Any]]] = {}
        for event in events:
            traces.setdefault(str(event.get("trace_id")), []).append(event)
        new = {
            trace_id: trace
            for trace_id, trace in traces.items()
            if trace_id not in self._traces and _end_of(trace) is not None
        }
        if new:
            wished = "job_completed" if self._failed else "job_failed"
            best = max(new, key=lambda trace_id: _worth(new[trace_id], wished))
            self._failed = _end_of(new[best]) == "job_failed"
            self._traces.add(best)
        elif not self._traces & traces.keys():
            self._traces.add(next(iter(traces)))
        return [event for event in events if str(event.get("trace_id")) in self._traces]


def _end_of(trace: list[dict[str, Any]]) -> str | None:
    names = (str(event.get("event")) for event in trace)
    return next((name for name in names if name in ("job_completed", "job_failed")), None)


def _worth(trace: list[dict[str, Any]], wished: str) -> tuple[bool, bool, bool]:
    """Rank a trace: by its end, by its beginning, and by whether another process continues it."""
    return (
        _end_of(trace) == wished,
        any(event.get("event") == "task_started" for event in trace),
        any(event.get("proofread") for event in trace),
    )

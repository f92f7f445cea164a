"""Starts and stops the worker processes of the demo, and collects their reports."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

#: The logs of the demo, in its folder.
TELEMETRY_FILE = "events.jsonl"
ORCHESTRATOR_FILE = "orchestrator.log"

#: The beginning of every secret in the events; no line of the logs may have it.
SECRET = "demo-secret-"

#: How long a worker may take to finish its job at the end, in seconds.
WORKER_WAIT_SECONDS = 45.0

#: Variables that the user has set for other programs, and that must not affect these.
FOREIGN = ("CHORA_LOGGING_TOKEN", "CHORA_TRACE_ID", "LOG_FILE", "LOG_LEVEL", "ORCH_ID", "TRACEPARENT")


@dataclass
class Report:
    """The numbers of events that one worker or all wrote: by log and writer, and by trace and log."""

    written: dict[str, Counter[str]] = field(default_factory=dict)
    traces: dict[str, Counter[str]] = field(default_factory=dict)
    jobs: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)

    def add(self, report: dict[str, Any]) -> None:
        """Add the report of one worker."""
        for log, counts in report["written"].items():
            self.written.setdefault(log, Counter()).update(counts)
        for trace_id, counts in report["traces"].items():
            self.traces.setdefault(trace_id, Counter()).update(counts)
        self.jobs.update(report["jobs"])


class Crew:
    """Worker processes that write to the two logs in *folder* until they are dismissed.

    Close it, or use it in a `with`: running workers are killed then. If the demo itself is killed, they
    end by themselves, since their stdin is closed.
    """

    def __init__(self, folder: Path, count: int, max_bytes: int) -> None:
        self._folder = folder
        self._processes: dict[str, subprocess.Popen[str]] = {}
        environment = {name: value for name, value in os.environ.items() if name not in FOREIGN}
        environment["CHORA_EVENTS_FILE"] = str(folder / TELEMETRY_FILE)
        environment["ORCH_LOG_FILE"] = str(folder / ORCHESTRATOR_FILE)
        try:
            for number in range(1, count + 1):
                name = f"w{number}"
                self._start(
                    name, program("worker.work", name, str(folder / "pages" / name), max_bytes), environment
                )
        except BaseException:
            self.close()
            raise

    def is_working(self) -> bool:
        """Return whether any worker is running."""
        return any(process.poll() is None for process in self._processes.values())

    def dismiss(self) -> Report:
        """Let every worker finish its job, and return their combined report."""
        for process in self._processes.values():
            if process.stdin is not None:
                process.stdin.close()
                process.stdin = None  # communicate() would flush it
        deadline = time.monotonic() + WORKER_WAIT_SECONDS
        report = Report()
        for name, process in self._processes.items():
            try:
                output, _ = process.communicate(timeout=max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                report.problems.append(f"worker {name} did not end within {WORKER_WAIT_SECONDS:g} s")
                continue
            if process.returncode:
                report.problems.append(f"worker {name} {self._end_of(name, process.returncode)}")
            else:
                report.add(json.loads(output))
        return report

    def close(self) -> None:
        """Kill running workers; a second call does nothing."""
        for name, process in self._processes.items():
            if process.poll() is None:
                # Each worker leads a session of its own, with its proofreaders.
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()
            with contextlib.suppress(OSError):
                if not self._errors(name).stat().st_size:
                    self._errors(name).unlink()

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _start(self, name: str, command: list[str], environment: dict[str, str]) -> None:
        with self._errors(name).open("w") as errors, interruptions_held():
            self._processes[name] = subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                # Ctrl-C on the terminal is for the demo, which lets the workers finish.
                start_new_session=True,
            )

    def _errors(self, name: str) -> Path:
        return self._folder / f"worker-{name}.stderr"

    def _end_of(self, name: str, status: int) -> str:
        if status < 0:
            return f"was killed by {signal.Signals(-status).name}"
        lines = self._errors(name).read_text(errors="replace").split("\n")
        last = next((line for line in reversed(lines) if line.strip()), "no output on stderr")
        return f"exited with status {status}: {last}"


@contextlib.contextmanager
def interruptions_held() -> Iterator[None]:
    """Block Ctrl-C; a process that is started meanwhile never receives it, not even during its start."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def program(function: str, *arguments: object) -> list[str]:
    """Return the command that calls a demo function, such as `worker.work`, in a new process.

    It has the import path of this process, so that files in the working directory do not matter.
    """
    source = f"import sys; sys.path[:] = {sys.path!r}; "
    module, _, name = function.partition(".")
    source += f"from chora_logging.cli.demo.{module} import {name}; {name}(*{arguments!r})"
    return [sys.executable, "-c", source]

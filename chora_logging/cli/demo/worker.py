"""A worker of the demo: builds pages from templates, job after job, until its stdin is closed.

Each job has a trace id of its own, and an address with a secret, which a filter replaces in the log. One job
in ten has a template with a value that does not exist, and fails as programs do: with an exception.
"""

from __future__ import annotations

import json
import logging
import os
import select
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from string import Template
from typing import Any

from chora_logging.cli.demo.crew import SECRET, program
from chora_logging.config import setup_logging
from chora_logging.context import child_env, get_trace_id, trace_context
from chora_logging.errors import ChoraLoggingError
from chora_logging.filtering.redaction import RedactFilter
from chora_logging.orchestrator import log_orchestrator_event
from chora_logging.schema import ORCHESTRATOR_LOGGER
from chora_logging.telemetry import (
    ArtifactAssembledEvent,
    ContentGeneratedEvent,
    TelemetryEvent,
    ValidationCompletedEvent,
    emit_event,
)

#: The pause after a job, in seconds.
REST_SECONDS = 0.02
#: Which of ten jobs fails, and the number of pages, which are built over and over.
FAILS_AT, OF = 2, 10
#: How long to wait for the last proofreader, in seconds.
PROOFREADER_WAIT_SECONDS = 30.0

SECTIONS = {
    "title": "<h1>$name</h1>\n",
    "body": "<p>Job $number of $builder has built this page.</p>\n" * 8,
    "footer": "<footer>$name, by $builder</footer>\n",
}
#: The section that fails: no job has an `author`.
BROKEN = "<footer>$name, by $author</footer>\n"

TELEMETRY = "telemetry"
ORCHESTRATOR = "orchestrator"

#: More than any run of the demo makes: if backups were deleted, nothing could be proved.
BACKUPS = 100_000


class SectionGenerated(ContentGeneratedEvent):
    """A section has been rendered, or has failed; with the fields for the account."""

    writer: str
    seq: int


class PageAssembled(ArtifactAssembledEvent):
    """The sections have been assembled."""

    writer: str
    seq: int


class PageValidated(ValidationCompletedEvent):
    """A page has been checked against the rules."""

    writer: str
    seq: int


class Pen:
    """Writes both kinds of events, and counts them by writer and by trace.

    Args:
        writer: The name of the writer, whose events are numbered from 0 in each of the two logs.
        max_bytes: The size at which the logs are rotated. Their paths are in the environment.
    """

    def __init__(self, writer: str, max_bytes: int) -> None:
        setup_logging(console=False, max_bytes=max_bytes, backup_count=BACKUPS)
        for handler in logging.getLogger(ORCHESTRATOR_LOGGER).handlers:
            handler.addFilter(RedactFilter())
        self.writer = writer
        self.written = {TELEMETRY: Counter({writer: 0}), ORCHESTRATOR: Counter({writer: 0})}
        self.traces: dict[str, Counter[str]] = {}

    def emit(self, kind: Callable[..., TelemetryEvent], **fields: Any) -> None:
        """Emit a typed event."""
        emit_event(kind(writer=self.writer, seq=self.written[TELEMETRY][self.writer], **fields))
        self._count(TELEMETRY)

    def log(self, event: str, task_id: str, run_id: str, **fields: Any) -> None:
        """Log an event of the orchestrator."""
        number = self.written[ORCHESTRATOR][self.writer]
        log_orchestrator_event(event, task_id, run_id, writer=self.writer, seq=number, **fields)
        self._count(ORCHESTRATOR)

    def add(self, report: dict[str, Any]) -> None:
        """Add the report of another process."""
        for log, counts in report["written"].items():
            self.written[log].update(counts)
        for trace_id, counts in report["traces"].items():
            self.traces.setdefault(trace_id, Counter()).update(counts)

    def report(self, **more: Any) -> None:
        """Report the numbers of written events on stdout, to the process that started this one."""
        json.dump({"written": self.written, "traces": self.traces, **more}, sys.stdout)
        sys.stdout.flush()

    def _count(self, log: str) -> None:
        self.written[log][self.writer] += 1
        self.traces.setdefault(get_trace_id() or "", Counter())[log] += 1


class BuildError(ChoraLoggingError):
    """A page could not be built."""


class Worker:
    """Builds pages.

    Args:
        pen: Writes the events.
        folder: The folder for the pages.
        max_bytes: The size at which its proofreaders rotate the logs.
    """

    def __init__(self, pen: Pen, folder: str, max_bytes: int) -> None:
        self.pen = pen
        self.folder = folder
        self.jobs: Counter[str] = Counter(completed=0, failed=0)
        self._max_bytes = max_bytes
        self._reading: subprocess.Popen[str] | None = None
        os.makedirs(folder, exist_ok=True)

    def work(self) -> None:
        """Do jobs until stdin is closed, which also happens when the demo itself is killed."""
        number = 0
        while not select.select([sys.stdin], [], [], REST_SECONDS if number else 0)[0]:
            number += 1
            with trace_context():
                self.run_job(number)
        self._collect(wait=True)

    def run_job(self, number: int) -> None:
        """Build one page, and log the result."""
        task, run = f"build-page-{number % OF}", f"{self.pen.writer}-{number:04}"
        began = time.perf_counter()
        asked_by = f"https://pages.test/{task}?token={SECRET}{os.urandom(4).hex()}"
        self.pen.log("task_started", task, run, status="running", asked_by=asked_by)
        try:
            path = self.build(number)
        except BuildError as error:
            self.jobs["failed"] += 1
            self.pen.log(
                "job_failed",
                task,
                run,
                level="ERROR",
                status="failed",
                error=f"{error} ({error.__cause__!r})",
                duration_ms=_since(began),
            )
            return
        started = self._start_proofreader(path, task, run)
        self.jobs["completed"] += 1
        self.pen.log(
            "job_completed", task, run, status="completed", duration_ms=_since(began), proofread=started
        )

    def build(self, number: int) -> str:
        """Render the sections of a page, assemble and check it, and return its path."""
        page = f"page-{number % OF}"
        began = time.perf_counter()
        paths = [self.render(page, section, number) for section in SECTIONS]
        text = "".join(_read(path) for path in paths)
        path = os.path.join(self.folder, f"{page}.html")
        _write(path, text)
        self.pen.emit(
            PageAssembled,
            artifact_config_id=page,
            section_count=len(paths),
            duration_ms=_since(began),
            output_path=path,
            status="success",
        )
        began = time.perf_counter()
        self.pen.emit(
            PageValidated,
            content_config_id=page,
            validation_passed="$" not in text and text.startswith("<h1>"),
            rule_count=2,
            duration_ms=_since(began),
            status="success",
        )
        return path

    def render(self, page: str, section: str, number: int) -> str:
        """Render one section into a file, emit an event also if that fails, and return the path."""
        template = SECTIONS[section]
        if section == "footer" and number % OF == FAILS_AT:
            template = BROKEN
        began, problem = time.perf_counter(), None
        path = os.path.join(self.folder, f"{page}.{section}")
        try:
            _write(path, Template(template).substitute(name=page, builder=self.pen.writer, number=number))
        except KeyError as error:
            problem = f"the template asks for {error}"
            raise BuildError(f"{page} has no {section}") from error
        finally:
            self.pen.emit(
                SectionGenerated,
                content_config_id=f"{page}/{section}",
                generator_type="template",
                duration_ms=_since(began),
                status="error" if problem else "success",
                error_message=problem,
            )
        return path

    def _start_proofreader(self, path: str, task: str, run: str) -> bool:
        """Start a proofreader, which continues the trace, unless the previous one is still running."""
        self._collect(wait=False)
        if self._reading is not None:
            return False
        self._reading = subprocess.Popen(
            program("worker.proofread", f"{run}-proof", path, task, run, self._max_bytes),
            env=child_env(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        return True

    def _collect(self, *, wait: bool) -> None:
        reading = self._reading
        if reading is None or (not wait and reading.poll() is None):
            return
        output, _ = reading.communicate(timeout=PROOFREADER_WAIT_SECONDS)
        if reading.returncode:
            raise BuildError(f"a proofreader exited with status {reading.returncode}")
        self.pen.add(json.loads(output))
        self._reading = None


def work(writer: str, folder: str, max_bytes: int) -> None:
    """Run a worker, and report its events and jobs on stdout."""
    pen = Pen(writer, max_bytes)
    worker = Worker(pen, folder, max_bytes)
    worker.work()
    pen.report(jobs=worker.jobs)


def proofread(writer: str, path: str, task: str, run: str, max_bytes: int) -> None:
    """Check the page at *path*, and report the events about it on stdout.

    The trace id of the worker comes through the environment, from `child_env`, without code here.
    """
    pen = Pen(writer, max_bytes)
    began = time.perf_counter()
    pen.log("proof_started", task, run, status="running")
    with open(path, encoding="utf-8") as file:
        text = file.read()
    duration = round((time.perf_counter() - began) * 1000)
    pen.emit(
        PageValidated,
        content_config_id=os.path.basename(path),
        validation_passed=text.count("<") == text.count(">"),
        rule_count=1,
        duration_ms=duration,
        status="success",
    )
    pen.log("proof_completed", task, run, status="completed", duration_ms=duration)
    pen.report()


def _since(began: float) -> int:
    return round((time.perf_counter() - began) * 1000)


def _read(path: str) -> str:
    with open(path, encoding="utf-8") as file:
        return file.read()


def _write(path: str, text: str) -> None:
    # A proofreader may have the previous page open, and must not see half of this one.
    with open(path + ".new", "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(path + ".new", path)

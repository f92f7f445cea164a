"""How the processes of the demo write events: numbered, so that every single one can be missed."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

from chora_logging.config import setup_logging
from chora_logging.context import get_trace_id
from chora_logging.orchestrator import log_orchestrator_event
from chora_logging.telemetry import (
    ArtifactAssembledEvent,
    ContentGeneratedEvent,
    TelemetryEvent,
    ValidationCompletedEvent,
    emit_event,
)

TELEMETRY = "telemetry"
ORCHESTRATOR = "orchestrator"

#: More than any run of the demo makes: nothing may be deleted, or nothing could be proved.
BACKUPS = 100_000


class SectionGenerated(ContentGeneratedEvent):
    """A section has been rendered, or could not be; with the fields of the demo's account."""

    writer: str
    seq: int


class PageAssembled(ArtifactAssembledEvent):
    """The sections have been put together."""

    writer: str
    seq: int


class PageValidated(ValidationCompletedEvent):
    """A page has been checked against the rules."""

    writer: str
    seq: int


class Pen:
    """Writes both kinds of events and counts what it wrote, by writer and by trace.

    Args:
        writer: Who writes; the number of each event counts from 0 in each of the two logs.
        max_bytes: The size at which the logs are rotated. Where they are is in the environment.
    """

    def __init__(self, writer: str, max_bytes: int) -> None:
        setup_logging(console=False, max_bytes=max_bytes, backup_count=BACKUPS)
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
        """Add what another process has written."""
        for log, counts in report["written"].items():
            self.written[log].update(counts)
        for trace_id, counts in report["traces"].items():
            self.traces.setdefault(trace_id, Counter()).update(counts)

    def report(self, **more: Any) -> None:
        """Tell the process that started this one, on stdout, what was written."""
        json.dump({"written": self.written, "traces": self.traces, **more}, sys.stdout)
        sys.stdout.flush()

    def _count(self, log: str) -> None:
        self.written[log][self.writer] += 1
        self.traces.setdefault(get_trace_id() or "", Counter())[log] += 1

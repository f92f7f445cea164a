"""Typed events that a gateway can rely on: pydantic models, one line each, in a file that is shared."""

from __future__ import annotations

from chora_logging.telemetry.event_emitter import EventEmitter, emit_event, get_emitter
from chora_logging.telemetry.event_schemas import (
    ArtifactAssembledEvent,
    ContentGeneratedEvent,
    TelemetryEvent,
    ValidationCompletedEvent,
)

__all__ = [
    "ArtifactAssembledEvent",
    "ContentGeneratedEvent",
    "EventEmitter",
    "TelemetryEvent",
    "ValidationCompletedEvent",
    "emit_event",
    "get_emitter",
]

"""Typed events for gateways: pydantic models, written one per line to a file that processes share."""

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

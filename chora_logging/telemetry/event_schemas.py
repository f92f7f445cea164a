"""The typed events of chora telemetry, and the fields that a gateway can rely on in their lines.

A line is the event's own JSON, with the fields in the order of earlier versions: time, trace and type,
then the subject, then the outcome.
"""

from __future__ import annotations

import logging
import time
from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, BeforeValidator, Field, TypeAdapter

from chora_logging import speedups
from chora_logging.formatting.timestamps import rfc3339, rfc3339_of
from chora_logging.schema import TELEMETRY_LOGGER

_MOMENT: TypeAdapter[datetime] = TypeAdapter(datetime)


def _now() -> str:
    return rfc3339(time.time())


def _as_timestamp(value: Any) -> Any:
    if isinstance(value, datetime):
        return rfc3339_of(value)
    if isinstance(value, str):
        _MOMENT.validate_python(value)
    return value


class _Head(BaseModel):
    # pydantic orders the fields of a class by its reversed MRO. The parts of an event are separate base
    # classes, so that `status` comes after the subject without being repeated.
    timestamp: Annotated[str, BeforeValidator(_as_timestamp)] = Field(default_factory=_now)
    trace_id: str | None = None
    event_type: str


class _ContentSubject(_Head):
    content_config_id: str
    generator_type: str


class _ArtifactSubject(_Head):
    artifact_config_id: str
    section_count: int = Field(ge=0)
    output_path: str | None = None


class _ValidationSubject(_Head):
    content_config_id: str
    validation_passed: bool
    rule_count: int = Field(ge=0)


class TelemetryEvent(_Head):
    """A typed event; subclass it for your own events (`gateway.*`, `workflow.*`).

    Give the subclass an `event_type` and its fields; they are written after the inherited ones.

    Attributes:
        timestamp: The time of the event, RFC 3339 in UTC with microseconds; the default is now. A
            datetime is converted (without a zone it is local time); a string must be a date
            and time, and is kept unchanged.
        trace_id: The trace of the event; `EventEmitter.emit` sets it when it is None.
        event_type: The kind of event.
        status: The outcome.

    Raises:
        pydantic.ValidationError: a field is missing or invalid.

    >>> class ToolCalled(TelemetryEvent):
    ...     event_type: str = "gateway.tool_called"
    ...     tool: str
    >>> ToolCalled(status="success", tool="search").event_type
    'gateway.tool_called'
    """

    # The name is schema.EVENT_MARK: the formatter recognises events by it without importing pydantic.
    __chora_event__: ClassVar[bool] = True

    status: Literal["success", "error"]


# Before pydantic 2.11 this method and the serializer below it wrote aliases in different ways.
if speedups.in_use and (BaseModel.model_dump_json.__kwdefaults__ or {}).get("by_alias", True) is None:
    speedups.events_are(
        TelemetryEvent, BaseModel.model_dump_json, logging.Logger.manager.loggerDict, TELEMETRY_LOGGER
    )


class ContentGeneratedEvent(TelemetryEvent, _ContentSubject):
    """A generator produced content, or failed (`status="error"`, `error_message`).

    Example:
        >>> ContentGeneratedEvent(
        ...     content_config_id="intro", generator_type="llm", status="success", duration_ms=42
        ... ).event_type
        'chora.content_generated'
    """

    event_type: Literal["chora.content_generated"] = "chora.content_generated"
    duration_ms: int = Field(ge=0)
    error_message: str | None = None


class ArtifactAssembledEvent(TelemetryEvent, _ArtifactSubject):
    """An artifact was assembled from its sections, or its assembly failed.

    Example:
        >>> ArtifactAssembledEvent(
        ...     artifact_config_id="guide", section_count=3, status="success", duration_ms=90
        ... ).event_type
        'chora.artifact_assembled'
    """

    event_type: Literal["chora.artifact_assembled"] = "chora.artifact_assembled"
    duration_ms: int = Field(ge=0)
    error_message: str | None = None


class ValidationCompletedEvent(TelemetryEvent, _ValidationSubject):
    """Content was checked against its rules.

    Example:
        >>> ValidationCompletedEvent(
        ...     content_config_id="intro", validation_passed=True, rule_count=2,
        ...     status="success", duration_ms=3,
        ... ).event_type
        'chora.validation_completed'
    """

    event_type: Literal["chora.validation_completed"] = "chora.validation_completed"
    duration_ms: int = Field(ge=0)
    error_message: str | None = None

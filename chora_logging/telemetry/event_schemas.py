"""The typed events of chora telemetry: what a gateway may rely on finding in a line.

A line is the event's own JSON, its fields in the order that gateways have seen so far: what happened
when and under which trace, then what it happened to, then how it went.
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
    # pydantic puts the fields of a class in the order of its reversed MRO. That is why the parts of
    # an event stand in bases of their own: `status` comes after the subject without being repeated.
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
    """One typed event; subclass it for events of your own (`gateway.*`, `workflow.*`).

    Give the subclass an `event_type` and its fields; they are written after the inherited ones.

    Attributes:
        timestamp: When it happened, RFC 3339 in UTC with microseconds; now unless given. A datetime
            is converted (without a zone it is local time); a string is kept as it is.
        trace_id: Which operation it belongs to; `EventEmitter.emit` fills it in when it is None.
        event_type: What happened.
        status: How it ended.

    Raises:
        pydantic.ValidationError: a field is missing or is not what it must be.

    >>> class ToolCalled(TelemetryEvent):
    ...     event_type: str = "gateway.tool_called"
    ...     tool: str
    >>> ToolCalled(status="success", tool="search").event_type
    'gateway.tool_called'
    """

    # The name is schema.EVENT_MARK: the formatter recognises events by it and needs no pydantic.
    __chora_event__: ClassVar[bool] = True

    status: Literal["success", "error"]


# Before pydantic 2.11 this method and the serializer below it wrote aliases in different ways.
if speedups.in_use and (BaseModel.model_dump_json.__kwdefaults__ or {}).get("by_alias", True) is None:
    speedups.events_are(
        TelemetryEvent, BaseModel.model_dump_json, logging.Logger.manager.loggerDict, TELEMETRY_LOGGER
    )


class ContentGeneratedEvent(TelemetryEvent, _ContentSubject):
    """A generator has produced content, or failed to (`status="error"`, `error_message`)."""

    event_type: Literal["chora.content_generated"] = "chora.content_generated"
    duration_ms: int = Field(ge=0)
    error_message: str | None = None


class ArtifactAssembledEvent(TelemetryEvent, _ArtifactSubject):
    """An artifact has been put together from its sections, or could not be."""

    event_type: Literal["chora.artifact_assembled"] = "chora.artifact_assembled"
    duration_ms: int = Field(ge=0)
    error_message: str | None = None


class ValidationCompletedEvent(TelemetryEvent, _ValidationSubject):
    """Content has been checked against its rules."""

    event_type: Literal["chora.validation_completed"] = "chora.validation_completed"
    duration_ms: int = Field(ge=0)
    error_message: str | None = None

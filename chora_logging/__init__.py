"""Typed, traced, machine-readable events through Python's own `logging`.

Importing the package loads only the standard library and touches neither the logging tree nor the disk
nor the network. Each name and each module is loaded on first use.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import sys
import types
from typing import TYPE_CHECKING, Any

from chora_logging._version import __version__

if TYPE_CHECKING:
    from chora_logging.binding import BoundLogger, bind, get_bound_fields, set_bound_fields
    from chora_logging.config import get_logging_config, setup_logging
    from chora_logging.context import TraceIdFilter, child_env, get_trace_id, set_trace_id, trace_context
    from chora_logging.errors import (
        ChoraLoggingError,
        ConfigurationError,
        CursorError,
        MissingExtraError,
        TraceIdError,
    )
    from chora_logging.eventlog import EventLog, Gap
    from chora_logging.filtering.rate_limit import RateLimitFilter
    from chora_logging.filtering.redaction import RedactFilter
    from chora_logging.filtering.sampling import TraceSampleFilter
    from chora_logging.formatting.formatter import EventFormatter
    from chora_logging.orchestrator import (
        get_orchestrator_events,
        get_request_logger,
        log_orchestrator_event,
        setup_orchestrator_logging,
        stream_orchestrator_events,
    )
    from chora_logging.telemetry import (
        ArtifactAssembledEvent,
        ContentGeneratedEvent,
        EventEmitter,
        TelemetryEvent,
        ValidationCompletedEvent,
        emit_event,
        get_emitter,
    )
    from chora_logging.testing import capture_events
    from chora_logging.web import TraceMiddleware as TraceMiddleware
    from chora_logging.web import create_app as create_app
    from chora_logging.web import include as include
    from chora_logging.web import routes as routes
    from chora_logging.writing.buffered import BufferedEventFileHandler
    from chora_logging.writing.handler import EventFileHandler
    from chora_logging.writing.queue_handler import EventQueueHandler

__all__ = [
    "ArtifactAssembledEvent",
    "BoundLogger",
    "BufferedEventFileHandler",
    "ChoraLoggingError",
    "ConfigurationError",
    "ContentGeneratedEvent",
    "CursorError",
    "EventEmitter",
    "EventFileHandler",
    "EventFormatter",
    "EventLog",
    "EventQueueHandler",
    "Gap",
    "MissingExtraError",
    "RateLimitFilter",
    "RedactFilter",
    "TelemetryEvent",
    "TraceIdError",
    "TraceIdFilter",
    "TraceSampleFilter",
    "ValidationCompletedEvent",
    "__version__",
    "bind",
    "capture_events",
    "child_env",
    "emit_event",
    "get_bound_fields",
    "get_emitter",
    "get_logging_config",
    "get_orchestrator_events",
    "get_request_logger",
    "get_trace_id",
    "log_orchestrator_event",
    "set_bound_fields",
    "set_trace_id",
    "setup_logging",
    "setup_orchestrator_logging",
    "stream_orchestrator_events",
    "trace_context",
]

_EXPORTS = {
    "binding": ("BoundLogger", "bind", "get_bound_fields", "set_bound_fields"),
    "config": ("get_logging_config", "setup_logging"),
    "context": ("TraceIdFilter", "child_env", "get_trace_id", "set_trace_id", "trace_context"),
    "errors": ("ChoraLoggingError", "ConfigurationError", "CursorError", "MissingExtraError", "TraceIdError"),
    "eventlog": ("EventLog", "Gap"),
    "filtering.rate_limit": ("RateLimitFilter",),
    "filtering.redaction": ("RedactFilter",),
    "filtering.sampling": ("TraceSampleFilter",),
    "formatting.formatter": ("EventFormatter",),
    "orchestrator": (
        "get_orchestrator_events",
        "get_request_logger",
        "log_orchestrator_event",
        "setup_orchestrator_logging",
        "stream_orchestrator_events",
    ),
    "telemetry": (
        "ArtifactAssembledEvent",
        "ContentGeneratedEvent",
        "EventEmitter",
        "TelemetryEvent",
        "ValidationCompletedEvent",
        "emit_event",
        "get_emitter",
    ),
    "testing": ("capture_events",),
    "writing.buffered": ("BufferedEventFileHandler",),
    "writing.handler": ("EventFileHandler",),
    "writing.queue_handler": ("EventQueueHandler",),
    # Not in __all__: `from chora_logging import *` works without extras.
    "web": ("TraceMiddleware", "create_app", "include", "routes"),
}
_MODULE_OF = {name: module for module, names in _EXPORTS.items() for name in names}
_MODULES = {module.partition(".")[0] for module in _EXPORTS}

#: Module paths of earlier versions, which configurations and pickles may still name.
_MOVED = {
    "buffered": "writing.buffered",
    "filters": "context",
    "formatter": "formatting.formatter",
    "handler": "writing.handler",
    "queue_handler": "writing.queue_handler",
}


class _MovedModule(types.ModuleType):
    """A module under its earlier path; it looks names up in the module at the current path."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.__spec__ = importlib.machinery.ModuleSpec(name, None)  # without one, `find_spec` raises

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        old = self.__name__.rpartition(".")[2]
        return getattr(importlib.import_module(f"{__name__}.{_MOVED[old]}"), name)


for _old in _MOVED:
    globals()[_old] = sys.modules[f"{__name__}.{_old}"] = _MovedModule(f"{__name__}.{_old}")


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    if name in _MODULE_OF:
        value = getattr(importlib.import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULE_OF, *_MODULES})

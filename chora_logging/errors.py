"""Every exception that this package raises.

    ChoraLoggingError
    ├── ConfigurationError (ValueError)    a setting, argument or environment variable that cannot be used
    ├── TraceIdError (ValueError)          a trace id that cannot be carried
    ├── CursorError (ValueError)           a position in a log that cannot be understood
    ├── RotationBlockedError (OSError)     a rotation that has to wait
    │   └── RotationBusyError              … for another process that is rotating
    └── MissingExtraError (ImportError)    an optional dependency that is not installed

Each derives from the fitting builtin too, so `except ValueError` keeps working, keeps its parts as
attributes, and survives pickling (it can come back from a worker process).
"""

from __future__ import annotations

from typing import Any


class ChoraLoggingError(Exception):
    """Base of every exception of this package."""


class ConfigurationError(ChoraLoggingError, ValueError):
    """A setting cannot be used.

    Attributes:
        name: The argument or environment variable, as the user wrote it.
        value: What came.
        allowed: What is allowed, as a phrase that completes "must be …".
    """

    def __init__(self, name: str, value: Any, allowed: str) -> None:
        super().__init__(name, value, allowed)
        self.name = name
        self.value = value
        self.allowed = allowed

    def __str__(self) -> str:
        return f"{self.name} must be {self.allowed}, got {self.value!r}"


class TraceIdError(ChoraLoggingError, ValueError):
    """A trace id is empty, too long or has control characters.

    Attributes:
        trace_id: What came.
        rule: The rule that it breaks, as a phrase that completes "must …".
    """

    def __init__(self, trace_id: Any, rule: str) -> None:
        super().__init__(trace_id, rule)
        self.trace_id = trace_id
        self.rule = rule

    def __str__(self) -> str:
        shown = repr(self.trace_id)
        return f"trace_id must {self.rule}, got {shown if len(shown) <= 80 else shown[:77] + '...'}"


class MissingExtraError(ChoraLoggingError, ImportError):
    """An optional dependency is not installed.

    Attributes:
        package: The distribution that is missing.
        extra: The extra of this package that brings it.
    """

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(package, extra)
        self.package = package
        self.extra = extra

    def __str__(self) -> str:
        return f"{self.package} is not installed: pip install 'chora_logging[{self.extra}]'"


class CursorError(ChoraLoggingError, ValueError):
    """A cursor is malformed: cut off, changed, or never one.

    Attributes:
        cursor: What came.
    """

    def __init__(self, cursor: Any) -> None:
        super().__init__(cursor)
        self.cursor = cursor

    def __str__(self) -> str:
        return f"cursor must be one that an event came with, unchanged, got {self.cursor!r}"


class _PathError(ChoraLoggingError, OSError):
    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


class RotationBlockedError(_PathError):
    """A rotation cannot go on now; records go on being written and it is tried again.

    Attributes:
        path: What stands in the way.
        reason: Why.
    """


class RotationBusyError(RotationBlockedError):
    """Another process is rotating this log."""


class BufferFullError(_PathError):
    """A record is dropped: what is gathered waits for a disk that is too slow or refuses it.

    Attributes:
        path: The log.
        reason: What waits, and why.
    """

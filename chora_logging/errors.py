"""The exceptions of this package.

    ChoraLoggingError
    ├── ConfigurationError (ValueError)    a setting, argument or environment variable is invalid
    │   └── UnknownOptionError (TypeError)  … because there is none of this name
    ├── TraceIdError (ValueError)          a trace id is invalid
    ├── CursorError (ValueError)           a cursor is malformed
    ├── RotationBlockedError (OSError)     a rotation is postponed
    │   ├── RotationBusyError              … because another process is rotating
    │   └── ForeignBackupsError            … because another tool rotates the log
    ├── BufferFullError (OSError)          a buffered record is dropped
    ├── LineTooLongError (OSError)         a record is dropped: no reader would take its line
    ├── UnsyncedError (OSError)            a record is written, but not on the disk
    ├── ServerError (OSError)              servers do not do what they are asked
    │   ├── NoAnswerError (ConnectionError) … because none answers now; a later try may succeed
    │   ├── RefusedError (PermissionError) … because a person must change something first
    │   ├── AnswerError                    … and say so with a number
    │   └── OtherShipperError              … because another shipper ships the log
    └── MissingExtraError (ImportError)    an optional dependency is not installed

Each also derives from a builtin exception, so `except ValueError` keeps working. Each has its parts as
attributes and can be pickled, so it can come back from a worker process.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

#: How much of a bad value a message has: a long path as a whole.
_SHOWN_CHARS = 1000


class ChoraLoggingError(Exception):
    """Base class of the exceptions of this package.

    Example:
        >>> try:
        ...     EventFileHandler("app.log", maxBytes="ten")
        ... except ChoraLoggingError as error:
        ...     print(type(error).__name__)
        ConfigurationError
    """


class ConfigurationError(ChoraLoggingError, ValueError):
    """A setting has an invalid value.

    Attributes:
        name: The argument or environment variable, as the user wrote it.
        value: The invalid value.
        allowed: The rule for values, as a phrase that completes "must be …".

    Example:
        >>> try:
        ...     EventFileHandler("app.log", backupCount=-1)
        ... except ConfigurationError as error:
        ...     print(error)
        backupCount must be a whole number, 0 or more, got -1
    """

    def __init__(self, name: str, value: Any, allowed: str) -> None:
        super().__init__(name, value, allowed)
        self.name = name
        self.value = value
        self.allowed = allowed

    def __str__(self) -> str:
        return f"{self.name} must be {self.allowed}, got {_shown(self.value)}"


def _shown(value: object, most: int = _SHOWN_CHARS) -> str:
    try:
        text = repr(value)
    except Exception:  # a number with more digits than Python converts, or an object that raises
        return f"a value of the type {type(value).__name__} that cannot be printed"
    return text if len(text) <= most else text[: most - 3] + "..."


class UnknownOptionError(ConfigurationError, TypeError):
    """A function or class has no option of this name.

    It is a `TypeError` as well, as Python's own error for an unexpected keyword argument is; `dictConfig`
    depends on that.

    Attributes:
        name: The option, as the user wrote it.
        value: Its value.
        owner: The function or class.
        options: The options that it has.
    """

    def __init__(self, name: str, value: Any, owner: str, options: tuple[str, ...]) -> None:
        super().__init__(name, value, f"one of {', '.join(options)}")
        self.args: tuple[Any, ...] = (name, value, owner, options)
        self.owner = owner
        self.options = options

    def __str__(self) -> str:
        near = nearest(self.name, self.options)
        meant = f": did you mean {near!r}? Its" if near else "; its"
        return f"{self.owner} has no option {self.name!r}{meant} options are {', '.join(self.options)}"


def nearest(name: str, names: Iterable[str]) -> str | None:
    """Return that of *names* which *name* is most likely a misspelling of; None if there is none."""
    import difflib  # imported here because only errors need it

    by_lower = {known.lower(): known for known in names}
    found = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.7)
    return by_lower[found[0]] if found else None


class TraceIdError(ChoraLoggingError, ValueError):
    """A trace id is not a string, is empty or too long, or has control characters.

    Attributes:
        trace_id: The invalid trace id.
        rule: The rule that it breaks, as a phrase that completes "must …".

    Example:
        >>> try:
        ...     set_trace_id("two\\nlines")
        ... except TraceIdError as error:
        ...     print(error)
        trace_id must have no control characters, got 'two\\nlines'
    """

    def __init__(self, trace_id: Any, rule: str) -> None:
        super().__init__(trace_id, rule)
        self.trace_id = trace_id
        self.rule = rule

    def __str__(self) -> str:
        return f"trace_id must {self.rule}, got {_shown(self.trace_id, 80)}"


class MissingExtraError(ChoraLoggingError, ImportError):
    """An optional dependency is not installed.

    Attributes:
        package: The missing distribution.
        extra: The extra of this package that installs it.

    Example:
        >>> print(MissingExtraError("starlette", "web"))
        starlette is not installed: pip install 'chora_logging[web]'
    """

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(package, extra)
        self.package = package
        self.extra = extra

    def __str__(self) -> str:
        return f"{self.package} is not installed: pip install 'chora_logging[{self.extra}]'"


class CursorError(ChoraLoggingError, ValueError):
    """A cursor is malformed: truncated, changed, or not a cursor at all.

    Attributes:
        cursor: The malformed cursor.

    Example:
        >>> try:
        ...     next(EventLog("app.log").read(after="no cursor"))
        ... except CursorError as error:
        ...     print(error)
        cursor must be one that an event came with, unchanged, got 'no cursor'
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
    """A rotation cannot proceed now. Records are still written, and the rotation is retried.

    Attributes:
        path: The path that blocks it.
        reason: The reason.
    """


class RotationBusyError(RotationBlockedError):
    """Another process is rotating this log."""


class ForeignBackupsError(RotationBlockedError):
    """Another tool rotates this log: files that are not ours, as far as is known, have names of backups."""


class BufferFullError(_PathError):
    """A record is dropped because the buffer is full: the disk is too slow or refuses writes.

    Attributes:
        path: The log.
        reason: How many bytes are waiting, and the error of the last write if there was one.
    """


class LineTooLongError(_PathError):
    """A record is refused because its line is longer than readers take (32 MiB).

    Attributes:
        path: The log.
        reason: The length of the line and the longest one, in bytes.
    """


class UnsyncedError(_PathError):
    """Lines were written, but `fsync` failed: they may not survive a power cut.

    Attributes:
        path: The log.
        reason: The error of `fsync`.
        lines: The lines.
    """

    def __init__(self, path: str, reason: str, lines: Sequence[bytes] = ()) -> None:
        super().__init__(path, reason)
        self.lines = lines


class ServerError(ChoraLoggingError, OSError):
    """The servers of a log do not do what they are asked.

    Attributes:
        address: The address of the stream or the collector, without credentials.
        reason: What happened, for people.
    """

    def __init__(self, address: str, reason: str) -> None:
        super().__init__(address, reason)
        self.address = address
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.address}: {self.reason}"


class NoAnswerError(ServerError, ConnectionError):
    """No server answers now. Whether it has done what it was asked is not known; a later try may succeed."""


class RefusedError(ServerError, PermissionError):
    """A server refuses, until a person changes its configuration, the stream or the credentials."""


class AnswerError(ServerError):
    """JetStream answers with an error.

    Attributes:
        code: Its number (`err_code`).
    """

    def __init__(self, address: str, reason: str, code: int) -> None:
        super().__init__(address, reason)
        self.args: tuple[Any, ...] = (address, reason, code)
        self.code = code

    def __str__(self) -> str:
        return f"{self.address}: {self.reason} ({self.code})"


class OtherShipperError(ServerError):
    """Another shipper ships the same log, or another log under the same name."""

"""The current trace id of a task, thread or process, and the filter that puts it on records.

The first source that has an id gives it: `trace_context` or `set_trace_id`, an active OpenTelemetry
span, `CHORA_TRACE_ID`, the trace id of a W3C `TRACEPARENT`. The last two are read from the environment
each time, so a change takes effect immediately.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import sys
from collections.abc import Callable, Mapping
from contextvars import ContextVar, Token
from types import TracebackType
from typing import Any, Generic, TypeVar, cast

from chora_logging import speedups
from chora_logging.errors import TraceIdError
from chora_logging.schema import EVENT_MARK, OWN_LOGGER, SETTLED_ATTRIBUTE
from chora_logging.trace_ids import NO_TRACE, check_trace_id, new_trace_id, parse_traceparent

#: The environment variable that carries a trace id to a child process.
TRACE_ID_VARIABLE = "CHORA_TRACE_ID"

_Function = TypeVar("_Function", bound=Callable[..., Any])
_Value = TypeVar("_Value")

current: ContextVar[str | None] = ContextVar("chora_trace_id", default=None)

#: Puts the bound fields among a record's attributes; set by `chora_logging.binding` once it is imported.
put_bound_fields: Callable[[Any, dict[str, Any]], None] | None = None


class ContextBlock(Generic[_Value]):
    """Sets a context variable for a block of code or for each call of a function."""

    __slots__ = ("_tokens",)

    def __init__(self) -> None:
        self._tokens: list[Token[Any]] = []

    def _set(self) -> tuple[_Value, Token[Any]]:
        """Set the variable; return what `with … as` binds, and the token to restore the former value with."""
        raise NotImplementedError

    def _again(self) -> ContextBlock[_Value]:
        """Return another block like this one, for a call of a decorated function."""
        raise NotImplementedError

    def __enter__(self) -> _Value:
        value, token = self._set()
        self._tokens.append(token)
        return value

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # Several tasks may have entered this object concurrently: reset the newest token of this context.
        for token in reversed(self._tokens):
            try:
                token.var.reset(token)
            except (ValueError, RuntimeError):
                continue
            self._tokens.remove(token)
            return

    async def __aenter__(self) -> _Value:
        return self.__enter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.__exit__(kind, error, trace)

    def __call__(self, function: _Function) -> _Function:
        """Return *function* wrapped so that each call runs in such a block of its own."""
        import inspect  # imported here because only decorators need it

        name = type(self).__name__
        if not callable(function):  # a classmethod, say
            raise TypeError(f"{name} cannot decorate {function!r}: write it below the other decorator")
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError(
                f"{name} cannot decorate a generator function: its body runs in the caller's "
                f"context; use `with {name}(…):` inside it"
            )
        again = self._again
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def coroutine(*args: Any, **kwargs: Any) -> Any:
                with again():
                    return await function(*args, **kwargs)

            return cast("_Function", coroutine)

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            with again():
                return function(*args, **kwargs)

        return cast("_Function", call)


class trace_context(ContextBlock[str]):  # noqa: N801 - reads as a verb: `with trace_context("abc"):`
    """Set the trace id for a block of code or for each call of a function.

    Use it as `with trace_context("abc"):`, as `async with`, or as a decorator of a function or
    coroutine function. Without an id each entry or call gets a new one. `with … as trace_id:` binds it.

    The id applies to the current task or thread and to every task and `asyncio.to_thread` call that
    starts from it. The end of the block restores the former id. A thread started by hand or by an
    executor does not inherit the id; pass it with `executor.submit(trace_context(get_trace_id())(work))`.
    From Python 3.14 on that is needed also with `-X thread_inherit_context=1`, the default of
    free-threaded builds: a thread inherits the id where it is started, and an executor's thread keeps that
    of the call it was started for.

    Args:
        trace_id: The id; `None` makes a new one.

    Raises:
        TraceIdError: The id is invalid.

    Example:
        >>> with trace_context("workflow-1") as trace_id:
        ...     get_trace_id() == trace_id == "workflow-1"
        True
    """

    __slots__ = ("_trace_id",)

    def __init__(self, trace_id: str | None = None) -> None:
        super().__init__()
        self._trace_id = None if trace_id is None else check_trace_id(trace_id)

    def _set(self) -> tuple[str, Token[Any]]:
        trace_id = self._trace_id or new_trace_id()
        return trace_id, current.set(trace_id)

    def _again(self) -> trace_context:
        return trace_context(self._trace_id)


def get_trace_id() -> str | None:
    """Return the trace id that a record logged now would get, or `None`.

    Example:
        >>> with trace_context("order-7"):
        ...     get_trace_id()
        'order-7'
    """
    return current.get() or surrounding_ids()[0]


def set_trace_id(trace_id: str | None) -> Token[str | None]:
    """Set the trace id of the current context until it is set again; `None` clears it.

    `token.var.reset(token)` restores the former id. Prefer `trace_context`, which always restores it.

    A thread's id ends with the function that it runs. `threading.excepthook` still has it up to Python
    3.13; from 3.14 on it is called outside the thread's context, without the values of any context
    variable. To log an unhandled exception with the id, catch it in that function.

    Args:
        trace_id: The id, or `None`.

    Returns:
        The token to restore the former id with.

    Raises:
        TraceIdError: The id is invalid.

    Example:
        >>> token = set_trace_id("order-7")
        >>> get_trace_id()
        'order-7'
        >>> token.var.reset(token)
    """
    return current.set(None if trace_id is None else check_trace_id(trace_id))


def child_env() -> dict[str, str]:
    """Return a copy of the environment for a subprocess, with the current trace id in `CHORA_TRACE_ID`.

    Without a trace id it is a plain copy.

    Example:
        >>> with trace_context("workflow-1"):
        ...     child_env()["CHORA_TRACE_ID"]
        'workflow-1'
    """
    environment = dict(os.environ)
    trace_id = get_trace_id()
    if trace_id is not None:
        environment[TRACE_ID_VARIABLE] = trace_id
    return environment


def context_trace_id() -> str | None:
    """Return the id that `trace_context` or `set_trace_id` set in this context, or `None`."""
    return current.get()


def surrounding_ids() -> tuple[str | None, str | None]:
    """Return trace and span id without `trace_context`: the span's, or the environment's and `None`."""
    ids = active_span()
    return ids if ids[0] is not None else (environment_trace_id(), None)


def active_span() -> tuple[str | None, str | None]:
    """Return trace and span id of the active OpenTelemetry span, in hex, or two `None`.

    OpenTelemetry is never imported: unless the program has imported it, no span can be active.
    """
    opentelemetry = sys.modules.get("opentelemetry.trace")
    if opentelemetry is None:
        return None, None
    try:
        span = opentelemetry.get_current_span().get_span_context()
        return _in_hex(span.trace_id, span.span_id) if span.is_valid else (None, None)
    except Exception:
        # Partly imported by another thread, or a malformed span: losing the id is better than the record.
        return None, None


@functools.lru_cache(maxsize=64)  # a span usually logs several records
def _in_hex(trace_id: int, span_id: int) -> tuple[str, str]:
    return f"{trace_id:032x}", f"{span_id:016x}"


# os.environ.get takes 0.6 µs, mostly to encode the name; its internal dict takes 0.03 µs. The dict is a
# private attribute, so if it does not have the expected type, os.environ itself is used.
_environ: Mapping[Any, Any] = os.environ
_trace_key: Any = TRACE_ID_VARIABLE
_parent_key: Any = "TRACEPARENT"
_raw = getattr(os.environ, "_data", None)
if isinstance(_raw, dict) and os.name == "posix" and all(type(key) is bytes for key in _raw):
    _environ, _trace_key, _parent_key = _raw, TRACE_ID_VARIABLE.encode(), b"TRACEPARENT"

#: Dicts, each followed by a key: while no dict has its key, `surrounding_ids` finds no id.
SIGNS: tuple[Any, ...] = (sys.modules, "opentelemetry.trace", _environ, _trace_key, _environ, _parent_key)


def environment_trace_id() -> str | None:
    """Return the trace id of `CHORA_TRACE_ID`, else of `TRACEPARENT`, else `None`.

    An invalid value is ignored, since the caller that logs is not responsible for it. The logger
    `chora_logging` says so once.
    """
    trace_id, parent = _environ.get(_trace_key), _environ.get(_parent_key)
    return _usable_id(trace_id, parent) if trace_id or parent else None


# What the log already says about the environment.
_said: set[str] = set()


@functools.lru_cache(maxsize=64)  # the environment is read each time; parsing its values is cached
def _usable_id(trace_id: Any, parent: Any) -> str | None:
    if trace_id:
        try:
            return check_trace_id(os.fsdecode(trace_id))
        except TraceIdError as error:
            _ignore(TRACE_ID_VARIABLE + str(error).removeprefix("trace_id"))
    if not parent:
        return None
    value = os.fsdecode(parent)
    parsed = parse_traceparent(value)
    if parsed is None and NO_TRACE not in value:
        _ignore(f"TRACEPARENT must be a W3C traceparent, got {value[:80]!r}")
    return parsed


def _ignore(problem: str) -> None:
    """Log *problem* once."""
    if problem in _said:
        return
    _said.add(problem)  # before the call: the filter sees this record, too
    fields = {"event": "trace_id_ignored"}
    with contextlib.suppress(Exception):  # a logger class or record factory of the program may raise
        logging.getLogger(OWN_LOGGER).warning("%s; it is ignored", problem, extra=fields)


class TraceIdFilter(logging.Filter):
    """Put `trace_id` and the fields of `bind` on each record, and `span_id` with an OpenTelemetry span.

    Attach it to a *handler*: a filter on a logger does not see the records of the loggers below it.
    The first source that has an id gives it: the record itself (`extra={"trace_id": …}`, that key of
    a dict message, or a `TelemetryEvent`'s own), `trace_context`, an active OpenTelemetry span,
    `CHORA_TRACE_ID`, `TRACEPARENT`. If none has one, `trace_id` is `None`, and stays so: a second filter
    does not look again. Of fields with the same name, the record's own wins.

    Never drops a record and never raises. Id and fields are those of the thread or task that calls the
    handler with the filter. If records are kept back before they are written, attach it to the handler
    that keeps them, such as a `MemoryHandler`; `EventQueueHandler` has it built in.

    Example:
        >>> record = logging.makeLogRecord({"msg": "Order placed"})
        >>> with trace_context("order-7"):
        ...     TraceIdFilter().filter(record)
        True
        >>> record.trace_id
        'order-7'
    """

    def __init__(self) -> None:
        super().__init__()

    def filter(self, record: logging.LogRecord) -> bool:
        """Put the ids and the bound fields on *record* and let it pass."""
        attributes = record.__dict__
        if "trace_id" in attributes and SETTLED_ATTRIBUTE in attributes:
            return True
        if attributes.get("trace_id") is None:
            self._put_ids(record, attributes)
        if put_bound_fields is not None:
            put_bound_fields(record.msg, attributes)
            attributes[SETTLED_ATTRIBUTE] = None
        return True

    def _put_ids(self, record: logging.LogRecord, attributes: dict[str, Any]) -> None:
        if type(record.msg) is not str:
            trace_id = explicit_trace_id(record.msg)
            if trace_id is not None:
                attributes["trace_id"] = trace_id
                return
        trace_id = context_trace_id()
        if trace_id is None:
            trace_id, span_id = surrounding_ids()
            # An event's line is the event's own JSON, without a field for a span.
            if span_id and "span_id" not in attributes and not hasattr(type(record.msg), EVENT_MARK):
                attributes["span_id"] = span_id
        attributes["trace_id"] = trace_id
        if trace_id is None:
            attributes[SETTLED_ATTRIBUTE] = None


def explicit_trace_id(message: Any) -> object:
    """Return the trace id that a dict message or a telemetry event has itself, or `None`."""
    try:
        if issubclass(type(message), dict):
            return dict.get(message, "trace_id")
        if isinstance(message, dict):  # a proxy or a mock of a dict
            return dict(message.items()).get("trace_id")
        if getattr(type(message), EVENT_MARK, False):
            return getattr(message, "trace_id", None)
    except Exception:
        # A caller's object raised: treat it as one without an id.
        pass
    return None


if speedups.in_use:
    speedups.trace_by(TraceIdFilter, current, surrounding_ids, SIGNS)

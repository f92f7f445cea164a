"""Fields that are bound to a block of code, to a task or thread, or to a logger.

`TraceIdFilter` puts the fields of the context on records, with the trace id. It does not look for them until
the program binds the first ones.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping, MutableMapping
from contextvars import ContextVar, Token
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from chora_logging import context, speedups
from chora_logging.context import ContextBlock
from chora_logging.errors import ConfigurationError
from chora_logging.formatting.fields import STANDARD
from chora_logging.schema import EVENT_MARK, FIELDS_ATTRIBUTE, SETTLED_ATTRIBUTE

# `taskName` is an attribute from Python 3.12 on.
_RESERVED = STANDARD | {"taskName", FIELDS_ATTRIBUTE, SETTLED_ATTRIBUTE}

# A dict is never changed after it was set: tasks and threads that inherit the context share it.
_fields: ContextVar[dict[str, Any] | None] = ContextVar("chora_fields", default=None)


class bind(ContextBlock[Mapping[str, Any]]):  # noqa: N801 - reads as a verb, as `trace_context` does
    """Add fields to all records of a block of code, or of each call of a function.

    Use it as `with bind(user_id=7):`, as `async with`, or as a decorator of a function or coroutine
    function. By itself the call does nothing; `set_bound_fields` is for programs without a block.
    `with … as fields:` gives all fields that are bound there, read-only.

    `TraceIdFilter` puts the fields on records, those of libraries too. Blocks may be nested: the fields are
    added to those of the outer block, and one of the same name wins until the block ends. Fields go
    where the trace id goes: to tasks and `asyncio.to_thread`, not to a thread started by hand or by an
    executor: pass them with `executor.submit(bind(**get_bound_fields())(work))`.

    A record's own field of the same name wins, from `extra` or a dict message. The line of a typed event
    has the event's own fields only.

    Args:
        fields: The fields; the values are not copied, and JSON should have a form for them.

    Raises:
        ConfigurationError: A name is one of the attributes of `logging.LogRecord`, or `trace_id`.

    Example:
        >>> with bind(user_id=7), bind(order_id=12):
        ...     get_bound_fields()
        {'user_id': 7, 'order_id': 12}
    """

    __slots__ = ("_own",)

    def __init__(self, /, **fields: Any) -> None:
        super().__init__()
        self._own = _checked(fields)

    def _set(self) -> tuple[Mapping[str, Any], Token[Any]]:
        merged = {**(_fields.get() or {}), **self._own}
        return MappingProxyType(merged), _fields.set(merged)

    def _again(self) -> bind:
        return bind(**self._own)


def get_bound_fields() -> dict[str, Any]:
    """Return a copy of the fields that a record logged now would get.

    Example:
        >>> with bind(user_id=7):
        ...     get_bound_fields()
        {'user_id': 7}
    """
    return dict(_fields.get() or {})


def set_bound_fields(**fields: Any) -> Token[dict[str, Any] | None]:
    """Bind these fields, and no others, to the current context until they are set again.

    Without fields it clears them. `token.var.reset(token)` restores the former ones. Prefer `bind`, which
    always restores them.

    Args:
        fields: As for `bind`. To add to the current ones, pass `**get_bound_fields()` too.

    Returns:
        The token to restore the former fields with.

    Raises:
        ConfigurationError: As for `bind`.

    Example:
        >>> token = set_bound_fields(job="import")
        >>> get_bound_fields()
        {'job': 'import'}
        >>> token.var.reset(token)
    """
    return _fields.set(_checked(fields) or None)


if TYPE_CHECKING:
    _LoggerAdapter = logging.LoggerAdapter[logging.Logger]
else:  # it is generic since Python 3.11
    _LoggerAdapter = logging.LoggerAdapter

_usual_process = logging.LoggerAdapter.process


class BoundLogger(_LoggerAdapter):
    """An adapter of a logger that adds fields to each of its records.

    `logging.LoggerAdapter` drops the `extra` of the call before Python 3.13, where `merge_extra` was added.
    Here the call's fields are added, and win if the name is the same. A name that `logging` refuses in
    `extra` (`name`, `args`, `filename`, …) raises nothing: `EventFormatter` writes it as it does any other.

    Args:
        logger: The logger, or an adapter of one, whose fields are added too.
        fields: The fields.

    Raises:
        ConfigurationError: *logger* is no logger, a name say.

    Example:
        >>> log = BoundLogger(logging.getLogger("shop"), user_id=7).bind(order_id=12)
        >>> log.info("Order placed", extra={"total": 30})
        >>> log.extra
        {'user_id': 7, 'order_id': 12}
    """

    def __init__(self, logger: Any, /, **fields: Any) -> None:
        # The usual `process` of an adapter would replace what this one passes on.
        while isinstance(logger, logging.LoggerAdapter) and type(logger).process is _usual_process:
            logger, fields = logger.logger, {**(logger.extra or {}), **fields}
        if not hasattr(logger, "isEnabledFor"):
            raise ConfigurationError("logger", logger, "a logger, as logging.getLogger gives, or an adapter")
        super().__init__(logger, fields)

    def bind(self, /, **fields: Any) -> BoundLogger:
        """Return another adapter of the same logger, with these fields too."""
        return type(self)(self.logger, **{**(self.extra or {}), **fields})

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """Return the message and the arguments of the logging call, with the fields in `extra`."""
        fields = {**(self.extra or {}), **(kwargs.get("extra") or {})}
        if not STANDARD.isdisjoint(fields):
            refused = {name: fields.pop(name) for name in [*fields] if name in STANDARD}
            fields[FIELDS_ATTRIBUTE] = {**refused, **fields.get(FIELDS_ATTRIBUTE, {})}
        return msg, {**kwargs, "extra": fields}


def _checked(fields: dict[str, Any]) -> dict[str, Any]:
    """Return *fields* if their names are allowed; from now on `TraceIdFilter` looks for bound fields."""
    for name in fields:
        if name in _RESERVED:
            raise ConfigurationError(
                "a bound field", name, "a name that is no attribute of logging.LogRecord"
            )
        if name == "trace_id":
            raise ConfigurationError("a bound field", name, "no trace id, which is that of trace_context")
    if context.put_bound_fields is None:
        context.put_bound_fields = _put_fields
        if speedups.in_use:
            speedups.fields_by(_fields)
    return fields


def _put_fields(message: Any, attributes: dict[str, Any]) -> None:
    """Put the bound fields among the *attributes* of a record with this *message*, except those it has."""
    fields = _fields.get()
    if not fields or hasattr(type(message), EVENT_MARK):
        return
    own: set[Any] = set()
    if type(message) is not str:
        with contextlib.suppress(Exception):  # of a dict of the caller
            own = set(message) if isinstance(message, dict) else own
    for name, value in fields.items():
        if name not in attributes and name not in own:
            attributes[name] = value

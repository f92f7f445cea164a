"""A formatter that follows later changes of its options, and the rules of those options."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

from pythonjsonlogger.core import BaseJsonFormatter

from chora_logging.formatting.options import check_format, checked_layout, parse_inherited
from chora_logging.options import parse_size

#: Methods that subclasses and tests replace; a formatter with another one uses the slow path.
HOOKS = (
    "format",
    "add_fields",
    "process_log_record",
    "jsonify_log_record",
    "serialize_log_record",
    "formatTime",
    "formatException",
    "formatStack",
)

#: Options whose contents may change.
WATCHED = frozenset({"rename_fields", "static_fields", "defaults"})

#: What a formatter computes its plans from.
PLANNED = WATCHED.union(
    HOOKS,
    ("datefmt", "json_default", "max_bytes", "prefix", "rename_fields_keep_missing"),
    ("timestamp", "timestamp_format", "layout", "exc_info_as_object"),
)

SMALLEST_MAX_BYTES = 512


def parsed(name: str, value: Any) -> Any:
    """Return the *value* of the option *name* as the constructor takes it.

    Raises:
        ConfigurationError: it is invalid.
    """
    if name in ("datefmt", "timestamp_format", "json_default"):
        check_format(**{name: value})
    if name == "layout":
        checked_layout(value)
    if name == "max_bytes" and value is not None:
        return parse_size(name, value, SMALLEST_MAX_BYTES)
    return parse_inherited({name: value})[name]


class PlannedFormatter(BaseJsonFormatter):
    """A formatter that computes a plan from its options, and again when one changes.

    It can be copied and pickled; the copy makes its own plan.
    """

    # What `_plan` sets.
    _computed = frozenset(
        {
            "_own_time",
            "_arrangement",
            "_other",
            "_exception_object",
            "_lines",
            "_quick",
            "_clock",
            "_encoding",
            "writer",
            "_plans",
            "_known",
            "_straight_on",
            "encode",
        }
    )

    def _plan(self) -> None:
        raise NotImplementedError  # EventFormatter implements it

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute; a new value of an option or a hook holds from the next record on."""
        value = parsed(name, value)
        if name in WATCHED:
            value = WatchedDict(value or {}, self._plan_again)
        super().__setattr__(name, value)
        if name in PLANNED:
            self._plan_again()

    def __delattr__(self, name: str) -> None:
        super().__delattr__(name)
        if name in PLANNED:
            self._plan_again()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in self._computed}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, value)
        self._plan()

    def _plan_again(self) -> None:
        if "_plans" in self.__dict__:
            self._plan()


class WatchedDict(dict[Any, Any]):
    """A dict that calls *changed* after each change; a copy of it is a plain dict."""

    def __init__(self, items: Mapping[Any, Any], changed: Callable[[], None]) -> None:
        super().__init__({key: items[key] for key in items})
        self._changed = changed

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (dict(self),)


def _watched(name: str) -> Callable[..., Any]:
    change = getattr(dict, name)

    @functools.wraps(change)
    def changing(self: WatchedDict, *args: Any, **kwargs: Any) -> Any:
        try:
            return change(self, *args, **kwargs)
        finally:
            self._changed()

    return changing


for _name in ("__setitem__", "__delitem__", "__ior__", "clear", "pop", "popitem", "setdefault", "update"):
    setattr(WatchedDict, _name, _watched(_name))

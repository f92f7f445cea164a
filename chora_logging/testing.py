"""Captures what a program logs, for its tests: as dicts, from all threads and forked processes.

`chora_logging.pytest_plugin` has the fixture `capture_events` of pytest.
"""

from __future__ import annotations

import copy
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Callable
from types import TracebackType
from typing import Any

from chora_logging.context import TraceIdFilter
from chora_logging.formatting.formatter import EventFormatter
from chora_logging.formatting.values import encode_plain, plain
from chora_logging.options import check_callable, parse_level
from chora_logging.writing.handler import EventFileHandler

#: The events that a failure shows, and the characters of each.
_MOST_SHOWN, _MOST_CHARACTERS = 10, 1_000

# The captures under way. A tuple that is replaced, not changed: threads log meanwhile.
_active: tuple[capture_events, ...] = ()


class capture_events:  # noqa: N801 - reads as a verb, as `trace_context` does
    """Capture the records of all loggers in a block of code, as the dicts that `EventFormatter` writes.

    Use it as `with capture_events() as captured:`; after the block the events stay. In pytest the fixture
    of the same name is one.

    Promised: records of all threads and forked processes are captured, whichever handlers there are,
    whether or not loggers propagate, and whatever sets up logging meanwhile; each once. Typed events are,
    too. The records, and what other handlers get, are not changed.

    Not promised: records below the level of their logger do not exist (see *level*). Processes that are
    started anew (`spawn`, `subprocess`) are not seen, nor are loggers whose class overrides `callHandlers`.

    Args:
        level: The level of the root logger in the block; None leaves it.
        clock: Gives the time of each event, in seconds since 1970; None leaves it.

    Raises:
        ConfigurationError: There is no such level, or *clock* cannot be called.

    Example:
        >>> with capture_events(level="INFO") as captured:
        ...     logging.getLogger("shop").info("Order %s placed", 7, extra={"event": "order_placed"})
        >>> captured.assert_logged(event="order_placed")["message"]
        'Order 7 placed'
    """

    def __init__(self, *, level: str | int | None = None, clock: Callable[[], float] | None = None) -> None:
        self._level = None if level is None else parse_level("level", level)
        check_callable("clock", clock)
        self._clock = clock
        self._former_level: int | None = None
        self._folder = ""
        self._owner = 0
        self._kept: list[dict[str, Any]] = []

    def __enter__(self) -> capture_events:
        self._folder = tempfile.mkdtemp(prefix="chora-logging-capture-")
        self._owner = os.getpid()
        self._kept = []
        self._handler = EventFileHandler(os.path.join(self._folder, "events.jsonl"), maxBytes=0, delay=True)
        self._handler.setFormatter(EventFormatter())
        self._handler.addFilter(TraceIdFilter())
        _activate((*_active, self))
        if self._level is not None:
            self.set_level(self._level)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        _activate(tuple(each for each in _active if each is not self))
        if self._former_level is not None:
            logging.getLogger().setLevel(self._former_level)
            self._former_level = None
        self._kept = self.events
        self._handler.close()
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder = ""

    @property
    def events(self) -> list[dict[str, Any]]:
        """The events captured until now, in their order."""
        if not self._folder:
            return list(self._kept)
        try:
            with open(self._handler.baseFilename, "rb") as file:
                return [json.loads(line) for line in file if line.endswith(b"\n")]
        except FileNotFoundError:
            return []

    def set_level(self, level: str | int) -> None:
        """Set the level of the root logger until the block ends.

        Raises:
            ConfigurationError: There is no such level.
        """
        root = logging.getLogger()
        number = parse_level("level", level)
        if self._former_level is None:
            self._former_level = root.level
        root.setLevel(number)

    def find(self, /, event: str | None = None, **fields: Any) -> list[dict[str, Any]]:
        """Return the events that have all of these fields.

        Args:
            event: The name of the event, the field `event` or that of a typed event, `event_type`.
            fields: The other fields of the line, such as `level`, `logger`, `message` and your own. A value
                is compared in the form that it has in the line; `unittest.mock.ANY` is equal to each.
        """
        wanted = _wanted(event, fields)
        return [found for found in self.events if not _differences(wanted, found)]

    def assert_logged(self, /, event: str | None = None, **fields: Any) -> dict[str, Any]:
        """Return the first event that has all of these fields, as for `find`.

        Raises:
            AssertionError: There is none. It shows the events that are nearest, and what differs.
        """
        found = self.find(event, **fields)
        if not found:
            raise AssertionError(self._explained(_wanted(event, fields)))
        return found[0]

    def assert_not_logged(self, /, event: str | None = None, **fields: Any) -> None:
        """Check that no event has all of these fields, as for `find`.

        Raises:
            AssertionError: There is one.
        """
        found = self.find(event, **fields)
        if found:
            shown = "\n".join(map(_shown, found[:_MOST_SHOWN]))
            raise AssertionError(f"{len(found)} of the events has {_told(_wanted(event, fields))}:\n{shown}")

    def _explained(self, wanted: dict[str, Any]) -> str:
        events = self.events
        if not events:
            return (
                f"no event was logged; {_told(wanted)} was expected (is its level below that of the logger?)"
            )
        fewest = min(len(_differences(wanted, found)) for found in events)
        nearest = [found for found in events if len(_differences(wanted, found)) == fewest]
        lines = [f"none of the {len(events)} events has {_told(wanted)}; nearest:"]
        for found in nearest[:_MOST_SHOWN]:
            lines += [_shown(found), *(f"    {text}" for text in _differences(wanted, found))]
        if len(nearest) > _MOST_SHOWN:
            lines.append(f"and {len(nearest) - _MOST_SHOWN} more")
        return "\n".join(lines)

    def _take(self, record: logging.LogRecord) -> None:
        # A child may go on after the block has ended in its parent.
        if os.getpid() != self._owner and not os.path.isdir(self._folder):
            return
        try:
            taken = copy.copy(record)
        except Exception:  # a subclass that cannot be copied
            taken = logging.makeLogRecord(record.__dict__)
        if self._clock is not None:
            taken.created = self._clock()
        self._handler.handle(taken)


def _call_handlers(logger: logging.Logger, record: logging.LogRecord) -> None:
    """Take *record*, then do the work of `Logger.callHandlers`."""
    for capture in _active:
        capture._take(record)
    _original(logger, record)


_original: Callable[[logging.Logger, logging.LogRecord], None] = logging.Logger.callHandlers
_is_installed = False


def _activate(captures: tuple[capture_events, ...]) -> None:
    """Have these captures take every record; without any, `logging` is as it was."""
    global _active, _is_installed, _original
    _active = captures
    if captures and not _is_installed:
        _original = logging.Logger.callHandlers
        logging.Logger.callHandlers = _call_handlers  # type: ignore[method-assign, assignment]
        _is_installed = True
    # If another tool has wrapped the method meanwhile, it stays, and takes nothing.
    elif not captures and logging.Logger.callHandlers is _call_handlers:
        logging.Logger.callHandlers = _original  # type: ignore[method-assign, assignment]
        _is_installed = False


def _wanted(event: str | None, fields: dict[str, Any]) -> dict[str, Any]:
    return fields if event is None else {"event": event, **fields}


def _differences(wanted: dict[str, Any], found: dict[str, Any]) -> list[str]:
    """Return for each of the *wanted* fields that *found* has otherwise a line that says so."""
    texts = []
    for name, value in wanted.items():
        there = found.get("event_type") if name == "event" and name not in found else found.get(name)
        if there is None and name not in found and value is not None:
            texts.append(f"has no {name}, which should be {value!r}")
        elif not (_equal(value, there) or _equal(plain(value), there)):
            texts.append(f"{name} is {_cut(repr(there))}, not {_cut(repr(value))}")
    return texts


def _equal(wanted: Any, there: Any) -> bool:
    """Return whether both have the same form in a line, where `true` and 1 are not the same."""
    if isinstance(wanted, dict) and isinstance(there, dict):
        return wanted.keys() == there.keys() and all(_equal(wanted[name], there[name]) for name in wanted)
    if isinstance(wanted, list) and isinstance(there, list):
        return len(wanted) == len(there) and all(map(_equal, wanted, there))
    if isinstance(wanted, int | float) and isinstance(there, int | float):
        return wanted == there and isinstance(wanted, bool) == isinstance(there, bool)
    return bool(wanted == there)


def _told(wanted: dict[str, Any]) -> str:
    return " ".join(f"{name}={_cut(repr(value))}" for name, value in wanted.items()) or "anything"


def _shown(event: dict[str, Any]) -> str:
    return f"  {_cut(encode_plain(event).decode())}"


def _cut(text: str) -> str:
    return text if len(text) <= _MOST_CHARACTERS else f"{text[:_MOST_CHARACTERS]}… ({len(text):,} characters)"

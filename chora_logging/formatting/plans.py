"""Caches the layout of lines for records that have the same attributes.

A program logs the same sets of fields over and over. The names and the order of a line's fields depend
on the names of a record's attributes, not on their values. So the arrangement is run once with a marker
for each value, and the positions of the markers are cached as a plan: the attributes to take, and a
msgspec struct with the line's fields in their order. Filling and encoding a struct takes a third of the
time of building and encoding a dict.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from operator import itemgetter
from typing import Any

import msgspec

from chora_logging import speedups
from chora_logging.formatting.fields import Arrangement
from chora_logging.formatting.values import encode_plain
from chora_logging.schema import FIELDS_ATTRIBUTE, ORCHESTRATOR_LOGGER

#: An attribute that every record has.
_ANY = "name"

#: The largest number of attribute sets in the cache; it is cleared when a program has more.
_REMEMBERED_PLANS = 512


class _Marker(str):
    """Stands for the value of the attribute *source* while a plan is made."""

    source: str

    def __new__(cls, source: str, text: str = "") -> _Marker:
        marker = super().__new__(cls, text or source)
        marker.source = source
        return marker


class Plan:
    """The attributes to take from a record, and the struct to fill with them.

    Attributes:
        values: Returns the values of the fields, without a leading timestamp, from a record's attributes.
        line: The struct with the line's fields in their order.
        leads: Whether the timestamp is the first field; the struct's first argument is then the timestamp.
        stamp: The struct's attribute for the timestamp, empty when the line has none.
        constants: Fields whose value is always the same, as pairs of the struct's attribute and value.
        message: The struct's attribute for the message, empty when the line has none.
        trace_id: The struct's attribute for a trace id that is left out when it is None, or `None`.
        fields: The name in the line of each of the struct's attributes.
        sources: The record's attribute for each of the struct's attributes that is not a constant.
    """

    __slots__ = ("constants", "fields", "leads", "line", "message", "sources", "stamp", "trace_id", "values")

    def __init__(self, fields: dict[str, Any], stamp: _Marker, message: _Marker) -> None:
        slots = {f"f{index}": value for index, value in enumerate(fields.values())}
        own = {id(value): slot for slot, value in slots.items()}
        self.message = own.get(id(message), "")
        self.stamp = own.get(id(stamp), "")
        self.leads = self.stamp == "f0"
        self.fields = dict(zip(slots, fields, strict=True))
        self.sources = sources = {slot: v.source for slot, v in slots.items() if isinstance(v, _Marker)}
        self.trace_id = next((slot for slot, name in sources.items() if name == "trace_id"), None)
        # A field that is not taken from the record gets any value first and is set afterwards.
        taken = [sources.get(slot, _ANY) for slot in slots if slot != "f0" or not self.leads]
        self.values = _getter(taken)
        self.constants = [(slot, value) for slot, value in slots.items() if slot not in sources]
        self.line: Callable[..., Any] = msgspec.defstruct(
            "Line",
            [(slot, Any) for slot in slots],
            rename=self.fields,
            gc=False,
        )

    @property
    def is_fixed(self) -> bool:
        """Whether all constants are immutable."""
        return all(type(value) in (str, int, bool, type(None)) for _, value in self.constants)

    def parts(self, names: tuple[str, ...]) -> Iterator[tuple[bytes, int, bool]]:
        """Yield the parts for `speedups.LineWriter`: text, value after it, whether it is left out when None.

        Args:
            names: The names of all attributes of the record, in their order.
        """
        constants = dict(self.constants)
        for slot, name in self.fields.items():
            key = b"," + encode_plain(name) + b":"
            if slot == self.stamp:
                yield key, speedups.STAMP, False
            elif slot == self.message:
                yield key, speedups.MESSAGE, False
            elif slot in constants:
                yield key + encode_plain(constants[slot]), speedups.CONSTANT, False
            else:
                yield key, names.index(self.sources[slot]), slot == self.trace_id


def _getter(names: list[str]) -> Callable[[Any], Sequence[Any]]:
    """Return a function that gets the values of *names*; `itemgetter` returns no tuple for one name."""
    if len(names) > 1:
        return itemgetter(*names)
    return lambda attributes: [attributes[name] for name in names]


class Plans:
    """The plans of one formatter, each made when its set of attributes occurs for the second time.

    Args:
        arrangement: Names and orders the fields.
        writer: The compiled writer, which learns each plan; None without the C extension.

    Attributes:
        known: The plans by the names of a record's attributes, in their order. The second dict is for
            records of the orchestrator's logger, whose lines always have an event.
    """

    def __init__(self, arrangement: Arrangement, writer: speedups.LineWriter | None = None) -> None:
        self.arrangement = arrangement
        self.writer = writer
        self.known: tuple[dict[tuple[Any, ...], Plan | None], ...] = ({}, {})
        self._seen: set[tuple[Any, ...]] = set()

    def make(self, names: tuple[Any, ...], orchestrator: bool) -> Plan | None:
        """Return the plan for records with attributes of these *names*, or `None` without one.

        Args:
            names: The names of all attributes of the record, in their order.
            orchestrator: Whether the record is of the orchestrator's logger.
        """
        known = self.known[orchestrator]
        if names in known:
            return known[names]
        if (names, orchestrator) not in self._seen:
            # A struct is not worth its cost for a set that occurs once: it takes as long as twenty lines.
            if len(self._seen) >= _REMEMBERED_PLANS:
                self._seen.clear()
                for plans in self.known:
                    plans.clear()
                if self.writer is not None:
                    self.writer.forget()
            self._seen.add((names, orchestrator))
            return None
        try:
            plan = self._tried(names, orchestrator)
            if plan is not None and self.writer is not None and plan.is_fixed:
                self.writer.learn(dict.fromkeys(names), orchestrator, tuple(plan.parts(names)))
        except Exception:  # a name that a struct cannot have: a quote, an unpaired surrogate
            plan = None
        known[names] = plan
        return plan

    def _tried(self, names: tuple[Any, ...], orchestrator: bool) -> Plan | None:
        if not all(type(name) is str for name in names) or FIELDS_ATTRIBUTE in names:
            return None
        record = logging.LogRecord("", 0, "", 0, "", (), None)
        record.__dict__.clear()
        record.__dict__.update({name: _Marker(name) for name in names})
        record.name = _Marker("name", ORCHESTRATOR_LOGGER if orchestrator else "")
        record.msg = _Marker("msg")
        message = record.message = _Marker("msg")
        if self.arrangement.events:
            record.exc_text = record.stack_info = None
        stamp = _Marker(_ANY)
        fields: dict[str, Any] = {}
        self.arrangement.add(fields, record, {}, stamp)
        # Whether a field that may be None counts as absent depends on its value.
        extra = "taskName" in names and "taskName" not in self.arrangement.reserved
        if extra or "trace_id" in self.arrangement.formatter.defaults:
            return None
        plan = Plan(fields, stamp, message)
        if not self.arrangement.events:  # python-json-logger writes None as null
            plan.trace_id = None
        return plan

"""Reads the logs, and holds everything that was counted."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from chora_logging.cli.amounts import stamp
from chora_logging.cli.logs import Log
from chora_logging.cli.stats.tally import Group, Groups, Tally

PERCENTILES = (50, 95, 99)
#: The maximum number of intervals in the timeline of `--json`.
SHOWN_STRETCHES = 120


@dataclass
class Extent:
    """The size of one log, and the events that were read from it.

    Attributes:
        log: The log.
        files: The number of its files, including the live one; 0 if it is not in files.
        size: Its size in bytes, as it is stored.
        events: The number of events that were counted.
        first: The time of the earliest of them, in seconds since 1970; infinite if none has one.
        last: The time of the latest.
    """

    log: Log
    files: int = 0
    size: int = 0
    events: int = 0
    first: float = math.inf
    last: float = -math.inf

    def add(self, time: float | None) -> None:
        """Count an event at *time*, in seconds since 1970; None if it has none."""
        self.events += 1
        if time is not None:
            self.first, self.last = min(self.first, time), max(self.last, time)


@dataclass
class Survey:
    """The complete result."""

    extents: list[Extent]
    tally: Tally

    def as_dict(self) -> dict[str, Any]:
        """Return the result for `--json`."""
        tally = self.tally
        return {
            "events": tally.all.events,
            "errors": tally.all.errors,
            "unreadable": dict(tally.unreadable),
            "first": stamp(tally.timeline.first),
            "last": stamp(tally.timeline.last),
            "duration_ms": _durations(tally.all),
            "logs": [_extent(extent) for extent in self.extents],
            "timeline": self._timeline(),
            "types": _groups("type", tally.types),
            "statuses": _groups("status", tally.statuses),
            "levels": _groups("level", tally.levels),
            "slowest": [json.loads(event.json) for _, event in tally.slowest],
        }

    def _timeline(self) -> dict[str, Any] | None:
        series = self.tally.timeline.series(SHOWN_STRETCHES)
        if series is None:
            return None
        return {
            "start": stamp(series.start),
            "step_seconds": series.step,
            "events": series.events,
            "errors": series.errors,
        }


def take_survey(logs: Iterable[Log], filters: dict[str, Any]) -> Survey:
    """Read *logs* once, and count the events that match the *filters*.

    Raises:
        OSError: a log exists and cannot be read.
    """
    survey = Survey([], Tally())
    for log in logs:
        extent = Extent(log)
        survey.extents.append(extent)
        extent.files, extent.size = len(log.files()), log.events.size()
        for event in log.read(unended=True, **filters):
            extent.add(survey.tally.add(event, log.meaning))
    return survey


def _extent(extent: Extent) -> dict[str, Any]:
    return {
        "name": extent.log.name,
        "path": extent.log.events.address,
        "files": extent.files,
        "bytes": extent.size,
        "events": extent.events,
        "skipped": sum(extent.log.skipped.values()),
        "first": stamp(extent.first),
        "last": stamp(extent.last),
    }


def _groups(field: str, groups: Groups) -> dict[str, Any]:
    return {
        "found": [
            {field: name, "events": group.events, "errors": group.errors, **_timed(group)}
            for name, group in groups.largest_first()
        ],
        "events_of_others": groups.others,
    }


def _timed(group: Group) -> dict[str, Any]:
    return {"duration_ms": _durations(group)} if group.durations.count else {}


def _durations(group: Group) -> dict[str, Any]:
    found = group.durations
    percentiles = {f"p{percent}": found.percentile(percent) for percent in PERCENTILES}
    return {"count": found.count, **percentiles, "max": found.longest if found.count else None}

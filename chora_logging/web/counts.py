"""Routes that count: events by time and level, fields and their values, and the ids of traces."""

from __future__ import annotations

import functools
import math
from collections.abc import Generator, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from chora_logging.eventlog import Event, Source
from chora_logging.eventlog.events import strict_json
from chora_logging.eventlog.field_counts import FieldCounts
from chora_logging.eventlog.histogram import Histogram
from chora_logging.eventlog.meaning import Meaning
from chora_logging.eventlog.paging import Page
from chora_logging.eventlog.selection import Selection
from chora_logging.eventlog.several import decode, encode, lacks_of, resumable
from chora_logging.eventlog.times import EARLIEST_SECONDS
from chora_logging.formatting.timestamps import rfc3339
from chora_logging.schema import LEVELS
from chora_logging.web.limits import CHOSEN_INTERVALS, MOST_INTERVALS
from chora_logging.web.pages import not_given
from chora_logging.web.parameters import HistogramQuery, fields_query, histogram_query, traces_query
from chora_logging.web.reading import headers_of, read
from chora_logging.web.responses import unchanged
from chora_logging.web.site import Site
from chora_logging.web.sse import gap_fields

#: Where a level that is unknown or absent is counted.
OTHER = "other"

#: A page that only counts has no limit of events.
_NO_LIMIT = 1 << 62


async def histogram_page(site: Site, request: Request) -> Response:
    """Answer with the numbers of events by time and level, from the ends of logs as far as they were read."""
    logs = site.chosen(request.path_params["log"])
    query = histogram_query(request.scope["query_string"], logs)
    headers = await headers_of(site, request, logs.values())
    if query.is_repeatable and (same := unchanged(request, headers)):
        return same
    counted = _Counted(query.step)
    pages = await read(site, request, _count_pages(logs, query, counted, site.limits.counted))
    body = {**counted.body(), **({} if query.after else {"live": _live(pages)}), **_ends(pages)}
    return _json(body, headers)


class _Counted:
    """Numbers of events: by interval, and then by level and by whether they report a failure."""

    def __init__(self, step: int | None) -> None:
        self._step = step
        self._times: Histogram[tuple[str, bool]] = Histogram(step)
        self._events = self._timeless = self._timeless_errors = 0

    def add(self, event: Event, meaning: Meaning) -> bool:
        """Count *event*; return False if there are too many intervals for one answer."""
        self._events += 1
        time, is_error = meaning.time_of(event), meaning.is_error(event)
        if time is None:
            self._timeless += 1
            self._timeless_errors += is_error
        else:
            self._times.add(time, (_level_at(meaning.severity_of(event)), is_error))
        return self._step is None or len(self._times) < MOST_INTERVALS

    def body(self) -> dict[str, object]:
        """Return the numbers for JSON."""
        if self._step is None and len(self._times):
            self._times.coarsen(self._times.step_for(CHOSEN_INTERVALS))
        intervals = [_interval(start, counts) for start, counts in self._times.intervals()]
        errors = sum(interval["errors"] for interval in intervals) + self._timeless_errors
        return {
            "step": self._times.step,
            "intervals": intervals,
            "events": self._events,
            "errors": errors,
            "without_time": self._timeless,
        }


def _interval(start: int, counts: Mapping[tuple[str, bool], int]) -> dict[str, Any]:
    levels: dict[str, int] = {}
    for (level, _), number in counts.items():
        levels[level] = levels.get(level, 0) + number
    errors = sum(number for (_, is_error), number in counts.items() if is_error)
    return {"time": rfc3339(max(start, EARLIEST_SECONDS)), "counts": levels, "errors": errors}


def _count_pages(
    logs: Mapping[str, Source], query: HistogramQuery, counted: _Counted, budget: int
) -> Generator[None, None, dict[str, Page]]:
    begins = _cursors(query.after or query.to, logs)
    pages: dict[str, Page] = {}
    for name, log in logs.items():
        if begins[name] == "":  # it was empty
            pages[name] = Page([], None, more=False)
            continue

        def add(event: Event, meaning: Meaning = log.meaning) -> bool:
            return counted.add(event, meaning)

        pages[name] = yield from log.page(
            query.selection(log.meaning),
            after=begins[name],
            limit=_NO_LIMIT,
            budget=max(1, budget // len(logs)),
            newest_first=True,
            including=query.after is None and query.to is not None,
            each=add,
        )
    return pages


def _cursors(cursor: str | None, logs: Mapping[str, Source]) -> dict[str, str | None]:
    """Return the cursor of each log in *cursor*; "" for one that was empty, None without a cursor."""
    if cursor is None or len(logs) == 1:
        return dict.fromkeys(logs, cursor)
    return {**resumable(decode(cursor, logs))}


def _live(pages: Mapping[str, Page]) -> str | None:
    if len(pages) == 1:
        return next(iter(pages.values())).live
    return encode({name: page.live or "" for name, page in pages.items()})


async def fields_list(site: Site, request: Request) -> Response:
    """Answer with the fields of the newest events of a log, and their most frequent values."""
    name = request.path_params["log"]
    log = site.log(name)
    query = fields_query(request.scope["query_string"], log)
    headers = await headers_of(site, request, [log])
    if query.is_repeatable and (same := unchanged(request, headers)):
        return same
    counted = FieldCounts()

    def count(event: Event) -> bool:
        counted.add(event)
        return True

    steps = log.page(
        query.selection, limit=query.limit, budget=site.limits.counted, newest_first=True, each=count
    )
    page = await read(site, request, steps)
    body = {
        "fields": [
            {
                "name": field.name,
                "events": field.events,
                "values": [{"value": value, "events": number} for value, number in field.values],
                "others": field.others,
            }
            for field in counted.most_frequent()
        ],
        "events": counted.events,
        "others": counted.others,
        **_ends({name: page}),
    }
    return _json(body, headers)


async def traces_list(site: Site, request: Request) -> Response:
    """Answer with the ids of the newest traces in all logs that begin with a prefix, newest first."""
    site.log(request.path_params["log"])
    query = traces_query(request.scope["query_string"], site.logs)
    headers = await headers_of(site, request, site.logs.values())
    if same := unchanged(request, headers):
        return same
    steps = _find_traces(site.logs, query.prefix, query.after, query.limit, site.limits.counted)
    ids, pages = await read(site, request, steps)
    newest = sorted(ids, key=lambda trace_id: -ids[trace_id])
    return _json({"trace_ids": newest, **_joint_ends(pages)}, headers)


def _find_traces(
    logs: Mapping[str, Source], prefix: str, after: str | None, limit: int, budget: int
) -> Generator[None, None, tuple[dict[str, float], dict[str, Page]]]:
    cursors = dict.fromkeys(logs, "") if after is None else resumable(decode(after, logs))
    ids: dict[str, float] = {}
    pages: dict[str, Page] = {}
    for name, log in logs.items():
        own: set[str] = set()

        def take(event: Event, log: Source = log, own: set[str] = own) -> bool:
            trace_id = log.meaning.trace_of(event)
            if trace_id is not None and trace_id.startswith(prefix):
                own.add(trace_id)
                time = log.meaning.time_of(event)
                ids[trace_id] = max(ids.get(trace_id, -math.inf), -math.inf if time is None else time)
            # One more, so that a page does not end within the events of its last trace.
            return len(own) <= max(1, limit // len(logs))

        # Letters and digits stand in a line as they are; other text may be escaped.
        text = prefix if prefix.isascii() and prefix.isalnum() else None
        pages[name] = yield from log.page(
            Selection(text=text, meaning=log.meaning),
            after=cursors[name] or None,
            limit=_NO_LIMIT,
            budget=max(1, budget // len(logs)),
            newest_first=True,
            each=take,
        )
    return ids, pages


@functools.lru_cache(256)
def _level_at(severity: float | None) -> str:
    """Return the highest level of the standard library that *severity* reaches; DEBUG if it is below all."""
    if severity is None or math.isinf(severity):
        return OTHER
    reached = [level for level, number in LEVELS.items() if number <= severity]
    return reached[-1] if reached else "DEBUG"


def _ends(pages: Mapping[str, Page]) -> dict[str, Any]:
    """Return where the next page begins, and what this one does not have."""
    if len(pages) > 1:
        return _joint_ends(pages)
    ((name, page),) = pages.items()
    rest: dict[str, Any] = {"next": page.next, "more": page.more}
    if page.gap is not None:
        rest["gap"] = gap_fields(page.gap)
    return {**rest, **not_given(page, {name: page.reached} if page.more else {})}


def _joint_ends(pages: Mapping[str, Page]) -> dict[str, Any]:
    """Return the same with one cursor for any number of logs, and gaps by log."""
    rest: dict[str, Any] = {
        "next": encode({name: page.next or "" for name, page in pages.items()}),
        "more": any(page.more for page in pages.values()),
    }
    if gaps := {name: gap_fields(page.gap) for name, page in pages.items() if page.gap is not None}:
        rest["gaps"] = gaps
    reached = {name: page.reached for name, page in pages.items() if page.more}
    return {**rest, **not_given(lacks_of(list(pages.values())), reached)}


def _json(body: Mapping[str, Any], headers: Mapping[str, str]) -> Response:
    # Names and values of fields may be what no strict encoder accepts.
    return Response(strict_json(body), headers=dict(headers), media_type="application/json")

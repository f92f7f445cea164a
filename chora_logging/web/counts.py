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
from chora_logging.eventlog.paging import Page
from chora_logging.eventlog.selection import Selection
from chora_logging.eventlog.several import decode, encode, resumable
from chora_logging.eventlog.times import EARLIEST_SECONDS
from chora_logging.formatting.timestamps import rfc3339
from chora_logging.schema import LEVELS
from chora_logging.web.limits import CHOSEN_INTERVALS, MOST_INTERVALS
from chora_logging.web.pages import not_given, times_of
from chora_logging.web.parameters import fields_query, histogram_query, traces_query
from chora_logging.web.reading import headers_of, read
from chora_logging.web.responses import unchanged
from chora_logging.web.site import Site
from chora_logging.web.sse import gap_fields

#: Where a level that is unknown or absent is counted.
OTHER = "other"

#: A page that only counts has no limit of events.
_NO_LIMIT = 1 << 62


async def histogram_page(site: Site, request: Request) -> Response:
    """Answer with the numbers of events by time and level, from the end of the log as far as it was read."""
    name = request.path_params["log"]
    log = site.log(name)
    query = histogram_query(request.scope["query_string"], log)
    headers = await headers_of(site, request, [log])
    if query.is_repeatable and (same := unchanged(request, headers)):
        return same
    counted: Histogram[str] = Histogram(query.step)
    events = timeless = 0

    def count(event: Event) -> bool:
        nonlocal events, timeless
        events += 1
        time = log.meaning.time_of(event)
        if time is None:
            timeless += 1
        else:
            counted.add(time, _level_at(log.meaning.severity_of(event)))
        return query.step is None or len(counted) < MOST_INTERVALS

    steps = log.page(
        query.selection,
        after=query.after,
        limit=_NO_LIMIT,
        budget=site.limits.counted,
        newest_first=True,
        each=count,
    )
    page = await read(site, request, steps)
    if query.step is None and len(counted):
        counted.coarsen(counted.step_for(CHOSEN_INTERVALS))
    body = {
        "step": counted.step,
        "intervals": [
            {"time": rfc3339(max(start, EARLIEST_SECONDS)), "counts": counts}
            for start, counts in counted.intervals()
        ],
        "events": events,
        "without_time": timeless,
        **({} if query.after else {"live": page.live}),
        **_ends(name, page),
    }
    return _json(body, headers)


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
        **_ends(name, page),
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
    read_to = {name: page.reached for name, page in pages.items() if page.more}
    body = {
        "trace_ids": newest,
        "next": encode({name: page.next or "" for name, page in pages.items()}),
        "more": bool(read_to),
        **({"read_to": times_of(read_to)} if read_to else {}),
    }
    return _json(body, headers)


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


def _ends(name: str, page: Page) -> dict[str, Any]:
    """Return where the next page begins, and what this one does not have."""
    rest: dict[str, Any] = {"next": page.next, "more": page.more}
    if page.gap is not None:
        rest["gap"] = gap_fields(page.gap)
    return {**rest, **not_given(page, {name: page.reached} if page.more else {})}


def _json(body: Mapping[str, Any], headers: Mapping[str, str]) -> Response:
    # Names and values of fields may be what no strict encoder accepts.
    return Response(strict_json(body), headers=dict(headers), media_type="application/json")

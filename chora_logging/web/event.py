"""The route for one event, by its cursor, with the events around it."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import NamedTuple

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from chora_logging.eventlog import Event, Gap, Source
from chora_logging.eventlog.rotated.cursor import same_place
from chora_logging.eventlog.rotated.locating import joined
from chora_logging.eventlog.selection import Selection
from chora_logging.web.parameters import EventQuery, event_query
from chora_logging.web.reading import headers_of, read
from chora_logging.web.responses import Refusal, unchanged
from chora_logging.web.site import Site
from chora_logging.web.sse import gap_fields


class _Around(NamedTuple):
    """Events, oldest first, and the position of the one in the middle; None if it is not there.

    There may be a gap among them.
    """

    events: list[Event]
    middle: int | None
    reason: str = ""
    gap: Gap | None = None


async def event_page(site: Site, request: Request) -> Response:
    """Answer with the event at a cursor, and so many events before and after it, whatever they are."""
    name = request.path_params["log"]
    log = site.log(name)
    query = event_query(request.scope["query_string"], request.path_params["cursor"], log, site.limits)
    headers = await headers_of(site, request, [log])
    if same := unchanged(request, headers):
        return same
    events, middle, reason, gap = await read(site, request, _around(log, query, site.limits.scanned // 2))
    if middle is None:
        raise Refusal(404, "no_event", f"there is no event at this cursor: {reason}")
    site.metrics.read.labels(name).inc(len(events))
    parts = (events[:middle], [events[middle]], events[middle + 1 :])
    before, (event,), after = ([_entry(each) for each in part] for part in parts)
    missing = b"" if gap is None else b',"gap":' + msgspec.json.encode(gap_fields(gap))
    lists = b",".join(before), event, b",".join(after)
    body = b'{"before":[%s],"event":%s,"after":[%s]%s}' % (*lists, missing)
    return Response(body, headers=headers, media_type="application/json")


def _around(log: Source, query: EventQuery, budget: int) -> Generator[None, None, _Around]:
    older, newer = list[Event](), list[Event]()
    page = yield from log.page(
        Selection(),
        after=query.cursor,
        limit=query.before + 1,
        budget=budget,
        newest_first=True,
        including=True,
        each=_into(older),
    )
    if page.gap is not None and not older:
        return _Around([], None, page.gap.reason)
    if not older or not same_place(older[0].cursor, query.cursor):
        return _Around([], None, "the line that ends there is none, or has been deleted")
    gap = page.gap
    if query.after:
        limit, each = query.after, _into(newer)
        page = yield from log.page(Selection(), after=query.cursor, limit=limit, budget=budget, each=each)
        if page.gap is not None:
            gap = page.gap if gap is None else joined(gap, page.gap)
    return _Around([*older[::-1], *newer], len(older) - 1, gap=gap)


def _into(events: list[Event]) -> Callable[[Event], bool]:
    """Return a function that appends an event to *events*: a page has few large ones."""

    def append(event: Event) -> bool:
        events.append(event)
        return True

    return append


def _entry(event: Event) -> bytes:
    return b'{"cursor":%s,"event":%s}' % (msgspec.json.encode(event.cursor), event.json)

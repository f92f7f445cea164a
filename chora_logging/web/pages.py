"""Routes for stored events as JSON: a page of a log, and a trace across all logs."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from chora_logging.errors import ConfigurationError
from chora_logging.eventlog import Event, Gap, Source
from chora_logging.eventlog.meaning import Meaning
from chora_logging.eventlog.paging import Page
from chora_logging.eventlog.selection import Selection
from chora_logging.web.parameters import PageQuery, page_query, refused, trace_query
from chora_logging.web.responses import Refusal, json_response, tag_of, unchanged, unreadable
from chora_logging.web.site import Site
from chora_logging.web.sse import gap_fields

_JSON = "application/json"


async def events_page(site: Site, request: Request) -> Response:
    """Answer with a page of one log."""
    name = request.path_params["log"]
    log = site.log(name)
    query = page_query(request.scope["query_string"], log, site.limits)
    headers = await _headers(site, request, [log])
    if query.is_repeatable and (same := unchanged(request, headers)):
        return same
    steps = log.page(
        query.selection,
        after=query.after,
        limit=query.limit,
        budget=site.limits.scanned,
        newest_first=query.newest_first,
    )
    page = await _read(site, request, steps)
    _count(site, name, len(page.events), page.gap)
    return Response(_page_body(page, query), headers=headers, media_type=_JSON)


async def trace_page(site: Site, request: Request) -> Response:
    """Answer with the events of one trace from all logs, in time order."""
    site.log(request.path_params["log"])
    limit = trace_query(request.scope["query_string"], site.limits)
    trace_id = request.path_params["trace_id"]
    if not trace_id:
        raise Refusal(404, "not_found", "the id of a trace must follow traces/")
    headers = await _headers(site, request, list(site.logs.values()))
    if same := unchanged(request, headers):
        return same
    found: list[tuple[float, str, Event]] = []
    more = False
    for name, log in site.logs.items():
        selection = Selection(trace_id=trace_id, meaning=log.meaning)
        steps = log.page(selection, limit=limit, budget=site.limits.scanned)
        page = await _read(site, request, steps)
        _count(site, name, len(page.events), None)
        more = more or page.more
        found += _timed(name, page.events, log.meaning)
    found.sort(key=lambda entry: entry[0])
    body = _trace_body(trace_id, found[:limit], more or len(found) > limit)
    return Response(body, headers=headers, media_type=_JSON)


def logs_list(site: Site, *, login: bool) -> Response:
    """Answer with the names of the logs, their fields that mean something, and whether a token is needed."""
    fields = {name: log.meaning.fields for name, log in site.logs.items() if log.meaning.fields}
    body = {"logs": list(site.logs), "login": login, **({"fields": fields} if fields else {})}
    return json_response(body, headers={"cache-control": "no-store"})


async def _read(site: Site, request: Request, steps: Generator[None, None, Page]) -> Page:
    try:
        return await site.read_in_steps(steps, request.is_disconnected)
    except OSError as error:
        raise unreadable(error) from error
    except ConfigurationError as error:
        raise refused(error) from None


async def _headers(site: Site, request: Request, logs: list[Source]) -> dict[str, str]:
    """Return the headers of a response, which a client may cache but must revalidate.

    The ETag is a hash of the request and the state of the logs, so it is known before they are read.
    """
    try:
        state = await site.read(lambda: [log.state() for log in logs])
    except OSError as error:
        raise unreadable(error) from error
    asked = f"{request.url.path}?{request.url.query} {state}"
    return {"etag": tag_of(asked.encode()), "cache-control": "private, no-cache"}


def _page_body(page: Page, query: PageQuery) -> bytes:
    rest: dict[str, object] = {"next": page.next, "more": page.more}
    if query.newest_first and query.after is None:
        rest["live"] = page.live
    if page.gap is not None:
        rest["gap"] = gap_fields(page.gap)
    if page.unreadable:
        rest["unreadable"] = page.unreadable
    if page.missing:
        rest["missing"] = page.missing
    events = b",".join([event.json for event in page.events])
    return b'{"events":[%s],%s' % (events, msgspec.json.encode(rest)[1:])


def _trace_body(trace_id: str, found: Iterable[tuple[float, str, Event]], more: bool) -> bytes:
    entries = [b'{"log":%s,"event":%s}' % (msgspec.json.encode(name), event.json) for _, name, event in found]
    rest = msgspec.json.encode({"trace_id": trace_id, "more": more})
    return b'{"events":[%s],%s' % (b",".join(entries), rest[1:])


def _timed(name: str, events: Sequence[Event], meaning: Meaning) -> list[tuple[float, str, Event]]:
    """Return events with their times; one without a time stays at its place, before or after the nearest."""
    times = [meaning.time_of(event) for event in events]
    near = next((time for time in times if time is not None), float("-inf"))
    timed = []
    for time, event in zip(times, events, strict=True):
        near = near if time is None else time
        timed.append((near, name, event))
    return timed


def _count(site: Site, name: str, events: int, gap: Gap | None) -> None:
    site.metrics.read.labels(name).inc(events)
    if gap is not None:
        site.metrics.gaps.labels(name).inc()

"""Stored events as JSON: a page of a log, and one trace over all logs."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator, Iterable

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from chora_logging.eventlog import Event, Gap
from chora_logging.eventlog.paging import Page, read_page, state_of
from chora_logging.eventlog.selection import Selection, time_of
from chora_logging.web.gaps import gap_fields
from chora_logging.web.parameters import PageQuery, page_query, trace_query
from chora_logging.web.refusals import json_response, unreadable
from chora_logging.web.site import Site

_JSON = "application/json"

#: An answer may be kept, and is asked about before it is used.
_KEPT = {"cache-control": "private, no-cache"}


async def events_page(site: Site, request: Request) -> Response:
    """A page of one log."""
    name = request.path_params["log"]
    log = site.log(name)
    query = page_query(request.scope["query_string"])
    tag = await _tag(site, request, [log.path]) if query.lasting else None
    if tag is not None and tag in request.headers.getlist("if-none-match"):
        return Response(status_code=304, headers={"etag": tag, **_KEPT})
    page: Page = await _read(
        site,
        request,
        lambda: read_page(
            log.path,
            query.selection,
            after=query.after,
            limit=query.limit,
            budget=site.limits.scanned,
            newest_first=query.newest_first,
        ),
    )
    _count(site, name, len(page.events), page.gap)
    headers = _KEPT if tag is None else {"etag": tag, **_KEPT}
    return Response(_page_body(page, query), headers=headers, media_type=_JSON)


async def trace_page(site: Site, request: Request) -> Response:
    """The events of one trace over all logs, in the order of their times."""
    site.log(request.path_params["log"])
    limit = trace_query(request.scope["query_string"])
    trace_id = request.path_params["trace_id"]
    tag = await _tag(site, request, [log.path for log in site.logs.values()])
    if tag in request.headers.getlist("if-none-match"):
        return Response(status_code=304, headers={"etag": tag, **_KEPT})
    selection = Selection(trace_id=trace_id)
    found: list[tuple[float, str, Event]] = []
    more = False
    for name, log in site.logs.items():
        page: Page = await _read(
            site,
            request,
            lambda path=log.path: read_page(path, selection, limit=limit, budget=site.limits.scanned),
        )
        _count(site, name, len(page.events), None)
        more = more or page.more
        found += _timed(name, page.events)
    found.sort(key=lambda entry: entry[0])
    body = _trace_body(trace_id, found[:limit], more or len(found) > limit)
    return Response(body, headers={"etag": tag, **_KEPT}, media_type=_JSON)


def logs_list(site: Site, *, login: bool) -> Response:
    """The names of the logs, and whether readers log in."""
    return json_response({"logs": list(site.logs), "login": login}, headers={"cache-control": "no-store"})


async def _read(site: Site, request: Request, start: Callable[[], Generator[None, None, Page]]) -> Page:
    try:
        return await site.read_in_turns(start(), request.is_disconnected)
    except OSError as error:
        raise unreadable(error) from error


async def _tag(site: Site, request: Request, paths: list[str]) -> str:
    """What an answer is known by: the question, and the state of the files it comes from."""
    state = await site.read(lambda: [state_of(path) for path in paths])
    asked = f"{request.url.path}?{request.url.query} {state}"
    return f'"{hashlib.blake2b(asked.encode(), digest_size=12).hexdigest()}"'


def _page_body(page: Page, query: PageQuery) -> bytes:
    rest: dict[str, object] = {"next": page.next, "more": page.more}
    if query.newest_first and query.after is None:
        rest["live"] = page.live
    if page.gap is not None:
        rest["gap"] = gap_fields(page.gap)
    events = b",".join([event.json for event in page.events])
    return b'{"events":[%s],%s' % (events, msgspec.json.encode(rest)[1:])


def _trace_body(trace_id: str, found: Iterable[tuple[float, str, Event]], more: bool) -> bytes:
    entries = [b'{"log":%s,"event":%s}' % (msgspec.json.encode(name), event.json) for _, name, event in found]
    rest = msgspec.json.encode({"trace_id": trace_id, "more": more})
    return b'{"events":[%s],%s' % (b",".join(entries), rest[1:])


def _timed(name: str, events: Iterable[Event]) -> list[tuple[float, str, Event]]:
    """Events with their times; one without stays behind the one that was written before it."""
    timed = []
    before = float("-inf")
    for event in events:
        time = time_of(event)
        before = before if time is None else time
        timed.append((before, name, event))
    return timed


def _count(site: Site, name: str, events: int, gap: Gap | None) -> None:
    site.metrics.read.labels(name).inc(events)
    if gap is not None:
        site.metrics.gaps.labels(name).inc()

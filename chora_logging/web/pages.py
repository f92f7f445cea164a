"""Routes for stored events as JSON: a page of a log, and a trace across all logs."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from chora_logging.eventlog.paging import Page
from chora_logging.eventlog.selection import Selection
from chora_logging.eventlog.several import Lacks, MergedPage, as_entry, read_merged
from chora_logging.formatting.timestamps import rfc3339
from chora_logging.web.parameters import PageQuery, page_query, trace_query
from chora_logging.web.reading import headers_of, read
from chora_logging.web.responses import Refusal, json_response, unchanged
from chora_logging.web.site import Site
from chora_logging.web.sse import gap_fields

_JSON = "application/json"


async def events_page(site: Site, request: Request) -> Response:
    """Answer with a page of one log, or of several in time order."""
    logs = site.chosen(request.path_params["log"])
    query = page_query(request.scope["query_string"], logs, site.limits)
    headers = await headers_of(site, request, logs.values())
    if query.is_repeatable and (same := unchanged(request, headers)):
        return same
    after, limit, budget = query.after, query.limit, site.limits.scanned
    if len(logs) > 1:
        merging = read_merged(
            logs,
            query.selection,
            after=after,
            limit=limit,
            budget=budget,
            newest_first=query.newest_first,
        )
        merged = await read(site, request, merging)
        _count(site, merged)
        return Response(_merged_body(merged, {}), headers=headers, media_type=_JSON)
    ((name, log),) = logs.items()
    selection = query.selection(log.meaning)
    steps = log.page(selection, after=after, limit=limit, budget=budget, newest_first=query.newest_first)
    page = await read(site, request, steps)
    site.metrics.read.labels(name).inc(len(page.events))
    site.metrics.gaps.labels(name).inc(page.gap is not None)
    return Response(_page_body(name, page, query), headers=headers, media_type=_JSON)


async def trace_page(site: Site, request: Request) -> Response:
    """Answer with the newest events of one trace in all logs, in time order; the next page has older ones."""
    site.log(request.path_params["log"])
    query = trace_query(request.scope["query_string"], site.logs, site.limits)
    trace_id = request.path_params["trace_id"]
    if not trace_id:
        raise Refusal(404, "not_found", "the id of a trace must follow traces/")
    headers = await headers_of(site, request, site.logs.values())
    if same := unchanged(request, headers):
        return same
    steps = read_merged(
        site.logs,
        lambda meaning: Selection(trace_id=trace_id, meaning=meaning),
        after=query.after,
        limit=query.limit,
        budget=site.limits.scanned,
        newest_first=True,
        in_order=False,
    )
    page = await read(site, request, steps)
    _count(site, page)
    page.found.reverse()
    page.found.sort(key=lambda found: found.time)
    return Response(_merged_body(page, {"trace_id": trace_id}), headers=headers, media_type=_JSON)


def logs_list(site: Site, *, login: bool) -> Response:
    """Answer with the names of the logs, their fields that mean something, and whether a token is needed."""
    fields = {name: log.meaning.fields for name, log in site.logs.items() if log.meaning.fields}
    body = {"logs": list(site.logs), "login": login, **({"fields": fields} if fields else {})}
    return json_response(body, headers={"cache-control": "no-store"})


def _page_body(name: str, page: Page, query: PageQuery) -> bytes:
    rest: dict[str, object] = {"next": page.next, "more": page.more}
    if query.newest_first and query.after is None:
        rest["live"] = page.live
    if page.gap is not None:
        rest["gap"] = gap_fields(page.gap)
    rest |= not_given(page, {name: page.reached} if page.more else {})
    if query.has_cursors:
        rest["cursors"] = [event.cursor for event in page.events]
    events = b",".join([event.json for event in page.events])
    return b'{"events":[%s],%s' % (events, msgspec.json.encode(rest)[1:])


def _merged_body(page: MergedPage, rest: dict[str, object]) -> bytes:
    entries = [as_entry(name, event) for name, event, _ in page.found]
    rest |= {"next": page.next, "more": page.more}
    if page.live is not None:
        rest["live"] = page.live
    if page.gaps:
        rest["gaps"] = {name: gap_fields(gap) for name, gap in page.gaps.items()}
    rest |= not_given(page, page.reached)
    return b'{"events":[%s],%s' % (b",".join(entries), msgspec.json.encode(rest)[1:])


def not_given(page: Page | MergedPage | Lacks, reached: Mapping[str, float | None]) -> dict[str, object]:
    """Return what a client should know of what *page* does not have; *reached* is empty at the end."""
    rest: dict[str, object] = {"read_to": times_of(reached)} if reached else {}
    if page.unreadable:
        rest["unreadable"] = page.unreadable
    if page.missing:
        rest["missing"] = page.missing
    if page.skipped:
        rest["skipped"] = page.skipped
    if page.unended_bytes:
        rest["unended_bytes"] = page.unended_bytes
    return rest


def times_of(reached: Mapping[str, float | None]) -> dict[str, str | None]:
    """Return the times up to which logs have been read, for JSON."""
    return {name: None if time is None else rfc3339(time) for name, time in reached.items()}


def _count(site: Site, page: MergedPage) -> None:
    for item in page.found:
        site.metrics.read.labels(item.log).inc()
    for name in page.gaps:
        site.metrics.gaps.labels(name).inc()

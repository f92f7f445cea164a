"""A request for a stream: where it begins, before a byte of it is sent."""

from __future__ import annotations

from starlette.requests import Request

from chora_logging.errors import CursorError
from chora_logging.eventlog import Gap
from chora_logging.eventlog.rotated import cursor
from chora_logging.web.parameters import stream_query
from chora_logging.web.site import Site
from chora_logging.web.stream import EventStream

#: The longest cursor that is looked at.
_LONGEST = 200


async def event_stream(site: Site, request: Request) -> EventStream:
    """The stream that *request* asks for.

    What a client got last, by `Last-Event-ID`, wins over where its address says to begin. One that is
    no cursor of ours is no error, for a browser would never come back after one: it gets a gap, and
    then what it would get without.
    """
    name = request.path_params["log"]
    log = site.log(name)
    query = stream_query(request.scope["query_string"])
    after, gap = query.after, None
    last = request.headers.get("last-event-id", "")
    if last:
        try:
            cursor.decode(last[:_LONGEST])
            after = last
        except CursorError:
            gap = Gap("Last-Event-ID is no cursor of this log; some events may be missing or come again")
    return EventStream(site, name, log.subscribe(query.selection, after), gap)

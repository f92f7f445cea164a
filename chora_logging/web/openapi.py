"""The OpenAPI description of the routes."""

from __future__ import annotations

from typing import Any

from chora_logging._version import __version__
from chora_logging.web.parameters import LARGEST, USUAL

_TEXT = {"type": "string"}
_TIME = "ISO 8601, or how long ago: 15m, 24h, 7d"

_FILTERS = {
    "task_id": "the field task_id",
    "run_id": "the field run_id",
    "trace_id": "the field trace_id",
    "event": "the field event, or event_type",
    "level": "the least level: a name or a number; an event without a level counts by its status",
    "status": "the field status",
    "since": f"the earliest time: {_TIME}",
    "until": f"the time before which events are: {_TIME}",
}

_ERRORS = {
    "401": "The server has a token, and the request has neither it nor a session.",
    "404": "There is no log of that name.",
    "405": "The method is not GET or HEAD.",
    "422": "A parameter is unknown, given twice or not allowed; the detail names it.",
    "429": "Too many wrong tokens came from there.",
    "503": "Too much is being asked for, or the log cannot be read.",
}


def document(logs: list[str], root: str, *, login: bool) -> dict[str, Any]:
    """The description of an application with these *logs*, mounted at *root*.

    Args:
        logs: Their names.
        root: Where it is mounted.
        login: Whether a token is needed.
    """
    description: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": "chora_logging", "version": __version__},
        "servers": [{"url": root or "/"}],
        "paths": _reading(logs),
        "components": {"schemas": _schemas()},
    }
    if login:
        description["paths"] |= _sessions()
        description["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        description["security"] = [{"token": []}]
    return description


def _reading(logs: list[str]) -> dict[str, Any]:
    log = _parameter("log", "path", "The name of a log.", {**_TEXT, "enum": logs})
    trace = _parameter("trace_id", "path", "The id of the trace.", _TEXT)
    filters = [_query(name, text, _TEXT) for name, text in _FILTERS.items()]
    filters.append(_where())
    after = _query("after", "a cursor: only what comes after it", _TEXT)
    limit = _query("limit", "at most so many events", _whole(USUAL))
    order = _query("order", "oldest or newest first", {**_TEXT, "enum": ["asc", "desc"], "default": "asc"})
    start = _query("from", "with what is stored, or live only", {**_TEXT, "enum": ["start", "end"]})
    last = _parameter(
        "Last-Event-ID", "header", "The id of the last event that came; wins over after.", _TEXT
    )
    every = _query("limit", "at most so many events", _whole(LARGEST))
    return {
        "/api/v1/{log}/events": _get(
            "Stored events of a log.", [log, *filters, after, limit, order], _json("Page"), "304"
        ),
        "/api/v1/{log}/events/stream": _get(
            "Stored events of a log, then live ones, as server-sent events: each has its cursor as "
            "`id`, and a named event `gap` says what cannot be given any more.",
            [log, *filters, after, start, last],
            {"text/event-stream": {"schema": _TEXT}},
        ),
        "/api/v1/{log}/traces/{trace_id}": _get(
            "The events of one trace over all logs, in time order.",
            [log, trace, every],
            _json("Trace"),
            "304",
        ),
    }


def _sessions() -> dict[str, Any]:
    form = {"application/x-www-form-urlencoded": {"schema": _object(["token"], token=_TEXT)}}
    body = {"required": True, "content": form}
    refused = {
        "401": "This is not the token.",
        "403": "Another site sent the form.",
        "413": "The form is too long.",
        "422": "The form has too many fields.",
        "429": _ERRORS["429"],
    }
    return {
        "/login": _post("Opens a session: its cookie is as good as the token.", refused, requestBody=body),
        "/logout": _post("Has the browser forget its session.", {"403": refused["403"]}),
    }


def _post(summary: str, refused: dict[str, str], **request: Any) -> dict[str, Any]:
    responses = {"204": {"description": "Done; the cookie is set."}, **_refusals(refused)}
    return {"post": {"summary": summary, "security": [], "responses": responses, **request}}


def _refusals(described: dict[str, str]) -> dict[str, Any]:
    return {status: {"description": text, "content": _json("Error")} for status, text in described.items()}


def _get(summary: str, parameters: list[Any], content: dict[str, Any], *others: str) -> dict[str, Any]:
    responses: dict[str, Any] = {"200": {"description": "What was asked for.", "content": content}}
    responses |= {status: {"description": "Unchanged since If-None-Match."} for status in others}
    responses |= _refusals(_ERRORS)
    return {"get": {"summary": summary, "parameters": parameters, "responses": responses}}


def _parameter(name: str, place: str, text: str, schema: dict[str, Any]) -> dict[str, Any]:
    required = {"required": True} if place == "path" else {}
    return {"name": name, "in": place, "description": text, "schema": schema, **required}


def _query(name: str, text: str, schema: dict[str, Any]) -> dict[str, Any]:
    return _parameter(name, "query", f"{text[0].upper()}{text[1:]}.", schema)


def _where() -> dict[str, Any]:
    fields = {"type": "array", "items": {**_TEXT, "pattern": "^[^=]+=.*$"}}
    return _query("where", "any other field: FIELD=VALUE", fields) | {"explode": True}


def _whole(default: int) -> dict[str, Any]:
    return {"type": "integer", "minimum": 1, "maximum": LARGEST, "default": default}


def _json(name: str) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}}


def _object(required: list[str], **properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": required}


def _schemas() -> dict[str, Any]:
    event = {"type": "object", "description": "The fields of a line.", "additionalProperties": True}
    gap = {
        "type": "object",
        "description": "Events that were deleted or overwritten before they were read.",
        "properties": {"reason": _TEXT},
        "required": ["reason"],
        "additionalProperties": True,
    }
    more = {"type": "boolean", "description": "Whether there may be more now."}
    next_ = {"type": ["string", "null"], "description": "The `after` of the next page."}
    entry = _object(["log", "event"], log=_TEXT, event=event)
    return {
        "Page": _object(
            ["events", "next", "more"],
            events={"type": "array", "items": event},
            next=next_,
            more=more,
            gap=gap,
        ),
        "Trace": _object(
            ["trace_id", "events", "more"],
            trace_id=_TEXT,
            events={"type": "array", "items": entry},
            more=more,
        ),
        "Error": _object(["error", "detail"], error=_TEXT, detail=_TEXT),
    }

"""The OpenAPI description of the routes."""

from __future__ import annotations

from typing import Any

from chora_logging._version import __version__
from chora_logging.schema import LEVELS
from chora_logging.web.limits import Limits

_TEXT: dict[str, Any] = {"type": "string"}
_CURSOR = {**_TEXT, "format": "cursor"}
_PASSWORD = {**_TEXT, "format": "password"}
_TIME_FORMS = [{"format": "date-time"}, {"format": "date"}, {"pattern": "^[0-9]{1,9}[smhdw]$"}]
_TIME = {**_TEXT, "anyOf": _TIME_FORMS}
_LEVEL = {**_TEXT, "anyOf": [{"enum": list(LEVELS)}, {"pattern": "^[0-9]{1,9}$"}]}
_AGO = "ISO 8601, or how long ago: 15m, 24h, 7d"

_FILTERS = {
    "task_id": ("the field task_id", _TEXT),
    "run_id": ("the field run_id", _TEXT),
    "trace_id": ("the field trace_id", _TEXT),
    "event": ("the field event, or event_type", _TEXT),
    "level": ("the least level: a name or a number; an event without a level counts by its status", _LEVEL),
    "status": ("the field status", _TEXT),
    "since": (f"the earliest time: {_AGO}", _TIME),
    "until": (f"the time before which events are: {_AGO}", _TIME),
}

_OPEN = {
    "400": "The server is not asked under this name; allowed_hosts has its names.",
    "403": "The server has no token: only its own machine may ask.",
    "405": "The method is another one.",
}
_TOKEN = {
    "401": "The server has a token, and the request has neither it nor a session.",
    "429": "Too many wrong tokens came from there.",
}
_LOG = {
    "404": "There is no log of that name.",
    "414": "The query is too long.",
    "422": "A parameter is unknown, given twice or not allowed; the detail names it.",
    "503": "Too much is being asked for, or the log cannot be read.",
}


def document(logs: list[str], root: str, limits: Limits, *, login: bool) -> dict[str, Any]:
    """The description of an application with these *logs*, mounted at *root*.

    Args:
        logs: Their names.
        root: Where it is mounted.
        limits: What requests may cost.
        login: Whether a token is needed.
    """
    description: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": "chora_logging", "version": __version__},
        "servers": [{"url": root or "/"}],
        "paths": {**_reading(logs, limits), **_watching()},
        "components": {"schemas": _schemas(logs)},
    }
    if login:
        description["paths"] |= _sessions()
        description["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        description["security"] = [{"token": []}]
    return description


def _reading(logs: list[str], limits: Limits) -> dict[str, Any]:
    log = _parameter("log", "path", "The name of a log.", {**_TEXT, "enum": logs})
    trace = _parameter("trace_id", "path", "The id of the trace.", _TEXT)
    filters = [_query(name, text, schema) for name, (text, schema) in _FILTERS.items()]
    filters.append(_where())
    after = _query("after", "a cursor: only what comes after it", _CURSOR)
    limit = _query("limit", "at most so many events", _whole(limits.page, limits.largest_page))
    order = _query("order", "oldest or newest first", {**_TEXT, "enum": ["asc", "desc"], "default": "asc"})
    start = _query(
        "from",
        "with what is stored, or live only",
        {**_TEXT, "enum": ["start", "end"], "default": "start"},
    )
    last = _header("Last-Event-ID", "The id of the last event that came; wins over after.")
    known = _header("If-None-Match", "The ETag of an answer that is had already.")
    every = _query("limit", "at most so many events", _whole(limits.largest_page, limits.largest_page))
    return {
        "/api/v1/logs": _get("list_logs", "The names of the logs.", [], _json("Logs"), {**_OPEN, **_TOKEN}),
        "/api/v1/{log}/events": _kept(
            "read_events", "Stored events of a log.", [log, *filters, after, limit, order, known], "Page"
        ),
        "/api/v1/{log}/events/stream": _get(
            "stream_events",
            "Stored events of a log, then live ones, as server-sent events: each has its cursor as "
            "`id`, and a named event `gap` says what cannot be given any more.",
            [log, *filters, after, start, last],
            {"text/event-stream": {"schema": {"$ref": "#/components/schemas/ServerSentEvent"}}},
            {**_OPEN, **_TOKEN, **_LOG},
        ),
        "/api/v1/{log}/traces/{trace_id}": _kept(
            "read_trace",
            "The events of one trace over all logs, in time order.",
            [log, trace, every, known],
            "Trace",
        ),
    }


def _watching() -> dict[str, Any]:
    health = _get("health", "Whether every log can be read and is followed.", [], _json("Health"), _OPEN)
    health["get"]["security"] = []
    health["get"]["responses"]["503"] = {"description": "Not all of them.", "content": _json("Health")}
    text = {"text/plain": {"schema": _TEXT}}
    metrics = _get("metrics", "What was counted, for Prometheus.", [], text, {**_OPEN, **_TOKEN})
    return {"/healthz": health, "/metrics": metrics}


def _sessions() -> dict[str, Any]:
    form = {**_object(["token"], token=_PASSWORD), "additionalProperties": False}
    body = {"required": True, "content": {"application/x-www-form-urlencoded": {"schema": form}}}
    ending = {**_OPEN, "403": "Another site sent the form."}
    beginning = {
        **ending,
        "401": "This is not the token.",
        "413": "The form is too long.",
        "415": "It is no form.",
        "422": "The form has other fields than token, or more than one.",
        "429": _TOKEN["429"],
    }
    opens = "Opens a session: its cookie is as good as the token."
    ends = "Has the browser forget its session."
    return {
        "/login": _post("log_in", opens, beginning, requestBody=body),
        "/logout": _post("log_out", ends, ending),
    }


def _post(name: str, summary: str, refused: dict[str, str], **request: Any) -> dict[str, Any]:
    responses = {"204": {"description": "Done; the cookie is set."}, **_refusals(refused)}
    operation = {"operationId": name, "summary": summary, "security": [], "responses": responses}
    return {"post": {**operation, **request}}


def _kept(name: str, summary: str, parameters: list[Any], schema: str) -> dict[str, Any]:
    """A GET whose answer may be kept and asked about."""
    operation = _get(name, summary, parameters, _json(schema), {**_OPEN, **_TOKEN, **_LOG})
    responses = operation["get"]["responses"]
    tag = {"ETag": {"description": "Of this answer.", "schema": _TEXT, "required": True}}
    responses["200"]["headers"] = tag
    responses["304"] = {"description": "Unchanged since If-None-Match.", "headers": tag}
    return operation


def _get(
    name: str, summary: str, parameters: list[Any], content: dict[str, Any], refused: dict[str, str]
) -> dict[str, Any]:
    responses: dict[str, Any] = {"200": {"description": "What was asked for.", "content": content}}
    responses |= _refusals(refused)
    operation = {"operationId": name, "summary": summary, "parameters": parameters, "responses": responses}
    return {"get": operation}


def _refusals(described: dict[str, str]) -> dict[str, Any]:
    return {status: {"description": text, "content": _json("Error")} for status, text in described.items()}


def _parameter(name: str, place: str, text: str, schema: dict[str, Any]) -> dict[str, Any]:
    required = {"required": True} if place == "path" else {}
    return {"name": name, "in": place, "description": text, "schema": schema, **required}


def _header(name: str, text: str) -> dict[str, Any]:
    return _parameter(name, "header", text, _TEXT)


def _query(name: str, text: str, schema: dict[str, Any]) -> dict[str, Any]:
    parameter = _parameter(name, "query", f"{text[0].upper()}{text[1:]}.", schema)
    return {**parameter, "allowEmptyValue": True}


def _where() -> dict[str, Any]:
    fields = {"type": "array", "items": {**_TEXT, "pattern": "^[^=]+=.*$"}}
    return _query("where", "any other field, once: FIELD=VALUE", fields) | {"explode": True}


def _whole(default: int, most: int) -> dict[str, Any]:
    return {"type": "integer", "minimum": 1, "maximum": most, "default": default}


def _json(name: str) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}}


def _object(required: list[str], **properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": required}


def _schemas(logs: list[str]) -> dict[str, Any]:
    event = {"$ref": "#/components/schemas/Event"}
    more = {"type": "boolean", "description": "Whether there may be more now."}
    next_ = {"type": ["string", "null"], "description": "The `after` of the next page."}
    live = {
        "type": ["string", "null"],
        "description": "The `after` of a stream that goes on from a first page of the newest.",
    }
    entry = _object(["log", "event"], log={**_TEXT, "enum": logs}, event=event)
    return {
        "Event": {"type": "object", "description": "The fields of a line.", "additionalProperties": True},
        "Gap": _gap(),
        "ServerSentEvent": _server_sent_event(),
        "Page": _object(
            ["events", "next", "more"],
            events={"type": "array", "items": event},
            next=next_,
            more=more,
            live=live,
            gap={"$ref": "#/components/schemas/Gap"},
        ),
        "Trace": _object(
            ["trace_id", "events", "more"],
            trace_id=_TEXT,
            events={"type": "array", "items": entry},
            more=more,
        ),
        "Logs": _object(["logs", "login"], logs={"type": "array", "items": _TEXT}, login={"type": "boolean"}),
        "Health": _health(),
        "Error": _object(["error", "detail"], error=_TEXT, detail=_TEXT),
    }


def _gap() -> dict[str, Any]:
    whole = {"type": "integer", "minimum": 0}
    time = {**_TEXT, "format": "date-time"}
    gap = _object(["reason"], reason=_TEXT, files=whole, bytes=whole, since=time, until=time, resumes=_TEXT)
    return {"description": "Events that were deleted or overwritten before they were read.", **gap}


def _server_sent_event() -> dict[str, Any]:
    """Each event of a stream, as tools for this version of OpenAPI expect one to be described."""
    either = {"anyOf": [{"$ref": f"#/components/schemas/{name}"} for name in ("Event", "Gap")]}
    data = {**_TEXT, "contentMediaType": "application/json", "contentSchema": either}
    kind = {**_TEXT, "enum": ["message", "gap"]}
    return _object(["data"], id=_CURSOR, event=kind, data=data, retry={"type": "integer"})


def _health() -> dict[str, Any]:
    boolean = {"type": "boolean"}
    log = _object(
        ["readable", "clients", "following"],
        readable=boolean,
        clients={"type": "integer", "minimum": 0},
        following=boolean,
    )
    status = {**_TEXT, "enum": ["ok", "failing"]}
    return _object(["status", "logs"], status=status, logs={"type": "object", "additionalProperties": log})

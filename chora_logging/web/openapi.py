"""Fills in `openapi.json`, the OpenAPI description of the routes, for one application."""

from __future__ import annotations

import functools
import importlib.resources
import json
from typing import Any

from chora_logging._version import __version__
from chora_logging.schema import LEVELS
from chora_logging.web.limits import MOST_SAMPLED, MOST_TRACES, SAMPLED, TRACES, Limits


def document(logs: list[str], root: str, limits: Limits, *, login: bool) -> dict[str, Any]:
    """Return the description of an application.

    Args:
        logs: The names of its logs.
        root: The path at which it is mounted.
        limits: Its limits.
        login: Whether it has a token.
    """
    description = json.loads(_file())
    components = description["components"]
    values = {
        "{version}": __version__,
        "{root}": root or "/",
        "{logs}": logs,
        "{levels}": list(LEVELS),
        "{page}": limits.page,
        "{largest_page}": limits.largest_page,
        "{most_sampled}": MOST_SAMPLED,
        "{sampled}": SAMPLED,
        "{most_traces}": MOST_TRACES,
        "{traces}": TRACES,
    }
    # Each is once in the file; they are inlined, so that each operation is complete by itself.
    for kind in ("parameters", "responses"):
        values |= {f"#/components/{kind}/{name}": part for name, part in components.pop(kind).items()}
    if not login:
        del description["security"], components["securitySchemes"]
        del description["paths"]["/login"], description["paths"]["/logout"]
    filled: dict[str, Any] = _filled(description, values)
    return filled


def _filled(part: Any, values: dict[str, Any]) -> Any:
    if isinstance(part, dict):
        part = values.get(part.get("$ref", ""), part)
        return {name: _filled(value, values) for name, value in part.items()}
    if isinstance(part, list):
        return [_filled(value, values) for value in part]
    return values.get(part, part) if isinstance(part, str) else part


@functools.cache
def _file() -> bytes:
    return importlib.resources.files("chora_logging.web").joinpath("openapi.json").read_bytes()

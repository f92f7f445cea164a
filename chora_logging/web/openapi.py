"""The OpenAPI description of the routes: `openapi.json`, filled in for one application."""

from __future__ import annotations

import functools
import importlib.resources
import json
from typing import Any

from chora_logging._version import __version__
from chora_logging.schema import LEVELS
from chora_logging.web.limits import Limits


def document(logs: list[str], root: str, limits: Limits, *, login: bool) -> dict[str, Any]:
    """The description of an application with these *logs*, mounted at *root*.

    Args:
        logs: Their names.
        root: Where it is mounted.
        limits: What requests may cost.
        login: Whether a token is needed.
    """
    description = json.loads(_file())
    components = description["components"]
    known = {
        "{version}": __version__,
        "{root}": root or "/",
        "{logs}": logs,
        "{levels}": list(LEVELS),
        "{page}": limits.page,
        "{largest_page}": limits.largest_page,
    }
    # They stand once in the file; here each operation has its own, for whoever reads one alone.
    for kind in ("parameters", "responses"):
        known |= {f"#/components/{kind}/{name}": part for name, part in components.pop(kind).items()}
    if not login:
        del description["security"], components["securitySchemes"]
        del description["paths"]["/login"], description["paths"]["/logout"]
    filled: dict[str, Any] = _filled(description, known)
    return filled


def _filled(part: Any, known: dict[str, Any]) -> Any:
    if isinstance(part, dict):
        part = known.get(part.get("$ref", ""), part)
        return {name: _filled(value, known) for name, value in part.items()}
    if isinstance(part, list):
        return [_filled(value, known) for value in part]
    return known.get(part, part) if isinstance(part, str) else part


@functools.cache
def _file() -> bytes:
    return importlib.resources.files("chora_logging.web").joinpath("openapi.json").read_bytes()

"""Serves logs over HTTP (pages, live streams, traces, viewer) and sets trace ids (extra `web`)."""

from __future__ import annotations

from chora_logging.errors import MissingExtraError

try:
    from chora_logging.web.app import create_app, include, routes
    from chora_logging.web.limits import Limits
    from chora_logging.web.middleware import TraceMiddleware
except ModuleNotFoundError as error:
    package = (error.name or "").partition(".")[0]
    if package not in ("starlette", "prometheus_client"):
        raise
    raise MissingExtraError(package.replace("_", "-"), "web") from error

__all__ = ["Limits", "TraceMiddleware", "create_app", "include", "routes"]

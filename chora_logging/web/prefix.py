"""The path below which an application is served."""

from __future__ import annotations

import re

from starlette.requests import Request
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from chora_logging.errors import ConfigurationError

_prefix = re.compile(r"(/[\w.~-]+)*", re.ASCII).fullmatch


def check_prefix(prefix: str) -> str:
    """Return *prefix* if it is one.

    Raises:
        ConfigurationError: it is not.
    """
    if not isinstance(prefix, str) or not _prefix(prefix):
        raise ConfigurationError("prefix", prefix, "a path such as /logs, without a slash at its end")
    return prefix


def mounted_at(request: Request, path: str) -> str:
    """Return the path at which the application with the route *path* is mounted, as its clients see it."""
    root = request.scope.get("root_path", "")
    before: str = request.scope["path"].removesuffix(path)
    return before if before.startswith(root) else root + before


class PrefixMiddleware:
    """Serves an application below a path, whether a proxy has taken that path away from addresses or not.

    Args:
        app: The application to wrap.
        prefix: The path.
    """

    def __init__(self, app: ASGIApp, prefix: str) -> None:
        self.app = app
        self._prefix = prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        root = scope.get("root_path", "")
        if not root.endswith(self._prefix):
            root += self._prefix
        path = scope["path"]
        if path == root:
            await RedirectResponse(f"{root}/")(scope, receive, send)
            return
        if not path.startswith(f"{root}/"):
            path = root + path
        await self.app({**scope, "root_path": root, "path": path}, receive, send)

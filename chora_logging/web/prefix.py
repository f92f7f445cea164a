"""The path below which an application is served."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable

from starlette.requests import Request
from starlette.responses import RedirectResponse
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from chora_logging.errors import ConfigurationError

#: The key in the scope of a request for the prefix, and for the path at which the server or the application
#: around says that this one is.
_GIVEN = "chora_logging.prefix"

#: How many parts of a path, and how many characters, are searched for the beginning of a route.
_DEEPEST = 16
_LONGEST = 200

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


def left_before(scope: Scope, routes: Iterable[BaseRoute]) -> str:
    """Return what to do about a path before that of one of *routes*, which nothing took away.

    Returns:
        A sentence, or nothing: the path does not end with that of a route.
    """
    path = scope["path"].removeprefix(scope.get("root_path", ""))
    starts = (found.start() for found in itertools.islice(re.finditer("/", path), _DEEPEST))
    matches = [route.path_regex.match for route in routes if isinstance(route, Route)]
    begin = next((start for start in starts if any(match(path[start:]) for match in matches)), 0)
    before = path[:begin]
    if not 0 < len(before) <= _LONGEST or not _prefix(before):
        return ""
    prefix, given = scope.get(_GIVEN, ("", ""))
    if prefix and before == given:
        return (
            f'mount the application at "{given}", without prefix="{prefix}", which is for a path that a '
            f'proxy in front of the server has: Mount("{given}", create_app(...))'
        )
    return (
        f'"{before}" before "{path[begin:][:40]}" is no part of a route: in an application '
        f'Mount("{before}", ...) takes it away, and Route does not; behind a proxy that leaves it there, '
        f'create_app(..., prefix="{before}") does, or `serve --prefix {before}`'
    )


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
        given = scope.get("root_path", "")
        root = given if given.endswith(self._prefix) else given + self._prefix
        path = scope["path"]
        if path == root:
            await RedirectResponse(f"{root}/")(scope, receive, send)
            return
        if not path.startswith(f"{root}/"):
            path = root + path
        scope = {**scope, "root_path": root, "path": path, _GIVEN: (self._prefix, given)}
        await self.app(scope, receive, send)

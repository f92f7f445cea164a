"""The pages of the viewer: files of this package, read once, never by a name from a request."""

from __future__ import annotations

import importlib.resources
import mimetypes

from starlette.requests import Request
from starlette.responses import Response

from chora_logging.web.conditional import tag_of, unchanged
from chora_logging.web.responses import Refusal

#: The page that is served at the root.
INDEX = "index.html"

_HEADERS = {"cache-control": "no-cache", "cross-origin-opener-policy": "same-origin"}


class Files:
    """The files of one folder of the package, by name."""

    def __init__(self, folder: str) -> None:
        self._files = {
            entry.name: entry.read_bytes()
            for entry in importlib.resources.files("chora_logging.web").joinpath(folder).iterdir()
            if entry.is_file() and not entry.name.startswith((".", "_")) and not entry.name.endswith(".py")
        }

    def response(self, request: Request, name: str) -> Response:
        """The file of that name.

        Raises:
            Refusal: there is none.
        """
        content = self._files.get(name)
        if content is None:
            raise Refusal(404, "not_found", "there is no such page")
        headers = {**_HEADERS, "etag": tag_of(content)}
        if same := unchanged(request, headers):
            return same
        kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
        return Response(content, headers=headers, media_type=kind)

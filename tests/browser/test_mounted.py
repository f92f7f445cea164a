"""The viewer works wherever an application mounts it."""

from __future__ import annotations

import re
import sys

import pytest

from tests.browser.site import Site

APPLICATION = """
import socket, sys
import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount
from chora_logging.web import routes

app = Starlette(routes=[Mount("/deep/logs", routes=routes({"orchestrator": sys.argv[1]}))])
listening = socket.socket()
listening.bind(("127.0.0.1", 0))
listening.listen()
print(f"http://127.0.0.1:{listening.getsockname()[1]}/deep/logs/", flush=True)
uvicorn.Server(uvicorn.Config(app, log_level="warning")).run(sockets=[listening])
"""


class MountedSite(Site):
    """An application of somebody else, with the logs below a path of its own."""

    def command(self) -> list[str]:
        """What starts the application."""
        return [sys.executable, "-c", APPLICATION, str(self.path("orchestrator"))]


@pytest.fixture
def site(tmp_path):
    """An application with the logs below /deep/logs/."""
    site = MountedSite(tmp_path)
    site.start()
    yield site
    site.close()


class TestMounted:
    def test_everything_is_below_the_prefix(self, site, reader):
        """List, stream and timeline work, and nothing is asked for outside of the prefix."""
        asked = []
        reader.page.on("request", lambda request: asked.append(request.url))
        logger = site.logger()
        logger.info("stored", extra={"trace_id": "trace-1"})
        reader.open()
        logger.info("live", extra={"trace_id": "trace-1"})
        reader.counts(2)
        reader.page.locator("#space .trace-link").first.click()
        reader.says("#timeline-summary", re.compile(r"^2 events · 1 log · .+ · 0 errors$"))

        assert len(asked) > 15
        assert [url for url in asked if not url.startswith(site.url)] == []

    def test_without_the_slash(self, site, reader):
        """Who leaves out the slash at the end is led to the page."""
        reader.page.goto(site.url.rstrip("/"))

        reader.is_live()
        assert reader.page.url.startswith(site.url)

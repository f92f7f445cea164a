"""The viewer works wherever an application mounts it."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.browser.site import Application

TOKEN = "a-token-of-32-visible-characters"
OPEN = """
from starlette.applications import Starlette
from starlette.routing import Mount
from chora_logging.web import create_app, routes
logs = {{"orchestrator": path}}
private = create_app(logs, token="{token}")
app = Starlette(routes=[Mount("/deep/logs", routes=routes(logs)), Mount("/deep/private", private)])
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """An application with logs below /deep/logs/ for all, and below /deep/private/ with a token."""
    site = Application(tmp_path_factory.mktemp("site"), OPEN.format(token=TOKEN), "/deep/logs/")
    site.start()
    yield site
    site.close()


@pytest.fixture
def asked(reader):
    """The addresses that the page requests."""
    asked = []
    reader.page.on("request", lambda request: asked.append(request.url))
    return asked


class TestMounted:
    def test_everything_is_below_the_prefix(self, site, logger, reader, run, asked):
        """List, stream and timeline work, and nothing outside of the prefix is requested."""
        logger.info("stored", extra={"trace_id": "trace-1"})
        reader.open(f"?run_id={run}")
        logger.info("live", extra={"trace_id": "trace-1"})
        reader.counts(2)
        reader.page.locator("#space .trace-link").first.click()
        reader.says("#timeline-summary", re.compile(r"^2 events · 1 log · .+ · 0 errors$"))

        assert len(asked) > 15
        assert [url for url in asked if not url.startswith(site.url)] == []

    def test_a_trace_with_a_line_break(self, site, logger, reader):
        """Its timeline is found, though no path that has a line break can be mounted."""
        logger.info("stored", extra={"trace_id": "one\ntwo\n"})
        reader.open("?timeline=one%0Atwo%0A")

        reader.says("#timeline-summary", re.compile("^1 event · "))

    def test_without_the_slash(self, site, reader):
        """An address without the slash at the end redirects to the page."""
        reader.page.goto(site.url.rstrip("/"))

        reader.is_live()
        assert reader.page.url.startswith(site.url)

    def test_the_login_is_below_the_prefix(self, site, logger, reader, run, asked):
        """Login and logout work, and their cookie and all requests are within the prefix."""
        logger.info("stored")
        private = site.url.replace("/logs/", "/private/")
        reader.page.goto(f"{private}?run_id={run}")
        reader.page.get_by_label("Token").fill(TOKEN)
        reader.page.get_by_role("button", name="Log in").click()
        reader.is_live()
        reader.counts(1)
        assert [cookie["path"] for cookie in reader.page.context.cookies()] == ["/deep/private"]
        reader.page.get_by_role("button", name="Log out").click()

        expect(reader.page.get_by_label("Token")).to_be_visible()
        assert reader.page.context.cookies() == []
        assert [url for url in asked if not url.startswith(private)] == []

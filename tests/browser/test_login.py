"""A server with a token asks for it, once."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.site import Site

TOKEN = "a-token-of-32-visible-characters"


@pytest.fixture
def site(tmp_path):
    """A server that asks for a token."""
    site = Site(tmp_path, token=TOKEN)
    site.start()
    site.logger().info("secret", extra={"event": "first"})
    yield site
    site.close()


def log_in(reader, token):
    """Type a token into the form that is shown."""
    reader.page.get_by_label("Token").fill(token)
    reader.page.get_by_role("button", name="Log in").click()


class TestLogin:
    def test_nothing_is_shown_before_the_token(self, reader):
        """Without the token there is a form; a wrong one is refused, the right one shows the events."""
        reader.page.goto(reader.url)
        expect(reader.page.get_by_label("Token")).to_be_focused()
        log_in(reader, "wrong")
        expect(reader.page.get_by_role("alert")).to_have_text("This is not the token of this server.")
        assert "first" not in reader.page.content()
        log_in(reader, TOKEN)

        reader.is_live()
        reader.counts(1)

    def test_scripts_cannot_read_the_session(self, reader):
        """The cookie is out of reach of scripts and of other sites, and the token is kept nowhere."""
        reader.page.goto(reader.url)
        log_in(reader, TOKEN)
        reader.is_live()
        (cookie,) = reader.page.context.cookies()

        assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
        assert TOKEN not in str(cookie)
        kept = "document.cookie + JSON.stringify([{...localStorage}, {...sessionStorage}])"
        assert reader.page.evaluate(kept) == "[{},{}]"

    def test_a_session_that_ends_in_mid_view(self, site, reader):
        """The form comes over the list; after the login it goes on where it was and misses nothing."""
        reader.page.goto(reader.url)
        log_in(reader, TOKEN)
        reader.counts(1)
        site.stop()
        reader.page.context.clear_cookies()
        logger = site.logger()
        for _ in range(5):
            logger.info("meanwhile")
        site.start()
        expect(reader.page.get_by_label("Token")).to_be_focused()
        reader.says("#status-words", "Not logged in")
        log_in(reader, "wrong")
        expect(reader.page.get_by_role("alert")).to_have_text("This is not the token of this server.")
        log_in(reader, TOKEN)

        reader.is_live()
        reader.counts(6)

    def test_logging_out(self, reader):
        """A button ends the session: the form is shown again, and the events are not."""
        reader.page.goto(reader.url)
        log_in(reader, TOKEN)
        reader.is_live()
        reader.page.get_by_role("button", name="Log out").click()

        expect(reader.page.get_by_label("Token")).to_be_visible()
        reader.page.goto(reader.url)
        expect(reader.page.get_by_label("Token")).to_be_visible()

"""A server with a token asks for it, once."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.site import Site

TOKEN = "a-token-of-32-visible-characters"
ELSEWHERE = "http://tickets.example/"


@pytest.fixture
def site(tmp_path):
    """A server with a token, which a test may stop and start again."""
    site = Site(tmp_path, token=TOKEN)
    site.start()
    yield site
    site.close()


@pytest.fixture
def asked(logger, reader, run):
    """A reader of two events who is asked for the token."""
    logger.info("secret", extra={"event": "first"})
    logger.info("secret", extra={"event": "second"})
    reader.page.goto(f"{reader.url}?run_id={run}")
    expect(reader.page.get_by_label("Token")).to_be_focused()
    return reader


@pytest.fixture
def inside(asked):
    """The same, logged in."""
    log_in(asked, TOKEN)
    asked.is_live()
    asked.counts(2)
    return asked


def log_in(reader, token):
    """Type a token into the form that is shown."""
    reader.page.get_by_label("Token").fill(token)
    reader.page.get_by_role("button", name="Log in").click()


class TestLogin:
    def test_nothing_is_shown_before_the_token(self, asked):
        """Without the token there is a form; a wrong one is refused, the right one shows the events."""
        log_in(asked, "wrong")
        expect(asked.page.get_by_role("alert")).to_have_text("This is not the token of this server.")
        for secret in ("first", "orchestrator"):
            assert secret not in asked.page.locator("#content").inner_text()
        log_in(asked, TOKEN)

        asked.is_live()
        asked.counts(2)

    @pytest.mark.whole
    def test_a_shared_link_keeps_its_filters(self, asked, run):
        """A reader who logs in on a link sees its view."""
        query = f"?log=orchestrator&run_id={run}&event=second"
        asked.page.goto(asked.url + query)
        log_in(asked, TOKEN)

        asked.is_live()
        asked.counts(1)
        expect(asked.page.locator(".chip")).to_have_text(["event = second✕", f"run = {run}✕"])
        assert asked.page.evaluate("location.search") == query

    def test_a_link_from_another_site_opens(self, inside, run):
        """A reader who is logged in and follows a link from another site is not asked again."""
        page = inside.page.context.new_page()
        link = f'<a href="{inside.url}?run_id={run}&event=second">look</a>'
        page.route(ELSEWHERE, lambda route: route.fulfill(body=link, content_type="text/html"))
        page.goto(ELSEWHERE)
        page.get_by_role("link").click()

        expect(page.locator("#count")).to_have_text("1 event")
        expect(page.get_by_label("Token")).to_be_hidden()

    def test_scripts_cannot_read_the_session(self, inside):
        """Scripts and other sites cannot read the cookie, and the token is stored nowhere."""
        (cookie,) = inside.page.context.cookies()

        assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
        assert TOKEN not in str(cookie)
        kept = "document.cookie + JSON.stringify([{...localStorage}, {...sessionStorage}])"
        assert inside.page.evaluate(kept) == "[{},{}]"

    def test_a_session_that_ends_in_mid_view(self, site, logger, inside):
        """The form covers the list; after the login the list continues and misses nothing."""
        site.stop()
        inside.page.context.clear_cookies()
        for _ in range(5):
            logger.info("meanwhile")
        site.start()
        expect(inside.page.get_by_label("Token")).to_be_focused()
        inside.says("#status-words", "Not logged in")
        log_in(inside, "wrong")
        expect(inside.page.get_by_role("alert")).to_have_text("This is not the token of this server.")
        log_in(inside, TOKEN)

        inside.is_live()
        inside.counts(7)

    def test_logging_out(self, inside):
        """A button ends the session: the form is shown again, the events are gone, the filters stay."""
        query = inside.page.evaluate("location.search")
        inside.page.get_by_role("button", name="Log out").click()

        expect(inside.page.get_by_label("Token")).to_be_focused()
        assert inside.rows() == []
        assert inside.page.context.cookies() == []
        log_in(inside, TOKEN)
        inside.counts(2)
        assert inside.page.evaluate("location.search") == query

    @pytest.mark.whole
    def test_a_logout_without_a_server_is_told(self, site, inside):
        """A logout while the server is away shows that the session lasts, and can be repeated."""
        site.stop()
        inside.page.get_by_role("button", name="Log out").click()
        button = inside.page.get_by_role("button", name="Not logged out: try again")
        expect(button).to_be_visible()
        site.start()
        button.click()

        expect(inside.page.get_by_label("Token")).to_be_focused()

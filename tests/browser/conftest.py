"""A real browser on a real server."""

from __future__ import annotations

import contextlib
import uuid

import pytest
from playwright.sync_api import expect, sync_playwright

from tests.browser.firefox import CHANNEL as FIREFOX
from tests.browser.firefox import program as firefox_program
from tests.browser.reader import Reader
from tests.browser.site import RunLogger, Site
from tests.needs import find_program, need

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

#: Few processes and frames: without a graphics card both take much time of the processor.
FIREFOX_PREFERENCES = {
    "dom.ipc.processCount": 1,
    "dom.ipc.processPrelaunch.enabled": False,
    "layout.frame_rate": 20,
}

#: The first Firefox that lets a driver look into a page whose policy forbids `eval`. Debian has older ones.
LOOKS_DESPITE_POLICY = 150

expect.set_options(timeout=20_000)


# Not longer than this folder: while Playwright runs, its thread has a running event loop.
@pytest.fixture(scope="package")
def playwright():
    """Playwright, once for all tests."""
    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="package")
def browser(playwright):
    """Chromium, once for all tests."""
    need("chromium-headless-shell")
    program = find_program("chromium-headless-shell")
    # With scroll bars, as people have them.
    browser = playwright.chromium.launch(
        executable_path=program, args=FLAGS, ignore_default_args=["--hide-scrollbars"]
    )
    yield browser
    browser.close()


@pytest.fixture(scope="package")
def firefox(playwright, tmp_path_factory):
    """Firefox, once for all tests that are run in it too."""
    need("firefox")
    program = firefox_program(tmp_path_factory.mktemp("firefox"))
    browser = playwright.firefox.launch(
        channel=FIREFOX, executable_path=program, firefox_user_prefs=FIREFOX_PREFERENCES
    )
    yield browser
    browser.close()


@pytest.fixture(scope="package")
def site(tmp_path_factory):
    """A server for all tests that need only a run of their own."""
    site = Site(tmp_path_factory.mktemp("site"))
    site.start()
    yield site
    site.close()


@pytest.fixture
def run():
    """The id of a run that no other test has."""
    return f"run-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def logger(site, run):
    """A logger for the events of this run."""
    return RunLogger(site.logger(), {"run_id": run})


@pytest.fixture
def open_page(browser):
    """Make readers of a site; after the test each is checked for errors."""
    with pages(browser) as open_page:
        yield open_page


@contextlib.contextmanager
def pages(browser):
    """Make readers of a site until the caller ends."""
    made = []

    def open_page(site, **options):
        options = {"viewport": {"width": 1280, "height": 800}, "locale": "en-GB", **options}
        context = browser.new_context(**options)
        if is_old_firefox(browser):
            context.route("**/*", without_policy)
        reader = Reader(context.new_page(), site.url)
        made.append((context, reader))
        return reader

    yield open_page
    for context, reader in made:
        reader.check()
        context.close()


def is_old_firefox(browser):
    """Whether it is a Firefox that refuses a driver's scripts."""
    release = int(browser.version.partition(".")[0])
    return browser.browser_type.name == "firefox" and release < LOOKS_DESPITE_POLICY


def without_policy(route):
    """Give a page to the browser without its policy."""
    if route.request.resource_type != "document":
        route.fallback()
        return
    answer = route.fetch()
    headers = {name: value for name, value in answer.headers.items() if name != "content-security-policy"}
    route.fulfill(response=answer, headers=headers)


@pytest.fixture
def reader(site, open_page):
    """A reader of the site whose page is not open yet."""
    return open_page(site)

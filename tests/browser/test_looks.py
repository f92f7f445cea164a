"""What the page looks like to people and to the tools that help them: wide, narrow, light, dark."""

from __future__ import annotations

import importlib.resources
import json

import pytest
from playwright.sync_api import expect

from tests.browser.site import Site

AXE = importlib.resources.files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")
WIDE, NARROW = {"width": 1280, "height": 800}, {"width": 360, "height": 740}
#: What sticks out of the window, or has to be scrolled sideways; tracebacks may.
TOO_WIDE = """() => [...document.querySelectorAll("body, body *")].filter((element) => {
  const sideways = ["auto", "scroll"].includes(getComputedStyle(element).overflowX);
  if (sideways && element.scrollWidth > element.clientWidth && !element.matches(".traceback")) return true;
  const isPart = element.matches("button, input, select, label, h2, [role=gridcell], [role=columnheader]");
  return isPart && element.getBoundingClientRect().right > innerWidth;
}).map((element) => element.outerHTML.slice(0, 100))"""
TOKEN = "a-token-of-32-visible-characters"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A server with a token, on two logs with one trace, errors, a traceback and long texts."""
    site = Site(tmp_path_factory.mktemp("site"), token=TOKEN)
    logger = site.logger()
    for number in range(14):
        ids = {
            "task_id": f"task-{number}",
            "run_id": "run-1",
            "trace_id": f"4bf92f3577b34da6a3ce929d0e0e{number:04}",
        }
        logger.info(
            "Step %d finished", number, extra={"event": "step_finished", **ids, "duration_ms": 12.5 * number}
        )
    logger.warning(
        "Retrying: upstream answered 429 Too Many Requests", extra={"event": "step_retried", **ids}
    )
    site.logger("telemetry").info("x", extra={"event": "content_generated", "duration_ms": 7, **ids})
    try:
        raise ConnectionError("upstream closed the connection")
    except ConnectionError:
        logger.exception(
            "Job failed", extra={"event": "job_failed", "note": "word " * 80, "duration_ms": 900, **ids}
        )
    site.start()
    yield site
    site.close()


@pytest.fixture(params=["light", "dark"])
def scheme(request):
    """Light and dark."""
    return request.param


@pytest.fixture
def visit(site, open_page, scheme):
    """Open the page at a size, logged in."""

    def visit(size=WIDE, query=""):
        reader = open_page(site, viewport=size, color_scheme=scheme)
        reader.page.goto(site.url + query)
        reader.page.get_by_label("Token").fill(TOKEN)
        reader.page.get_by_role("button", name="Log in").click()
        reader.is_live()
        reader.counts(16)
        return reader

    return visit


def check(reader, path):
    """Neither axe nor a ruler finds anything; the picture is kept to be looked at."""
    reader.page.screenshot(path=path)
    assert path.stat().st_size > 5_000
    assert reader.page.evaluate(TOO_WIDE) == []
    reader.page.evaluate(AXE)
    found = reader.page.evaluate('axe.run({ resultTypes: ["violations"] })')["violations"]
    serious = [violation for violation in found if violation["impact"] in ("serious", "critical")]
    assert serious == [], json.dumps(serious, indent=1)[:4000]


def open_detail(reader):
    """Open the event with the traceback."""
    reader.page.locator("#space .row", has_text="Job failed").click()
    expect(reader.page.locator("#detail")).to_be_visible()


def open_timeline(reader):
    """Open the timeline of the newest event."""
    reader.page.keyboard.press("k")
    reader.page.keyboard.press("t")
    reader.says("#timeline-summary", "4 events · 2 logs · 900 ms · 1 error")


@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
class TestLooks:
    def test_list_event_and_timeline(self, visit, size, tmp_path):
        """The list, an open event and a timeline pass axe and fit the width."""
        reader = visit(size)
        check(reader, tmp_path / "list.png")
        open_detail(reader)
        check(reader, tmp_path / "detail.png")
        reader.page.keyboard.press("Escape")
        open_timeline(reader)
        check(reader, tmp_path / "timeline.png")

    def test_filters(self, visit, size, tmp_path):
        """The open filters, a paused list and a filter that nothing fits pass axe and fit the width."""
        reader = visit(size)
        if size is NARROW:
            reader.page.locator("#filters-toggle").click()
        reader.page.locator("[name=event]").fill("nothing")
        reader.page.locator("[name=event]").press("Enter")
        expect(reader.page.locator("#empty")).to_be_visible()
        reader.page.locator("#pause").click()

        check(reader, tmp_path / "filters.png")

    def test_login(self, site, open_page, scheme, size, tmp_path):
        """The login passes axe and fits the width."""
        reader = open_page(site, viewport=size, color_scheme=scheme)
        reader.page.goto(site.url)
        expect(reader.page.get_by_label("Token")).to_be_visible()

        check(reader, tmp_path / "login.png")


class TestStates:
    def test_help(self, visit, tmp_path):
        """The table of keys passes axe."""
        reader = visit()
        reader.page.keyboard.press("?")
        expect(reader.page.locator("#help")).to_be_visible()

        check(reader, tmp_path / "help.png")

    def test_form_over_the_page(self, visit, tmp_path):
        """The form that comes when a session ends passes axe."""
        reader = visit()
        reader.page.context.clear_cookies()
        reader.page.locator("[name=level]").select_option("ERROR")
        expect(reader.page.get_by_label("Token")).to_be_focused()

        check(reader, tmp_path / "login.png")

    def test_motion(self, site, open_page):
        """Who wants no motion gets none."""
        reader = open_page(site, reduced_motion="reduce")
        reader.page.goto(site.url)
        reader.page.get_by_label("Token").fill(TOKEN)
        reader.page.get_by_role("button", name="Log in").click()
        reader.counts(16)

        assert reader.page.evaluate("document.getAnimations().length") == 0

"""Content of a log is text: whatever it is, it runs nothing, hides nothing and moves nothing."""

from __future__ import annotations

import json
import pathlib
import re
from urllib.parse import urlencode

import pytest
from playwright.sync_api import expect

import chora_logging.web
from tests.browser.conftest import pages
from tests.browser.site import Site

VIEWER = pathlib.Path(chora_logging.web.__file__).parent / "viewer"

ATTACKS = {
    "image": "<img src=x onerror=\"document.title='run'\">",
    "script": "</script><script>document.title='run'</script>",
    "link": "<a href=\"javascript:document.title='run'\">x</a>",
    "attribute": "\" onmouseover=\"document.title='run'",
    "style": "</style><style>*{display:none}</style>",
    "terminal": "\x1b[2J\x1b]0;title\x07",
    "bidi": "abc\u202egnp.exe\u2066\u200f",
    "controls": "a\x00b\x7f\x85c\r\nd\te",
    "lines": "one\u2028two\u2029three\ndata: x\nid: 1\n\nevent: gap",
    "unseen": "a\u200bb\ufeffc\u00add\U000e0041",
    "combining": "Z" + "\u0318\u0321\u0334" * 100,
    "long": "x" * 5000,
}
HIDING = re.compile(
    "[\\x00-\\x09\\x0b-\\x1f\\x7f-\\x9f\\xad\\u200b\\u200e\\u200f\\u2028-\\u202e\\u2060-\\u206f\\ufeff"
    "\\U000e0000-\\U000e0fff]"
)
#: Elements that only markup in a log could have made.
MADE = "document.querySelectorAll('#content :is(img, script, style, a[href^=javascript])').length"
ROWS = "[...document.querySelectorAll('#space .row:not([hidden])')]"
HEIGHTS = f"[...new Set({ROWS}.map((row) => row.offsetHeight))]"
#: Functions and properties that turn text into markup or code.
FORBIDDEN = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|srcdoc|DOMParser|setHTML"
)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A server on events with each attack in every place that the page shows."""
    site = Site(tmp_path_factory.mktemp("site"))
    for name, attack in ATTACKS.items():
        event = {
            "timestamp": "2025-10-17T12:00:00.000000Z",
            "level": attack,
            "event": attack,
            "trace_id": attack,
            "message": attack,
            "exception": attack,
            attack: {attack: [attack]},
            "name": name,
        }
        site.raw(json.dumps(event, ensure_ascii=False))
    site.start()
    yield site
    site.close()


@pytest.fixture(scope="module")
def attacked(site, browser):
    """A reader of these events."""
    with pages(browser) as open_page:
        reader = open_page(site).open()
        reader.counts(len(ATTACKS))
        yield reader


class TestHostileContent:
    def test_it_runs_nothing_and_hides_nothing(self, attacked):
        """In the list and in the pane markup is text, and control characters are escaped."""
        for index in range(len(ATTACKS)):
            attacked.page.keyboard.press("j" if index else "g")
            attacked.page.keyboard.press("Enter")
            expect(attacked.page.locator("#json")).to_contain_text(f'"name": "{list(ATTACKS)[index]}"')
            pane = attacked.page.locator("#detail").inner_text()
            assert HIDING.search(pane.replace("\t", "")) is None
        for row in attacked.rows():
            assert HIDING.search(row) is None

        assert attacked.page.evaluate(MADE) == 0
        assert attacked.page.title() == "orchestrator · events"

    def test_markup_is_shown_as_it_is(self, attacked):
        """A reader sees the characters that were logged."""
        rows = "\n".join(attacked.rows())

        assert ATTACKS["image"] in rows
        assert ATTACKS["script"] in rows
        assert r"abc\u202egnp.exe\u2066\u200f" in rows
        assert r"\u001b[2J\u001b]0;title\u0007" in rows

    def test_the_copy_is_what_was_logged(self, attacked, site):
        """Characters that the page escapes are copied unchanged."""
        attacked.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        attacked.page.locator("#space .row", has_text="gnp.exe").first.click()
        attacked.page.keyboard.press("c")
        attacked.says("#copied", "Copied")

        assert (
            json.loads(attacked.page.evaluate("navigator.clipboard.readText()"))["message"] == ATTACKS["bidi"]
        )

    def test_the_timeline_of_a_hostile_trace_id(self, reader):
        """A trace id is only ever an id, in the address, the heading and the rows."""
        for name in ("script", "bidi", "terminal"):
            reader.open("?" + urlencode({"log": "orchestrator", "timeline": ATTACKS[name]}))
            reader.says("#timeline-summary", re.compile("event"))

            assert HIDING.search(reader.page.locator("#timeline").inner_text().replace("\t", "")) is None
            assert reader.page.title() == "orchestrator · events"

    def test_filters_of_hostile_values(self, reader):
        """In chips, marks, suggestions and buttons, what a log or a link holds is text too."""
        for name in ("image", "bidi", "attribute"):
            attack = ATTACKS[name]
            query = {"log": "orchestrator", "event": attack, "text": attack[:12], attack: attack}
            reader.open("?" + urlencode(query))
            reader.counts(1)
            expect(reader.page.locator("#chips .chip")).to_have_count(3)
            assert HIDING.search(reader.page.locator("#page").inner_text().replace("\t", "")) is None
        reader.page.locator("#clear").click()
        reader.page.locator("#ask").fill("event=")
        expect(reader.page.locator("#suggestions [role=option]")).to_have_count(10)
        assert HIDING.search(reader.page.locator("#suggestions").inner_text()) is None
        reader.page.locator("#suggestions [role=option]", has_text="<img").click()
        reader.counts(1)

        assert reader.page.evaluate("document.querySelectorAll('#page :is(img, script, style)').length") == 0
        assert reader.page.title() == "orchestrator · events"

    def test_one_row_stays_one_row(self, attacked):
        """Whatever an event contains, its row is as high as any other, and nothing overflows."""
        heights = attacked.page.evaluate(HEIGHTS)

        assert heights == [24]
        assert attacked.page.evaluate("document.documentElement.scrollWidth") == 1280


class TestSource:
    @pytest.mark.parametrize("path", sorted(VIEWER.glob("*.js")), ids=lambda path: path.name)
    def test_no_script_makes_markup_or_code_of_text(self, path):
        """No script uses a function that turns text into markup or code."""
        assert FORBIDDEN.findall(path.read_text(encoding="utf-8")) == []

    @pytest.mark.parametrize("path", sorted(VIEWER.iterdir()), ids=lambda path: path.name)
    def test_nothing_comes_from_elsewhere(self, path):
        """No file refers to another server, or to an address that a mounted page does not have."""
        text = path.read_text(encoding="utf-8").replace('xmlns="http://www.w3.org/2000/svg"', "")

        assert re.findall(r"https?://|\b(?:src|href|action)=\"/|url\(|@import", text) == []

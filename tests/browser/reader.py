"""Drives a page like a reader, and checks that nothing went wrong."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Page, expect

#: Runs before the page's own scripts: records violations of the policy and long tasks.
WATCH = """
window.violations = [];
document.addEventListener("securitypolicyviolation", (event) => violations.push(event.violatedDirective));
window.longTasks = [];
if (PerformanceObserver.supportedEntryTypes.includes("longtask")) {
  new PerformanceObserver((list) => longTasks.push(...list.getEntries().map((entry) => entry.duration)))
    .observe({ type: "longtask", buffered: true });
}
"""

#: Messages of the browser itself when a server is away or refuses; the page has its own words for them.
NETWORK = re.compile(r"Failed to load resource: (net::ERR_|the server responded with a status of)")


#: The field `number` in a row.
NUMBER = re.compile(r"\bnumber=(\d+)")

#: The drawn rows: the number and text of each.
ROWS = """() => [...document.querySelectorAll("#space .row:not([hidden])")]
  .map((row) => [Number(row.ariaRowIndex), row.textContent])"""
#: Scroll down by a part of a page, or to the beginning; returns the new position of the list.
SCROLL = """(part) => {
  const list = document.getElementById("list");
  list.scrollTop = part && list.scrollTop + part * list.clientHeight;
  return list.scrollTop;
}"""


class Reader:
    """Drives a page of the viewer.

    Args:
        page: A page with nothing on it yet.
        url: The address of the viewer.
    """

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url
        self.wrong: list[str] = []
        self.network: list[str] = []
        page.add_init_script(WATCH)
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self.wrong.append(str(error)))
        page.on("request", self._on_request)

    def _on_console(self, message: Any) -> None:
        if NETWORK.match(message.text):
            self.network.append(message.text)
        elif message.type in ("error", "warning"):
            self.wrong.append(message.text)

    def _on_request(self, request: Any) -> None:
        if urlsplit(request.url).netloc != urlsplit(self.url).netloc:
            self.wrong.append(f"a request elsewhere: {request.url}")

    def open(self, query: str = "") -> Reader:
        """Open the viewer and wait until it is live."""
        self.page.goto(self.url + query)
        self.is_live()
        return self

    def is_live(self) -> None:
        """Wait until events arrive as they are written."""
        expect(self.page.locator("#status-words")).to_have_text("Live")

    def says(self, selector: str, text: str | re.Pattern[str]) -> None:
        """Wait until an element has a text."""
        expect(self.page.locator(selector)).to_have_text(text)

    def counts(self, number: int) -> None:
        """Wait until *number* events have arrived."""
        self.says("#count", f"{number:,} event{'' if number == 1 else 's'}")

    def asks(self, typed: str) -> None:
        """Type into the search field, and make it a filter of its own."""
        self.page.locator("#ask").fill(typed)
        self.page.locator("#ask").press("Enter")

    def address(self) -> str:
        """Return the query of the page's address."""
        return str(self.page.evaluate("location.search"))

    def rows(self) -> list[str]:
        """Return the texts of the rows on screen, from top to bottom."""
        return [text for _, text in sorted(self.page.evaluate(ROWS))]

    def whole_list(self) -> list[str]:
        """Return the text of each row of the whole list, from beginning to end."""
        if self.page.locator("#pause").get_attribute("aria-pressed") == "false":
            self.page.locator("#pause").click()
        found: dict[int, str] = {}
        before, top = -1, self.page.evaluate(SCROLL, 0)
        while before != top:
            self._next_frames()
            found.update(self.page.evaluate(ROWS))
            before, top = top, self.page.evaluate(SCROLL, 0.8)
        return [found[index] for index in sorted(found)]

    def _next_frames(self) -> None:
        """Wait until all rows in sight are drawn: a long list fills them in several frames."""
        self.page.evaluate(
            """async () => {
              for (let left = 5; left; left -= 1) await new Promise((done) => requestAnimationFrame(done));
            }"""
        )

    def focused(self) -> str:
        """Return the id of the element with the focus."""
        return self.page.evaluate("document.activeElement.id")

    def check(self) -> None:
        """Check that nothing failed, no other server was contacted, and no policy was violated."""
        assert self.wrong == []
        if self.page.url.startswith("http"):
            assert self.page.evaluate("window.violations ?? []") == []


def until(is_so: Callable[[], bool], seconds: float = 15.0) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, "it did not come to be"
        time.sleep(0.02)


def numbers(reader: Reader) -> list[int]:
    """Return the field `number` of each event of the whole list."""
    return [int(match[1]) for row in reader.whole_list() if (match := NUMBER.search(row))]

"""`python -m tests.looks FOLDER`: pictures of the viewer in each of its states, to be looked at by people.

Each state is pictured light and dark, at the widths of a phone, a tablet and a desktop: `trace-dark-360.png`.
Needs the environment of the tests and Chromium. What a program can check, `browser/test_looks.py` does.
"""

from __future__ import annotations

import contextlib
import functools
import pathlib
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from typing import Literal

from playwright.sync_api import Page, ViewportSize, expect, sync_playwright

from tests.browser.conftest import FLAGS
from tests.browser.reader import Reader
from tests.browser.site import Site
from tests.needs import find_program
from tests.pictures import Logs

SIZES: list[ViewportSize] = [
    {"width": 360, "height": 740},
    {"width": 800, "height": 600},
    {"width": 1440, "height": 900},
]
THEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
TOKEN = "a-token-of-32-visible-characters"

Scene = Callable[[Reader, Site], None]
SCENES: list[Scene] = []


def scene(make: Scene) -> Scene:
    """Have a state pictured; it begins with the live list."""
    SCENES.append(make)
    return make


@scene
def live(reader: Reader, site: Site) -> None:
    """Events arrive as they are written."""


@scene
def paused(reader: Reader, site: Site) -> None:
    """New events wait."""
    reader.page.keyboard.press("Space")
    site.logger().warning("Retrying", extra={"event": "stage_retried"})
    expect(reader.page.locator("#waiting")).to_be_visible()


@scene
def asking(reader: Reader, site: Site) -> None:
    """Suggestions below what is typed."""
    reader.page.keyboard.press("/")
    reader.page.keyboard.type("task")
    expect(reader.page.locator("#suggestions [role=option]").first).to_be_visible()


@scene
def filtered(reader: Reader, site: Site) -> None:
    """Conditions, a text, a range and a parameter that is none."""
    query = "level=INFO&where=seq>=1&where=not+status=x&text=page&since=2025-01-01T00:00:00Z&colour=red"
    reader.page.goto(f"{site.url}?log=orchestrator,telemetry&{query}")
    reader.page.locator("#filters-toggle").dispatch_event("click")
    expect(reader.page.locator(".chip").first).to_be_visible()


@scene
def nothing(reader: Reader, site: Site) -> None:
    """No event matches."""
    reader.page.goto(f"{site.url}?log=orchestrator&where=event%3Dnothing")
    expect(reader.page.locator("#empty-why")).to_contain_text("No event matches")


@scene
def detail(reader: Reader, site: Site) -> None:
    """An event with a traceback is open."""
    reader.page.goto(f"{site.url}?log=orchestrator&event=job_failed")
    reader.page.locator("#space .row:not(.note):not([hidden])").last.click()
    expect(reader.page.locator("#detail")).to_be_visible()


@scene
def context(reader: Reader, site: Site) -> None:
    """The events around one."""
    detail(reader, site)
    reader.page.keyboard.press("x")
    reader.says("#status-words", "Not live: around one event")
    reader.page.keyboard.press("Escape")


@scene
def trace(reader: Reader, site: Site) -> None:
    """The steps of a trace, opened from the event that failed."""
    detail(reader, site)
    reader.page.keyboard.press("t")
    expect(reader.page.locator("#timeline-rows .row").nth(3)).to_be_visible()


@scene
def step(reader: Reader, site: Site) -> None:
    """A part of a trace, and the event of a step."""
    trace(reader, site)
    for key in ("Home", "j", "z", "Enter"):
        reader.page.keyboard.press(key)
    expect(reader.page.locator("#detail")).to_be_visible()


@scene
def zoomed(reader: Reader, site: Site) -> None:
    """A part of the chart is chosen in a list that is zoomed in to."""
    chart = reader.page.locator("#chart")
    for key in ("End", "Shift+PageUp", "Enter"):
        chart.press(key)
    expect(reader.page.locator("#wider")).to_be_visible()
    for key in ("End", "ArrowLeft", "Shift+PageUp"):
        chart.press(key)
    expect(reader.page.locator("#chart-words")).not_to_be_empty()


@scene
def columns(reader: Reader, site: Site) -> None:
    """The dialog of the columns, two of which are chosen."""
    reader.page.goto(f"{site.url}?log=orchestrator&column=task_id&column=duration_ms")
    reader.is_live()
    reader.page.keyboard.press("f")
    expect(reader.page.locator("#columns-offered li").first).to_be_visible()


@scene
def columns_chosen(reader: Reader, site: Site) -> None:
    """A list with two columns of fields."""
    reader.page.goto(f"{site.url}?log=orchestrator&column=task_id&column=duration_ms")
    expect(reader.page.locator("#space .chosen").first).to_be_attached()


@scene
def keys(reader: Reader, site: Site) -> None:
    """The table of keys."""
    reader.page.keyboard.press("?")
    expect(reader.page.locator("#help")).to_be_visible()


@scene
def download(reader: Reader, site: Site) -> None:
    """The dialog to download."""
    reader.page.locator("#download-open").dispatch_event("click")
    expect(reader.page.locator("#download")).to_be_visible()


@scene
def unreadable(reader: Reader, site: Site) -> None:
    """Lines that are no events are counted."""
    for line in ("not JSON", "[1, 2]", '{"cut": '):
        site.raw(line)
    reader.page.reload()
    expect(reader.page.locator("#unreadable")).not_to_be_empty()


@scene
def login(reader: Reader, site: Site) -> None:
    """The token is asked for."""
    reader.page.context.clear_cookies()
    reader.page.reload()
    expect(reader.page.get_by_label("Token")).to_be_focused()


@scene
def lost(reader: Reader, site: Site) -> None:
    """The server is away."""
    site.stop()
    reader.says("#status-words", re.compile("^Disconnected: "))


class DemoSite(Site):
    """The two logs of a demo."""

    def path(self, name: str) -> pathlib.Path:
        """The live file of a log."""
        return self._logs.paths[name]

    @functools.cached_property
    def _logs(self) -> Logs:
        return Logs(self.folder)


@contextlib.contextmanager
def served() -> Iterator[Site]:
    """Serve the logs of a demo to who has the token."""
    with tempfile.TemporaryDirectory() as made:
        site = DemoSite(pathlib.Path(made), token=TOKEN)
        site.start()
        try:
            yield site
        finally:
            site.close()


def enter(page: Page, site: Site) -> Reader:
    """Return a reader of the live list."""
    reader = Reader(page, site.url)
    page.goto(site.url)
    page.get_by_label("Token").fill(TOKEN)
    page.get_by_role("button", name="Log in").click()
    reader.is_live()
    page.mouse.move(0, 0)  # away from the rows, which else show their buttons
    return reader


def picture(page: Page, name: str, folder: pathlib.Path) -> None:
    """Save the page at each width, light and dark."""
    for size in SIZES:
        page.set_viewport_size(size)
        for theme in THEMES:
            page.emulate_media(color_scheme=theme)
            page.wait_for_timeout(300)  # the chart is drawn five times a second
            page.screenshot(path=folder / f"{name}-{theme}-{size['width']}.png")


def main(arguments: Sequence[str]) -> int:
    """Make the pictures of all states, or of those that are named."""
    program = find_program("chromium-headless-shell")
    if not arguments or program is None:
        print(
            "usage: python -m tests.looks FOLDER [STATE ...], with chromium-headless-shell", file=sys.stderr
        )
        return 1
    folder, *names = arguments
    pathlib.Path(folder).mkdir(parents=True, exist_ok=True)
    with served() as site, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        for make in SCENES:
            if names and make.__name__ not in names:
                continue
            page = browser.new_page(viewport=SIZES[-1], locale="en-GB", timezone_id="UTC")
            make(enter(page, site), site)
            picture(page, make.__name__, pathlib.Path(folder))
            page.close()
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

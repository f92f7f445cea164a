"""A whole task of a reader in few actions: from five minutes of two logs to an event, its trace, and a link.

The same in Grafana Explore, by the controls that its documentation describes for Loki and Tempo, is twelve
actions of a reader who knows LogQL, where a derived field links lines to traces and Loki is chosen already:
open the time picker; click on From and type; click on To and type; Apply time range (6); click into the
query and type `{app=~"orchestrator|telemetry"} | json | level="ERROR"`; Run query (9); open the line;
follow its link to the trace, which opens beside the logs; Copy shortened URL (12). Which span is the
slowest is read off the lengths of the bars.
"""

from __future__ import annotations

import json
import re

import pytest
from playwright.sync_api import expect

from tests.browser.reader import until
from tests.browser.site import Site

DAY = "2025-10-17"
#: A click, a key, or what is typed at a time; more is too much for a question of every day.
MOST_ACTIONS = 8
#: Each step of the trace: log, second of its end, name, duration in milliseconds.
STEPS = [
    ("orchestrator", 0.2, "order_received", None),
    ("telemetry", 0.5, "stock_checked", 250),
    ("telemetry", 4.5, "card_charged", 3900),
    ("telemetry", 4.6, "receipt_sent", 60),
    ("orchestrator", 4.8, "order_handled", 4700),
]


@pytest.fixture
def site(tmp_path):
    """A server on two logs of an afternoon, of which one error is between 14:00 and 14:05."""
    site = Site(tmp_path)

    def write(log, clock, event, **fields):
        stamp = f"{DAY}T{clock}Z"
        site.raw(json.dumps({"timestamp": stamp, "level": "INFO", "event": event, **fields}), log)

    for minute in range(60):
        for log in ("orchestrator", "telemetry"):
            write(log, f"13:{minute:02}:30.000", "order_handled", trace_id=f"early-{minute}", duration_ms=40)
    write("telemetry", "13:59:59.000", "card_charged", level="ERROR", trace_id="before")
    for log, second, event, took in STEPS:
        fields = {} if took is None else {"duration_ms": took}
        if event == "card_charged":
            fields |= {"level": "ERROR", "message": "The bank did not answer", "status": "error"}
        write(log, f"14:03:{second:06.3f}", event, trace_id="order-7", **fields)
    for minute in range(2, 60):
        write(
            "orchestrator",
            f"14:{minute:02}:40.000",
            "order_handled",
            trace_id=f"late-{minute}",
            duration_ms=50,
        )
    write("orchestrator", "14:05:01.000", "card_charged", level="ERROR", trace_id="after")
    site.start()
    yield site
    site.close()


class Hands:
    """The hands of a reader, which count what they do."""

    def __init__(self, page):
        self.page = page
        self.actions = 0

    def click(self, selector):
        """Click on an element."""
        self.actions += 1
        self.page.locator(selector).click()

    def choose(self, selector, label):
        """Open a list of choices and click on one: it is a window of the browser, outside the page."""
        self.actions += 2
        self.page.locator(selector).select_option(label=label)

    def press(self, key):
        """Press a key."""
        self.actions += 1
        self.page.keyboard.press(key)

    def type(self, text):
        """Type a text without a pause."""
        self.actions += 1
        self.page.keyboard.type(text)


def test_from_an_hour_to_a_link(site, open_page):
    """The error of five minutes in either of two logs, its trace, its slowest step, a link: eight actions."""
    reader = open_page(site, timezone_id="UTC")
    reader.page.clock.set_fixed_time(f"{DAY}T18:00:00Z")
    reader.open()
    page, hands = reader.page, Hands(reader.page)

    hands.choose("#log", "all 2 logs together")
    hands.press("/")
    hands.type("14:00-14:05")
    hands.press("Enter")
    hands.type("level=ERROR")
    reader.counts(1)
    row = page.locator("#space .row:not(.note):not([hidden])")
    expect(row).to_contain_text("The bank did not answer")
    hands.click("#space .row:not([hidden]) .trace-link")
    expect(page.locator("#timeline-rows .row .name")).to_have_text(
        ["order_handled", "order_received", "stock_checked", "card_charged", "receipt_sent"]
    )
    came_from = page.locator("#timeline-rows .row[aria-current]")
    expect(came_from.locator(".name")).to_have_text("card_charged")
    expect(page.locator("#timeline-rows .is-slowest .name")).to_have_text("card_charged")
    reader.says("#timeline-slowest", "Slowest: card_charged, 3.9 s")
    hands.press("l")
    reader.says("#copied", "Link copied")

    assert hands.actions <= MOST_ACTIONS
    page.keyboard.press("Escape")
    page.locator("#timeline-back").click()
    page.locator("#ask").focus()
    page.keyboard.press("Control+v")
    link = page.locator("#ask").input_value()
    colleague = open_page(site)
    colleague.page.goto(link)
    colleague.says("#detail-title", "card_charged")
    expect(colleague.page.locator("#json")).to_contain_text("The bank did not answer")
    expect(colleague.page.locator("#space .row[aria-selected=true]")).to_contain_text(
        "The bank did not answer"
    )
    until(lambda: any("stock_checked" in each for each in colleague.rows()))
    assert re.search(r"[?&]log=telemetry&", link)

"""Fields as columns of the list: chosen, ordered, sized and kept; what all rows have in common fades."""

from __future__ import annotations

import json
import re
from urllib.parse import parse_qs, urlencode

import pytest
from playwright.sync_api import expect

from tests.browser.reader import until
from tests.browser.site import Site
from tests.browser.test_looks import AXE, problems

HOSTILE = "<img src=x onerror=\"document.title='run'\">\u202e"
BIG = "x" * 3_000_000
#: Storage that refuses, as with cookies blocked.
NO_STORAGE = """Object.defineProperty(window, "localStorage", {
  get() { throw new DOMException("no", "SecurityError"); }
})"""
#: The line and the left edge of the message in a row, and those of its fields.
PLACES = """(words) => {
  const rows = [...document.querySelectorAll("#space .row:not([hidden])")];
  const row = rows.find((each) => each.textContent.includes(words));
  const lineAt = (top) => Math.round((top - row.getBoundingClientRect().top) / 20);
  const place = (part) => [lineAt(part.getBoundingClientRect().top), part.getBoundingClientRect().left];
  const shown = (part) => part.getClientRects().length;
  return {
    message: place(row.querySelector(".message")),
    others: [...row.querySelectorAll(".field, .chosen")].filter(shown).map(place),
  };
}"""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A server on events with fields that differ, fields that repeat, and hostile ones."""
    site = Site(tmp_path_factory.mktemp("site"))
    logger = site.logger()
    for number in range(8):
        logger.info(
            "Request %d answered",
            number,
            extra={
                "event": "request",
                "run_id": "run-1",
                "user": f"user-{number}",
                "http": {"status": 200 + number},
                "tags": ["a", "b"],
            },
        )
    other = {"timestamp": "2025-10-17T12:00:00Z", "level": "INFO"}
    site.raw(json.dumps({**other, "message": "hostile", HOSTILE: HOSTILE, "__proto__": "p"}), "telemetry")
    site.raw(json.dumps({**other, "message": "many", **{f"key{n}": n for n in range(20_000)}}), "telemetry")
    site.raw(json.dumps({**other, "message": "big", "user": BIG, "__proto__": {"a.b": 1}}), "telemetry")
    site.start()
    yield site
    site.close()


@pytest.fixture
def listed(reader):
    """A reader of the eight events."""
    reader.open()
    reader.counts(8)
    return reader


def heads(reader, *names):
    """Wait until these are the heads of the chosen columns."""
    expect(reader.page.locator("#list .head .chosen")).to_have_text(list(names))


def cells(reader, words, *texts):
    """Wait until a row has these texts in its chosen columns."""
    row = reader.page.locator("#space .row:not([hidden])", has_text=words)
    expect(row.locator(".chosen")).to_have_text(list(texts))


def width(reader, name):
    """The width that a column says to have."""
    edge = reader.page.get_by_role("separator", name=f"Width of the column {name}")
    return int(edge.get_attribute("aria-valuenow"))


class TestColumns:
    def test_chosen_ordered_sized_and_kept_with_the_keyboard(self, listed):
        """A dialog offers fields; keys at the head of a column move, size and remove it; all is kept."""
        press = listed.page.keyboard.press
        press("f")
        expect(listed.page.locator("#columns-field")).to_be_focused()
        listed.page.get_by_role("button", name="Add user").press("Enter")
        listed.page.keyboard.type("http.status")
        press("Enter")
        listed.page.get_by_role("button", name="Move http.status left").press("Enter")
        expect(listed.page.locator("#columns-chosen bdi")).to_have_text(["http.status", "user"])
        press("Escape")
        heads(listed, "http.status", "user")
        expect(listed.page.locator("#list .head .name")).to_be_visible()
        cells(listed, "Request 3", "203", "user-3")

        listed.page.locator(".column-name", has_text="user").focus()
        press("Shift+ArrowLeft")
        heads(listed, "user", "http.status")
        assert listed.page.evaluate("document.activeElement.textContent") == "user"
        press("Tab")
        before = width(listed, "user")
        press("ArrowRight")
        assert width(listed, "user") == before + 16
        assert parse_qs(listed.address()[1:])["column"] == ["user", "http.status"]

        listed.page.goto(listed.url)
        listed.counts(8)
        heads(listed, "user", "http.status")
        assert width(listed, "user") == before + 16
        listed.page.locator(".column-name", has_text="http.status").press("Delete")
        heads(listed, "user")
        assert listed.focused() == "list"
        listed.page.reload()
        heads(listed, "user")

    def test_with_the_mouse(self, listed):
        """A head is dragged to another place, its edge to another width; the head opens the dialog."""
        listed.open("?column=user&column=tags")
        listed.counts(8)
        cells(listed, "Request 3", "user-3", '["a","b"]')
        mouse = listed.page.mouse
        listed.page.locator(".column-name", has_text="user").hover()
        mouse.down()
        target = listed.page.locator(".column-name", has_text="tags").bounding_box()
        mouse.move(target["x"] + target["width"] - 5, target["y"] + 5, steps=4)
        mouse.up()
        heads(listed, "tags", "user")
        expect(listed.page.locator("#columns")).to_be_hidden()

        edge = listed.page.get_by_role("separator", name="Width of the column tags").bounding_box()
        mouse.move(edge["x"] + 3, edge["y"] + 10)
        mouse.down()
        mouse.move(edge["x"] - 47, edge["y"] + 10, steps=4)
        mouse.up()
        assert width(listed, "tags") == 136 + 50
        drawn = (
            listed.page.locator("#space .row", has_text="Request 3").locator(".chosen").first.bounding_box()
        )
        assert round(drawn["width"]) == 136 + 50
        mouse.move(edge["x"] - 47, edge["y"] + 10)
        mouse.down()
        mouse.move(20, edge["y"] + 10, steps=4)
        mouse.up()
        message = listed.page.locator("#list .head .content").bounding_box()
        assert message["width"] == pytest.approx(200, abs=1)
        heads(listed, "tags", "user")
        listed.page.locator(".column-name", has_text="user").click()
        expect(listed.page.locator("#columns")).to_be_visible()

    def test_from_an_event_and_in_a_link(self, listed, site, open_page):
        """A button beside a field makes it a column, and none again; a link and going back show the same."""
        listed.page.locator("#space .row", has_text="Request 3").click()
        line = listed.page.locator("#json .line", has_text='"status"')
        line.hover()
        line.get_by_role("button", name="Column http.status").click()
        heads(listed, "http.status")
        listed.page.keyboard.press("Escape")
        listed.asks("user=user-2")
        listed.counts(1)
        other = open_page(site)
        other.page.goto(listed.page.url)
        heads(other, "http.status")
        cells(other, "Request 2", "202")

        listed.page.go_back()
        listed.counts(8)
        heads(listed, "http.status")
        listed.page.locator("#space .row", has_text="Request 3").click()
        button = listed.page.locator("#json").get_by_role("button", name="Column http.status")
        expect(button).to_have_attribute("aria-pressed", "true")
        button.focus()
        listed.page.keyboard.press("Enter")
        heads(listed)
        expect(button).to_have_attribute("aria-pressed", "false")

    def test_without_storage(self, site, open_page):
        """A browser that stores nothing has columns as long as the page is open."""
        reader = open_page(site)
        reader.page.add_init_script(NO_STORAGE)
        reader.open()
        for key in ("f", "u", "s", "e", "r", "Enter", "Escape"):
            reader.page.keyboard.press(key)

        heads(reader, "user")


class TestTheMessage:
    def test_it_comes_first(self, reader):
        """At every width the message is before all fields, and has space beside however many columns."""
        columns = ["http.status", *(f"c{n}" for n in range(9)), "user"]
        reader.open("?" + urlencode({"column": columns}, True))
        reader.counts(8)
        row = reader.page.locator("#space .row", has_text="Request 3")
        for size, has_cells in ((1440, True), (800, True), (360, False)):
            reader.page.set_viewport_size({"width": size, "height": 740})
            self.is_first(reader, row, has_cells)
        reader.page.set_viewport_size({"width": 800, "height": 740})
        row.click()
        self.is_first(reader, row, has_cells=False)

    def is_first(self, reader, row, has_cells):
        """Wait until the columns are as they fit, and check the place of the message."""
        if has_cells:
            expect(row.locator(".chosen").first).to_have_text("203")
        else:
            expect(row.locator(".field").first).to_have_text("http.status=203")
        until(lambda: row.locator(".content").bounding_box()["width"] >= 200)
        places = reader.page.evaluate(PLACES, "Request 3")
        assert all(places["message"] < other for other in places["others"])
        message, whole = row.locator(".message").bounding_box(), row.locator(".content").bounding_box()
        assert message["x"] == whole["x"]
        assert reader.page.evaluate("document.getElementById('list').scrollWidth <= innerWidth")


class TestRepeats:
    def test_what_all_rows_have_fades(self, site, open_page):
        """A field with the same value in every row is faint and readable, until a row has another one."""
        reader = open_page(site).open("?column=run_id&run_id=run-1")
        reader.counts(8)
        row = reader.page.locator("#space .row:not([hidden])", has_text="Request 3")
        for same in ("request", "run-1", "tags="):
            expect(row.locator(".is-same", has_text=same)).to_have_count(1)
        for differing in ("Request 3", "user-3", "203"):
            expect(row.locator(".is-same", has_text=differing)).to_have_count(0)
        site.logger().info("Another", extra={"run_id": "run-1", "event": "request", "tags": ["c"]})
        reader.counts(9)

        expect(row.locator(".is-same", has_text="tags=")).to_have_count(0)
        expect(row.locator(".is-same", has_text="run-1")).to_have_count(1)


class TestHostileColumns:
    def test_names_and_values_are_text(self, site, open_page):
        """Markup, invisible characters, `__proto__`, many keys and megabytes are cells like others."""
        names = [HOSTILE, "__proto__", "__proto__", "key19999", "x" * 500, "__proto__.a.b", "user"]
        reader = open_page(site, viewport={"width": 1900, "height": 700})
        reader.open("?" + urlencode({"log": "telemetry", "column": names}, True))
        reader.counts(3)
        shown = HOSTILE.replace("\u202e", "\\u202e")
        heads(reader, shown, "__proto__", "key19999", "__proto__.a.b", "user")
        # No event has a name, so that the message has the space of that column.
        expect(reader.page.locator("#list .head .name")).to_be_hidden()
        cells(reader, "hostile", shown, "p", "", "", "")
        cells(reader, "many", "", "", "19999", "", "")
        cells(reader, "big", "", '{"a.b": 1}', "", "1", re.compile("^x{120}…$"))
        reader.page.keyboard.press("f")
        expect(reader.page.locator("#columns-chosen li")).to_have_count(5)
        reader.page.evaluate(AXE)
        assert problems(reader.page, {}) == []
        expect(reader.page.get_by_role("button", name="Add key0", exact=True)).to_be_visible()
        for name in ("__proto__", "key19999"):
            reader.page.get_by_role("button", name=f"Remove {name}", exact=True).click()
        reader.page.keyboard.press("Escape")
        reader.page.reload()
        heads(reader, shown, "__proto__.a.b", "user")

        assert reader.page.evaluate("document.querySelectorAll('#page img, dialog img').length") == 0
        assert reader.page.title() == "telemetry · events"

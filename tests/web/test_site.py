"""The logs of an application: what it accepts, and that it needs no files."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from chora_logging.errors import ConfigurationError
from chora_logging.eventlog import Source
from chora_logging.web import create_app
from tests.web.memory_source import MemorySource
from tests.web.serving import ask, event_source, serving

EVENTS = "/api/v1/list/events"


@pytest.fixture
def source():
    """Three events, two of them of one trace."""
    return MemorySource(
        {"event": "a", "n": 1, "trace_id": "t", "timestamp": "2025-09-28T08:00:00Z"},
        {"event": "b", "n": 2, "level": "ERROR"},
        {"event": "a", "n": 3, "trace_id": "t", "timestamp": "2025-09-28T09:00:00Z"},
    )


@pytest.fixture
def app(source):
    """An application that serves the source alone."""
    return create_app({"list": source})


class TestASourceWithoutFiles:
    def test_is_a_source(self, source):
        """It has all members of the protocol."""
        assert isinstance(source, Source)

    def test_pages(self, app):
        """Pages have its events and cursors, filtered, in both orders."""
        first = ask(app, f"{EVENTS}?limit=2").json()
        rest = ask(app, f"{EVENTS}?limit=2&after={first['next']}").json()
        newest = ask(app, f"{EVENTS}?order=desc&level=error").json()

        assert [event["n"] for event in first["events"]] == [1, 2]
        assert (first["next"], first["more"]) == ("m.2", True)
        assert [event["n"] for event in rest["events"]] == [3]
        assert ([event["n"] for event in newest["events"]], newest["live"]) == ([2], "m.3")

    def test_its_state_is_the_tag(self, app, source):
        """A page is unchanged until the source says that it has changed."""
        tag = ask(app, EVENTS).headers["etag"]
        same = ask(app, EVENTS, headers={"if-none-match": tag})
        source.append({"n": 4})
        changed = ask(app, EVENTS, headers={"if-none-match": tag})

        assert (same.status_code, changed.status_code) == (304, 200)

    def test_a_cursor_of_another_source(self, app):
        """The source decides which cursors are its own."""
        answer = ask(app, f"{EVENTS}?after=AgAAAA")

        assert (answer.status_code, answer.json()["error"]) == (422, "invalid_parameter")

    def test_traces(self, app):
        """Its events are found by their trace."""
        answer = ask(app, "/api/v1/list/traces/t").json()

        assert [entry["event"]["n"] for entry in answer["events"]] == [1, 3]

    def test_streams(self, app, source):
        """A stream has what is stored and what is new, filtered, and resumes after `Last-Event-ID`."""

        async def scenario():
            async with serving(app) as port:
                async with event_source(port, f"{EVENTS}/stream?event=a") as client:
                    found = await client.numbers(2)
                    source.append({"event": "a", "n": 4})
                    found += await client.numbers(1)
                header = {"Last-Event-ID": "m.3"}
                async with event_source(port, f"{EVENTS}/stream", header) as client:
                    return found, await client.numbers(1)

        assert asyncio.run(scenario()) == ([1, 3, 4], [4])

    def test_gaps(self, app, source):
        """A gap names the place where the source resumes as the source does."""
        source.lost = 2

        page = ask(app, f"{EVENTS}?after=m.1").json()

        assert page["gap"] == {"reason": "the list was cut", "resumes": "the list"}
        assert [event["n"] for event in page["events"]] == [3]

    def test_health(self, app):
        """Its health is what it says, with and without clients."""

        async def scenario():
            async with (
                serving(app) as port,
                httpx.AsyncClient(base_url=f"http://localhost:{port}") as browser,
            ):
                before = (await browser.get("/healthz")).json()
                async with event_source(port, f"{EVENTS}/stream") as client:
                    await client.next(1)
                    return before, (await browser.get("/healthz")).json()

        before, during = asyncio.run(scenario())

        assert before["logs"] == {"list": {"readable": True, "clients": 0, "following": False}}
        assert during["logs"] == {"list": {"readable": True, "clients": 1, "following": True}}

    def test_metrics(self, app):
        """Its events are counted."""
        ask(app, EVENTS)

        assert 'events_read_total{log="list"} 3.0' in ask(app, "/metrics").text


class TestLogs:
    @pytest.mark.parametrize("log", [None, 5, object()])
    def test_neither_a_path_nor_a_source(self, log):
        """Anything else than a path, an address or a source is refused, by the name of the log."""
        with pytest.raises(ConfigurationError, match=r"logs\['a'\] must be"):
            create_app({"a": log})

    def test_an_address_of_an_unknown_kind(self):
        """An address with an unknown scheme is refused; a password in it is not shown."""
        with pytest.raises(ConfigurationError) as error:
            create_app({"a": "ftp://me:secret@host/LOG"})

        assert str(error.value) == "log must be a path or an address nats://HOST/STREAM, got 'ftp://…'"

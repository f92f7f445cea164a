"""Health and metrics of a server."""

from __future__ import annotations

import asyncio
import json
import os
import re
import threading
from datetime import datetime, timezone

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from chora_logging.eventlog import EventLog
from chora_logging.eventlog.file_feed import FileFeed
from chora_logging.eventlog.source import Health
from chora_logging.web import create_app, health
from chora_logging.web.site import READING_THREADS
from tests.eventlog.writing import write
from tests.web.serving import PATIENCE, ask, event_source, serving

EVENTS = "/api/v1/orchestrator/events"


class TestHealth:
    def test_health(self, app, logs):
        """Each log is readable, and followed while it has clients."""

        async def scenario():
            async with serving(app) as port, event_source(port, f"{EVENTS}/stream") as source:
                await source.next(1)
                async with httpx.AsyncClient() as browser:
                    return await browser.get(f"http://localhost:{port}/healthz")

        answer = asyncio.run(scenario())

        assert answer.status_code == 200
        assert answer.json() == {
            "status": "ok",
            "logs": {
                "orchestrator": {"readable": True, "clients": 1, "following": True},
                "telemetry": {"readable": True, "clients": 0, "following": False},
            },
        }

    def test_a_log_that_cannot_be_read_is_unhealthy(self, tmp_path):
        """A log below a file, where no log can be, makes the server unhealthy."""
        (tmp_path / "folder").mkdir()
        app = create_app({"a": tmp_path / "folder" / "a.log"})
        (tmp_path / "folder").rmdir()
        (tmp_path / "folder").touch()

        answer = ask(app, "/healthz")

        assert (answer.status_code, answer.json()["status"]) == (503, "failing")
        assert str(tmp_path) not in answer.text

    @pytest.mark.parametrize("make", [os.mkfifo, os.mkdir], ids=["pipe", "folder"])
    def test_what_is_no_file_is_unhealthy(self, tmp_path, make):
        """A log whose path is not a regular file is reported as unreadable, without waiting for it."""
        app = create_app({"a": tmp_path / "a.log"})
        make(tmp_path / "a.log")

        answers = [ask(app, "/healthz") for _ in range(3)]

        assert {answer.status_code for answer in answers} == {503}
        assert answers[0].json()["logs"]["a"]["readable"] is False

    def test_pages_that_take_long_do_not_hold_it_up(self, app, monkeypatch):
        """While every thread that reads pages is occupied, health is answered."""
        begun, release = threading.Semaphore(0), threading.Event()

        def slow(*arguments, **options):
            begun.release()
            release.wait(60)
            yield
            raise AssertionError

        monkeypatch.setattr(EventLog, "page", slow)

        async def scenario():
            transport = httpx.ASGITransport(app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as browser:
                pages = [asyncio.ensure_future(browser.get(EVENTS)) for _ in range(READING_THREADS + 3)]
                try:
                    for _ in range(READING_THREADS):
                        await asyncio.to_thread(begun.acquire)
                    return (await browser.get("/healthz")).status_code, [page.done() for page in pages]
                finally:
                    release.set()
                    await asyncio.gather(*pages)

        status, done = asyncio.run(asyncio.wait_for(scenario(), 60))

        assert (status, set(done)) == (200, {False})

    def test_a_follower_that_dies_is_unhealthy(self, app, logs, monkeypatch):
        """While a log with clients is not followed the server is unhealthy; clients still get all events."""

        def fail(feed):
            raise RuntimeError("a fault in the follower")

        monkeypatch.setattr(health, "FOLLOWER_START_SECONDS", 0.1)

        async def scenario():
            async with serving(app) as port, event_source(port, f"{EVENTS}/stream") as source:
                assert await source.numbers(2) == [1, 2]
                async with httpx.AsyncClient(base_url=f"http://localhost:{port}") as browser:
                    while (await browser.get("/healthz")).status_code != 200:
                        await asyncio.sleep(0.01)
                    monkeypatch.setattr(FileFeed, "poll", fail)
                    while (answer := await browser.get("/healthz")).status_code != 503:
                        await asyncio.sleep(0.01)
                    write(logs["orchestrator"], 3)
                    assert await source.numbers(1) == [3]
                    monkeypatch.undo()
                    while (await browser.get("/healthz")).status_code != 200:
                        await asyncio.sleep(0.01)
                    return answer.json()

        found = asyncio.run(asyncio.wait_for(scenario(), 60))

        assert found["logs"]["orchestrator"] == {"readable": True, "clients": 1, "following": False}

    def test_a_client_that_leaves_at_once(self, app, monkeypatch):
        """A log whose last client left before it was followed is well: there is nobody to follow it for."""
        asked = threading.Event()

        def unfollowed(log):
            asked.set()
            return Health(readable=True, following=False)

        monkeypatch.setattr(health, "FOLLOWER_START_SECONDS", PATIENCE)
        monkeypatch.setattr(EventLog, "health", unfollowed)

        async def scenario():
            async with serving(app) as port, event_source(port, f"{EVENTS}/stream") as source:
                await source.next(1)
                async with httpx.AsyncClient(timeout=PATIENCE) as browser:
                    answer = asyncio.ensure_future(browser.get(f"http://localhost:{port}/healthz"))
                    await asyncio.to_thread(asked.wait)
                    source.close()
                    return await answer

        answer = asyncio.run(asyncio.wait_for(scenario(), 60))

        assert (answer.status_code, answer.json()["status"]) == (200, "ok")
        assert answer.json()["logs"]["orchestrator"]["clients"] == 0


class TestMetrics:
    def test_metrics(self, app, logs):
        """Events, clients, lag, gaps and refusals are counted."""

        async def scenario():
            async with serving(app) as port, event_source(port, f"{EVENTS}/stream") as source:
                await source.next(2)
                write(logs["orchestrator"], 3)
                await source.next(1)
                async with httpx.AsyncClient(base_url=f"http://localhost:{port}") as browser:
                    await browser.get(f"{EVENTS}?limit=0")
                    text = (await browser.get("/metrics")).text
                    source.close()
                    while '{log="orchestrator"} 0.0' not in (await browser.get("/metrics")).text:
                        await asyncio.sleep(0.01)
                    return text

        found = {
            (sample.name, *sample.labels.values()): sample.value
            for family in text_string_to_metric_families(asyncio.run(scenario()))
            for sample in family.samples
        }

        assert found["chora_logging_events_read_total", "orchestrator"] == 3
        assert found["chora_logging_clients", "orchestrator"] == 1
        assert found["chora_logging_refused_requests_total", "invalid_parameter"] == 1

    def test_the_lag_is_that_of_live_events(self, app, logs):
        """The lag counts for new events, not for old ones that are read again."""
        old = {"event": "old", "timestamp": "2020-01-01T00:00:00Z"}
        logs["orchestrator"].write_text(json.dumps(old) + "\n")
        lags = []

        async def scenario():
            async with (
                serving(app) as port,
                event_source(port, f"{EVENTS}/stream") as source,
                httpx.AsyncClient(base_url=f"http://localhost:{port}") as browser,
            ):
                while not lags or lags[-1] is None:
                    await source.next(1)
                    lags.append(lag(await browser.get("/metrics")))
                    now = datetime.now(timezone.utc).isoformat()
                    with logs["orchestrator"].open("a") as file:
                        file.write(json.dumps({"event": "new", "timestamp": now}) + "\n")

        def lag(answer):
            found = re.search(r'lag_seconds{log="orchestrator"} (\S+)', answer.text)
            return found and float(found[1])

        asyncio.run(asyncio.wait_for(scenario(), 60))

        assert lags[0] is None
        assert 0 <= lags[-1] < 60

    def test_counters_begin_with_0(self, app):
        """The counters of each log exist from the beginning, so that the first increase is seen."""
        text = ask(app, "/metrics").text

        for name in ("events_read_total", "gaps_total", "dropped_clients_total", "clients"):
            for log in ("orchestrator", "telemetry"):
                assert f'chora_logging_{name}{{log="{log}"}} 0.0' in text

    def test_each_application_counts_for_itself(self, logs):
        """Two applications in a process have counters of their own."""
        first, second = create_app(logs), create_app(logs)
        ask(first, EVENTS)

        assert 'events_read_total{log="orchestrator"} 2.0' in ask(first, "/metrics").text
        assert 'events_read_total{log="orchestrator"} 2.0' not in ask(second, "/metrics").text

"""A log as a stream: stored events, then new ones, over a real socket."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os

import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.routing import Mount

from chora_logging import setup_logging
from chora_logging.web import Limits, create_app, routes
from tests.eventlog.writing import Writer, open_files, threads_of, write
from tests.web.serving import ask, event_source, serving, streaming, until

STREAM = "/api/v1/orchestrator/events/stream"


@pytest.fixture
def log(tmp_path):
    return tmp_path / "orch.log"


def app_of(log, **limits):
    return create_app({"orchestrator": log}, limits=Limits(**limits))


def run(scenario):
    """Run a scenario, and check that it left no open file, thread or task of the log."""
    asyncio.run(asyncio.wait_for(scenario, 60))


class TestUnreadable:
    def test_what_is_not_understood_is_told(self, log):
        """Lines that are no events, and events without a level, are counted, stored ones and new ones."""

        async def scenario():
            log.write_text('{"n": 1}\nwhat?\n{"n": 2, "level": "ERROR"}\n')
            async with streaming(app_of(log), f"{STREAM}?level=warning") as source:
                assert await source.next(2) == [
                    ("message", {"n": 2, "level": "ERROR"}),
                    ("unreadable", {"level": 1, "lines": 1}),
                ]
                await until(lambda: threads_of(log))
                for text, told in (
                    ('{"n": 3}\n', {"level": 2, "lines": 1}),
                    ("what?\nwho?\n", {"level": 2, "lines": 3}),
                ):
                    with open(log, "a") as file:
                        file.write(text)
                    assert await source.next(1) == [("unreadable", told)]
                write(log, 4)
                with open(log, "a") as file:
                    file.write('{"n": 5, "level": "ERROR"}\n')
                found = []
                while not found or found[-1][0] != "message":
                    found += await source.next(1)
                assert found[-1] == ("message", {"n": 5, "level": "ERROR"})
                assert source.parser.last_event_id == source.parser.ids[-1]

        run(scenario())

    def test_nothing_is_told_without_need(self, log):
        """A stream whose lines are all understood has no such message."""

        async def scenario():
            write(log, 1, 2)
            async with streaming(app_of(log), f"{STREAM}?where=n>=1") as source:
                assert [kind for kind, _ in await source.next(2)] == ["message", "message"]
                write(log, 3)
                assert await source.next(1) == [("message", {"n": 3, "pad": ""})]

        run(scenario())


class TestEvents:
    def test_stored_then_live_without_a_seam(self, log):
        """A stream gives the stored events, then each new one, once and in order."""

        async def scenario():
            writer = Writer(log)
            writer.write(5)
            async with serving(app_of(log)) as port, event_source(port, STREAM) as source:
                assert await source.numbers(5) == [0, 1, 2, 3, 4]
                for _ in range(3):
                    writer.write(2)
                    writer.rotate()
                assert await source.numbers(6) == [5, 6, 7, 8, 9, 10]
            writer.close()

        run(scenario())

    def test_existing_clients_get_the_events_of_their_task(self, log):
        """`stream?task_id=…` gives unnamed events, each the JSON of a line of that task."""

        async def scenario():
            events = [{"event": "step", "task_id": f"task-{n % 2}", "n": n} for n in range(4)]
            log.write_text("".join(json.dumps(event) + "\n" for event in events))
            async with (
                serving(app_of(log)) as port,
                event_source(port, f"{STREAM}?task_id=task-1") as source,
            ):
                assert await source.next(2) == [("message", events[1]), ("message", events[3])]

        run(scenario())

    def test_the_headers(self, log):
        """The headers of a stream forbid caching, buffering by a proxy, and compression."""

        async def scenario():
            async with serving(app_of(log)) as port, event_source(port, STREAM) as source:
                assert source.status == 200
                assert source.headers["content-type"] == "text/event-stream; charset=utf-8"
                assert source.headers["cache-control"] == "no-store, no-transform"
                assert source.headers["x-accel-buffering"] == "no"
                assert source.headers["x-trace-id"]
                assert "content-encoding" not in source.headers

        run(scenario())

    def test_a_compressing_application_does_not_hold_events_back(self, log):
        """Within an application that compresses its answers each event comes when it is written."""
        app = Starlette(
            routes=[Mount("/logs", routes=routes({"orchestrator": log}))],
            middleware=[Middleware(GZipMiddleware, minimum_size=1)],
        )

        async def scenario():
            async with (
                serving(app) as port,
                event_source(port, f"/logs{STREAM}", {"Accept-Encoding": "gzip"}) as source,
            ):
                for number in range(3):
                    write(log, number)
                    assert await source.numbers(1) == [number]

        run(scenario())

    def test_head_is_answered_with_the_headers(self, log):
        """A HEAD request gets the headers of a stream and no stream."""
        answer = ask(app_of(log), STREAM, method="HEAD")

        assert (answer.status_code, answer.content) == (200, b"")
        assert answer.headers["content-type"].startswith("text/event-stream")


class TestPositions:
    def test_resumes_after_the_last_event(self, log):
        """With Last-Event-ID the stream resumes right after that event, across rotations and compression."""

        async def scenario():
            writer = Writer(log)
            writer.write(6)
            app = app_of(log)
            async with serving(app) as port:
                async with event_source(port, STREAM) as source:
                    await source.next(3)
                    last = source.parser.ids[2]
                writer.rotate()
                writer.compress()
                writer.write(1)
                async with event_source(port, STREAM, {"Last-Event-ID": last}) as source:
                    assert await source.numbers(4) == [3, 4, 5, 6]
            writer.close()

        run(scenario())

    @pytest.mark.parametrize("other", ["", "&from=end"], ids=["after", "after and from"])
    def test_after_is_where_it_begins(self, log, other):
        """`after` sets the start of the stream; it overrides `from`, and Last-Event-ID overrides both."""

        async def scenario():
            write(log, 1, 2, 3)
            app = app_of(log)
            first, second = await cursors(app, 2)
            async with serving(app) as port:
                path = f"{STREAM}?after={first}{other}"
                async with event_source(port, path) as source:
                    assert await source.numbers(2) == [2, 3]
                async with event_source(port, path, {"Last-Event-ID": second}) as source:
                    assert await source.numbers(1) == [3]

        run(scenario())

    def test_from_end_is_live_only(self, log):
        """`from=end` gives only new events."""

        async def scenario():
            write(log, 1, 2)
            async with streaming(app_of(log), f"{STREAM}?from=end") as source:
                await source.chunk()
                write(log, 3)
                assert await source.numbers(1) == [3]

        run(scenario())

    @pytest.mark.parametrize(
        "given", ["garbage", "A" * 5000, "AQ", "\xff"], ids=["text", "long", "cut", "byte"]
    )
    def test_an_id_that_is_none_of_ours_is_a_gap(self, log, given):
        """A Last-Event-ID that is no cursor gives a gap and then all events, so that browsers reconnect."""

        async def scenario():
            write(log, 1)
            async with streaming(app_of(log), STREAM, {"Last-Event-ID": given}) as source:
                (kind, gap), (_, event) = await source.next(2)
                assert (kind, event["n"]) == ("gap", 1)
                assert "Last-Event-ID" in gap["reason"]

        run(scenario())

    @pytest.mark.parametrize("way", ["expired", "another log"])
    def test_an_id_that_cannot_be_found_is_a_gap(self, log, tmp_path, way):
        """The cursor of a deleted file, or of another log, gives a gap and the remaining events."""

        async def scenario():
            app = create_app({"orchestrator": log, "other": tmp_path / "other.log"})
            writer = Writer(log if way == "expired" else tmp_path / "other.log", keep=1)
            writer.write(3)
            name = "orchestrator" if way == "expired" else "other"
            (first,) = await cursors(app, 1, name)
            for _ in range(3):
                writer.rotate()
                writer.write(1)
            writer.close()
            if way != "expired":
                write(log, 7)
            async with streaming(app, STREAM, {"Last-Event-ID": first}) as source:
                kind, gap = (await source.next(1))[0]
                assert (kind, bool(gap["reason"])) == ("gap", True)
                assert await source.numbers(1) == [4 if way == "expired" else 7]
                assert source.parser.last_event_id

        run(scenario())

    def test_an_id_from_the_future_is_answered(self, log):
        """A cursor beyond the end of a rewritten file gives a gap and the new events."""

        async def scenario():
            write(log, *range(10))
            app = app_of(log)
            *_, last = await cursors(app, 10)
            log.write_bytes(b'{"n": 100}\n')
            async with streaming(app, STREAM, {"Last-Event-ID": last}) as source:
                (kind, _), (_, event) = await source.next(2)
                assert (kind, event) == ("gap", {"n": 100})

        run(scenario())


class TestLiving:
    def test_heartbeats_are_comments_without_an_id(self, log):
        """A stream without events sends heartbeats, which do not change the client's position."""

        async def scenario():
            write(log, 1)
            async with serving(app_of(log, heartbeat=0.1)) as port, event_source(port, STREAM) as source:
                await source.next(1)
                last = source.parser.last_event_id
                while len(source.comments) < 3:
                    source.parser.feed(await source.chunk())
                assert (source.parser.last_event_id, source.parser.events) == (last, [])
                assert source.parser.retry == Limits().retry

        run(scenario())

    def test_too_many_streams_are_refused(self, log):
        """Streams beyond the limit are 503 with Retry-After, until one ends."""

        async def scenario():
            async with serving(app_of(log, streams=2)) as port:
                two = [event_source(port, STREAM) for _ in range(2)]
                opened = [await source.__aenter__() for source in two]
                async with event_source(port, STREAM) as third:
                    assert (third.status, third.headers["retry-after"]) == (503, "5")
                opened[0].close()
                await until_admitted(port)
                opened[1].close()

        run(scenario())

    def test_one_thread_follows_for_all(self, log):
        """All streams of a log share one thread that polls its files, and none holds a file open."""

        async def scenario():
            write(log, 0)
            async with serving(app_of(log)) as port:
                sources = [event_source(port, STREAM) for _ in range(20)]
                opened = [await source.__aenter__() for source in sources]
                for source in opened:
                    assert await source.numbers(1) == [0]
                write(log, 1)
                for source in opened:
                    assert await source.numbers(1) == [1]
                assert len(threads_of(log)) == 1
                await until(lambda: open_files(log) <= 2)
                for source in sources:
                    await source.__aexit__(None, None, None)
                await until(lambda: not open_files(log))
            gc.collect()

        run(scenario())

    def test_the_server_stops_with_open_streams(self, log):
        """A server that stops ends its streams, each as a complete response."""

        async def scenario():
            write(log, 1)
            async with serving(app_of(log)) as port:
                opened = [event_source(port, STREAM) for _ in range(10)]
                sources = [await source.__aenter__() for source in opened]
                for source in sources:
                    await source.next(1)
            for source in sources:
                assert await source.next(1) is None
            for source in opened:
                await source.__aexit__(None, None, None)

        run(scenario())

    def test_an_unreadable_log_is_refused_before_the_stream_begins(self, log, monkeypatch):
        """A log that cannot be read is 503, not an empty stream."""
        really = os.open

        def refuse(path, *arguments, **options):
            if str(path) == str(log):
                raise PermissionError(13, "Permission denied", path)
            return really(path, *arguments, **options)

        write(log, 1)
        monkeypatch.setattr(os, "open", refuse)

        assert ask(app_of(log), STREAM).json()["error"] == "log_unreadable"

    def test_a_log_that_becomes_unreadable_ends_the_stream(self, log, caplog):
        """A stream whose log can no longer be read ends, and the reason is logged in one line."""

        async def scenario():
            write(log, 1)
            async with streaming(app_of(log), STREAM) as source:
                await source.next(1)
                log.unlink()
                log.symlink_to(log)
                assert await source.next(1) is None

        run(scenario())

        told = [record.getMessage() for record in caplog.records if record.levelname != "INFO"]
        assert told == [
            "the stream of orchestrator ends: the log cannot be read now: Too many levels of symbolic links"
        ]

    def test_conditions_and_text(self, log):
        """A stream has the stored and the new events that meet its conditions and have its text."""

        async def scenario():
            append(log, {"n": 1, "m": "Grün"}, {"n": 2, "m": "rot"}, {"n": 3, "m": "gr\u00fcner"})
            async with streaming(app_of(log), f"{STREAM}?where=n>=2&text=GR%C3%9CN") as source:
                assert (await source.next(1))[0][1]["n"] == 3
                append(log, {"n": 0, "m": "grün"}, {"n": 4, "m": "rot"}, {"n": 5, "m": "grün"})
                assert (await source.next(1))[0][1]["n"] == 5

        run(scenario())

    def test_an_expression_that_takes_too_long(self, log, monkeypatch, caplog):
        """A regular expression that is given up ends a stream, and the reason is logged in one line."""

        async def scenario():
            append(log, {"a": "b"})
            async with streaming(app_of(log), f"{STREAM}?where=a~=(b*)*b") as source:
                await source.next(1)
                monkeypatch.setattr("chora_logging.eventlog.patterns.FREE_WORK", 0)
                monkeypatch.setattr("chora_logging.eventlog.patterns.WORK_PER_CHAR", 0)
                append(log, {"a": "xyz"})
                assert await source.next(1) is None

        run(scenario())

        [told] = [record.getMessage() for record in caplog.records if record.levelname != "INFO"]
        assert told.startswith("the stream of orchestrator ends: where must be a regular expression")

    def test_its_own_access_log_does_not_feed_it(self, log):
        """A server with its access log in the log that it streams writes one line per request, not more."""
        setup_logging(log_file=log, console=False)

        async def scenario():
            async with (
                serving(create_app({"orchestrator": log})) as port,
                event_source(port, f"{STREAM}?where=logger=uvicorn.access") as source,
            ):
                mine = (await source.next(1))[0][1]
                assert mine["trace_id"] == source.headers["x-trace-id"]
                async with httpx.AsyncClient() as browser:
                    answer = await browser.get(f"http://localhost:{port}/healthz")
                other = (await source.next(1))[0][1]
                assert other["trace_id"] == answer.headers["x-trace-id"]
                logging.getLogger("uvicorn.access").info("the end")
                assert (await source.next(1))[0][1]["message"] == "the end"

        run(scenario())


def append(log, *events):
    """Append events to a log."""
    with open(log, "a", encoding="utf-8") as file:
        file.writelines(json.dumps(event) + "\n" for event in events)


async def cursors(app, count, log="orchestrator"):
    """The cursors of the first events of a log, from pages of one."""
    found, after = [], ""
    for _ in range(count):
        path = f"/api/v1/{log}/events?limit=1{after}"
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as browser:
            found.append((await browser.get(path)).json()["next"])
        after = f"&after={found[-1]}"
    return found


async def until_admitted(port):
    """Return when a stream is accepted."""
    while True:
        async with event_source(port, STREAM) as source:
            if source.status == 200:
                return
        await asyncio.sleep(0.01)

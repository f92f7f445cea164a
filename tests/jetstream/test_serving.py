"""REST and SSE from a stream: resumed on any machine, over the death of a leader, each event once."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import subprocess
import threading
import time
import zlib

import httpx
import pytest

from chora_logging.errors import ServerError
from chora_logging.jetstream.shared_connections import _connections
from chora_logging.web import create_app
from tests.cli.running import COMMAND, environment
from tests.jetstream.servers import PATIENCE, connected, create, done
from tests.jetstream.storing import SOME_CURSOR, Place, line, lines, publish, publish_raw
from tests.web.serving import ask, event_source, serving

EVENTS = "/api/v1/all/events"
STREAM = f"{EVENTS}/stream"


@pytest.fixture(autouse=True)
def no_token(monkeypatch):
    """Without this a server under test might ask for one."""
    monkeypatch.delenv("CHORA_LOGGING_TOKEN", raising=False)


@pytest.fixture
def app(log):
    """An application that serves the stream."""
    return create_app({"all": log})


def run(scenario):
    return asyncio.run(asyncio.wait_for(scenario(), 2 * PATIENCE))


def resumed(app, cursor, count):
    """Return the types and the numbers of the first events after *cursor*."""

    async def scenario():
        async with serving(app) as port, event_source(port, STREAM, {"Last-Event-ID": cursor}) as source:
            return [(kind, event.get("n")) for kind, event in await source.next(count)]

    return run(scenario)


class TestRest:
    def test_pages(self, app, shop):
        """Pages have events and cursors, in both orders, filtered, with a tag."""
        shop.store(lines(1, 2))
        Place(shop.stream, "web2").store(lines(3))
        first = ask(app, f"{EVENTS}?limit=2")
        page = first.json()

        assert [event["n"] for event in page["events"]] == [1, 2]
        assert [e["n"] for e in ask(app, f"{EVENTS}?after={page['next']}").json()["events"]] == [3]
        assert [e["n"] for e in ask(app, f"{EVENTS}?order=desc&limit=2").json()["events"]] == [3, 2]
        assert [e["n"] for e in ask(app, f"{EVENTS}?where=host=web2").json()["events"]] == [3]
        tag = {"if-none-match": first.headers["etag"]}
        assert ask(app, f"{EVENTS}?limit=2", headers=tag).status_code == 304

    def test_traces(self, app, shop):
        """A trace is found."""
        shop.store(line(n=1, trace_id="t") + line(n=2) + line(n=3, trace_id="t"))

        answer = ask(app, "/api/v1/all/traces/t").json()

        assert [entry["event"]["n"] for entry in answer["events"]] == [1, 3]

    def test_one_event_and_counts(self, app, shop):
        """Each event is found by its cursor, with those around it; events and fields are counted."""
        shop.store(lines(0, 1, timestamp=1_735_689_600))
        Place(shop.stream, "web2").store(lines(2, 3, level="ERROR", timestamp=1_735_689_700))
        for number, cursor in enumerate(ask(app, f"{EVENTS}?cursors=true").json()["cursors"]):
            found = ask(app, f"{EVENTS}/{cursor}?before=9&after=1").json()
            assert found["event"]["event"]["n"] == number
            assert [entry["event"]["n"] for entry in found["before"]] == list(range(number))
            assert [entry["event"]["n"] for entry in found["after"]] == list(range(number + 1, 4))[:1]
        counted = ask(app, "/api/v1/all/histogram?step=1m").json()
        (field,) = ask(app, "/api/v1/all/fields?where=host=web2&limit=1").json()["fields"][:1]

        assert [interval["counts"] for interval in counted["intervals"]] == [{"other": 2}, {"ERROR": 2}]
        assert field["name"] == "host"
        assert field["values"] == [{"value": "web2", "events": 1}]

    def test_beside_files(self, log, shop, tmp_path):
        """A stream and files are one sequence of events, on pages and followed."""
        app = create_app({"all": log, "files": tmp_path / "app.jsonl"})
        shop.store(lines(0, timestamp=1) + lines(2, timestamp=3))
        (tmp_path / "app.jsonl").write_bytes(lines(1, timestamp=2) + lines(3, timestamp=4))
        both = "/api/v1/all,files/events"
        page = ask(app, f"{both}?limit=2").json()
        rest = ask(app, f"{both}?after={page['next']}").json()

        async def scenario():
            address = f"{both}/stream?after={page['next']}"
            async with serving(app) as port, event_source(port, address) as source:
                found = await source.next(2)
                await asyncio.to_thread(shop.store, lines(4))
                return found + await source.next(1)

        assert [entry["event"]["n"] for entry in page["events"] + rest["events"]] == [0, 1, 2, 3]
        assert [entry["event"]["n"] for _, entry in run(scenario)] == [2, 3, 4]

    def test_cursors_of_files(self, app):
        """A cursor of files is refused."""
        answer = ask(app, f"{EVENTS}?after={SOME_CURSOR}")

        assert (answer.status_code, answer.json()["error"]) == (422, "invalid_parameter")

    def test_an_address_alone(self, stream, shop):
        """An address names the log after the stream."""
        shop.store(lines(1))

        answer = ask(create_app(str(stream.connection.address)), f"/api/v1/{stream.name}/events")

        assert [event["n"] for event in answer.json()["events"]] == [1]

    def test_no_server(self, monkeypatch):
        """Without a server it is 503, and health says so."""
        monkeypatch.setattr("chora_logging.jetstream.connection.ANSWER_SECONDS", 0.2)
        app = create_app({"all": "nats://127.0.0.1:1/CLOG"})

        page, health = ask(app, EVENTS), ask(app, "/healthz")

        assert (page.status_code, page.json()["error"]) == (503, "log_unreadable")
        assert "127.0.0.1" not in page.text
        assert (health.status_code, health.json()["logs"]["all"]["readable"]) == (503, False)


class TestHostileContent:
    def test_is_passed_over(self, app, stream, shop, running):
        """Pages, traces and live streams have the events around what is no block."""
        hostile = [
            lambda: publish(stream, f"{shop.subjects}.web1.shop", b"foreign"),
            lambda: publish(stream, f"{shop.subjects}.a.b.c", b"", {"Clog-Log": "x"}),
            lambda: shop.store(b"", headers={"Content-Encoding": "deflate"}, payload=b"no deflate"),
            lambda: shop.store(
                b"", headers={"Content-Encoding": "deflate"}, payload=zlib.compress(bytes(2**25 + 1))
            ),
            lambda: shop.store(b'{"n": "no newline"}'),
            lambda: publish_raw(running.servers[0].port, f"{shop.subjects}.x.y".encode() + b"\xff", b"x"),
        ]

        async def scenario():
            found = []
            async with serving(app) as port, event_source(port, STREAM) as source:
                for number, store in enumerate(hostile):
                    await asyncio.to_thread(shop.store, line(n=number, trace_id="t"))
                    await asyncio.to_thread(store)
                    await asyncio.to_thread(shop.store, lines(-number))
                    while len(found) < 2 * number + 2:
                        found += [event["n"] for kind, event in await source.next(1) if kind == "message"]
            return found

        expected = [n for number in range(len(hostile)) for n in (number, -number)]
        assert run(scenario) == expected
        assert [event["n"] for event in ask(app, EVENTS).json()["events"]] == expected
        newest = ask(app, f"{EVENTS}?order=desc").json()["events"]
        assert [event["n"] for event in newest] == expected[::-1]
        trace = ask(app, "/api/v1/all/traces/t").json()["events"]
        assert [entry["event"]["n"] for entry in trace] == list(range(len(hostile)))


class TestLifespan:
    def test_closes_what_it_has_opened(self, stream, shop):
        """The connection to an address ends with the application, which can be started again."""
        shop.store(lines(1))
        address = str(stream.connection.address)
        app = create_app({"all": address})

        async def lived():
            async with app.router.lifespan_context(app):
                transport = httpx.ASGITransport(app, client=("127.0.0.1", 50000))
                async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as browser:
                    found = (await browser.get(EVENTS)).json()["events"]
                return [event["n"] for event in found], is_connected(address)

        for _ in range(2):
            assert run(lived) == ([1], True)
            assert not is_connected(address)

    def test_leaves_what_it_was_given(self, app, shop, log):
        """A source of the caller's stays open."""
        shop.store(lines(1))

        async def lived():
            async with app.router.lifespan_context(app):
                await asyncio.to_thread(log.exists)

        run(lived)

        assert is_connected(log.address)


def is_connected(address):
    """Return whether readers share a connection to *address*."""
    return any(str(known) == address and each.is_connected for (known, _), each in _connections.items())


class TestStreams:
    def test_stored_and_new(self, app, shop):
        """A stream has what is stored and what is new, filtered, and is followed in good health."""
        shop.store(lines(1, 2))

        async def scenario():
            async with serving(app) as port, event_source(port, f"{STREAM}?where=log=shop") as source:
                found = await source.numbers(2)
                for number in range(3, 6):
                    await asyncio.to_thread(shop.store, lines(number))
                    await asyncio.to_thread(Place(shop.stream, log="other").store, lines(number))
                found += await source.numbers(3)
                async with httpx.AsyncClient() as browser:
                    return found, (await browser.get(f"http://localhost:{port}/healthz")).json()

        found, health = run(scenario)

        assert found == [1, 2, 3, 4, 5]
        assert health["logs"]["all"] == {"readable": True, "clients": 1, "following": True}

    def test_resumed(self, app, shop, log):
        """After each event a client can resume, on this server or another one."""
        for number in range(0, 9, 3):
            shop.store(lines(number, number + 1, number + 2))

        for event in list(log.read())[:-1]:
            count = 8 - event["n"]
            expected = [("message", number) for number in range(event["n"] + 1, 9)]
            assert resumed(app, event.cursor, count) == expected

    def test_cursors_that_lead_nowhere(self, app, shop, log):
        """A cursor of another stream, before the beginning or beyond the end: a gap, then all there is."""
        for number in range(4):
            shop.store(lines(number))
        first = log.last(4)[0].cursor
        incarnation = first.split(".")[1]
        done(shop.stream, shop.stream.api(f"STREAM.PURGE.{shop.stream.name}", {"seq": 3}))

        gap = ("gap", None)
        assert resumed(app, first, 3) == [gap, ("message", 2), ("message", 3)]
        assert resumed(app, "n1.00000000.2.0", 3) == [gap, ("message", 2), ("message", 3)]
        assert resumed(app, f"n1.{incarnation}.99.0", 1) == [gap]
        assert resumed(app, SOME_CURSOR, 3) == [gap, ("message", 2), ("message", 3)]
        assert resumed(app, f"n1.{incarnation}.4.0", 1) == [("message", 3)]

    def test_50_clients_with_5_filters(self, app, shop):
        """Each of 50 clients gets exactly the events of its filter."""
        filters = ["", "?event=a", "?where=host=web2", "?level=error", "?event=b&where=log=pay"]
        places = [shop, Place(shop.stream, "web2"), Place(shop.stream, "web2", "pay")]
        events = [
            {"n": n, "event": "ab"[n % 2], "level": "ERROR" if n % 5 == 0 else "INFO", "place": n % 3}
            for n in range(120)
        ]
        expected = [
            [event["n"] for event in events if keep(event)]
            for keep in (
                lambda event: True,
                lambda event: event["event"] == "a",
                lambda event: event["place"] > 0,
                lambda event: event["level"] == "ERROR",
                lambda event: event["event"] == "b" and event["place"] == 2,
            )
        ]

        async def client(port, number):
            async with event_source(port, STREAM + filters[number]) as source:
                return await source.numbers(len(expected[number]))

        async def scenario():
            async with serving(app) as port:
                clients = [asyncio.ensure_future(client(port, number % 5)) for number in range(50)]
                for event in events:
                    await asyncio.to_thread(places[event["place"]].store, line(**event))
                return await asyncio.gather(*clients)

        found = run(scenario)

        assert found == expected * 10

    def test_a_feed_that_is_lost(self, app, shop, running):
        """When the consumer is deleted on the server, events go on to come, each once."""

        async def scenario():
            async with serving(app) as port, event_source(port, STREAM) as source:
                shop.store(lines(0))
                found = await source.numbers(1)
                for number in range(1, 6):
                    await asyncio.to_thread(delete_consumers, shop.stream)
                    await asyncio.to_thread(shop.store, lines(number))
                    found += await source.numbers(1)
                return found

        assert run(scenario) == [0, 1, 2, 3, 4, 5]


def delete_consumers(stream):
    found = done(stream, stream.api(f"CONSUMER.NAMES.{stream.name}", {}))
    for name in found.get("consumers") or ():
        with contextlib.suppress(ServerError):
            done(stream, stream.api(f"CONSUMER.DELETE.{stream.name}.{name}"))


@contextlib.contextmanager
def server_process(address):
    """Serve the stream *address* in a process of its own, as on another machine; yields the port."""
    command = [*COMMAND, "serve", "--port", "0", "--json", "--log", f"all={address}"]
    with subprocess.Popen(
        command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        try:
            yield int(json.loads(process.stdout.readline())["url"].rstrip("/").rpartition(":")[2])
        finally:
            process.send_signal(signal.SIGKILL)


class Publisher(threading.Thread):
    """Stores numbered events one by one, each again until the servers have it."""

    def __init__(self, place, count):
        super().__init__(daemon=True)
        self.place = place
        self.count = count
        self.stored = 0
        self.limit = 0
        self.error = None

    def run(self):
        deadline = time.monotonic() + 2 * PATIENCE
        while self.stored < self.count and time.monotonic() < deadline:
            if self.stored >= self.limit:
                time.sleep(0.002)
                continue
            with contextlib.suppress(ServerError):
                self.place.store(lines(self.stored), headers={"Nats-Msg-Id": f"id-{self.stored}"})
                self.stored += 1


def test_over_everything_that_happens(cluster):
    """The leader dies, the SSE server is killed, another one far away goes on: each event once, in order."""
    count = 400
    others = cluster.address.replace(f"127.0.0.1:{cluster.servers[0].port},", "", 1)
    with connected(cluster.address) as stream:
        create(stream, num_replicas=3)
        publisher = Publisher(Place(stream), count)
        publisher.start()

        async def read(port, found, after, until):
            """Read from one server until there are *until* events; return the last cursor."""
            header = {"Last-Event-ID": after} if after else {}
            async with event_source(port, STREAM, header) as source:
                while len(found) < until:
                    found += await source.numbers(1)
                return source.parser.ids[len(source.parser.ids) - len(source.parser.events) - 1]

        async def scenario():
            found = []
            publisher.limit = 200
            with server_process(cluster.address) as port:
                after = await read(port, found, "", 50)
                reading = asyncio.ensure_future(read(port, found, after, 300))
                await until_true(lambda: len(found) >= 100)
                leader = cluster.leader(await asyncio.to_thread(done, stream, stream.info()))
                leader.end(signal.SIGKILL)
                publisher.limit = 300
                after = await reading
            publisher.limit = count
            with server_process(others) as port:
                after = await read(port, found, after, 350)
                leader.start()
            with server_process(cluster.address) as port:
                await read(port, found, after, count)
            return found

        found = run(scenario)
        publisher.join()

    assert found == list(range(count))


async def until_true(condition):
    while not condition():
        await asyncio.sleep(0.01)

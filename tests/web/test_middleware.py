"""A trace id for each request: its source, and where it appears and does not."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import os
import subprocess
import sys

import httpx
import pytest
from fastapi import FastAPI, WebSocket
from fastapi.responses import StreamingResponse
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route

from chora_logging import EventFormatter, TraceIdFilter, child_env, get_trace_id
from chora_logging.web import TraceMiddleware, create_app
from tests.web.serving import ask, serving

W3C = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{W3C}-00f067aa0ba902b7-01"

logger = logging.getLogger("shop")


async def told(request):
    return JSONResponse(get_trace_id())


@pytest.fixture
def app():
    app = Starlette(routes=[Route("/", told)])
    app.add_middleware(TraceMiddleware)
    return app


@pytest.fixture
def lines():
    """The logged events."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(EventFormatter())
    handler.addFilter(TraceIdFilter())
    logging.getLogger().addHandler(handler)
    logging.getLogger().setLevel(logging.INFO)
    return lambda: [json.loads(line) for line in stream.getvalue().splitlines()]


class TestWhichId:
    @pytest.mark.parametrize(
        ("headers", "expected"),
        [
            ({"traceparent": PARENT, "x-trace-id": "a", "x-request-id": "b"}, W3C),
            ({"x-trace-id": "a", "x-request-id": "b"}, "a"),
            ({"x-request-id": "b"}, "b"),
            ({"traceparent": "00-" + "0" * 32 + "-00f067aa0ba902b7-01", "x-request-id": "b"}, "b"),
            ({"traceparent": "nonsense", "x-trace-id": "order-7"}, "order-7"),
            ({"X-TRACE-ID": "~" * 200}, "~" * 200),
        ],
    )
    def test_the_one_that_came(self, app, headers, expected):
        """The id is that of traceparent, else X-Trace-Id, else X-Request-Id."""
        answer = ask(app, "/", headers=headers)

        assert answer.json() == expected
        assert answer.headers["x-trace-id"] == expected

    @pytest.mark.parametrize(
        "value",
        [
            b"",
            b" ",
            b"a b",
            b"x" * 201,
            b"x" * 10_000,
            b"\xff\xfe",
            "ü".encode(),
            b"a\tb",
            b"\x1b[2J",
            b"a\x7f",
        ],
        ids=repr,
    )
    @pytest.mark.parametrize("name", ["x-trace-id", "x-request-id", "traceparent"])
    def test_a_hostile_one_is_not_taken(self, app, name, value):
        """A header that is too long or not visible ASCII is answered with a new id."""
        answer = ask(app, "/", headers=[(name.encode(), value)])

        assert answer.status_code == 200
        assert len(answer.json()) == 32
        assert answer.headers["x-trace-id"] == answer.json()

    def test_a_new_one_for_each_request(self, app):
        """Requests without an id get one each, of the form that W3C trace context has."""
        found = {ask(app, "/").json() for _ in range(20)}

        assert len(found) == 20
        assert all(len(trace_id) == 32 and int(trace_id, 16) for trace_id in found)

    def test_an_application_within_has_the_same(self, tmp_path):
        """A mounted application that has the middleware too keeps the id of the one around it."""
        app = FastAPI()
        app.mount("/logs", create_app({"a": tmp_path / "a.log"}))
        app.add_middleware(TraceMiddleware)
        headers = ask(app, "/logs/healthz").headers

        assert len(headers.get_list("x-trace-id")) == 1


class TestWhereItIs:
    def test_on_every_event_in_the_header_and_in_a_subprocess(self, lines):
        """The records of a request, its response, and a process that it starts have one id."""
        app = FastAPI()
        app.add_middleware(TraceMiddleware)

        @app.get("/orders")
        async def order():
            logger.info("received")
            await asyncio.gather(deeper(), asyncio.to_thread(logger.info, "in a thread"))
            code = "from chora_logging import get_trace_id; print(get_trace_id())"
            done = await asyncio.to_thread(
                subprocess.run, [sys.executable, "-c", code], env=child_env(), capture_output=True, text=True
            )
            return done.stdout.strip()

        async def deeper():
            logger.info("deeper")

        @app.get("/sync")
        def synchronous():
            logger.info("in the pool")
            return get_trace_id()

        answer = ask(app, "/orders", headers={"x-request-id": "order-7"})
        other = ask(app, "/sync")

        assert (answer.json(), answer.headers["x-trace-id"]) == ("order-7", "order-7")
        logged = [(event["message"], event["trace_id"]) for event in lines() if event["logger"] == "shop"]
        assert sorted(logged[:3]) == [(text, "order-7") for text in ("deeper", "in a thread", "received")]
        assert logged[3:] == [("in the pool", other.headers["x-trace-id"])]
        assert other.json() == other.headers["x-trace-id"]

    def test_while_a_response_streams_and_after_it(self, lines):
        """The id is there for as long as a response streams, and for its background task."""

        async def parts():
            for _ in range(3):
                await asyncio.sleep(0)
                yield get_trace_id() + "\n"

        async def stream(request):
            return StreamingResponse(parts(), background=BackgroundTask(logger.info, "after"))

        app = TraceMiddleware(Starlette(routes=[Route("/", stream)]))
        answer = ask(app, "/", headers={"x-trace-id": "t"})

        assert answer.text == "t\n" * 3
        assert [event["trace_id"] for event in lines() if event["message"] == "after"] == ["t"]

    def test_websockets(self):
        """A websocket has an id, and its handshake has the header."""
        app = FastAPI()
        app.add_middleware(TraceMiddleware)

        @app.websocket("/ws")
        async def echo(socket: WebSocket):
            await socket.accept(headers=[(b"x-mine", b"1")])
            await socket.send_text(f"{await socket.receive_text()} {get_trace_id()}")

        scope = {"type": "websocket", "path": "/ws", "query_string": b"", "headers": [(b"x-trace-id", b"t")]}
        coming = iter([{"type": "websocket.connect"}, {"type": "websocket.receive", "text": "hello"}])
        sent = []

        async def receive():
            return next(coming)

        async def send(message):
            sent.append(message)

        asyncio.run(app(scope, receive, send))

        assert sent[0]["headers"] == [(b"x-mine", b"1"), (b"x-trace-id", b"t")]
        assert sent[1]["text"] == "hello t"


class TestExceptions:
    def broken(self, kind=Starlette, **options):
        async def fail(request):
            raise ZeroDivisionError("secret")

        app = kind(routes=[Route("/", fail)], **options)
        app.add_middleware(TraceMiddleware)
        return app

    @pytest.mark.parametrize("kind", [Starlette, FastAPI])
    def test_the_answer_has_the_header(self, kind):
        """The answer to an unhandled exception has the header, and no details."""
        answer = ask(self.broken(kind), "/", headers={"x-trace-id": "t"})

        assert (answer.status_code, answer.text) == (500, "Internal Server Error")
        assert answer.headers["x-trace-id"] == "t"

    @pytest.mark.parametrize("way", ["async", "sync"])
    def test_the_handler_of_the_application_answers(self, way):
        """The application's own handler for unhandled exceptions answers once, with the id."""
        asked = []

        def sorry(request, error):
            asked.append((type(error), get_trace_id()))
            return PlainTextResponse("sorry", 500)

        async def sorry_async(request, error):
            return sorry(request, error)

        handler = sorry if way == "sync" else sorry_async
        app = self.broken(FastAPI, exception_handlers={Exception: handler})
        answer = ask(app, "/", headers={"x-trace-id": "t"})

        assert (answer.text, answer.headers["x-trace-id"]) == ("sorry", "t")
        assert asked == [(ZeroDivisionError, "t")]

    def test_an_application_of_no_framework(self):
        """An ASGI application that raises is answered too."""

        async def broken(scope, receive, send):
            raise ZeroDivisionError

        answer = ask(TraceMiddleware(broken), "/", headers={"x-trace-id": "t"})

        assert (answer.status_code, answer.headers["x-trace-id"]) == (500, "t")

    def test_each_error_has_its_own_id(self):
        """One error after the other is answered with its own id, around the application or within it."""
        for app in (self.broken(), TraceMiddleware(self.broken())):
            found = [ask(app, "/", headers={"x-trace-id": f"t{n}"}).headers["x-trace-id"] for n in range(3)]
            assert found == ["t0", "t1", "t2"]

    def test_the_server_logs_it_under_the_id(self, lines):
        """The server's lines about an unhandled exception and about the request have the id."""

        async def scenario():
            async with serving(self.broken()) as port, httpx.AsyncClient() as browser:
                return await browser.get(f"http://localhost:{port}/", headers={"x-trace-id": "t"})

        assert asyncio.run(scenario()).headers["x-trace-id"] == "t"
        found = {event["logger"]: event["trace_id"] for event in lines() if event.get("trace_id")}
        assert found == {"uvicorn.error": "t", "uvicorn.access": "t"}

    def test_one_in_the_middle_of_a_stream(self):
        """An exception after the start of the response reaches the server, which closes the connection."""

        async def parts():
            yield b"x"
            raise ZeroDivisionError

        app = Starlette(routes=[Route("/", lambda request: StreamingResponse(parts()))])
        app.add_middleware(TraceMiddleware)

        async def scenario():
            async with serving(app) as port, httpx.AsyncClient() as browser:
                with pytest.raises(httpx.RemoteProtocolError):
                    await browser.get(f"http://localhost:{port}/")

        asyncio.run(scenario())


class TestIsolation:
    def test_concurrent_requests_never_see_each_others_id(self):
        """Of many concurrent requests, each sees its own id at every step."""
        app = FastAPI()
        app.add_middleware(TraceMiddleware)

        @app.get("/")
        async def steps():
            seen = []
            for _ in range(5):
                await asyncio.sleep(0.001)
                seen.append(get_trace_id())
                seen.append(await asyncio.to_thread(get_trace_id))
            return seen

        async def scenario():
            async with serving(app) as port, httpx.AsyncClient(timeout=30) as browser:
                requests = (
                    browser.get(f"http://localhost:{port}/", headers={"x-trace-id": f"t{n}"})
                    for n in range(60)
                )
                return await asyncio.gather(*requests)

        for number, answer in enumerate(asyncio.run(scenario())):
            assert set(answer.json()) == {f"t{number}"} == {answer.headers["x-trace-id"]}

    def test_nothing_stays_behind(self, app):
        """After a request the context is what it was before."""

        async def scenario():
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as browser:
                await browser.get("/", headers={"x-trace-id": "t"})
            return get_trace_id()

        assert asyncio.run(scenario()) is None
        assert os.environ.get("CHORA_TRACE_ID") is None

"""All routes: alone, mounted in other applications, and described by OpenAPI."""

from __future__ import annotations

import asyncio
import json
import os
import re
import threading
from urllib.parse import quote

import httpx
import pytest
from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Mount

from chora_logging.errors import ConfigurationError
from chora_logging.eventlog import EventLog
from chora_logging.web import Limits, create_app, routes
from tests.eventlog.writing import write
from tests.web.serving import ask, event_source, serving, streaming

EVENTS = "/api/v1/orchestrator/events"


class TestLogs:
    def test_the_logs_of_this_environment(self, tmp_path, monkeypatch):
        """Without an argument both systems' logs are served, from where writers write them."""
        monkeypatch.setenv("ORCH_LOG_FILE", str(tmp_path / "a.log"))
        monkeypatch.setenv("CHORA_EVENTS_FILE", str(tmp_path / "b.jsonl"))
        write(tmp_path / "a.log", 1)
        write(tmp_path / "b.jsonl", 2)
        app = create_app()

        found = [
            ask(app, f"/api/v1/{log}/events").json()["events"][0]["n"]
            for log in ("orchestrator", "telemetry")
        ]

        assert found == [1, 2]
        assert ask(app, "/api/v1/logs").json() == {"logs": ["orchestrator", "telemetry"], "login": False}

    def test_a_log_can_be_an_event_log(self, logs):
        """An EventLog can be given in place of a path."""
        app = create_app({"mine": EventLog(logs["orchestrator"])})

        assert len(ask(app, "/api/v1/mine/events").json()["events"]) == 2

    @pytest.mark.parametrize("path", ["events", "events/stream", "traces/t"])
    def test_an_unknown_log(self, app, path):
        """An unknown log is 404, with the names of the logs."""
        answer = ask(app, f"/api/v1/other/{path}")

        assert answer.status_code == 404
        assert answer.json() == {
            "error": "unknown_log",
            "detail": "there is no log of that name; the logs are orchestrator, telemetry",
        }

    @pytest.mark.parametrize("path", ["..%2f..%2fetc%2fpasswd", "%2e%2e", "orch.log", "%00"])
    def test_a_path_is_never_a_file(self, app, path):
        """The name of a log or a page in a request is never used as a path."""
        for address in (f"/api/v1/{path}/events", f"/viewer/{path}", f"/{path}"):
            assert ask(app, address).status_code == 404

    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            ({"logs": {}}, "logs must be a mapping of names to paths"),
            ({"logs": "app.log"}, "logs must be a mapping"),
            ({"logs": {"a/b": "x"}}, "the name of a log must be 1 to 64 letters"),
            ({"logs": {"a": ""}}, r"logs\['a'\] must be the path of a file"),
            ({"origins": ["*"]}, "origins must be a list of origins"),
            ({"origins": "https://a.example"}, "origins must be a list of origins"),
            ({"allowed_hosts": "localhost"}, "allowed_hosts must be a list of host names"),
            ({"allowed_hosts": ["localhost:8000"]}, "allowed_hosts must be a list of host names, without"),
            ({"allowed_hosts": ["::1"]}, "allowed_hosts must be a list of host names"),
            ({"allowed_hosts": ["http://a.example"]}, "allowed_hosts must be a list of host names"),
            ({"allowed_hosts": ["*.a.*"]}, "allowed_hosts must be a list of host names"),
            ({"allowed_hosts": 5}, "allowed_hosts must be a list of host names"),
            ({"origins": None}, "origins must be a list of origins"),
            ({"origins": 5}, "origins must be a list of origins"),
            ({"origins": ""}, "origins must be a list of origins"),
            ({"limits": 5}, r"limits must be a Limits, such as Limits\(streams=100\), got 5"),
            ({"limits": {"streams": 5}}, "limits must be a Limits, such as"),
            ({"limits": 0}, "limits must be a Limits, such as"),
        ],
    )
    def test_a_wrong_argument(self, logs, wrong, message):
        """An invalid argument is an error that names it."""
        with pytest.raises(ConfigurationError, match=message):
            create_app(**{"logs": logs, **wrong})

    @pytest.mark.parametrize(
        ("limits", "message"),
        [
            ({"stalled": 0}, "stalled must be a number greater than 0, got 0"),
            ({"page": 1001}, "page must be at most largest_page, 1000, got 1001"),
            ({"page": 0.5}, "page must be a whole number greater than 0, got 0.5"),
            ({"largest_page": 1.5}, "largest_page must be a whole number greater than 0, got 1.5"),
            ({"retry": 1.5}, "retry must be a whole number greater than 0, got 1.5"),
            ({"scanned": "1MB"}, "scanned must be a whole number greater than 0, got '1MB'"),
            ({"heartbeat": float("nan")}, "heartbeat must be a number greater than 0, got nan"),
        ],
    )
    def test_a_wrong_limit(self, limits, message):
        """An invalid limit is an error that names it."""
        with pytest.raises(ConfigurationError, match=message):
            Limits(**limits)


class TestErrors:
    @pytest.mark.parametrize("path", ["/nothing", "/api/v1", "/api/v2/orchestrator/events", "/viewer/"])
    def test_nothing_there(self, app, path):
        """An unknown address gives 404 in JSON, with the common headers."""
        answer = ask(app, path)

        assert (answer.status_code, answer.json()["error"]) == (404, "not_found")
        assert answer.headers["x-content-type-options"] == "nosniff"

    @pytest.mark.parametrize("path", ["/", EVENTS, f"{EVENTS}/stream", "/healthz", "/metrics"])
    @pytest.mark.parametrize("method", ["POST", "DELETE", "OPTIONS", "NONSENSE"])
    def test_a_wrong_method(self, app, path, method):
        """A method other than GET and HEAD gives 405 in JSON, with the allowed methods."""
        answer = ask(app, path, method=method)

        assert (answer.status_code, answer.json()["error"]) == (405, "method_not_allowed")
        assert answer.headers["allow"] == "GET, HEAD"

    @pytest.mark.parametrize("path", [f"{EVENTS}/", "/healthz/"])
    def test_an_address_is_not_mended(self, app, path):
        """An address with an extra slash is 404: a redirect would go to the host in the header Host."""
        answer = ask(app, path, headers={"host": "evil.example"})

        assert answer.status_code == 404
        assert "evil" not in str(answer.headers)

    def test_a_fault(self, logs, monkeypatch):
        """An internal error is 500 in JSON with the trace id, without details."""
        monkeypatch.setattr(EventLog, "page", None)
        answer = ask(create_app(logs), EVENTS)

        assert (answer.status_code, answer.json()["error"]) == (500, "fault")
        assert answer.headers["x-trace-id"]
        assert "NoneType" not in answer.text

    def test_head_is_get_without_a_body(self, app):
        """HEAD is answered like GET."""
        assert ask(app, EVENTS, method="HEAD").headers["etag"] == ask(app, EVENTS).headers["etag"]

    def test_many_requests_at_once_are_refused(self, logs, monkeypatch):
        """Requests beyond the limit are 503 with Retry-After; the others are answered."""
        app = create_app(logs, limits=Limits(pages=1))

        async def scenario():
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as browser:
                return await asyncio.gather(*(browser.get(EVENTS) for _ in range(8)))

        answers = asyncio.run(scenario())

        assert {answer.status_code for answer in answers} == {200, 503}
        refused = next(answer for answer in answers if answer.status_code == 503)
        assert (refused.json()["error"], refused.headers["retry-after"]) == ("busy", "5")


class TestHeaders:
    @pytest.mark.parametrize("path", ["/", EVENTS, "/healthz", "/login", "/nothing"])
    def test_a_browser_may_do_nothing_with_an_answer(self, app, path):
        """Every answer has the strict policy: no foreign resources, nothing inline, no frame."""
        policy = ask(app, path).headers["content-security-policy"]

        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert "*" not in policy

    def test_no_other_origin_may_read(self, app):
        """Without origins no page of another site may read an answer."""
        answer = ask(app, EVENTS, headers={"origin": "https://evil.example"})

        assert not [name for name in answer.headers if name.startswith("access-control")]

    def test_given_origins_may(self, logs):
        """Pages of the given origins may, with the token in a header or with a cookie; others may not."""
        app = create_app(logs, origins=["https://good.example"])
        asked = {"access-control-request-method": "GET", "access-control-request-headers": "authorization"}
        for origin, allowed in (("https://good.example", True), ("https://evil.example", False)):
            answer = ask(app, EVENTS, headers={"origin": origin})
            before = ask(app, EVENTS, method="OPTIONS", headers={"origin": origin, **asked})
            assert (answer.headers.get("access-control-allow-origin") == origin) is allowed
            assert (before.status_code == 200) is allowed
            assert ("access-control-allow-origin" in answer.headers) is allowed
            assert answer.headers.get("access-control-allow-origin") != "*"


class TestMounted:
    def test_in_starlette(self, logs):
        """The routes work under a prefix of a Starlette application, streams too, without a lifespan."""
        app = Starlette(routes=[Mount("/deep/logs", routes=routes(logs))])

        async def scenario():
            async with streaming(app, f"/deep/logs{EVENTS}/stream") as source:
                assert await source.numbers(2) == [1, 2]

        asyncio.run(scenario())
        assert ask(app, f"/deep/logs{EVENTS}?limit=x").status_code == 422
        assert ask(app, "/deep/logs/").headers["content-type"].startswith("text/html")

    def test_in_fastapi(self, logs):
        """A whole application mounted in FastAPI works under its prefix, with a session of its own."""
        app = FastAPI()
        app.mount("/logs", create_app(logs, token="a-token-of-enough-characters"))

        answer = ask(app, "/logs/login", method="POST", data={"token": "a-token-of-enough-characters"})
        cookie = answer.headers["set-cookie"]

        assert "Path=/logs;" in cookie
        assert ask(app, f"/logs{EVENTS}").status_code == 401
        assert ask(app, f"/logs{EVENTS}", headers={"cookie": cookie.split(";")[0]}).status_code == 200
        assert ask(app, "/logs/nothing").json()["error"] == "not_found"

    def test_behind_a_middleware(self, logs):
        """Routes of an application are behind its middleware."""
        app = FastAPI()

        @app.middleware("http")
        async def needs_a_user(request, call_next):
            if request.headers.get("x-user") is None:
                return Response(status_code=403)
            return await call_next(request)

        app.mount("/logs", Starlette(routes=routes(logs)))

        assert ask(app, f"/logs{EVENTS}").status_code == 403
        assert ask(app, f"/logs{EVENTS}", headers={"x-user": "me"}).status_code == 200

    def test_a_stream_behind_a_middleware_of_functions(self, logs):
        """A stream works behind Starlette's function middleware, and ends with its client and its server."""
        app = FastAPI()

        @app.middleware("http")
        async def passing(request, call_next):
            return await call_next(request)

        app.mount("/logs", Starlette(routes=routes(logs)))

        async def scenario():
            async with serving(app) as port, event_source(port, f"/logs{EVENTS}/stream") as source:
                async with event_source(port, f"/logs{EVENTS}/stream") as other:
                    assert await other.numbers(2) == [1, 2]
                async with httpx.AsyncClient(base_url=f"http://localhost:{port}/logs") as browser:
                    while '{log="orchestrator"} 1.0' not in (await browser.get("/metrics")).text:
                        await asyncio.sleep(0.01)
                write(logs["orchestrator"], 3)
                assert await source.numbers(3) == [1, 2, 3]

        asyncio.run(asyncio.wait_for(scenario(), 60))

    def test_other_routes_stay(self, logs):
        """Routes that are added at the root of an application do not replace its own."""
        app = FastAPI()
        app.router.routes.extend(routes(logs))

        @app.get("/mine")
        def mine():
            return "mine"

        assert ask(app, "/mine").json() == "mine"
        assert ask(app, "/openapi.json").json()["info"]["title"] == "FastAPI"
        assert len(ask(app, EVENTS).json()["events"]) == 2


class TestViewer:
    def test_the_page_and_what_it_names(self, app):
        """The page at the root and every file that it loads, by relative addresses, are served."""
        page = ask(app, "/")
        named = re.findall(r'(?:src|href)="([^"#]+)"', page.text)

        assert page.headers["content-type"].startswith("text/html")
        assert named
        for address in named:
            assert not address.startswith(("/", "http"))
            assert ask(app, f"/{address}").status_code == 200

    def test_what_a_browser_has_is_not_sent_again(self, app):
        """An unchanged file of the page is revalidated and not sent again."""
        tag = ask(app, "/").headers["etag"]

        assert ask(app, "/", headers={"if-none-match": tag}).status_code == 304


def some_cursor(app):
    """The cursor of an event."""
    return ask(app, "/api/v1/orchestrator/events?limit=1").json()["next"]


class TestDescription:
    def test_it_describes_what_there_is(self, logs):
        """Every route of the description exists, with its prefix, and accepts its parameters."""
        app = Starlette(routes=[Mount("/logs", routes=routes(logs))])
        found = ask(app, "/logs/api/v1/openapi.json").json()

        assert found["openapi"].startswith("3.1")
        assert found["servers"] == [{"url": "/logs"}]
        cursor = some_cursor(create_app(logs))
        for path, operations in found["paths"].items():
            address = f"/logs{path}".format(log="orchestrator", trace_id="t", cursor=cursor)
            query = "&".join(
                f"{parameter['name']}="
                for parameter in operations["get"]["parameters"]
                if parameter["in"] == "query" and parameter["name"] != "where"
            )
            answer = ask(app, f"{address}?{query}", method="HEAD")
            assert answer.status_code == 200
            kinds = operations["get"]["responses"]["200"]["content"]
            assert answer.headers["content-type"].split(";")[0] in kinds

    @pytest.mark.parametrize(
        "path",
        [
            "/api/v1/{log}/events",
            "/api/v1/{log}/events/stream",
            "/api/v1/{log}/events/{cursor}",
            "/api/v1/{log}/histogram",
            "/api/v1/{log}/fields",
            "/api/v1/{log}/traces",
            "/api/v1/{log}/traces/{trace_id}",
        ],
    )
    def test_it_names_every_parameter(self, app, path):
        """The described parameters of a route are those that the server accepts, with their limits."""
        operation = ask(app, "/api/v1/openapi.json").json()["paths"][path]["get"]
        named = {
            parameter["name"]: parameter["schema"]
            for parameter in operation["parameters"]
            if parameter["in"] == "query"
        }
        address = path.format(log="orchestrator", trace_id="t", cursor=some_cursor(app))
        detail = ask(app, f"{address}?unheard=1").json()["detail"]

        assert set(detail.partition("; use ")[2].split(", ")) == set(named)
        if "limit" in named:
            most = named["limit"]["maximum"]
            assert ask(app, f"{address}?limit={most}").status_code == 200
            assert ask(app, f"{address}?limit={most + 1}").status_code == 422

    def test_it_is_filled_in(self, app):
        """All placeholders of the file are filled in; only the parameters in addresses stay."""
        found = ask(app, "/api/v1/openapi.json").json()

        assert not re.findall(r'"\{\w+\}"', json.dumps(found))
        assert found["components"].keys() == {"schemas"}

    def test_it_tells_how_to_log_in(self, logs):
        """With a token it describes how to send it, and the forms that open and end a session."""
        token = "a-token-of-enough-characters"
        app = create_app(logs, token=token)
        found = ask(app, "/api/v1/openapi.json", headers={"authorization": f"Bearer {token}"}).json()

        assert found["components"]["securitySchemes"] == {"token": {"type": "http", "scheme": "bearer"}}
        for path in ("/login", "/logout"):
            operation = found["paths"][path]["post"]
            answers = [ask(app, path, method="POST", data={"token": given}) for given in ("wrong", token)]
            assert {str(answer.status_code) for answer in answers} <= set(operation["responses"])
        assert "/login" not in ask(create_app(logs), "/api/v1/openapi.json").json()["paths"]

    def test_every_reference_leads_somewhere(self, app):
        """Each `$ref` of the description names one of its schemas."""
        text = ask(app, "/api/v1/openapi.json").text
        schemas = json.loads(text)["components"]["schemas"]

        assert set(re.findall(r'"#/components/schemas/(\w+)"', text)) == set(schemas)

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
    @given(
        path=st.sampled_from(["events", "traces/t", "events/x", "traces/"]) | st.text(max_size=20),
        query=st.text(max_size=60),
        header=st.binary(max_size=30).filter(lambda value: not set(value) & set(b"\r\n\0")),
    )
    def test_no_request_is_a_server_error(self, app, path, query, header):
        """No address, query or header makes the server answer 500."""
        address = f"/api/v1/orchestrator/{quote(path)}?{quote(query, safe='&=%+')}"
        headers = {"if-none-match": header, "x-trace-id": header, "traceparent": header, "cookie": header}

        assert ask(app, address, headers=headers).status_code < 500


class TestReading:
    def test_never_in_the_event_loop(self, app, logs, monkeypatch):
        """The thread of the event loop opens, reads and queries no file of a log."""
        loops = threading.get_ident()
        blocking = []

        def watch(name):
            really = getattr(os, name)

            def watched(*arguments, **options):
                if threading.get_ident() == loops:
                    blocking.append((name, arguments))
                return really(*arguments, **options)

            monkeypatch.setattr(os, name, watched)

        async def scenario():
            async with (
                serving(app) as port,
                httpx.AsyncClient(base_url=f"http://localhost:{port}") as browser,
                event_source(port, f"{EVENTS}/stream") as source,
            ):
                for name in ("open", "pread", "stat", "listdir", "fstat"):
                    watch(name)
                await source.next(2)
                for path in (EVENTS, f"{EVENTS}?order=desc", "/api/v1/telemetry/traces/t", "/healthz"):
                    assert (await browser.get(path)).status_code == 200
                await asyncio.to_thread(write, logs["orchestrator"], 3)
                await source.next(1)
                monkeypatch.undo()

        asyncio.run(scenario())

        assert blocking == []

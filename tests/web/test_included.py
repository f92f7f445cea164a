"""The routes in applications: under their own guard, at any path, and never open by mistake."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import logging
import threading

import flask
import httpx
import pytest
from fastapi import APIRouter, Depends, FastAPI, HTTPException
from fastapi.security import HTTPBearer
from starlette.applications import Starlette
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.responses import RedirectResponse
from starlette.routing import Mount, Route, Router

from chora_logging import setup_orchestrator_logging
from chora_logging.errors import ConfigurationError
from chora_logging.web import create_app, include, routes
from chora_logging.web.tokens import make_token
from tests.eventlog.writing import write
from tests.web.serving import ask, event_source, serving

EVENTS = "/api/v1/orchestrator/events"
PATHS = ("/", "/viewer/main.js", "/api/v1/logs", EVENTS, f"{EVENTS}/stream", "/healthz", "/metrics")
ELSEWHERE = {"base": "https://shop.example", "client": ("192.0.2.1", 1)}
ANN = {"authorization": "Bearer ann"}

bearer = HTTPBearer(auto_error=False)


def user(given=Depends(bearer)):
    """A dependency with a dependency, as applications have it."""
    if given is None or given.credentials != "ann":
        raise HTTPException(401, "who are you?")


def check(request):
    """The same for any framework."""
    if request.headers.get("authorization") != "Bearer ann":
        raise StarletteHTTPException(401, "who are you?")


async def check_async(request):
    check(request)


def yielding(request):
    """A dependency with `yield`, as applications have it for FastAPI."""
    check(request)
    yield


async def yielding_async(request):
    check(request)
    yield


class Yielding:
    def __call__(self, request):
        yield check(request)


def in_fastapi(logs):
    app = FastAPI()
    include(app, logs, prefix="/logs", dependencies=[Depends(user)])
    return app


def in_a_guarded_fastapi(logs):
    app = FastAPI(dependencies=[Depends(user)])
    include(app, logs, prefix="/logs", check=lambda request: None)
    return app


def in_a_router(logs):
    router = APIRouter(dependencies=[Depends(user)], prefix="/log")
    include(router, logs, check=check)
    app = FastAPI()
    app.include_router(router, prefix="/s")
    return Starlette(routes=[Mount("/logs", Prefixed(app, "/log/s"))])


class Prefixed:
    """Sends addresses below one path to another path of an application, as proxies do."""

    def __init__(self, app, path):
        self.app, self.path = app, path

    async def __call__(self, scope, receive, send):
        tail = scope["path"].removeprefix(scope["root_path"])
        await self.app({**scope, "root_path": "", "path": "/s/log" + tail}, receive, send)


def in_starlette(logs):
    app = Starlette()
    include(app, logs, prefix="/logs", check=check)
    return app


def in_a_starlette_router(logs):
    router = Router()
    include(router, logs, check=check_async)
    return Starlette(routes=[Mount("/logs", router)])


def mounted(logs):
    app = FastAPI(dependencies=[Depends(user)])
    app.mount("/logs", create_app(logs, check=check))
    return app


def mounted_async(logs):
    return Starlette(routes=[Mount("/logs", create_app(logs, check=check_async))])


def mounted_routes(logs):
    return Starlette(routes=[Mount("/logs", routes=routes(logs, check=check))])


def mounted_as_an_application(logs):
    app = FastAPI()
    app.mount("/logs", routes(logs, check=check))
    return app


WAYS = (
    in_fastapi,
    in_a_guarded_fastapi,
    in_a_router,
    in_starlette,
    in_a_starlette_router,
    mounted,
    mounted_async,
    mounted_routes,
    mounted_as_an_application,
)
every_way = pytest.mark.parametrize("make", WAYS, ids=lambda make: make.__name__)


class TestGuarded:
    @every_way
    @pytest.mark.parametrize("path", PATHS)
    def test_the_application_decides(self, logs, make, path):
        """Whom the application's guard refuses gets its answer, on every route; others read from anywhere."""
        app = make(logs)
        refused = ask(app, f"/logs{path}", **ELSEWHERE)
        accepted = ask(app, f"/logs{path}", method="HEAD", headers=ANN, **ELSEWHERE)

        assert refused.status_code == 401
        assert "who are you?" in refused.text
        assert accepted.status_code == 200

    @every_way
    def test_streams(self, logs, make):
        """A stream works in each of them, and ends with its client and its server."""

        async def scenario():
            async with (
                serving(make(logs)) as port,
                event_source(port, f"/logs{EVENTS}/stream", {"Authorization": "Bearer ann"}) as source,
            ):
                assert await source.numbers(2) == [1, 2]
                write(logs["orchestrator"], 3)
                assert await source.numbers(1) == [3]

        asyncio.run(asyncio.wait_for(scenario(), 60))

    @pytest.mark.parametrize("add", ["include", "routes", "mount", "create_app"])
    def test_none_is_this_machine_only(self, logs, add):
        """Without a guard the routes are not open to the world, however they are added."""
        app = FastAPI(dependencies=[Depends(lambda: None)])
        if add == "include":
            include(app, logs, prefix="/logs")
        elif add == "routes":
            app.include_router(APIRouter(routes=routes(logs), dependencies=[Depends(user)]), prefix="/logs")
        else:
            app.mount("/logs", routes(logs) if add == "mount" else create_app(logs))

        assert ask(app, f"/logs{EVENTS}").status_code == 200
        answer = ask(app, f"/logs{EVENTS}", client=("192.0.2.1", 1))
        assert (answer.status_code, answer.json()["error"]) == (403, "not_local")
        assert ask(app, f"/logs{EVENTS}", base="http://shop.example").status_code == 403

    def test_the_token_of_the_environment(self, logs, monkeypatch):
        """Included routes take the token of the environment, unless the application decides."""
        token = make_token()
        monkeypatch.setenv("CHORA_LOGGING_TOKEN", token)
        app = Starlette()
        include(app, logs, prefix="/logs")
        include(app, logs, prefix="/mine", check=lambda request: None)

        assert ask(app, f"/logs{EVENTS}").status_code == 401
        answer = ask(app, "/logs/login", method="POST", data={"token": token}, **ELSEWHERE)
        cookie = {"cookie": answer.headers["set-cookie"].split(";")[0]}
        assert ask(app, f"/logs{EVENTS}", headers=cookie, **ELSEWHERE).status_code == 200
        assert ask(app, f"/mine{EVENTS}", **ELSEWHERE).status_code == 200


class TestCheck:
    @pytest.mark.parametrize(
        ("answer", "status"),
        [(None, 200), (True, 200), ("ann", 200), (False, 403), (RedirectResponse("/login"), 307)],
        ids=str,
    )
    @pytest.mark.parametrize("kind", ["function", "coroutine function", "object"])
    def test_its_answer(self, logs, answer, status, kind):
        """A check accepts by returning, and refuses by False or a response, which is sent."""

        async def ask_later(request):
            return answer

        class Asked:
            async def __call__(self, request):
                return answer

        checks = {"function": lambda request: answer, "coroutine function": ask_later, "object": Asked()}
        found = ask(create_app(logs, check=checks[kind]), EVENTS, **ELSEWHERE)

        assert found.status_code == status
        if status == 307:
            assert found.headers["location"] == "/login"
        if status == 403:
            assert found.json()["error"] == "refused"

    def test_a_function_may_block(self, logs):
        """A check that is a function is called in a thread, so that it may ask a database."""
        threads = []
        ask(create_app(logs, check=lambda request: threads.append(threading.current_thread())), EVENTS)

        assert threads != [threading.current_thread()]

    @pytest.mark.parametrize("arguments", [{"check": "user"}, {"check": check, "token": make_token()}])
    def test_what_is_none(self, logs, arguments):
        """A check that is no function, or beside a token, is an error."""
        with pytest.raises(ConfigurationError, match="check must be a function of a request, and without"):
            create_app(logs, **arguments)

    @pytest.mark.parametrize(
        "wrong",
        [
            yielding,
            yielding_async,
            functools.partial(yielding),
            contextlib.contextmanager(yielding),
            Yielding(),
            functools.partial(Yielding()),
        ],
        ids=["generator", "async generator", "partial", "context manager", "object", "partial of an object"],
    )
    @pytest.mark.parametrize(
        "use", [create_app, routes, lambda *given, **named: include(FastAPI(), *given, **named)]
    )
    def test_one_that_would_never_run(self, logs, wrong, use):
        """A generator function, as a dependency with `yield`, is refused: a call does not run it."""
        with pytest.raises(ConfigurationError, match=r"Depends\(user\)"):
            use(logs, check=wrong)

    @pytest.mark.parametrize("make", [yielding, yielding_async], ids=["generator", "async generator"])
    def test_one_that_returns_what_never_ran(self, logs, make):
        """A function that returns a generator lets nobody in."""
        assert ask(create_app(logs, check=lambda request: make(request)), EVENTS).status_code == 500

    @pytest.mark.parametrize(
        "wrong", [lambda: True, lambda request, user: True, Yielding], ids=["0", "2", "class"]
    )
    def test_one_that_takes_no_request(self, logs, wrong):
        """A check that cannot be called with a request alone is refused."""
        with pytest.raises(ConfigurationError, match="check must be a function of a request, and without"):
            create_app(logs, check=wrong)

    def test_dependencies_are_fastapis(self, logs):
        """Dependencies in a Starlette application are refused, with the argument to use."""
        with pytest.raises(ConfigurationError, match="Starlette has none; use check"):
            include(Starlette(), logs, dependencies=[Depends(user)])

    @pytest.mark.parametrize(
        "wrong", [[user], Depends(user), 5, [Depends()]], ids=["function", "one", "number", "none"]
    )
    def test_what_are_no_dependencies(self, logs, wrong):
        """Something else than a list of `Depends` is refused, with what to write."""
        with pytest.raises(ConfigurationError, match=r"such as \[Depends\(user\)\], got"):
            include(FastAPI(), logs, dependencies=wrong)

    @pytest.mark.parametrize("wrong", [None, flask.Flask("app"), FastAPI, Prefixed(FastAPI(), "/logs")])
    def test_what_is_no_application(self, logs, wrong):
        """What has no routes to add to is refused, with what can be given."""
        with pytest.raises(ConfigurationError, match="app must be a FastAPI, APIRouter, Starlette or Router"):
            include(wrong, logs)


class TestPath:
    @pytest.mark.parametrize(
        ("path", "root"),
        [("/logs", ""), ("", ""), ("/logs", "/logs"), ("", "/logs")],
        ids=["kept", "taken away", "kept, told", "taken away, told"],
    )
    def test_behind_a_prefix(self, logs, path, root):
        """With a prefix it works whether the proxy takes it away or not, and the server knows it or not."""
        token = make_token()
        app = create_app(logs, token=token, prefix="/logs")

        async def told(scope, receive, send):
            await app({**scope, "root_path": root}, receive, send)

        answer = ask(told, f"{path}/login", method="POST", data={"token": token})
        assert "Path=/logs;" in answer.headers["set-cookie"]
        bearer = {"authorization": f"Bearer {token}"}
        found = ask(told, f"{path}/api/v1/openapi.json", headers=bearer).json()
        assert found["servers"] == [{"url": "/logs"}]
        assert ask(told, f"{path}{EVENTS}", headers=bearer).status_code == 200

    def test_without_the_slash(self, logs):
        """The prefix alone redirects to the page, whose addresses are relative, without a host."""
        answer = ask(create_app(logs, prefix="/a/b"), "/a/b")

        assert (answer.status_code, answer.headers["location"]) == (307, "/a/b/")

    @pytest.mark.parametrize("prefix", ["logs", "/logs/", "/", "//evil.example", "/a b", None])
    def test_what_is_no_prefix(self, logs, prefix):
        """A prefix without a slash at its beginning, or with one at its end, is an error."""
        for use in (create_app, lambda logs, prefix: include(Starlette(), logs, prefix=prefix)):
            with pytest.raises(ConfigurationError, match="prefix must be a path such as /logs"):
                use(logs, prefix=prefix)

    @pytest.mark.parametrize("make", [create_app, routes])
    def test_a_route_takes_no_path_away(self, logs, make):
        """Where a route or a proxy left its path in addresses, the answer says what takes it away."""
        app = Starlette(routes=[Route("/x{rest:path}", make(logs))])
        for path in ("/", EVENTS, f"{EVENTS}/stream", "/healthz"):
            answer = ask(app, f"/x{path}")
            assert (answer.status_code, answer.json()["error"]) == (404, "not_found")
            assert 'Mount("/x", ' in answer.json()["detail"]
            assert 'prefix="/x"' in answer.json()["detail"]

        assert ask(Starlette(routes=[Mount("/x", make(logs))]), f"/x{EVENTS}").status_code == 200
        assert ask(create_app(logs, prefix="/x"), f"/x{EVENTS}").status_code == 200
        for nothing in ("/x", "/x/nothing", "/x/api/v1"):
            assert ask(app, nothing).json()["detail"] == "there is no such route"

    def test_a_path_of_many_parts(self, logs):
        """The answer to one costs no more than to another: few parts of it are looked at."""
        assert ask(create_app(logs), "/a" * 30_000 + "/healthz").json()["detail"] == "there is no such route"

    def test_mounted_elsewhere_than_its_prefix(self, logs):
        """A prefix is of a proxy: where an application is mounted at another path, it is to be left out."""
        app = FastAPI()
        app.mount("/a", create_app(logs, prefix="/b"))
        answer = ask(app, f"/a{EVENTS}")

        assert answer.status_code == 404
        assert 'at "/a", without prefix="/b"' in answer.json()["detail"]
        assert 'Mount("/a", create_app(...))' in answer.json()["detail"]
        assert ask(app, f"/a/b{EVENTS}").status_code == 200

    def test_a_trace_id_with_a_line_break(self, logs):
        """Starlette mounts no path with one; as a filter it finds its events anywhere."""
        with open(logs["orchestrator"], "a") as file:
            file.write('{"trace_id":"a\\nb","n":7}\n')
        app = FastAPI()
        app.mount("/logs", create_app(logs))

        found = ask(app, f"/logs{EVENTS}", params={"trace_id": "a\nb"}).json()["events"]
        assert [event["n"] for event in found] == [7]
        assert len(ask(create_app(logs), "/api/v1/orchestrator/traces/a%0Ab").json()["events"]) == 1

    @every_way
    def test_the_description(self, logs, make):
        """The description has the path at which clients see it."""
        found = ask(make(logs), "/logs/api/v1/openapi.json", headers=ANN).json()

        expected = "/s/log" if make is in_a_router else "/logs"
        assert found["servers"] == [{"url": expected}]


class TestTheOrchestratorsRouter:
    def test_its_clients_go_on(self, tmp_path, monkeypatch):
        """Three lines replace it: `EventSource` and polling with its addresses get what they got."""
        monkeypatch.setenv("ORCH_LOG_FILE", str(tmp_path / "orch.log"))
        setup_orchestrator_logging()
        app = FastAPI()
        include(app, check=check)
        events = logging.getLogger("orchestrator_events")
        for task in ("task-123", "task-7"):
            events.info("Task started", extra={"event": "task_started", "task_id": task, "run_id": "run-456"})

        async def scenario():
            query = f"{EVENTS}/stream?task_id=task-123"
            async with serving(app) as port, event_source(port, query, ANN) as source:
                ((kind, first),) = await source.next()
                assert (kind, first["event"], first["task_id"]) == ("message", "task_started", "task-123")
                await asyncio.to_thread(
                    events.info, "Done", extra={"event": "task_completed", "task_id": "task-123"}
                )
                ((kind, then),) = await source.next()
                assert (kind, then["event"]) == ("message", "task_completed")
                async with httpx.AsyncClient(base_url=f"http://localhost:{port}", headers=ANN) as client:
                    polled = await client.get(EVENTS, params={"run_id": "run-456"})
                assert [event["task_id"] for event in polled.json()["events"]] == ["task-123", "task-7"]

        asyncio.run(asyncio.wait_for(scenario(), 60))
        assert json.loads((tmp_path / "orch.log").read_text().splitlines()[0])["task_id"] == "task-123"

"""A trace id for each request of a WSGI application: Flask and Django, under gunicorn and alone."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import wsgiref.util
import wsgiref.validate

import httpx
import pytest
from fastapi import FastAPI
from flask import Flask

from chora_logging import ConfigurationError, get_trace_id
from chora_logging.web import TraceMiddleware as OfASGI
from chora_logging.wsgi import TraceMiddleware
from tests.checkout import ROOT
from tests.faults.serving import is_listening, wait_for
from tests.ports import free_port

FLASK = """
import logging
from flask import Flask
from chora_logging import setup_logging
from chora_logging.wsgi import TraceMiddleware

setup_logging(log_file="app.jsonl", console=False)
app = Flask(__name__)
app.wsgi_app = TraceMiddleware(app.wsgi_app)

@app.get("/order")
def order():
    logging.getLogger("shop").info("Order placed")
    return "done"

@app.get("/fault")
def fault():
    raise RuntimeError("broken")
"""
DJANGO = """
import logging
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.urls import path
from chora_logging import setup_logging
from chora_logging.wsgi import TraceMiddleware

def order(request):
    logging.getLogger("shop").info("Order placed")
    return HttpResponse("done")

def fault(request):
    raise RuntimeError("broken")

urlpatterns = [path("order", order), path("fault", fault)]
settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], LOGGING_CONFIG=None)
app = TraceMiddleware(get_wsgi_application())
setup_logging(log_file="app.jsonl", console=False)
"""
#: The viewer beside Django's addresses, as an ASGI application.
BESIDE = (
    DJANGO.replace("wsgi", "asgi").replace("chora_logging.asgi", "chora_logging.web")
    + """
from starlette.applications import Starlette
from starlette.routing import Mount
from chora_logging.web import create_app

app = Starlette(routes=[Mount("/logs", create_app({"shop": "app.jsonl"})), Mount("/", app)])
"""
)


@contextlib.contextmanager
def gunicorn(folder, program, *more):
    """Serve a program with gunicorn; yields its address."""
    (folder / "program.py").write_text(program)
    port = free_port()
    options = [
        "--bind",
        f"127.0.0.1:{port}",
        "--access-logfile",
        "access.txt",
        "--log-file",
        "errors.txt",
        *more,
    ]
    env = {**os.environ, "PYTHONPATH": f"{ROOT}:{folder}", "HOME": str(folder)}
    env.pop("XDG_RUNTIME_DIR", None)
    with subprocess.Popen(
        [sys.executable, "-m", "gunicorn", "program:app", *options], cwd=folder, env=env
    ) as process:
        try:
            wait_for(lambda: process.poll() is not None or is_listening(port))
            yield f"http://127.0.0.1:{port}"
        finally:
            process.send_signal(signal.SIGTERM)


@pytest.mark.parametrize("program", [FLASK, DJANGO], ids=["Flask", "Django"])
def test_an_application(tmp_path, program):
    """The id is on the records of a request, of its unhandled exception and its access line, and returned."""
    with gunicorn(tmp_path, program) as address:
        placed = httpx.get(f"{address}/order", headers={"X-Request-Id": "order-7"}, timeout=30)
        failed = httpx.get(f"{address}/fault", timeout=30)

    assert (placed.status_code, placed.headers["x-trace-id"]) == (200, "order-7")
    assert failed.status_code == 500
    logged = [json.loads(line) for line in (tmp_path / "app.jsonl").read_text().splitlines()]
    by_id = {"order-7": set(), failed.headers["x-trace-id"]: set()}
    for line in logged:
        if line.get("trace_id"):
            by_id[line["trace_id"]].add((line["logger"], "exception" in line))
    assert {("shop", False), ("gunicorn.access", False)} <= by_id["order-7"]
    found = by_id[failed.headers["x-trace-id"]]
    assert ("gunicorn.access", False) in found
    assert any(exception for _, exception in found)


def test_the_viewer_beside_django(tmp_path):
    """Starlette mounts both: the addresses below a path are the viewer's, all others Django's."""
    with gunicorn(tmp_path, BESIDE, "--worker-class", "uvicorn_worker.UvicornWorker") as address:
        placed = httpx.get(f"{address}/order", headers={"X-Request-Id": "order-7"}, timeout=30)
        assert (placed.text, placed.headers["x-trace-id"]) == ("done", "order-7")
        assert httpx.get(f"{address}/fault", timeout=30).status_code == 500
        assert httpx.get(f"{address}/logs/", timeout=30).text.startswith("<!doctype html>")
        found = httpx.get(f"{address}/logs/api/v1/shop/traces/order-7", timeout=30).json()["events"]

    assert [each["event"]["message"] for each in found if each["event"]["logger"] == "shop"] == [
        "Order placed"
    ]


def call(app, **headers):
    """Call *app* as a server does; return the status, the headers, the body, and the id after its end."""
    environ = {"QUERY_STRING": "", **{f"HTTP_{name.upper()}": value for name, value in headers.items()}}
    wsgiref.util.setup_testing_defaults(environ)
    started = []
    body = app(environ, lambda *start: started.append(start) or (lambda data: None))
    try:
        content = b"".join(body)
    finally:
        close = getattr(body, "close", None)
        if close is not None:
            close()
    return started[-1][0], dict(started[-1][1]), content, get_trace_id()


def saying(environ, start):
    """Answer with the id, one part after the other."""
    start("200 OK", [("Content-Type", "text/plain"), ("x-trace-id", "mine")])
    yield (get_trace_id() or "none").encode()
    yield b"!"


class TestContract:
    def test_the_standard(self):
        """The middleware keeps the rules of PEP 3333, on both sides."""
        checked = wsgiref.validate.validator
        status, headers, body, after = call(checked(TraceMiddleware(checked(saying))), x_trace_id="a-1")

        assert (status, headers["X-Trace-Id"], body, after) == ("200 OK", "a-1", b"a-1!", None)
        assert "x-trace-id" not in headers

    @pytest.mark.parametrize(
        ("headers", "expected"),
        [
            ({"traceparent": f"00-{'a' * 32}-{'b' * 16}-01", "x_trace_id": "b"}, "a" * 32),
            ({"x_trace_id": "b", "x_request_id": "c"}, "b"),
            ({"x_trace_id": "b c", "x_request_id": "c"}, "c"),
        ],
        ids=["traceparent", "X-Trace-Id", "X-Request-Id"],
    )
    def test_where_the_id_comes_from(self, headers, expected):
        """The id is that of traceparent, else X-Trace-Id, else X-Request-Id, if it is a valid one."""
        assert call(TraceMiddleware(saying), **headers)[2] == expected.encode() + b"!"

    @pytest.mark.parametrize("header", [{}, {"x_trace_id": "x" * 201}, {"x_trace_id": "a\x01"}], ids=len)
    def test_a_new_one(self, header):
        """Without a valid header each request gets a new id."""
        found = {call(TraceMiddleware(saying), **header)[2] for _ in range(3)}

        assert {len(body) for body in found} == {33}
        assert len(found) == 3

    def test_an_exception(self):
        """An exception reaches the server, which logs it in the context of the request."""

        def broken(environ, start):
            raise RuntimeError("broken")

        def serve():
            with pytest.raises(RuntimeError, match="broken"):
                call(TraceMiddleware(broken), x_trace_id="a-1")
            seen.append(get_trace_id())

        seen = []
        thread = threading.Thread(target=serve)
        thread.start()
        thread.join()

        assert seen == ["a-1"]

    @pytest.mark.parametrize(
        ("middleware", "app", "expected"),
        [
            (OfASGI, Flask("shop"), "as Flask's, use chora_logging.wsgi.TraceMiddleware"),
            (OfASGI, Flask("shop").wsgi_app, "use chora_logging.wsgi.TraceMiddleware"),
            (OfASGI, lambda request: None, "instead of adding to MIDDLEWARE"),
            (
                TraceMiddleware,
                FastAPI(),
                "as FastAPI's, use chora_logging.web.TraceMiddleware",
            ),
            (TraceMiddleware, lambda request: None, "instead of adding to MIDDLEWARE"),
        ],
        ids=["Flask", "its wsgi_app", "Django's MIDDLEWARE", "FastAPI", "Django's MIDDLEWARE again"],
    )
    def test_the_other_kind(self, middleware, app, expected):
        """An application of the other kind is refused at once, with what is to be done."""
        with pytest.raises(ConfigurationError, match=f"^app must be a.*{re.escape(expected)}"):
            middleware(app)

    def test_a_file(self, tmp_path):
        """A file stays what the server made of it, so that it can send it in its own way."""
        (tmp_path / "a.txt").write_text("abc")

        def app(environ, start):
            start("200 OK", [])
            return environ["wsgi.file_wrapper"]((tmp_path / "a.txt").open("rb"))

        environ = {"wsgi.file_wrapper": wsgiref.util.FileWrapper}
        wsgiref.util.setup_testing_defaults(environ)
        seen = []

        def serve():
            body = TraceMiddleware(app)(environ, lambda *start: None)
            seen.append(type(body))
            body.close()

        thread = threading.Thread(target=serve)
        thread.start()
        thread.join()

        assert seen == [wsgiref.util.FileWrapper]

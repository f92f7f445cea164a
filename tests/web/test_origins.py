"""Pages of other sites, in a real browser: those of named origins log in and stream, others do not."""

from __future__ import annotations

import asyncio
import contextlib
import http.server
import threading

import pytest

from chora_logging.web import create_app
from chora_logging.web.tokens import make_token
from tests.faults.clients import browser_page
from tests.web.serving import serving, until

READ = """async ([address, token]) => {
  const form = { method: "POST", credentials: "include", body: new URLSearchParams({ token }) };
  const status = await fetch(`${address}/login`, form).then((answer) => answer.status, String);
  const source = new EventSource(`${address}/api/v1/orchestrator/events/stream`, { withCredentials: true });
  return new Promise((resolve) => {
    source.onmessage = (message) => resolve([status, JSON.parse(message.data).n]);
    source.onerror = () => resolve([status, source.readyState === EventSource.CLOSED ? "closed" : "again"]);
  });
}"""


class Quiet(http.server.SimpleHTTPRequestHandler):
    """An empty page."""

    def do_GET(self):
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def dashboard():
    """The origin of a page of another program on this machine."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@contextlib.contextmanager
def served(app):
    """Serve *app* in a thread; yields its origin."""
    ports, stop = [], threading.Event()

    async def serve():
        async with serving(app) as port:
            ports.append(port)
            await until(stop.is_set, 100)

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    try:
        asyncio.run(until(lambda: ports))
        yield f"http://127.0.0.1:{ports[0]}"
    finally:
        stop.set()
        thread.join()


@pytest.mark.parametrize("is_named", [True, False], ids=["named", "another"])
def test_a_page_of_another_origin(logs, dashboard, is_named):
    """A page of a named origin logs in and has a stream with its cookie; another one gets neither."""
    token = make_token()
    app = create_app(logs, token=token, origins=[dashboard if is_named else "https://other.example"])
    with served(app) as address, browser_page() as page:
        page.goto(dashboard)

        found = page.evaluate(READ, [address, token])

    assert found == ([204, 1] if is_named else ["TypeError: Failed to fetch", "closed"])


@pytest.mark.parametrize(("scheme", "site"), [("https", "none"), ("http", "strict")])
def test_the_cookie_for_other_sites(logs, scheme, site):
    """With named origins the cookie goes to the pages of other sites, which browsers do over https only."""
    from tests.web.test_access import cookie_of, login

    token = make_token()
    app = create_app(logs, token=token, origins=["https://dash.example"])
    _, attributes = cookie_of(
        login(app, token, headers={"origin": "https://dash.example"}, base=f"{scheme}://x")
    )

    assert f"SameSite={'none'}" in attributes  # the page itself came over https
    _, attributes = cookie_of(login(app, token, base=f"{scheme}://x"))
    assert f"SameSite={site}" in attributes

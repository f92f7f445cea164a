"""Stream clients of others, each through each proxy, and what they got."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import http.server
import json
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time

import httpx
import httpx_sse
import requests
import sseclient

from tests.faults.clients import browser_page
from tests.faults.serving import PATIENCE, STREAM
from tests.needs import NODE_FOLDER, find_program, node_command

SCRIPT = pathlib.Path(__file__).with_suffix(".mjs")

#: How long those clients wait that the test reconnects, in seconds.
PAUSE = 0.1

#: Those that end with their connection, or at the first answer that is no stream.
RECONNECTED_HERE = ["httpx-sse", "sseclient-py"]
if sys.version_info < (3, 15):  # it cannot be installed on later ones yet, see setup.cfg
    RECONNECTED_HERE.append("aiohttp-sse-client")

#: Firefox asks nothing and nobody at its first start.
FIREFOX = """
user_pref("browser.shell.checkDefaultBrowser", false);
user_pref("browser.startup.homepage_override.mstone", "ignore");
user_pref("browser.aboutwelcome.enabled", false);
user_pref("datareporting.policy.dataSubmissionEnabled", false);
user_pref("datareporting.policy.firstRunURL", "");
user_pref("toolkit.telemetry.enabled", false);
user_pref("app.update.enabled", false);
user_pref("app.normandy.enabled", false);
user_pref("extensions.getAddons.cache.enabled", false);
user_pref("network.captive-portal-service.enabled", false);
user_pref("network.connectivity-service.enabled", false);
user_pref("browser.safebrowsing.downloads.remote.enabled", false);
user_pref("services.settings.server", "data:,");
user_pref("dom.ipc.processCount", 1);
"""


class Reports:
    """What came, by client and way.

    Attributes:
        got: The numbers of the events in the order in which they came; a gap as its text.
        opened: The number of connections.
        gave_up: How often a client has given up that reconnects by itself.
    """

    def __init__(self):
        self.got = collections.defaultdict(list)
        self.opened = collections.Counter()
        self.gave_up = collections.Counter()
        self._lock = threading.Lock()

    def add(self, client, way, data=None, opened=False, gaveUp=False):
        """Add a report of a client; the names are those of the script."""
        with self._lock:
            if data is not None:
                self.got[client, way].append(json.loads(data).get("n", data))
            self.opened[client, way] += bool(opened)
            self.gave_up[client, way] += bool(gaveUp)

    def wait(self, readers, count):
        """Return when each of *readers*, a client and a way, has *count* events."""
        deadline = time.monotonic() + 4 * PATIENCE
        while lacking := {key: len(self.got[key]) for key in readers if len(self.got[key]) < count}:
            assert time.monotonic() < deadline, f"not all have {count}: {lacking}"
            time.sleep(0.05)


class Page:
    """The server of a page that reads a stream of its own origin, and posts what comes.

    Args:
        reports: Gets what is posted.
        ways: The addresses of the proxies by name.
    """

    def __init__(self, reports, ways):
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                client, _, way = self.path.removeprefix("/page/").partition("/")
                url = "/" + ways[way].split("/", 3)[3] + STREAM[1:]
                call = f"readHere({client!r}, {way!r}, {url!r});"
                self.answer(f"<!doctype html><script>{SCRIPT.read_text()}{call}</script>".encode())

            def do_POST(self):
                length = int(self.headers["Content-Length"])
                for report in json.loads(self.rfile.read(length)):
                    reports.add(**report)
                self.answer(b"")

            def answer(self, body):
                self.send_response(200)
                self.send_header("Content-Type", "text/html")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *arguments):
                """Log nothing."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.handle_error = lambda *_: None  # a browser that ends
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self):
        """Serve no more."""
        self._server.shutdown()
        self._server.server_close()


@contextlib.contextmanager
def clients(reports, ways, folder):
    """Each client reads through each way, during the `with` block; yields the names of the clients."""
    with contextlib.ExitStack() as stack:
        page = stack.enter_context(browser_page())
        context = page.context.browser.new_context()
        for way, address in ways.items():
            context.new_page().goto(f"{page_of(address)}/chromium/{way}")
        stack.enter_context(firefox(ways, folder))
        stack.enter_context(in_node(reports, ways))
        closing = threading.Event()
        threads = []
        if "aiohttp-sse-client" in RECONNECTED_HERE:
            told = (aiohttp_clients(reports, ways, closing),)
            threads.append(threading.Thread(target=asyncio.run, args=told))
        for way, address in ways.items():
            for read in (read_httpx_sse, read_sseclient):
                told = (reports, way, address + STREAM[1:], closing)
                threads.append(threading.Thread(target=read, args=told))
        for thread in threads:
            thread.daemon = True
            thread.start()
        stack.callback(closing.set)
        in_scripts = ("chromium", "firefox", "eventsource", "undici", "fetch-event-source")
        yield [*in_scripts, *RECONNECTED_HERE]
    for thread in threads:
        thread.join(PATIENCE)


def page_of(address):
    """The address of the page with the same origin."""
    return "/".join(address.split("/")[:3]) + "/page"


@contextlib.contextmanager
def firefox(ways, folder):
    """Firefox with a page for each way, during the `with` block."""
    profile = folder / "firefox"
    profile.mkdir()
    (profile / "user.js").write_text(FIREFOX)
    pages = [f"{page_of(address)}/firefox/{way}" for way, address in ways.items()]
    command = [find_program("firefox-esr"), "--headless", "--no-remote", "--profile", profile, *pages]
    variables = {**os.environ, "MOZ_CRASHREPORTER_DISABLE": "1", "HOME": str(folder)}
    with running([*map(str, command)], cwd=folder, stdout=subprocess.DEVNULL, env=variables):
        yield


@contextlib.contextmanager
def in_node(reports, ways):
    """The clients of npm, during the `with` block."""
    urls = json.dumps({way: address + STREAM[1:] for way, address in ways.items()})
    command = [*node_command(), str(SCRIPT), str(NODE_FOLDER), urls]
    with running(command, stdout=subprocess.PIPE, text=True) as process:

        def listen():
            for line in process.stdout:
                reports.add(**json.loads(line))

        thread = threading.Thread(target=listen, daemon=True)
        thread.start()
        yield
    thread.join(PATIENCE)
    process.stdout.close()


@contextlib.contextmanager
def running(command, **options):
    """A program, until the end of the `with` block."""
    options |= {"stdin": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "start_new_session": True}
    process = subprocess.Popen(command, **options)
    try:
        yield process
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(PATIENCE)


def read_httpx_sse(reports, way, url, closing):
    """httpx-sse, which ends with its connection."""
    last = ""
    while not closing.wait(PAUSE):
        headers = {"Last-Event-ID": last} if last else {}
        with (
            contextlib.suppress(httpx.TransportError, httpx_sse.SSEError),
            httpx.Client(timeout=PATIENCE, trust_env=False) as client,
            httpx_sse.connect_sse(client, "GET", url, headers=headers) as source,
        ):
            for event in source.iter_sse():
                reports.add("httpx-sse", way, event.data)
                last = event.id
                if closing.is_set():
                    return


def read_sseclient(reports, way, url, closing):
    """sseclient-py on requests, which ends with its connection; a gap would have no id."""
    last = ""
    while not closing.wait(PAUSE):
        headers = {"Last-Event-ID": last} if last else {}
        with (
            contextlib.suppress(requests.RequestException),
            requests.get(url, headers=headers, stream=True, timeout=PATIENCE) as response,
        ):
            if response.status_code != 200:
                continue
            for event in sseclient.SSEClient(response).events():
                if not event.id:  # it gives what came of an event that was cut off, too
                    break
                reports.add("sseclient-py", way, event.data)
                last = event.id
                if closing.is_set():
                    return


async def aiohttp_clients(reports, ways, closing):
    """aiohttp-sse-client on each way, which gives up when it is refused once."""
    import aiohttp  # not on every Python
    from aiohttp_sse_client.client import EventSource

    async def read(session, way, url):
        last = ""
        while True:
            headers = {"Last-Event-ID": last} if last else {}
            with contextlib.suppress(aiohttp.ClientError, ConnectionError):
                async with EventSource(url, headers=headers, session=session) as source:
                    async for event in source:
                        reports.add("aiohttp-sse-client", way, event.data)
                        last = event.last_event_id
            await asyncio.sleep(PAUSE)

    async with aiohttp.ClientSession() as session:
        reading = [
            asyncio.ensure_future(read(session, way, address + STREAM[1:])) for way, address in ways.items()
        ]
        while not closing.is_set():
            await asyncio.sleep(PAUSE)
        for task in reading:
            task.cancel()
        await asyncio.wait(reading)

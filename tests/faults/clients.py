"""Real stream clients that are disconnected again and again, and resume after their last event."""

from __future__ import annotations

import collections
import contextlib
import json
import os
import random
import select
import socket
import subprocess
import threading

import httpx
import httpx_sse
from playwright.sync_api import sync_playwright

from tests.faults.serving import PATIENCE
from tests.needs import find_program, need
from tests.web.serving import Parser

#: How long clients wait before they reconnect, in seconds.
RETRY = 0.05

#: The numbers of bytes after which connections are cut.
CUTS = (1, 300, 5_000, 50_000, 100_000)

COLLECT = """(path) => {
  window.got = [];
  window.connections = 0;
  const source = new EventSource(path);
  source.onopen = () => { connections += 1; };
  source.onmessage = (message) => got.push(message.data);
  source.addEventListener("gap", (message) => got.push(message.data));
}"""


class Cutter:
    """A proxy to a server that cuts each stream after a random number of bytes, at any point.

    Attributes:
        port: The port that clients connect to.
        target: The port of the server.
    """

    def __init__(self, chance):
        self.target = None
        self._chance = chance
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        """Accept no more connections."""
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                threading.Thread(target=self._carry, args=(client,), daemon=True).start()

    def _carry(self, client):
        left = 2**30
        with (
            client,
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", self.target)) as server,
        ):
            while left:
                ready, _, _ = select.select([client, server], [], [])
                source = ready[0]
                data = source.recv(min(left, 65536))
                if not data:
                    return
                if source is server:
                    left -= len(data)
                elif b"/stream" in data:
                    left = self._chance.choice(CUTS)
                (client if source is server else server).sendall(data)
            if self._chance.random() < 0.5:  # reset, not closed
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


class Client(threading.Thread):
    """Reads one connection after another until it is closed.

    Args:
        url: The address of the stream.
        seed: The seed for when it disconnects by itself.
    """

    def __init__(self, url, seed):
        super().__init__(daemon=True)
        self.got = []
        self.connections = 0
        self._url = url
        self._last = ""
        self._chance = random.Random(seed)
        self._closing = threading.Event()
        self.start()

    def run(self):
        while not self._closing.wait(RETRY):
            self.connections += 1
            self.listen({"Last-Event-ID": self._last} if self._last else {})

    def count(self):
        """The number of events received."""
        return len(self.got)

    def close(self):
        """Do not reconnect when the connection ends."""
        self._closing.set()
        self.join(PATIENCE)


class Curl(Client):
    """`curl -N`, which is killed after a while."""

    def listen(self, headers):
        parser = Parser()
        parser.last_event_id = self._last
        options = [part for header in headers.items() for part in ("-H", "{}: {}".format(*header))]
        left = self._chance.choice(CUTS)
        with subprocess.Popen(
            ["curl", "-sN", *options, self._url], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
        ) as curl:
            while left and (data := os.read(curl.stdout.fileno(), min(left, 65536))):
                left -= len(data)
                parser.feed(data)
                self.got += [data for _, data in parser.events]
                parser.events.clear()
            curl.kill()
        self._last = parser.last_event_id


class HttpxSse(Client):
    """httpx-sse, which closes its connection after a while."""

    def listen(self, headers):
        left = self._chance.choice((1, 20, 300))
        with (
            httpx.Client(timeout=PATIENCE, trust_env=False, verify=False) as client,
            contextlib.suppress(httpx.TransportError),
            httpx_sse.connect_sse(client, "GET", self._url, headers=headers) as source,
        ):
            for event in source.iter_sse():
                self.got.append(event.data)
                self._last = event.id
                left -= 1
                if not left:
                    return


class EventSource:
    """The browser's own `EventSource`."""

    def __init__(self, page, url):
        self._page = page
        page.goto(url.partition("/api")[0] + "/healthz")
        page.evaluate(COLLECT, url)

    @property
    def got(self):
        """The data of the events received."""
        return self._page.evaluate("got")

    @property
    def connections(self):
        """The number of connections opened."""
        return self._page.evaluate("connections")

    def count(self):
        """The number of events received."""
        return self._page.evaluate("got.length")

    def close(self):
        """Do nothing: it ends with its page."""


@contextlib.contextmanager
def browser_page():
    """A page of Chromium."""
    need("chromium-headless-shell")
    program = find_program("chromium-headless-shell")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--headless", "--no-sandbox"])
        yield browser.new_page()
        browser.close()


def by_writer(got):
    """The numbers of the events of each writer, in the order in which they came."""
    numbers = collections.defaultdict(list)
    for text in got:
        event = json.loads(text)
        assert "reason" not in event, f"a gap: {text}"
        numbers[event["writer"]].append(event["n"])
    return numbers

"""Clients that vanish, stall, or come and go: the server's resources for them are limited."""

from __future__ import annotations

import contextlib
import http.client
import json
import logging
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from chora_logging import EventFileHandler, EventFormatter
from chora_logging.cli import serving
from tests.eventlog.writing import write
from tests.faults.serving import SERVE, STREAM, UVICORN, Client, Server, wait_for
from tests.needs import need

#: `serve`, with less patience for clients that are away.
IMPATIENT = [
    "-c",
    "import sys; from chora_logging.cli import main, serving; serving.CLIENT_TIMEOUT_SECONDS = 2; "
    "sys.exit(main(sys.argv[1:]))",
]


@pytest.fixture
def log(tmp_path):
    write(tmp_path / "orch.log", 1)
    return tmp_path / "orch.log"


def metric(server, name):
    """The value of a counter of the server."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    with contextlib.closing(connection):
        connection.request("GET", "/metrics", headers={"Host": "localhost"})
        for line in connection.getresponse().read().decode().splitlines():
            if line.startswith(f"chora_logging_{name}{{"):
                return float(line.rpartition(" ")[2])
    return 0.0


class TestVanished:
    @pytest.mark.parametrize("how", ["close", "reset"])
    def test_leaves_nothing(self, tmp_path, log, how):
        """Clients that close or reset their connection leave nothing: no socket, no file, no stream."""
        with Server(UVICORN, log, tmp_path) as server:
            idle = server.descriptors()
            for _ in range(3):
                clients = [Client(server.port).read_until(b'{"n": 1,') for _ in range(20)]
                for client in clients:
                    getattr(client, how)()
            wait_for(lambda: metric(server, "clients") == 0)
            wait_for(lambda: server.descriptors() <= idle)

    def test_before_the_first_byte(self, tmp_path, log):
        """Clients that are gone before the first byte leave nothing either."""
        with Server(UVICORN, log, tmp_path) as server:
            idle = server.descriptors()
            for _ in range(100):
                Client(server.port).reset()
            wait_for(lambda: metric(server, "clients") == 0)
            wait_for(lambda: server.descriptors() <= idle)
            assert "Traceback" not in server.said

    def test_without_a_word(self, tmp_path, log):
        """A client whose machine has lost its power is dropped after half a minute, here two seconds."""
        need("socket filters")
        assert serving.CLIENT_TIMEOUT_SECONDS == 30
        with Server([*IMPATIENT, *SERVE[2:]], log, tmp_path) as server:
            client = Client(server.port).read_until(b'{"n": 1,')
            client.vanish()
            write(log, 2)
            wait_for(lambda: metric(server, "clients") == 0, patience=20)

            client.close()

    def test_suspended(self, tmp_path, log):
        """A suspended client process is disconnected when it has read nothing for so long."""
        code = (
            "import socket, sys\n"
            f"s = socket.create_connection(('127.0.0.1', int(sys.argv[1])))\n"
            f"s.sendall(b'GET {STREAM} HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n')\n"
            "while s.recv(65536): print('x', flush=True)"
        )
        with Server(UVICORN, log, tmp_path, stalled=1) as server:
            idle = server.descriptors()
            client = subprocess.Popen(
                [sys.executable, "-c", code, str(server.port)],
                stdout=subprocess.PIPE,
                stdin=subprocess.DEVNULL,
            )
            try:
                client.stdout.readline()
                client.send_signal(signal.SIGSTOP)
                write(log, *range(400), size=50_000)
                wait_for(lambda: metric(server, "dropped_clients_total") == 1)
                wait_for(lambda: server.descriptors() <= idle)
            finally:
                client.kill()
                client.communicate()
            assert "read nothing for 1 seconds" in server.said
            assert "Traceback" not in server.said


class TestStalled:
    @pytest.mark.parametrize("headers", [(), ("X-Forwarded-For: 127.0.0.1",)], ids=["directly", "by a proxy"])
    def test_is_cut(self, tmp_path, log, headers):
        """One that read nothing for so long is disconnected, even if its address is not its socket's."""
        with Server(UVICORN, log, tmp_path, stalled=1) as server:
            idle = server.descriptors()
            client = Client(server.port, STREAM, *headers, buffer=4096)
            write(log, *range(400), size=50_000)
            wait_for(lambda: metric(server, "dropped_clients_total") == 1)
            wait_for(lambda: server.descriptors() <= idle)
            client.close()

            assert "without completing response" not in server.said
            assert "Traceback" not in server.said

    def test_delays_nobody_and_costs_little(self, tmp_path, log):
        """Clients that read nothing cost at most 2.5 MB each, and another one gets each event immediately."""
        logger = logging.Logger("load")
        handler = EventFileHandler(log, maxBytes=2_000_000, backupCount=5)
        handler.setFormatter(EventFormatter())
        logger.addHandler(handler)
        with Server(UVICORN, log, tmp_path) as server, contextlib.ExitStack() as stack:
            stack.callback(handler.close)
            alive = Client(server.port, f"{STREAM}?from=end&event=told")
            stack.callback(alive.close)
            alive.read_until(b"retry")
            self.load(logger, alive, 0, 20_000)
            before = server.memory()
            for _ in range(10):
                stack.callback(Client(server.port, buffer=4096).close)

            late = self.load(logger, alive, 20_000, 60_000)

            assert server.memory() - before < 10 * 2_500_000
            assert late < 5.0
            assert metric(server, "clients") == 11

    def load(self, logger, alive, begin, end):
        """Log events; return the longest delay among the clients of *alive*, in seconds."""
        worst = 0.0
        for number in range(begin, end):
            told = number % 500 == 499
            logger.info("x", extra={"event": "told" if told else "load", "pad": "x" * 500, "n": number})
            if told:
                began = time.monotonic()
                alive.read_until(b'"n":%d}' % number)
                alive.got.clear()
                worst = max(worst, time.monotonic() - began)
        return worst

    def test_comes_back_and_misses_nothing(self, tmp_path, log):
        """A client that read nothing for a while continues from the file: every event, once, in order."""
        with Server(UVICORN, log, tmp_path) as server:
            client = Client(server.port)
            write(log, *range(2, 3000), size=5000)
            server.wait_until_quiet()
            write(log, 3000)
            client.read_until(b'{"n": 3000, "pad": ""}\n')
            numbers = [
                json.loads(line[6:])["n"]
                for line in dechunked(bytes(client.got)).split(b"\n")
                if line.startswith(b"data: ")
            ]
            client.close()

        assert numbers == list(range(1, 3001))


class TestManyRequests:
    def test_a_search_that_finds_nothing_starves_nobody(self, tmp_path, log):
        """While requests read a whole log in vain, others are answered and streams go on."""
        write(log, *range(40_000), size=1000)
        stop = threading.Event()
        finished = []

        def search(port):
            while not stop.is_set():
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
                path = "/api/v1/orchestrator/events?level=error&since=1h"
                connection.request("GET", path, headers={"Host": "localhost"})
                finished.append(connection.getresponse().status)
                connection.close()

        with Server(UVICORN, log, tmp_path) as server:
            client = Client(server.port, f"{STREAM}?from=end").read_until(b"retry")
            searches = [threading.Thread(target=search, args=(server.port,)) for _ in range(8)]
            for thread in searches:
                thread.start()
            try:
                for number in range(100_000, 100_020):
                    write(log, number)
                    client.read_until(b'{"n": %d,' % number)
                    assert metric(server, "clients") == 1
            finally:
                stop.set()
                for thread in searches:
                    thread.join()
            client.close()
            assert set(finished) == {200}

    def test_a_request_that_goes_on_and_on(self, tmp_path, log):
        """A request with an endless head is refused, and costs little."""
        with (
            Server(UVICORN, log, tmp_path) as server,
            socket.create_connection(("127.0.0.1", server.port)) as raw,
        ):
            before = server.memory()
            raw.settimeout(30)
            with contextlib.suppress(ConnectionError):
                raw.sendall(b"GET / HTTP/1.1\r\n")
                for _ in range(1000):
                    raw.sendall(b"X: " + b"x" * 10_000 + b"\r\n")
            assert server.memory() - before < 20_000_000
            assert metric(server, "clients") == 0


def dechunked(answer):
    """The body of a chunked answer, up to its last whole chunk."""
    rest = answer.partition(b"\r\n\r\n")[2]
    body = b""
    while b"\r\n" in rest:
        size, _, rest = rest.partition(b"\r\n")
        length = int(size, 16)
        body += rest[:length]
        rest = rest[length + 2 :]
    return body

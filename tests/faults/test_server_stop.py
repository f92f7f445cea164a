"""Servers that are stopped while streams are open."""

from __future__ import annotations

import contextlib
import os
import re
import resource
import signal
import sys
import threading
import time

import pytest

from tests.eventlog.writing import write
from tests.faults.serving import APP, GUNICORN, SERVE, STREAM, UVICORN, Client, Server, is_listening, wait_for
from tests.ports import free_port

#: Much longer than a stop takes, and shorter than every server's own limit for it, in seconds.
GRACE = 8.0

COMMANDS = {
    "uvicorn app:app": UVICORN,
    "gunicorn": GUNICORN,
    "serve": SERVE,
    "python": ["-c", "import uvicorn, tests.faults.server_app as s; uvicorn.run(s.app, port=0)"],
}


#: The header with which a proxy names its client: the client's address is not that of a socket then.
PROXIED = "X-Forwarded-For: 127.0.0.1"


@pytest.fixture
def log(tmp_path):
    write(tmp_path / "orch.log", 1)
    return tmp_path / "orch.log"


@pytest.mark.parametrize("name", COMMANDS)
def test_a_server_stops_with_idle_streams(tmp_path, log, name):
    """With 100 idle streams open SIGTERM stops the server in time, and ends each stream properly."""
    with Server(COMMANDS[name], log, tmp_path) as server, contextlib.ExitStack() as stack:
        clients = [Client(server.port) for _ in range(100)]
        for client in clients:
            stack.callback(client.close)
            client.read_until(b'{"n": 1,')

        took = server.stop()

        assert took < GRACE
        for client in clients:
            assert client.read_to_end().endswith(b"\r\n0\r\n\r\n")
        assert "Traceback" not in server.said


@pytest.mark.parametrize(
    ("name", "headers"),
    [("uvicorn app:app", []), ("uvicorn app:app", [PROXIED]), ("gunicorn", [PROXIED]), ("serve", [])],
)
def test_a_server_stops_with_stalled_streams(tmp_path, log, name, headers):
    """Clients that read nothing, with all buffers full, do not keep a server from stopping."""
    write(log, *range(200), size=50_000)
    with Server(COMMANDS[name], log, tmp_path) as server, contextlib.ExitStack() as stack:
        for _ in range(3):
            client = Client(server.port, STREAM, *headers, buffer=4096)
            stack.callback(client.close)
        wait_for(lambda: server.descriptors() >= 4)
        server.wait_until_quiet()

        assert server.stop() < GRACE


def test_the_limit_of_descriptors(tmp_path, log):
    """serve accepts as many clients as its user may have descriptors, not only 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with Server(SERVE, log, tmp_path) as server, open(f"/proc/{server.worker}/limits") as file:
        (line,) = (line for line in file if line.startswith("Max open files"))

    assert int(line.split()[3]) == hard >= soft


#: Servers that are told their port.
OTHERS = {
    "hypercorn": ["-m", "hypercorn", APP, "--graceful-timeout", "2", "--bind"],
}
if sys.version_info < (3, 15):  # it cannot be installed on later ones yet, see setup.cfg
    OTHERS["granian"] = ["-m", "granian", "--interface", "asgi", "--workers-kill-timeout", "2", APP, "--port"]
#: Python 3.15 prints this for each connection that hypercorn leaves to the garbage collector.
OF_ASYNCIO = re.compile(
    r"Exception ignored while calling deallocator <function _SelectorTransport\.__del__ .*?"
    r"^TypeError: 'NoneType' object is not iterable\n",
    re.DOTALL | re.MULTILINE,
)
WORKERS = {
    "serve --workers": [*SERVE, "--workers", "2"],
    "gunicorn --workers": [*GUNICORN, "--workers", "2"],
}


class Visitor(threading.Thread):
    """Opens one stream after the other, as an `EventSource` does, until nothing listens any more.

    Attributes:
        answers: The statuses that it got; None for a connection that ended without one.
    """

    def __init__(self, port, number):
        super().__init__(daemon=True)
        self.answers = []
        self._port = port
        self._number = number
        self.start()

    def run(self):
        while True:
            try:
                client = Client(self._port)
            except ConnectionRefusedError:
                return
            except ConnectionError:
                continue
            with contextlib.suppress(ConnectionError), contextlib.closing(client):
                self.answers.append(None)
                head = client.socket.recv(65536)
                if not head:
                    continue
                self.answers[-1] = int(head.split()[1])
                if self._number % 3 == 0:
                    client.read_to_end()
                elif self._number % 3 == 1:
                    client.reset()


@pytest.mark.parametrize("name", [*COMMANDS, *OTHERS, *WORKERS])
@pytest.mark.parametrize(
    "signals", [(signal.SIGTERM,), (signal.SIGINT, signal.SIGINT)], ids=["TERM", "INT INT"]
)
def test_a_stop_among_clients_that_come_and_go(tmp_path, log, name, signals):
    """While streams begin, run and are cut, a stop gives no 5xx and no traceback: all clients come back."""
    command, port = {**COMMANDS, **WORKERS}.get(name), None
    if name in OTHERS:
        port = free_port()
        command = [*OTHERS[name], f"127.0.0.1:{port}" if name == "hypercorn" else str(port)]
    with Server(command, log, tmp_path, port) as server:
        visitors = [Visitor(server.port, number) for number in range(25)]
        wait_for(lambda: sum(len(visitor.answers) for visitor in visitors) > 100)
        for number in signals:
            # A terminal sends Ctrl-C to all processes; gunicorn's workers wait for their own.
            send = os.killpg if number == signal.SIGINT else os.kill
            send(server.process.pid, number)
            time.sleep(0.05)  # two at once are one
        server.process.wait(30)
        for visitor in visitors:
            visitor.join(30)

        assert {answer for visitor in visitors for answer in visitor.answers} <= {200, None}
        said = OF_ASYNCIO.sub("", server.said) if name == "hypercorn" else server.said
        assert "Traceback" not in said
        assert "Exception" not in said


def test_workers_end_with_their_supervisor(tmp_path, log):
    """When the supervisor is killed its workers stop as at SIGTERM, and the port is free."""
    command = WORKERS["serve --workers"]
    with Server(command, log, tmp_path) as server, contextlib.closing(Client(server.port)) as client:
        client.read_until(b'{"n": 1,')

        server.process.kill()

        assert client.read_to_end().endswith(b"\r\n0\r\n\r\n")
        wait_for(lambda: not is_listening(server.port))
        assert "Traceback" not in server.said

"""Servers that are stopped while streams are open."""

from __future__ import annotations

import contextlib
import resource

import pytest

from tests.eventlog.writing import write
from tests.faults.serving import GUNICORN, SERVE, STREAM, UVICORN, Client, Server, wait_for

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

"""The example web application under real servers: their workers write one log, and no line is missing."""

from __future__ import annotations

import collections
import concurrent.futures
import contextlib
import http.client
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import time

import pytest

import chora_logging
from tests.accounting import events_of

ROOT = pathlib.Path(chora_logging.__file__).parent.parent
EXAMPLES = ROOT / "examples"
WORKERS = 2
REQUESTS = 60
PATIENCE = 60.0

GUNICORN = ["-m", "gunicorn", "--pythonpath", str(EXAMPLES), "web_app:app", "--bind", "127.0.0.1:0"]
GUNICORN += ["--workers", str(WORKERS), "--worker-class", "uvicorn_worker.UvicornWorker"]
GUNICORN += ["--access-logfile", "-"]  # gunicorn logs no requests by default
UVICORN = ["-m", "uvicorn", "--app-dir", str(EXAMPLES), "web_app:app", "--port", "0"]
SERVERS = {
    "python web_app.py": [str(EXAMPLES / "web_app.py")],
    "uvicorn --workers": [*UVICORN, "--workers", str(WORKERS)],
    "gunicorn": GUNICORN,
    "gunicorn --preload": [*GUNICORN, "--preload"],
}


class Server:
    """A server with its workers, from the time all are ready until all have ended.

    It chooses a free port and prints it; its output goes to a file, since nobody would read a pipe.
    """

    def __init__(self, command, folder):
        self._said = folder / "server.txt"
        env = {**os.environ, "PYTHONPATH": str(ROOT), "PORT": "0", "HOME": str(folder)}
        env.pop("XDG_RUNTIME_DIR", None)  # gunicorn has a socket there
        with self._said.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, *command],
                cwd=folder,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def said(self):
        """The output of the server and its workers so far."""
        return self._said.read_text(errors="replace")

    @property
    def port(self):
        """The port that the server chose."""
        return int(re.search(r"http://127\.0\.0\.1:(\d+)", self.said)[1])

    def wait_until_ready(self):
        """Return when every worker accepts requests."""
        deadline = time.monotonic() + PATIENCE
        while self.said.count("Application startup complete") < WORKERS or not is_listening(self.port):
            assert self._process.poll() is None, self.said
            assert time.monotonic() < deadline, self.said
            time.sleep(0.02)

    def stop(self):
        """Stop the server as an operator does, and wait until it has ended."""
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(PATIENCE)

    def __enter__(self):
        try:
            self.wait_until_ready()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


def is_listening(port):
    """Whether connections are accepted: uvicorn accepts them shortly after it reports its start."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def place_order(port, order_id):
    """Send one request, on a connection of its own, and return the answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    with contextlib.closing(connection):
        connection.request("POST", f"/orders/{order_id}")
        response = connection.getresponse()
        assert response.status == 200
        return json.loads(response.read())


def place_orders(port):
    """Send requests, several at a time, until there are enough and every worker has had some."""
    answers = []
    deadline = time.monotonic() + PATIENCE
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        while len(answers) < REQUESTS or len({answer["pid"] for answer in answers}) < WORKERS:
            assert time.monotonic() < deadline, "only one worker gets requests"
            batch = range(len(answers), len(answers) + 20)
            answers += pool.map(lambda order_id: place_order(port, order_id), batch)
    return answers


@pytest.mark.parametrize("name", SERVERS)
def test_every_request_is_in_the_one_log(tmp_path, name):
    """Each request's events and the server's line about it are logged once, with its own trace id."""
    with Server(SERVERS[name], tmp_path) as server:
        answers = place_orders(server.port)
        server.stop()

    events = events_of(tmp_path / "web.log")
    found = collections.Counter(
        (event["event"], event["order_id"], event["trace_id"], event["pid"])
        for event in events
        if event["logger"] == "shop"
    )
    assert found == {
        (event, answer["order_id"], answer["trace_id"], answer["pid"]): 1
        for answer in answers
        for event in ("order_received", "order_charged")
    }
    traces = {answer["trace_id"] for answer in answers}
    assert len(traces) == len(answers)
    access = [event["trace_id"] for event in events if event["logger"] == "uvicorn.access"]
    assert collections.Counter(access) == dict.fromkeys(traces, 1)
    assert "Traceback" not in server.said

"""The example of three servers and of a service that ships to them."""

from __future__ import annotations

import os
import pathlib
import re
import shlex
import subprocess
import sys

import pytest

from tests.jetstream.servers import PASSWORD, Server, wait_for
from tests.ports import free_port

EXAMPLES = pathlib.Path(__file__).parents[2] / "examples"
COMMAND = [sys.executable, "-m", "chora_logging"]


@pytest.fixture
def servers(newest_program, tmp_path, monkeypatch):
    """Three servers with the configuration of the example, on ports of this machine; their address."""
    for user in ("ADMIN", "SHIPPER", "READER"):
        monkeypatch.setenv(f"{user}_PASSWORD", PASSWORD)
    (tmp_path / "password").write_text(PASSWORD)
    ports = {name: (free_port(), free_port()) for name in ("n1", "n2", "n3")}
    started = []
    for name, (port, route) in ports.items():
        text = (EXAMPLES / "nats-cluster.conf").read_text()
        text = text.replace("0.0.0.0:4222", f"127.0.0.1:{port}").replace("0.0.0.0:6222", f"127.0.0.1:{route}")
        text = re.sub(r"nats://(n\d):6222", lambda found: f"nats://127.0.0.1:{ports[found[1]][1]}", text)
        monkeypatch.setenv("NATS_NAME", name)
        monkeypatch.setenv("NATS_STORE", str(tmp_path / name))
        started.append(Server(newest_program, tmp_path, name, text, port))
        started[-1].start()
        wait_for(started[-1].listens, name)
    yield f"nats://{','.join(f'127.0.0.1:{port}' for port, _ in ports.values())}/CLOG"
    for server in started:
        server.end()


def call(user, folder, *arguments):
    """The output of a command of this user of the servers."""
    env = {**os.environ, "NATS_USER": user, "NATS_PASSWORD_FILE": str(folder / "password")}
    done = subprocess.run([*COMMAND, *arguments], env=env, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_each_user_has_the_rights_that_it_needs(servers, tmp_path):
    """One makes the stream, one ships, and one reads."""
    log = tmp_path / "web.log"
    log.write_text('{"event": "first"}\n')
    create = ("--create", "--replicas", "3")
    call("admin", tmp_path, "ship", servers, "--log", log, "--host", "m1", "--once", *create)
    with log.open("a") as file:
        file.write('{"event": "second"}\n')
    call("shipper", tmp_path, "ship", servers, "--log", log, "--host", "m1", "--once")

    assert call("reader", tmp_path, "query", "--log", servers, "--count") == "2\n"
    assert "second" in call("reader", tmp_path, "tail", "--log", servers)
    assert "Nothing is missing" in call("reader", tmp_path, "audit", servers, "--log", log, "--host", "m1")


def test_the_service_has_options_that_exist():
    """The command of the service is understood by the command line."""
    text = (EXAMPLES / "chora-logging-ship.service").read_text().replace("\\\n", " ")
    words = shlex.split(re.search("(?m)^ExecStart=(.*)$", text)[1])
    told = subprocess.run([*COMMAND, "ship", "--help"], capture_output=True, text=True, check=True).stdout

    assert words[1:2] == ["ship"]
    assert all(word in told for word in words if word.startswith("--"))

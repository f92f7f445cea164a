"""The configurations of other agents in `examples/collectors`: those that can be installed here are run."""

from __future__ import annotations

import json
import os
import re
import signal
import socketserver
import subprocess
import threading

import pytest

from tests.checkout import ROOT
from tests.jetstream.servers import PATIENCE, wait_for
from tests.jetstream.shippers import written
from tests.needs import find_program, need, syslog_ng

COLLECTORS = ROOT / "examples" / "collectors"
#: In a step less than a file is written, and in the first one after the restart none is rotated away.
STEPS, EVENTS = 20, 300

#: By file that is run, the places in it, and those of a test.
PLACES = {
    "rsyslog.conf": {
        "/var/spool/rsyslog": "{folder}",
        "/var/log/shop/": "{folder}/",
        'target="logs.example.com" port="5140"': 'target="127.0.0.1" port="{port}"',
    },
    "syslog-ng.conf": {
        "/var/lib/syslog-ng": "{folder}",
        "/var/log/shop/": "{folder}/",
        '"logs.example.com" port(5140)': '"127.0.0.1" port({port})',
    },
}


class Received:
    """A TCP server that keeps the lines that it gets."""

    def __init__(self):
        self.lines = []
        received = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self):
                for line in self.rfile:
                    received.lines.append(line)

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True

        self._server = Server(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]

    def __enter__(self):
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *error):
        self._server.shutdown()
        self._server.server_close()


def configuration(name, folder, port):
    """The text of a configuration, with a folder and a port of the test's own."""
    text = (COLLECTORS / name).read_text()
    for shown, here in PLACES[name].items():
        assert text.count(shown) == 1
        text = text.replace(shown, here.format(folder=folder, port=port))
    return text


def run_beside_a_writer(command, log, received, variables=None):
    """Run an agent while events are written, with a restart after half of them; return what it said.

    After each step, in which the log is rotated at most once, all lines must have arrived.
    """
    log.touch()
    with open(log.with_name("output"), "w+") as output:
        for half in (range(STEPS // 2), range(STEPS // 2, STEPS)):
            agent = subprocess.Popen(
                command, stdout=output, stderr=output, env={**os.environ, **(variables or {})}
            )
            try:
                for step in half:
                    written(log, EVENTS, first=step * EVENTS, size=100_000)
                    wait_for(lambda end=(step + 1) * EVENTS: len(received.lines) >= end)
            finally:
                agent.send_signal(signal.SIGTERM)
                agent.wait(PATIENCE)
        output.seek(0)
        return output.read().splitlines()


def assert_complete(received, log):
    """Every event came once and in order, over several rotations."""
    assert [json.loads(line)["n"] for line in received.lines] == list(range(STEPS * EVENTS))
    assert len(list(log.parent.glob("web.log.*"))) >= 5


class TestAllEvents:
    """An agent sends every event once and in order, over rotations and a restart."""

    def test_rsyslog(self, tmp_path):
        """It watches the folder."""
        need("rsyslog")
        log = tmp_path / "web.log"
        file = tmp_path / "rsyslog.conf"
        with Received() as received:
            file.write_text(configuration(file.name, tmp_path, received.port))
            command = [find_program("rsyslogd"), "-n", "-f", file, "-i", tmp_path / "rsyslog.pid"]
            said = run_beside_a_writer(command, log, received)

        assert_complete(received, log)
        # It may look at the log in the middle of a rotation, and says so.
        assert [line for line in said if "poll_tree cannot stat file" not in line] == []

    def test_syslog_ng(self, tmp_path):
        """It looks at the file ten times a second, and keeps the lines on its disk until they are sent."""
        need("syslog-ng")
        log = tmp_path / "web.log"
        file = tmp_path / "syslog-ng.conf"
        program, variables = syslog_ng()
        with Received() as received:
            file.write_text("@version: 3.35\n" + configuration(file.name, tmp_path, received.port))
            command = [*program, "--foreground", "--stderr", "--no-caps", "--cfgfile", file]
            command += [f"--{name}={tmp_path / name}" for name in ("persist-file", "control", "pidfile")]
            said = run_beside_a_writer(command, log, received, variables)

        assert_complete(received, log)
        # It says that it starts and stops, and how each rotation looks to it.
        usual = re.compile("starting up|shutting down|connection established|disk-buffer state|mismatching")
        assert [line for line in said if not usual.search(line)] == []


class TestOthers:
    @pytest.mark.parametrize("path", sorted(COLLECTORS.iterdir()), ids=lambda path: path.name)
    def test_said(self, path):
        """A configuration says that it is not run by our tests, unless it is."""
        assert ("NOT RUN BY OUR TESTS" in path.read_text()) == (path.name not in PLACES)

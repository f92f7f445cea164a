"""The configurations of other agents in `examples/collectors`: those that can be installed here are run."""

from __future__ import annotations

import json
import signal
import socketserver
import subprocess
import threading

import pytest

from tests.checkout import ROOT
from tests.jetstream.servers import PATIENCE, wait_for
from tests.jetstream.shippers import written
from tests.needs import find_program, need

COLLECTORS = ROOT / "examples" / "collectors"
STEPS, EVENTS = 20, 300  # less than a file is written in a step

#: The files that are run.
RUN = {"rsyslog.conf"}


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


class TestRsyslog:
    def test_all_events(self, tmp_path):
        """It sends every event once and in order, over rotations and a restart."""
        need("rsyslog")
        log = tmp_path / "web.log"
        text = (COLLECTORS / "rsyslog.conf").read_text()
        with Received() as received:
            for shown, here in (
                ("/var/spool/rsyslog", str(tmp_path)),
                ("/var/log/shop/web.log", str(log)),
                ('target="logs.example.com" port="5140"', f'target="127.0.0.1" port="{received.port}"'),
            ):
                assert text.count(shown) == 1
                text = text.replace(shown, here)
            (tmp_path / "rsyslog.conf").write_text(text)
            command = [find_program("rsyslogd"), "-n", "-f", tmp_path / "rsyslog.conf"]
            command += ["-i", tmp_path / "rsyslog.pid"]
            log.touch()
            with open(tmp_path / "output", "w+") as output:
                for half in (range(STEPS // 2), range(STEPS // 2, STEPS)):
                    rsyslog = subprocess.Popen(command, stdout=output, stderr=output)
                    try:
                        for step in half:
                            written(log, EVENTS, first=step * EVENTS, size=100_000)
                            wait_for(lambda end=(step + 1) * EVENTS: len(received.lines) >= end)
                    finally:
                        rsyslog.send_signal(signal.SIGTERM)
                        rsyslog.wait(PATIENCE)
                output.seek(0)
                # It may look at the log in the middle of a rotation, and says so.
                assert [line for line in output if "poll_tree cannot stat file" not in line] == []

        assert [json.loads(line)["n"] for line in received.lines] == list(range(STEPS * EVENTS))
        assert len(list(tmp_path.glob("web.log.*"))) >= 5


class TestOthers:
    @pytest.mark.parametrize("path", sorted(COLLECTORS.iterdir()), ids=lambda path: path.name)
    def test_said(self, path):
        """A configuration says that it is not run by our tests, unless it is."""
        assert ("NOT RUN BY OUR TESTS" in path.read_text()) == (path.name not in RUN)

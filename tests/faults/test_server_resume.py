"""Real clients cut at random, and a server that is killed: each client gets every event, once."""

from __future__ import annotations

import contextlib
import random
import subprocess
import sys

import pytest

from tests.faults.clients import RETRY, Curl, Cutter, EventSource, HttpxSse, browser_page, by_writer
from tests.faults.serving import ROOT, STREAM, UVICORN, Server, wait_for
from tests.needs import need

WRITERS, LIVES, EVENTS = 3, 3, 1000

WRITE = """
import logging, os, sys, time
from chora_logging import EventFileHandler, EventFormatter
log, writer, stop = sys.argv[1:]
handler = EventFileHandler(log, maxBytes=50_000, backupCount=10_000)
handler.setFormatter(EventFormatter())
logger = logging.Logger("writer")
logger.addHandler(handler)
count = 0
while not os.path.exists(stop):
    logger.info("x", extra={"task_id": "mine", "writer": int(writer), "n": count, "pad": "x" * 150})
    logger.info("x", extra={"task_id": "other"})
    count += 1
    time.sleep(0.01)
print(count)
"""


class Writers:
    """Processes that write one log, and rotate it every 50 kB, until they are stopped."""

    def __init__(self, log):
        self._stop = log.parent / "stop"
        self._started = [
            subprocess.Popen(
                [sys.executable, "-c", WRITE, str(log), str(number), str(self._stop)],
                env={"PYTHONPATH": str(ROOT)},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
            )
            for number in range(WRITERS)
        ]

    def stop(self):
        """Stop; return the numbers of the events of each writer, which all clients must get."""
        self._stop.touch()
        counts = [int(process.communicate()[0]) for process in self._started]
        return {writer: list(range(count)) for writer, count in enumerate(counts)}

    def close(self):
        """Kill those that are left."""
        for process in self._started:
            process.kill()
            process.wait()
            process.stdout.close()


@pytest.fixture
def log(tmp_path):
    return tmp_path / "orch.log"


@pytest.fixture
def writers(log):
    with contextlib.closing(Writers(log)) as writers:
        yield writers


def test_each_event_comes_once(tmp_path, log, writers):
    """curl, httpx-sse and the browser, cut again and again under rotation, miss and double nothing.

    The server is killed twice meanwhile.
    """
    need("curl")
    with contextlib.ExitStack() as stack:
        way = stack.enter_context(contextlib.closing(Cutter(random.Random(1))))
        url = f"http://127.0.0.1:{way.port}{STREAM}?task_id=mine"
        page = stack.enter_context(browser_page())
        clients = []
        for life in range(1, LIVES + 1):
            with Server(UVICORN, log, tmp_path, retry=int(RETRY * 1000)) as server:
                way.target = server.port
                if not clients:
                    clients = [Curl(url, 1), HttpxSse(url, 2), EventSource(page, url)]
                wait_for(lambda life=life: all(one.count() >= life * EVENTS for one in clients))
                if life == LIVES:
                    wanted = writers.stop()
                    total = sum(map(len, wanted.values()))
                    wait_for(lambda total=total: all(one.count() >= total for one in clients))
                server.process.kill()
        for one in clients:
            one.close()

        assert len(list(tmp_path.glob("orch.log*"))) > 20
        for one in clients:
            assert one.connections >= 10
            assert by_writer(one.got) == wanted

"""Clients that are cut at random, and a server that is killed: what they get is every event, once."""

from __future__ import annotations

import collections
import contextlib
import json
import random
import subprocess
import sys

import pytest

from tests.faults.serving import ROOT, STREAM, UVICORN, Client, Server
from tests.web.serving import Parser

WRITERS, EVENTS = 3, 1200

WRITE = """
import logging, sys, time
from chora_logging import EventFileHandler, EventFormatter
handler = EventFileHandler(sys.argv[1], maxBytes=50_000, backupCount=1000)
handler.setFormatter(EventFormatter())
logger = logging.Logger("writer")
logger.addHandler(handler)
for n in range(int(sys.argv[3])):
    logger.info("x", extra={"task_id": "mine", "writer": int(sys.argv[2]), "n": n, "pad": "x" * 100})
    logger.info("x", extra={"task_id": "other"})
    time.sleep(0.001)
"""


@pytest.fixture
def writers(tmp_path):
    """Processes that write one log and rotate it every 50 kB."""
    environment = {"PYTHONPATH": str(ROOT)}
    started = [
        subprocess.Popen(
            [sys.executable, "-c", WRITE, str(tmp_path / "orch.log"), str(number), str(EVENTS)],
            env=environment,
            stdin=subprocess.DEVNULL,
        )
        for number in range(WRITERS)
    ]
    yield started
    for process in started:
        process.kill()
        process.wait()


def part_of(port, last, chance):
    """What comes on one connection, cut after a random number of bytes: its events, and the last id."""
    headers = [f"Last-Event-ID: {last}"] if last else []
    client = Client(port, f"{STREAM}?task_id=mine", *headers)
    parser = Parser()
    parser.last_event_id = last
    wanted = chance.choice((1, 300, 5_000, 50_000))
    client.socket.settimeout(0.5)  # the end of what there is cuts it too
    with contextlib.suppress(TimeoutError):
        while data := client.socket.recv(min(4096, wanted - len(client.got))):
            client.got += data
    (client.reset if chance.random() < 0.5 else client.close)()
    body = bytes(client.got).partition(b"\r\n\r\n")[2]
    parser.feed(whole_chunks(body))
    return parser.events, parser.last_event_id


def whole_chunks(body):
    """What has come of a body in chunks, the beginning of the last chunk included."""
    found = b""
    while b"\r\n" in body:
        size, _, body = body.partition(b"\r\n")
        found += body[: int(size, 16)]
        body = body[int(size, 16) + 2 :]
    return found


@pytest.mark.parametrize("seed", [1, 2])
def test_each_event_comes_once(tmp_path, writers, seed):
    """A client that is cut over and over, and whose server is killed twice, gets each event once."""
    chance = random.Random(seed)
    last, found = "", []
    for share in (1, 2, 3):
        with Server(UVICORN, tmp_path / "orch.log", tmp_path) as server:
            while len(found) < WRITERS * EVENTS * share // 3:
                events, last = part_of(server.port, last, chance)
                assert [kind for kind, _ in events if kind != "message"] == []
                found += [json.loads(data) for _, data in events]
            server.process.kill()

    numbers = collections.defaultdict(list)
    for event in found:
        numbers[event["writer"]].append(event["n"])
    assert numbers == {writer: list(range(EVENTS)) for writer in range(WRITERS)}

"""Logs are shipped while everything is killed and cut: each event is stored once, and in order."""

from __future__ import annotations

import random
import time

import pytest

from chora_logging.errors import ServerError
from tests.jetstream.proxy import Proxy
from tests.jetstream.servers import Servers, connected, create, done, wait_for
from tests.jetstream.shippers import Shipper, messages_of, numbers_of, untiled, wait_for_numbers, write
from tests.needs import NATS_SERVERS, find_nats_server, need
from tests.soaks import WHOLE

LOGS = ("one", "two", "three")
#: Ordinarily the two runs have together what each of the four has with `--whole`.
PARTS = 1 if WHOLE else 2
EVENTS = 20_000 // PARTS
RATE = 260
KILLS, LEADERS, CUTS, SILENCES = 20 // PARTS, 6 // PARTS, 18 // PARTS, 2 // PARTS

#: How long the network is silent, in seconds: longer than an answer may take.
SILENCE_SECONDS = 6.0

#: Leaves out the ids of messages in a shipper.
WITHOUT_IDS = (
    "import chora_logging.jetstream.shipping as s; made = s.message; "
    "s.message = lambda *a, **k: made(*a, **{**k, 'with_id': False})"
)

#: Each version, with ids that are soon forgotten and without; ordinarily each version and each way once.
RUNS = [(NATS_SERVERS[0], ""), (NATS_SERVERS[-1], WITHOUT_IDS)]
if WHOLE:
    RUNS += [(NATS_SERVERS[-1], ""), (NATS_SERVERS[0], WITHOUT_IDS)]


class Scene:
    """Three servers behind proxies, three logs with writers, and a shipper of all."""

    def __init__(self, servers, folder, code):
        self.servers = servers
        self.folder = folder
        self.code = code
        self.proxies = [Proxy(server.port) for server in servers.servers]
        hosts = ",".join(f"127.0.0.1:{proxy.port}" for proxy in self.proxies)
        self.address = f"nats://{hosts}/CLOG"
        self.shipper = None
        self.resumed = 0

    def ship(self):
        logs = [f"--log={self.folder / name}.log" for name in LOGS]
        options = ("--host", "web1", "--linger", "0.1")
        self.shipper = Shipper(self.address, self.folder / "output", *logs, *options, code=self.code)

    def close(self):
        if self.shipper is not None:
            self.shipper.kill()
        for proxy in self.proxies:
            proxy.close()


def info(stream):
    """What the servers say of the stream; None while they do not."""
    try:
        return done(stream, stream.info())
    except ServerError:
        return None


def healthy(stream):
    """What the servers say of the stream, if all replicas have everything."""
    found = info(stream)
    replicas = (found or {}).get("cluster", {}).get("replicas", [])
    return found if len(replicas) == 2 and all(each.get("current") for each in replicas) else None


def progress(stream, writers):
    """Wait until something more is stored, or all is written: then it may have been stored before."""
    before = wait_for(lambda: info(stream))["state"]["last_seq"]
    wait_for(
        lambda: (
            all(each.poll() is not None for each in writers)
            or ((found := info(stream)) and found["state"]["last_seq"] > before)
        ),
        "progress",
    )


def kill_shipper(scene, stream):
    scene.shipper.kill()
    scene.ship()


def kill_leader(scene, stream):
    leader = scene.servers.leader(wait_for(lambda: healthy(stream), "healthy replicas"))
    leader.end()
    wait_for(
        lambda: (
            (found := info(stream)) and found["cluster"].get("leader") not in (None, leader.name) and found
        )
    )
    leader.start()


def kill_all(scene, stream):
    scene.servers.end()
    scene.servers.start()


def cut(scene, stream):
    for proxy in scene.proxies:
        proxy.cut()


def silence(scene, stream):
    for proxy in scene.proxies:
        proxy.silence()
    until = time.monotonic() + SILENCE_SECONDS
    wait_for(lambda: time.monotonic() > until)
    for proxy in scene.proxies:
        proxy.sound()


@pytest.mark.timeout(400)
@pytest.mark.parametrize(("release", "code"), RUNS, ids=[f"{v} {'no ids' * bool(c)}" for v, c in RUNS])
def test_everything_dies(release, code, tmp_path):
    """Each event is stored once, in order, and starts and ends tile, whichever server is asked."""
    need(f"nats-server {release}")
    faults = (
        [kill_shipper] * KILLS + [kill_leader] * LEADERS + [kill_all] + [cut] * CUTS + [silence] * SILENCES
    )
    random.shuffle(faults)
    servers = Servers(find_nats_server(release), tmp_path / "servers", 3, advertise=False)
    with servers, connected(servers.address) as stream:
        create(stream, num_replicas=3, duplicate_window=1_000_000_000)
        scene = Scene(servers, tmp_path, code)
        writers = [write(tmp_path / f"{name}.log", EVENTS, name=name, rate=RATE) for name in LOGS]
        try:
            scene.ship()
            for fault in faults:
                progress(stream, writers)
                fault(scene, stream)
            assert [each.wait(200) for each in writers] == [0, 0, 0]
            for name in LOGS:
                wait_for_numbers(stream, f"clog.web1.{name}", range(EVENTS))
            status = scene.shipper.stop()
            assert status == 0, scene.shipper.said
        finally:
            for each in writers:
                each.kill()
                each.wait()
            scene.close()
        for _ in leaders(stream, servers):
            found = messages_of(stream)
            for name in LOGS:
                assert numbers_of(found, f"clog.web1.{name}") == list(range(EVENTS))
            assert untiled(found) == []
            assert all(each.gap is None for each in found)


def leaders(stream, servers):
    """Yield with each of the servers as the leader of the stream."""
    seen = set()
    while len(seen) < len(servers.servers):
        found = wait_for(lambda: healthy(stream), "healthy replicas")
        if (leader := found["cluster"]["leader"]) not in seen:
            seen.add(leader)
            yield leader
        try:
            done(stream, stream.api(f"STREAM.LEADER.STEPDOWN.{stream.name}"))
        except ServerError:
            continue

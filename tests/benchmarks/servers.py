"""The servers of the scenario `serve`, each of which streams the events of one log to many clients.

Fairness: all serve the same log of the same writer. One process answers the clients (nginx also has an idle
master, and needs the publisher). There is no access log, and none filters anything. The generator is typical
code of sse-starlette's users: it polls the file, for each client. nchan does not read files: a publisher
follows the log, with our own reader, and posts each event.

`python -m tests.benchmarks.servers NAME LOG PORT [PAUSE]` runs one of the Python servers, or the publisher.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import http.client
import importlib.util
import os
import pathlib
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from tests.benchmarks.worker import ROOT
from tests.needs import NCHAN, find_program
from tests.ports import free_port

REQUIREMENTS = ("starlette>=0.48", "uvicorn>=0.30", "prometheus-client>=0.20", "sse-starlette>=2")
#: How long a server may take to start, in seconds.
PATIENCE = 30.0

NGINX = """
load_module {module};
daemon off;
worker_processes 1;
pid nginx.pid;
error_log error.log;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path body; proxy_temp_path proxy;
    fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
    server {{
        listen 127.0.0.1:{port};
        location = /publish {{ nchan_publisher http; nchan_channel_id events; }}
        location = /events {{
            nchan_subscriber eventsource;
            nchan_channel_id events;
            nchan_subscriber_first_message newest;
        }}
    }}
}}
"""


@dataclasses.dataclass(frozen=True)
class Rival:
    """A server.

    Attributes:
        name: The name in the table.
        path: The path of the stream.
        commands: Returns the commands of its processes for the log, a port and a folder of its own.
        needs: The Python module or the file that it requires.
        remark: A remark for the table.
    """

    name: str
    path: str
    commands: Callable[[pathlib.Path, int, pathlib.Path], list[list[str]]]
    needs: str = "json"
    remark: str = ""

    @property
    def missing(self) -> bool:
        """Whether its requirement is not installed."""
        if os.path.isabs(self.needs):
            return not os.path.exists(self.needs)
        return importlib.util.find_spec(self.needs) is None


def python(name: str) -> Callable[[pathlib.Path, int, pathlib.Path], list[list[str]]]:
    """Return a function with the command of one of the Python servers below."""
    return lambda log, port, _: [
        [sys.executable, "-m", "tests.benchmarks.servers", name, str(log), str(port)]
    ]


def nginx(log: pathlib.Path, port: int, folder: pathlib.Path) -> list[list[str]]:
    """nginx with a configuration of its own, and the publisher."""
    text = NGINX.format(module=NCHAN, port=port)
    (folder / "nginx.conf").write_text(f"user root;\n{text}" if os.geteuid() == 0 else text)
    server = [find_program("nginx") or "nginx", "-p", str(folder), "-c", "nginx.conf", "-e", "error.log"]
    return [server, *python("publisher")(log, port, folder)]


def nginx_version() -> str:
    """The version that nginx prints."""
    try:
        done = subprocess.run([find_program("nginx") or "nginx", "-v"], capture_output=True, text=True)
    except FileNotFoundError:
        return "nginx (not installed)"
    return done.stderr.strip().rpartition(": ")[2].replace("/", " ")


RIVALS = {
    "ours": Rival(
        "**chora_logging**: `create_app`",
        "/api/v1/events/events/stream?from=end",
        python("ours"),
        "starlette",
        "resumes exactly; follows rotation",
    ),
    "generator": Rival(
        "sse-starlette, a generator a client, polls every 100 ms",
        "/events",
        python("generator"),
        "sse_starlette",
        "no resume; ends at a rotation",
    ),
    "eager": Rival(
        "sse-starlette, a generator a client, polls every 10 ms",
        "/events",
        python("eager"),
        "sse_starlette",
        "no resume; ends at a rotation",
    ),
    "nchan": Rival(
        "nginx with nchan, and its publisher",
        "/events",
        nginx,
        NCHAN,
        "in C; resumes what it still has in memory",
    ),
}


#: The ways to run our application, for single requests.
SERVERS = {
    "plain": Rival("`create_app` under plain uvicorn", "/api/v1/events/events?limit=1", python("ours")),
    "serve": Rival(
        "`chora-logging serve`",
        "/api/v1/events/events?limit=1",
        lambda log, port, _: [
            [sys.executable, "-m", "chora_logging", "serve", "--log", f"events={log}", "--port", str(port)]
        ],
    ),
}


class Running:
    """A running server, with all its processes.

    Attributes:
        port: The port on which it answers.
    """

    def __init__(self, port: int, processes: list[subprocess.Popen[bytes]]) -> None:
        self.port = port
        self._processes = processes

    def processor_time(self) -> float:
        """The processor time of all processes so far, in seconds."""
        paths = [
            path for pid in self._pids() for path in pathlib.Path(f"/proc/{pid}/task").glob("*/schedstat")
        ]
        return sum(int(path.read_text().split()[0]) for path in paths) / 1e9

    def memory(self) -> float:
        """The memory of all processes, in MB; shared memory counts once."""
        found = 0
        for pid in self._pids():
            lines = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            found += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
        return found / 1024

    def _pids(self) -> list[int]:
        found = [process.pid for process in self._processes]
        for pid in found:
            found += map(int, pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
        return found


@contextlib.contextmanager
def running(rival: Rival, log: pathlib.Path, folder: pathlib.Path) -> Iterator[Running]:
    """Start a server, and stop it at the end.

    Raises:
        RuntimeError: It did not begin; with what it said.
    """
    port = free_port()
    said = folder / "said"
    processes: list[subprocess.Popen[bytes]] = []
    try:
        with said.open("ab") as out:
            for command in rival.commands(log, port, folder):
                processes.append(
                    subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
                )
                if not answers(port, processes[-1]):
                    raise RuntimeError(f"{rival.name} did not begin:\n{said.read_text(errors='replace')}")
        yield Running(port, processes)
    finally:
        for process in processes:
            process.terminate()
            process.wait()


def answers(port: int, process: subprocess.Popen[bytes]) -> bool:
    """Wait until the server answers or *process* ends; return whether it answers."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return True
        time.sleep(0.02)
    return False


def ours(log: str, pause: str = "") -> Any:
    """The application of this package; *pause* is that of a stream for each of all, in seconds."""
    from chora_logging.web import create_app, stream

    if pause:
        stream.STREAM_PAUSE_SECONDS = float(pause)

    return create_app({"events": log})


def generator(log: str, pause: float = 0.1) -> Any:
    """A simple server with sse-starlette."""
    from sse_starlette import EventSourceResponse
    from starlette.applications import Starlette
    from starlette.routing import Route

    async def tail() -> AsyncIterator[dict[str, str]]:
        with open(log, encoding="utf-8") as file:
            file.seek(0, os.SEEK_END)
            while True:
                if line := file.readline():
                    yield {"data": line.rstrip("\n")}
                else:
                    await asyncio.sleep(pause)

    async def events(_: Any) -> Any:
        return EventSourceResponse(tail())

    return Starlette(routes=[Route("/events", events)])


def eager(log: str) -> Any:
    """The same, which polls more often."""
    return generator(log, 0.01)


def publish(log: str, port: int) -> None:
    """Post each event to nchan."""
    from chora_logging.eventlog import Event, EventLog

    connection = http.client.HTTPConnection("127.0.0.1", port)
    for event in EventLog(log).follow_sync(after="end"):
        assert isinstance(event, Event)
        connection.request("POST", "/publish", event.json)
        connection.getresponse().read()


def main(name: str, log: str, port: str, *options: str) -> None:
    """Body of a process."""
    if name == "publisher":
        publish(log, int(port))
        return
    import uvicorn

    application = {"ours": ours, "generator": generator, "eager": eager}[name](log, *options)
    uvicorn.run(
        application, port=int(port), log_level="warning", access_log=False, timeout_graceful_shutdown=1
    )


if __name__ == "__main__":
    main(*sys.argv[1:])

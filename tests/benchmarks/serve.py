"""Scenario `serve`: the delay of events to many clients of one server, and the cost of it and of a request.

This process logs the events at a pace. The clients are a process of their own, which reports when each client
received each event, by the clock that both share. The cost of the server is the processor time and the memory
of all its processes. Clients and server share the machine's cores.
"""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import json
import logging
import pathlib
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence

from chora_logging.formatting.formatter import EventFormatter
from chora_logging.writing.handler import EventFileHandler
from tests.benchmarks.listeners import Got
from tests.benchmarks.servers import REQUIREMENTS, RIVALS, SERVERS, Rival, Running, nginx_version, running
from tests.benchmarks.table import table, version
from tests.benchmarks.worker import ROOT

#: Rounds and events: of a full run, and of a quick one.
FULL = (3, 600)
QUICK = (1, 200)
#: The number of clients, and of events a second.
CLIENTS, PER_SECOND = 200, 100
#: The number of idle clients, and how long they wait for an event, in seconds.
IDLE, REST = 1000, 5.0
#: How long servers and clients may settle after the last client has connected, in seconds.
SETTLING = 1.0
#: Pauses of a stream with `CLIENTS` clients, in milliseconds; the last one is what the server takes.
PAUSES = (0, 10, 20, 30, 40)
#: Requests over one connection in a round, and those before it.
REQUESTS, FIRST_REQUESTS = 2000, 200
#: The numbers of an event that only shows which clients listen, and of the last event.
WAKE, LAST = -1, -2


@dataclasses.dataclass(frozen=True)
class Load:
    """A server with a load.

    Attributes:
        delays: Seconds from the logging call to the client, of all events of all clients.
        delivered: The number of events received.
        same: Whether the first client received exactly the events of the log.
        processor: The share of one core while the events were logged.
        memory: The memory right after, in MB.
    """

    delays: list[float]
    delivered: int
    same: bool
    processor: float
    memory: float


@dataclasses.dataclass(frozen=True)
class Outcome(Load):
    """The result of one run: a server with a load, and one with idle clients.

    Attributes:
        idle_delivered: The number of idle clients that received the one event at the end.
        idle_processor: The share of one core while all clients were idle.
        idle_memory: The memory with all idle clients, in MB.
    """

    idle_delivered: int
    idle_processor: float
    idle_memory: float


def run(*, quick: bool = False, rounds: int | None = None, events: int | None = None) -> str:
    """Run all, interleaved, and return the table."""
    usual_rounds, usual_events = QUICK if quick else FULL
    rounds, events = rounds or usual_rounds, events or usual_events
    outcomes: dict[str, list[Outcome]] = {key: [] for key, rival in RIVALS.items() if not rival.missing}
    with many_descriptors():
        for turn in range(rounds):
            for key in random.Random(turn).sample(list(outcomes), len(outcomes)):
                outcomes[key].append(once(RIVALS[key], events))
        text = (
            f"### Serving: {CLIENTS} clients, {PER_SECOND} events a second, one server process\n\n"
            f"From the logging call to the client; {events:,} events, {rounds} interleaved rounds: the "
            "delays and deliveries of all, medians of processor and memory. Then, with a fresh server, "
            f"{IDLE:,} clients, {REST:g} s without an event, and one event for all of them. "
            f"{versions()}.\n\n" + show(outcomes, events)
        )
        return "\n\n".join([text, pauses(rounds, events), requests(rounds)])


def pauses(rounds: int, events: int) -> str:
    """The table of the delay against the processor time, by the pause of a stream after it has sent."""
    outcomes: dict[int, list[Load]] = {pause: [] for pause in PAUSES}
    for turn in range(rounds):
        for pause in random.Random(turn).sample(PAUSES, len(PAUSES)):
            outcomes[pause].append(load(pausing(pause), events))
    rows = []
    for pause, of_all in outcomes.items():
        cells = percentiles(of_all)
        processor = statistics.median(each.processor for each in of_all)
        usual = statistics.median(each.processor for each in outcomes[PAUSES[-1]])
        rows.append([str(pause), *cells, f"{processor:.0%}", f"{processor / usual:.2f}"])
    return (
        "### Serving: the delay against the processor time\n\n"
        f"{CLIENTS} clients, {PER_SECOND} events a second, by the pause of a stream after it has sent; "
        f"{events:,} events, {rounds} interleaved rounds. The last pause is that of the server.\n\n"
        + table(["pause (ms)", "p50 (ms)", "p99 (ms)", "% of a core", "× the last"], rows)
    )


def pausing(milliseconds: float) -> Rival:
    """Our server with another pause."""
    ours = RIVALS["ours"]

    def commands(log: pathlib.Path, port: int, folder: pathlib.Path) -> list[list[str]]:
        return [[*ours.commands(log, port, folder)[0], str(milliseconds / 1e3 / CLIENTS)]]

    return dataclasses.replace(ours, commands=commands)


def requests(rounds: int) -> str:
    """The table of a request over a connection that is kept."""
    taken: dict[str, list[float]] = {key: [] for key in SERVERS}
    for turn in range(rounds):
        for key in random.Random(turn).sample(list(SERVERS), len(SERVERS)):
            with serving(SERVERS[key]) as (server, _, _):
                taken[key].append(time_of_a_request(server.port, SERVERS[key].path))
    ratios = [ours / plain for ours, plain in zip(taken["serve"], taken["plain"], strict=True)]
    rows = [
        [rival.name, f"{statistics.median(taken[key]) * 1e3:.2f}", f"{ratio:.2f}", spread]
        for (key, rival), ratio, spread in zip(
            SERVERS.items(),
            (1.0, statistics.median(ratios)),
            ("", f"{min(ratios):.2f} to {max(ratios):.2f}"),
            strict=True,
        )
    ]
    return (
        "### Serving: a request over a connection that is kept\n\n"
        f"One client, one event a page; the median of {REQUESTS:,} requests, {rounds} interleaved rounds.\n\n"
        + table(["server", "ms", "× plain uvicorn", "of all rounds"], rows)
    )


def time_of_a_request(port: int, path: str) -> float:
    """The median time of a request in seconds."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    times = []
    with contextlib.closing(connection):
        for _ in range(FIRST_REQUESTS + REQUESTS):
            began = time.perf_counter()
            connection.request("GET", path)
            response = connection.getresponse()
            response.read()
            assert response.status == http.HTTPStatus.OK
            times.append(time.perf_counter() - began)
    return statistics.median(times[FIRST_REQUESTS:])


def show(outcomes: dict[str, list[Outcome]], events: int) -> str:
    """The table: the shortest delay first, the servers that are not installed last."""
    head = ["server", "p50 (ms)", "p99 (ms)", "delivered", "% of a core", "MB"]
    head += [f"{IDLE:,} idle: delivered", "% of a core", "MB", "events"]
    rows = {key: row(RIVALS[key], of_all, events) for key, of_all in outcomes.items()}
    ordered = sorted(rows, key=lambda key: float(rows[key][2] or "inf"))
    absent = [[rival.name, "not installed", *[""] * 8] for rival in RIVALS.values() if rival.missing]
    return table(head, [*(rows[key] for key in ordered), *absent])


def row(rival: Rival, outcomes: list[Outcome], events: int) -> list[str]:
    """A server's line of the table."""
    cells = percentiles(outcomes)

    def of(wanted: int, name: str) -> str:
        delivered = sum(getattr(outcome, name) for outcome in outcomes)
        wanted *= len(outcomes)
        return f"{delivered:,}" if delivered == wanted else f"{delivered:,} of {wanted:,}"

    def middle(name: str) -> float:
        return float(statistics.median(getattr(outcome, name) for outcome in outcomes))

    cells += [of(CLIENTS * events, "delivered"), f"{middle('processor'):.0%}", f"{middle('memory'):.0f}"]
    cells += [of(IDLE, "idle_delivered"), f"{middle('idle_processor'):.1%}", f"{middle('idle_memory'):.0f}"]
    verdict = "same" if all(outcome.same for outcome in outcomes) else "not those of the log"
    return [rival.name, *cells, "; ".join(filter(None, [verdict, rival.remark]))]


def percentiles(loads: Sequence[Load]) -> list[str]:
    """The median and the 99th percentile of all delays in milliseconds; empty without any."""
    delays = sorted(delay * 1e3 for each in loads for delay in each.delays)
    return [f"{delays[len(delays) * share // 100]:.1f}" for share in (50, 99)] if delays else ["", ""]


def once(rival: Rival, events: int) -> Outcome:
    """One server with a load, and one with idle clients."""
    return Outcome(*vars(load(rival, events)).values(), *idle(rival))


def load(rival: Rival, events: int) -> Load:
    """One server with a load."""
    with serving(rival) as (server, logger, path), listening(server, rival, CLIENTS) as clients:
        warm_up(logger, clients)
        processor = share(server, lambda: log_at_a_pace(logger, events))
        memory = server.memory()
        got = end(logger, clients)
        written = [json.loads(line) for line in path.read_bytes().splitlines()]
        same = got["events"] == [event for event in written if event["number"] >= 0]
    return Load(got["delays"], got["delivered"], same, processor, memory)


def idle(rival: Rival) -> tuple[int, float, float]:
    """The number of idle clients that received the one event, their processor share, and the memory."""
    with serving(rival) as (server, logger, _), listening(server, rival, IDLE) as clients:
        warm_up(logger, clients)
        processor = share(server, lambda: time.sleep(REST))
        memory = server.memory()
        log_at_a_pace(logger, 1)
        got = end(logger, clients)
    return got["delivered"], processor, memory


def share(server: Running, work: Callable[[], object]) -> float:
    """The processor time of a server during *work*, as a share of one core."""
    before, began = server.processor_time(), time.monotonic()
    work()
    return (server.processor_time() - before) / (time.monotonic() - began)


def log_at_a_pace(logger: logging.Logger, events: int) -> None:
    """Log so many events."""
    due = time.monotonic()
    for number in range(events):
        log(logger, number)
        due += 1 / PER_SECOND
        time.sleep(max(0.0, due - time.monotonic()))


def log(logger: logging.Logger, number: int) -> None:
    """Log one event."""
    extra = {"event": "step", "task_id": "task-123", "number": number, "sent": time.monotonic()}
    logger.info("A step of the task has ended", extra=extra)


@contextlib.contextmanager
def serving(rival: Rival) -> Iterator[tuple[Running, logging.Logger, pathlib.Path]]:
    """A server with a log of its own, and the logger that writes it."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "events.log"
        handler = EventFileHandler(path)
        handler.setFormatter(EventFormatter())
        logger = logging.Logger("serve", logging.INFO)
        logger.addHandler(handler)
        log(logger, WAKE)  # creates the log
        with contextlib.closing(handler), running(rival, path, pathlib.Path(folder)) as server:
            yield server, logger, path


@contextlib.contextmanager
def listening(server: Running, rival: Rival, count: int) -> Iterator[subprocess.Popen[str]]:
    """A process with so many clients, all connected."""
    command = [sys.executable, "-m", "tests.benchmarks.listeners", str(server.port), rival.path, str(count)]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as clients:
        try:
            yield clients
        finally:
            clients.kill()


def warm_up(logger: logging.Logger, clients: subprocess.Popen[str]) -> None:
    """Log until each client has received an event, which shows that all are listening."""
    assert clients.stdout is not None
    assert clients.stdout.readline() == "opened\n", "a client was not let in"
    begun = threading.Thread(target=clients.stdout.readline)
    begun.start()
    while begun.is_alive():
        log(logger, WAKE)
        begun.join(0.2)
    time.sleep(SETTLING)


def end(logger: logging.Logger, clients: subprocess.Popen[str]) -> Got:
    """Log the last event; return the events that the clients received."""
    log(logger, LAST)
    text, _ = clients.communicate("that was all\n")
    got: Got = json.loads(text)
    return got


@contextlib.contextmanager
def many_descriptors() -> Iterator[None]:
    """Raise the limit on open files of clients and servers as far as this user may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def versions() -> str:
    """The versions of the servers."""
    names = [requirement.partition(">")[0] for requirement in REQUIREMENTS]
    found = [f"{name} {version(name)}" for name in names if name != "prometheus-client"]
    return ", ".join([*found, nginx_version()])

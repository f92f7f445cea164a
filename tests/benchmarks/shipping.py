"""Scenario `shipping`: logs into a replicated NATS JetStream stream, and their events back out.

The rows of a table take turns within a round, so that their ratios are those of one moment; the spread is
that of the rounds. "The client alone" is nats-py without this package: the bound of what a shipper in Python
can reach, and what a handler that publishes each event by itself would do.

What bounds the ratios, by profiles: publishing a block takes the client and its event loop 0.4 ms of
processor time, which a bare publish has as well, and the shipper 0.2 ms more for reading the file, the two
positions, compressing and the checkpoint. So 100 events a second, 17 to 19 blocks, cost 1.3 to 1.5 ms a block
with all changes of threads, more than half of it the client's. Finding a trace takes 0.16 ms a block: a third
of it is inflating, a quarter the client, and only a sixth the search. So it is about 8 times as fast as one
event a message by processor time, also with four times as many events; waiting for servers on the same cores
is what differs between runs.

`python -m tests.benchmarks.shipping SECONDS` measures the memory alone, for an hour say.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import pathlib
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence

from chora_logging.formatting.formatter import EventFormatter
from chora_logging.writing.handler import EventFileHandler
from tests.benchmarks import serve, streams
from tests.benchmarks.follow import share
from tests.benchmarks.servers import Rival, Running, answers
from tests.benchmarks.table import table, version
from tests.benchmarks.worker import ROOT
from tests.jetstream.servers import Servers, done, wait_for
from tests.needs import NATS_SERVERS, find_nats_server
from tests.ports import free_port

#: Rounds, events of the log, events that are timed one by one, and seconds of the memory.
FULL = (7, 100_000, 600, 60.0)
QUICK = (1, 5_000, 50, 5.0)
#: The events a second whose delay is measured, with the seconds for which the processor time is.
PER_SECOND, BUSY_SECONDS = 100, 10.0
#: The events a second of which the shipper's processor time is measured, and those while memory is.
RATES, MEMORY_RATE = (100, 1_000), 5_000
#: How often the memory is looked at, in seconds.
LOOK_SECONDS = 1.0

MINE = "**chora_logging**: shipper"
ALONE = "the client alone, the same blocks"
SINGLE = f"the client alone, one event a message, {streams.WINDOW:,} under way"


@dataclasses.dataclass(frozen=True)
class Rates:
    """Of each round, the seconds of each way."""

    seconds: dict[str, list[float]]

    def row(self, name: str, log: streams.Log, *bases: str) -> list[str]:
        """A row: the median rate, and the ratios to the ways *bases*, each with its spread."""
        rate = statistics.median(log.events / each for each in self.seconds[name])
        cells = [name, f"{rate:,.0f}", f"{rate * log.size / log.events / 1e6:.1f}"]
        for base in bases:
            pairs = zip(self.seconds[base], self.seconds[name], strict=True)
            ratios = sorted(first / mine for first, mine in pairs)
            cells += [f"{statistics.median(ratios):.2f}", f"{ratios[0]:.2f} to {ratios[-1]:.2f}"]
        return cells


def run(*, quick: bool = False, rounds: int | None = None, events: int | None = None) -> str:
    """Run all and return the tables."""
    usual_rounds, usual_events, timed, seconds = QUICK if quick or events else FULL
    rounds, events = rounds or usual_rounds, events or usual_events
    program = find_nats_server(NATS_SERVERS[-1])
    if program is None:
        raise SystemExit(f"nats-server {NATS_SERVERS[-1]} is not installed: run tests/run.py once")
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        log = streams.Log.make(folder, events)
        with (
            streams.cluster(program, folder / "default") as servers,
            streams.cluster(program, folder / "always", "sync_interval: always") as synced,
        ):
            parts = [
                storing(servers, synced, log, rounds, folder),
                finding(servers, log, rounds),
                delays(servers, rounds, timed),
                costs(servers, seconds, min(seconds, BUSY_SECONDS)),
            ]
    return "\n".join(parts)


def storing(servers: Servers, synced: Servers, log: streams.Log, rounds: int, folder: pathlib.Path) -> str:
    """The table of what is stored a second."""
    ways: dict[str, tuple[Servers, Callable[[streams.Stream], float]]] = {
        ALONE: (servers, lambda stream: streams.publish(log, stream)),
        MINE: (servers, lambda stream: streams.ship_all(log, stream, compress=True, folder=folder)),
        f"{MINE}, `--compress none`": (
            servers,
            lambda stream: streams.ship_all(log, stream, compress=False, folder=folder),
        ),
        f"{MINE}, `--compress none`, servers with `sync_interval: always`": (
            synced,
            lambda stream: streams.ship_all(log, stream, compress=False, folder=folder),
        ),
        SINGLE: (servers, lambda stream: streams.publish_events(log, stream)),
    }
    found: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(rounds):
        for name in random.Random(turn).sample(list(ways), len(ways)):
            where, way = ways[name]
            with streams.new_stream(where) as stream:
                found[name].append(way(stream))
                assert streams.stored(stream, log), f"{name} has not stored everything"
    rates = Rates(found)
    head = ["way", "events/s", "MB/s", "× the client alone", "of all rounds"]
    head += ["× one event a message", "of all rounds"]
    return (
        "### Shipping: into a stream on three servers\n\n"
        f"{log.events:,} events, {log.size / 1e6:.0f} MB, in blocks of 64 KiB; {rounds} interleaved rounds. "
        f"nats-server {NATS_SERVERS[-1]}, nats-py {version('nats-py')}.\n\n"
        + table(head, [rates.row(name, log, ALONE, SINGLE) for name in ways])
    )


def finding(servers: Servers, log: streams.Log, rounds: int) -> str:
    """The table of how fast a trace is found."""
    names = ["**chora_logging**, blocks", "**chora_logging**, compressed blocks", SINGLE]
    found: dict[str, list[float]] = {name: [] for name in names}
    with (
        streams.new_stream(servers) as plain,
        streams.new_stream(servers) as small,
        streams.new_stream(servers) as single,
    ):
        for stream, compress in ((plain, False), (small, True)):
            for each in streams.made(log, stream, compress=compress):
                headers = {name: value for name, value in each.headers.items() if "Expected" not in name}
                done(stream, stream.publish(each._replace(headers=headers)))
        streams.publish_events(log, single)
        ways = [
            lambda: streams.scan(plain),
            lambda: streams.scan(small),
            lambda: streams.scan_events(single, log.events),
        ]
        for turn in range(rounds):
            for index in random.Random(turn).sample(range(3), 3):
                seconds, count = ways[index]()
                assert count == log.of_the_trace, f"{names[index]} found {count} of {log.of_the_trace}"
                found[names[index]].append(seconds)
    rates = Rates(found)
    head = ["stream", "events/s", "MB/s", "× one event a message", "of all rounds"]
    return (
        "### Shipping: finding one trace in a stream\n\n"
        f"{log.of_the_trace} of {log.events:,} events, {rounds} interleaved rounds; one event a message is "
        "read by a callback that looks for the bytes of the trace.\n\n"
        + table(head, [rates.row(name, log, SINGLE) for name in names])
    )


def delays(servers: Servers, rounds: int, timed: int) -> str:
    """The table of the delays from the logging call to a browser."""
    ways = {
        "from the file": lambda: delay_of(None, timed),
        "through the stream, `--linger 0`": lambda: delay_of(servers, timed),
    }
    found: dict[str, list[list[float]]] = {name: [] for name in ways}
    for turn in range(min(rounds, 3)):
        for name in random.Random(turn).sample(list(ways), len(ways)):
            found[name].append(ways[name]())
    first, other = found.values()
    rows = []
    for name, times in found.items():
        cells = [f"{_part([each for one in times for each in one], part) * 1e3:.1f}" for part in (50, 99)]
        ratios = sorted(_part(mine, 50) / _part(base, 50) for mine, base in zip(times, first, strict=True))
        spread = f"{ratios[0]:.1f} to {ratios[-1]:.1f}"
        rows.append([name, *cells, f"{statistics.median(ratios):.1f}", spread])
    assert len(first) == len(other)
    head = ["way", "p50 (ms)", "p99 (ms)", "× from the file, p50", "of all rounds"]
    return (
        "### Shipping: from the logging call to an SSE client\n\n"
        f"{timed} events at {PER_SECOND} a second, one client, {min(rounds, 3)} interleaved rounds.\n\n"
        + table(head, rows)
    )


def costs(servers: Servers, seconds: float, busy: float) -> str:
    """The tables of processor time and memory."""
    rows = [[f"{rate:,}", f"{processor_share(servers, rate, busy):.1%}"] for rate in RATES]
    return (
        "### Shipping: the processor time of the shipper\n\n"
        f"{busy:g} s each, with the usual linger.\n\n"
        + table(["events/s", "of a core"], rows)
        + "\n"
        + memory(servers, seconds)
    )


def memory(servers: Servers, seconds: float) -> str:
    """The table of the memory of a shipper and a reader."""
    found = memory_of(servers, seconds)
    rows = [
        [name, *(f"{each:.1f}" for each in (sizes[0], max(sizes), sizes[-1])), ""]
        for name, sizes in found.items()
    ]
    head = ["process", "after a tenth of it, MB", "most, MB", "at the end, MB", ""]
    return (
        f"### Shipping: memory at {MEMORY_RATE:,} events a second\n\n"
        f"{seconds:g} s, rotation at 10 MB.\n\n" + table(head, rows)
    )


def delay_of(servers: Servers | None, events: int) -> list[float]:
    """The delays of so many events to one client: from the file, or through a stream of *servers*."""
    with contextlib.ExitStack() as stack:
        path, logger = stack.enter_context(logging_to_a_file())
        serve.log(logger, serve.WAKE)
        source = str(path)
        if servers is not None:
            stream = stack.enter_context(streams.new_stream(servers))
            stack.enter_context(shipping(stream, path, "--linger", "0"))
            source = str(stream.connection.address)
        port = free_port()
        command = ["serve", "--port", str(port), "--log", f"events={source}"]
        process = stack.enter_context(program(*command))
        assert answers(port, process), "the server did not begin"
        rival = Rival("ours", "/api/v1/events/events/stream", lambda *_: [])
        clients = stack.enter_context(serve.listening(Running(port, []), rival, 1))
        serve.warm_up(logger, clients)
        serve.log_at_a_pace(logger, events)
        got = serve.end(logger, clients)
    assert got["delivered"] == events, f"{got['delivered']} of {events} events were delivered"
    return got["delays"]


def processor_share(servers: Servers, rate: int, seconds: float) -> float:
    """The share of a core that a shipper needs for so many events a second."""
    with (
        logging_to_a_file() as (path, logger),
        streams.new_stream(servers) as stream,
        shipping(stream, path) as shipper,
    ):
        log_at(logger, rate, 1.0)
        wait_for(lambda: done(stream, stream.info())["state"]["messages"], "the first message")
        return share(shipper.pid, lambda: log_at(logger, rate, seconds))


def memory_of(servers: Servers, seconds: float) -> dict[str, list[float]]:
    """The memory of a shipper and of a reader in MB, again and again, from a tenth of the time on."""
    found: dict[str, list[float]] = {"shipper": [], "`tail -f`": []}
    with (
        logging_to_a_file() as (path, logger),
        streams.new_stream(servers) as stream,
        shipping(stream, path) as shipper,
        program("tail", "-f", "--json", "--log", str(stream.connection.address)) as reader,
    ):
        began = time.monotonic()
        while (spent := time.monotonic() - began) < seconds or not found["shipper"]:
            log_at(logger, MEMORY_RATE, LOOK_SECONDS)
            if spent >= seconds / 10:
                for name, process in zip(found, (shipper, reader), strict=True):
                    found[name].append(Running(0, [process]).memory())
                    assert process.poll() is None, f"{name} has ended"
    return found


@contextlib.contextmanager
def logging_to_a_file() -> Iterator[tuple[pathlib.Path, logging.Logger]]:
    """A logger, and the path of its log."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "events.log"
        handler = EventFileHandler(path)
        handler.setFormatter(EventFormatter())
        logger = logging.Logger("shipping", logging.INFO)
        logger.addHandler(handler)
        with contextlib.closing(handler):
            yield path, logger


@contextlib.contextmanager
def shipping(stream: streams.Stream, path: pathlib.Path, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """A shipper of the log *path* in a process of its own."""
    address, prefix = str(stream.connection.address), stream.name.lower()
    with program("ship", address, "--log", str(path), "--host", "web1", "--prefix", prefix, *options) as one:
        yield one


@contextlib.contextmanager
def program(*arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process of `chora-logging` with these arguments."""
    command = [sys.executable, "-m", "chora_logging", *arguments]
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, cwd=ROOT, stdin=quiet, stdout=quiet, stderr=quiet) as process:
        try:
            yield process
        finally:
            process.kill()


def log_at(logger: logging.Logger, rate: int, seconds: float) -> None:
    """Log so many events a second."""
    began = time.monotonic()
    for number in range(int(rate * seconds)):
        serve.log(logger, number)
        ahead = (number + 1) / rate - (time.monotonic() - began)
        if ahead > 0.001:
            time.sleep(ahead)


def _part(delays_: Sequence[float], percent: int) -> float:
    return sorted(delays_)[len(delays_) * percent // 100]


def main(seconds: str) -> None:
    """Measure the memory alone."""
    path = find_nats_server(NATS_SERVERS[-1])
    assert path is not None, "nats-server is not installed"
    with tempfile.TemporaryDirectory() as folder, streams.cluster(path, pathlib.Path(folder)) as servers:
        print(memory(servers, float(seconds)))


if __name__ == "__main__":
    main(*sys.argv[1:])

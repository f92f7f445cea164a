"""Scenario `otlp`: events to a collector by OTLP/HTTP, beside the logging handler of OpenTelemetry's SDK.

Both send the same records to the same collector, which counts them; it and the application are processes of
their own. Ours is an application that writes a file and the shipper beside it; theirs is one process, whose
handler puts records into a queue in memory, and whose exporter sends them in batches from a thread. The
processor time is that of all these processes but the collector, from the first logging call until the
collector has everything, without their start. What the SDK's queue cannot hold is dropped, so that
the time of a burst says nothing by itself: the table has how many records arrived.

`python -m tests.benchmarks.otlp memory SECONDS` measures the memory alone, for an hour say.
"""

from __future__ import annotations

import contextlib
import dataclasses
import http.server
import logging
import pathlib
import random
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence

from tests.benchmarks.follow import processor_time
from tests.benchmarks.servers import Running
from tests.benchmarks.table import table, version
from tests.benchmarks.worker import ROOT

#: Rounds, seconds at each rate, events of a burst, and seconds of the memory.
FULL = (3, 10.0, 50_000, 60.0)
QUICK = (1, 1.0, 500, 3.0)
#: The events a second, and those while the memory is looked at.
RATES, MEMORY_RATE = (100, 1_000), 5_000
#: How long the collector may get nothing new before what is missing counts as dropped, in seconds.
SETTLED_SECONDS = 12.0
#: How often the memory is looked at, in seconds.
LOOK_SECONDS = 1.0
#: Records that are sent before anything is measured.
WARM_UP = 50

MINE, THEIRS = "**chora_logging**: a file and its shipper", "OpenTelemetry's `LoggingHandler`"
APPLICATION, SHIPPER = "its application", "its shipper"


@dataclasses.dataclass(frozen=True)
class Sent:
    """One run.

    Attributes:
        delivered: The records that the collector got.
        seconds: The processor time of each process, by what it is.
    """

    delivered: int
    seconds: dict[str, float]


def run(*, quick: bool = False, rounds: int | None = None, events: int | None = None) -> str:
    """Run all, interleaved, and return the tables."""
    usual_rounds, seconds, burst, memory_seconds = QUICK if quick else FULL
    rounds, burst = rounds or usual_rounds, events or burst
    paces = {f"{rate:,} a second": (rate, int(rate * seconds)) for rate in RATES}
    paces[f"{burst:,} at once"] = (0, burst)
    ways: dict[str, Callable[[int, int], Sent]] = {MINE: ours, THEIRS: theirs}
    found: dict[tuple[str, str], list[Sent]] = {(pace, way): [] for pace in paces for way in ways}
    for turn in range(rounds):
        for pace, way in random.Random(turn).sample(list(found), len(found)):
            found[pace, way].append(ways[way](*paces[pace]))
    rows = [
        row(pace, way, of_way, found[pace, THEIRS], paces[pace][1]) for (pace, way), of_way in found.items()
    ]
    head = ["events", "way", "µs of processor an event", "of these, its shipper", "× the handler's"]
    head += ["of all rounds", "delivered"]
    return (
        "### To a collector: the processor time of an event\n\n"
        f"{seconds:g} s at each rate; {rounds} interleaved rounds, medians. 1,000 events a second of 10 µs "
        f"take 1 % of a core. opentelemetry-sdk {version('opentelemetry-sdk')}.\n\n"
        + table(head, rows)
        + "\n"
        + memory(memory_seconds)
    )


def row(pace: str, way: str, found: Sequence[Sent], base: Sequence[Sent], events: int) -> list[str]:
    """A row: the processor time of an event, and its ratio to *base* in the same round."""
    costs = [sum(each.seconds.values()) / events * 1e6 for each in found]
    shippers = [each.seconds[SHIPPER] / events * 1e6 for each in found if SHIPPER in each.seconds]
    pairs = zip(found, base, strict=True)
    ratios = sorted(sum(mine.seconds.values()) / sum(other.seconds.values()) for mine, other in pairs)
    return [
        pace,
        way,
        f"{statistics.median(costs):.1f}",
        f"{statistics.median(shippers):.1f}" if shippers else "",
        f"{statistics.median(ratios):.2f}",
        f"{ratios[0]:.2f} to {ratios[-1]:.2f}",
        f"{sum(each.delivered for each in found):,} of {events * len(found):,}",
    ]


def ours(rate: int, events: int) -> Sent:
    """Through a file and a shipper."""
    with tempfile.TemporaryDirectory() as folder, Collector() as collector:
        path = pathlib.Path(folder) / "events.log"
        with application("file", str(path)) as one, shipping(collector, path) as shipper:
            collector.wait_for(WARM_UP)
            before = processor_time(shipper.pid)
            spent = one.log(rate, events)
            delivered = collector.wait_for(WARM_UP + events) - WARM_UP
            return Sent(delivered, {APPLICATION: spent, SHIPPER: processor_time(shipper.pid) - before})


def theirs(rate: int, events: int) -> Sent:
    """Through the SDK."""
    with Collector() as collector, application("sdk", f"{collector.address}/v1/logs") as one:
        collector.wait_for(WARM_UP)
        spent = one.log(rate, events)
        return Sent(collector.wait_for(WARM_UP + events) - WARM_UP, {APPLICATION: spent})


def memory(seconds: float) -> str:
    """The table of the shipper's memory."""
    sizes: list[float] = []
    with tempfile.TemporaryDirectory() as folder, Collector() as collector:
        path = pathlib.Path(folder) / "events.log"
        with application("file", str(path)) as one, shipping(collector, path) as shipper:
            began = time.monotonic()
            while (spent := time.monotonic() - began) < seconds or not sizes:
                one.log(MEMORY_RATE, int(MEMORY_RATE * LOOK_SECONDS))
                if spent >= seconds / 10:
                    sizes.append(Running(0, [shipper]).memory())
    row_ = ["shipper", *(f"{each:.1f}" for each in (sizes[0], max(sizes), sizes[-1])), ""]
    return (
        f"### To a collector: memory at {MEMORY_RATE:,} events a second\n\n"
        f"{seconds:g} s, rotation at 10 MB.\n\n"
        + table(["process", "after a tenth of it, MB", "most, MB", "at the end, MB", ""], [row_])
    )


class Application:
    """An application in a process of its own, which logs when it is told to."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def log(self, rate: int, events: int) -> float:
        """Log so many events, *rate* a second (0: at once), flush; return the processor time in seconds."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{rate} {events}\n")
        self._process.stdin.flush()
        return float(self._process.stdout.readline())


class Collector:
    """A collector in a process of its own. Use it in a `with`."""

    def __enter__(self) -> Collector:
        self._process = _start("collect", stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        self.address = f"http://127.0.0.1:{int(self._process.stdout.readline())}"
        return self

    def __exit__(self, *error: object) -> None:
        self._process.kill()
        self._process.communicate()

    def wait_for(self, records: int) -> int:
        """Wait until it has so many records, or gets no more, and return how many it has."""
        has, last = 0, time.monotonic()
        while has < records and time.monotonic() - last < SETTLED_SECONDS:
            time.sleep(0.02)
            with urllib.request.urlopen(self.address) as answer:
                now = int(answer.read())
            if now != has:
                has, last = now, time.monotonic()
        return has


@contextlib.contextmanager
def application(kind: str, target: str) -> Iterator[Application]:
    """An application that logs to a file or by the SDK; it has logged `WARM_UP` records."""
    process = _start("log", kind, target, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with process:
        try:
            one = Application(process)
            one.log(0, WARM_UP)
            yield one
        finally:
            process.kill()


@contextlib.contextmanager
def shipping(collector: Collector, path: pathlib.Path) -> Iterator[subprocess.Popen[bytes]]:
    """A shipper of the log *path* in a process of its own."""
    command = [sys.executable, "-m", "chora_logging", "ship", collector.address, "--log", str(path)]
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, cwd=ROOT, stdin=quiet, stdout=quiet, stderr=quiet) as process:
        try:
            yield process
        finally:
            process.kill()


def collect() -> None:
    """Be a collector: print its port, count what is posted, and tell the number to who asks."""
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

    from tests.otlp.collector import INFLATE, PROTOBUF

    has = 0

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            nonlocal has
            body = self.rfile.read(int(self.headers["Content-Length"]))
            sent = ExportLogsServiceRequest.FromString(INFLATE[self.headers["Content-Encoding"]](body))
            has += sum(len(scope.log_records) for logs in sent.resource_logs for scope in logs.scope_logs)
            self.answer(b"")

        def do_GET(self) -> None:
            self.answer(str(has).encode())

        def answer(self, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Type", PROTOBUF)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            """Print nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_address[1], flush=True)
    server.serve_forever()


def log(kind: str, target: str) -> None:
    """Be an application: log as the lines of the input say, and print the processor time of each."""
    logger = logging.Logger("shop.orders", logging.INFO)
    flush = {"file": _log_to_file, "sdk": _log_by_sdk}[kind](logger, target)
    number = 0
    for line in sys.stdin:
        rate, events = map(int, line.split())
        before, began = time.process_time(), time.monotonic()
        for each in range(events):
            number += 1
            extra = {"event": "step", "task_id": "task-123", "run_id": "run-456", "number": number}
            logger.info("A step of the task has ended", extra=extra)
            ahead = (each + 1) / rate - (time.monotonic() - began) if rate else 0.0
            if ahead > 0.001:
                time.sleep(ahead)
        flush()
        print(time.process_time() - before, flush=True)


def _log_to_file(logger: logging.Logger, path: str) -> Callable[[], object]:
    from chora_logging import EventFileHandler, EventFormatter

    handler = EventFileHandler(path)
    handler.setFormatter(EventFormatter())
    logger.addHandler(handler)
    return handler.flush


def _log_by_sdk(logger: logging.Logger, address: str) -> Callable[[], object]:
    import warnings

    warnings.simplefilter("ignore")  # another package will have the handler
    from opentelemetry.exporter.otlp.proto.http import Compression
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
    from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
    from opentelemetry.sdk._logs.export import BatchLogRecordProcessor

    provider = LoggerProvider()
    # As our shipper sends them.
    exporter = OTLPLogExporter(endpoint=address, compression=Compression.Gzip)
    provider.add_log_record_processor(BatchLogRecordProcessor(exporter))
    logger.addHandler(LoggingHandler(logger_provider=provider))
    return provider.force_flush


def _start(*arguments: str, stdin: int = subprocess.DEVNULL, stdout: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.benchmarks.otlp", *arguments]
    return subprocess.Popen(
        command, cwd=ROOT, stdin=stdin, stdout=stdout, stderr=subprocess.DEVNULL, text=True
    )


def main(command: str, *arguments: str) -> None:
    """Be one of the processes, or measure the memory alone."""
    if command == "memory":
        print(memory(float(arguments[0])))
    elif command == "collect":
        collect()
    else:
        log(*arguments)


if __name__ == "__main__":
    main(*sys.argv[1:])

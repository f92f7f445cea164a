"""Scenario `follow`: the delay from the logging call to a follower, and the cost of following.

This process logs the events, at random moments. The followers are a process of their own, which reports when
it received each event, by the clock that both share. The cost is the processor time of that process,
including the kernel, while nothing is written, and while events are. `tail -F` is the lower bound: the kernel
wakes it, which works for local files only, and it does not parse the events.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import logging
import os
import pathlib
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable

from chora_logging.eventlog import Event, EventLog, Gap
from chora_logging.formatting.formatter import EventFormatter
from chora_logging.writing.handler import EventFileHandler
from tests.benchmarks.table import table
from tests.benchmarks.worker import ROOT

#: Rounds, events a round, and seconds of rest: of a full run, and of a quick one.
FULL = (3, 500, 10.0)
QUICK = (1, 50, 1.0)
#: The mean pause between two events, in seconds.
PAUSE = 0.02
#: The followers: `async`, `sync` or `tail`, and the number of subscribers.
ENTERED = {
    "**chora_logging**, `follow`": ("async", 1),
    "**chora_logging**, `follow_sync`": ("sync", 1),
    "**chora_logging**, 100 × `follow_batches`": ("async", 100),
    "**chora_logging**, 1,000 × `follow_batches`": ("async", 1000),
    "`tail -F` (woken by the kernel)": ("tail", 1),
}


@dataclasses.dataclass(frozen=True)
class Outcome:
    """The result of one run: shares of one core, and seconds from the logging call to each subscriber."""

    resting: float
    busy: float
    delays: list[float]


def run(*, quick: bool = False, rounds: int | None = None, events: int | None = None) -> str:
    """Run all, interleaved, and return the table."""
    usual_rounds, usual_events, rest = QUICK if quick else FULL
    rounds, events = rounds or usual_rounds, events or usual_events
    outcomes: dict[str, list[Outcome]] = {name: [] for name in ENTERED}
    for _ in range(rounds):
        for name, (kind, count) in ENTERED.items():
            outcomes[name].append(once(kind, count, events, rest))
    rows = [row(name, outcomes[name]) for name in ENTERED]
    head = ["follower", "p50 (ms)", "p99 (ms)", "at rest (% of a core)", f"at {1 / PAUSE:.0f} events/s"]
    return (
        "### From the logging call to a follower\n\n"
        f"{events:,} events at random moments, {rounds} interleaved rounds, {rest:g} s of rest before each; "
        "the delays of all, and the median of the processor time.\n\n" + table(head, rows)
    )


def row(name: str, outcomes: list[Outcome]) -> list[str]:
    """A row of the table."""
    delays = sorted(delay for outcome in outcomes for delay in outcome.delays)
    p50, p99 = (delays[len(delays) * share // 100] * 1000 for share in (50, 99))
    resting, busy = (
        statistics.median(getattr(outcome, share) for outcome in outcomes) for share in ("resting", "busy")
    )
    return [name, f"{p50:.2f}", f"{p99:.2f}", f"{resting:.2%}", f"{busy:.2%}"]


def once(kind: str, count: int, events: int, rest: float) -> Outcome:
    """Run one process of followers from start to end."""
    with tempfile.TemporaryDirectory() as folder:
        log = os.path.join(folder, "events.log")
        handler = EventFileHandler(log)
        handler.setFormatter(EventFormatter())
        logger = logging.Logger("follow", logging.INFO)
        logger.addHandler(handler)
        logger.info("first", extra={"sent": 0.0})
        command = [sys.executable, "-m", "tests.benchmarks.follow", kind, str(count), log, str(events)]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as follower:
            assert follower.stdout is not None
            pid = int(follower.stdout.readline())
            resting = share(pid, lambda: time.sleep(rest))
            busy = share(pid, lambda: log_at_random(logger, events))
            delays = json.loads(follower.stdout.readline())
        handler.close()
    return Outcome(resting, busy, delays)


def log_at_random(logger: logging.Logger, events: int) -> None:
    """Log so many events."""
    moments = random.Random(events)
    for _ in range(events):
        time.sleep(moments.uniform(0, 2 * PAUSE))
        logger.info("event", extra={"sent": time.monotonic()})
    logger.info("last", extra={"sent": -1.0})


def share(pid: int, work: Callable[[], object]) -> float:
    """The processor time of a process during *work*, as a share of one core."""
    before, began = processor_time(pid), time.monotonic()
    work()
    return (processor_time(pid) - before) / (time.monotonic() - began)


def processor_time(pid: int) -> float:
    """The processor time of a process and its threads so far, in seconds."""
    threads = pathlib.Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(path.read_text().split()[0]) for path in threads) / 1e9


class Subscriber:
    """Records when it received each event."""

    def __init__(self) -> None:
        self.delays: list[float] = []
        self.begun = self.ended = False

    def take(self, items: list[Event | Gap]) -> None:
        """Record the time for these events."""
        now = time.monotonic()
        for event in items:
            assert isinstance(event, Event)
            if event["sent"] > 0:
                self.delays.append(now - event["sent"])
            self.begun, self.ended = True, self.ended or event["sent"] < 0


async def follow(log: str, count: int) -> list[float]:
    """Follow in one event loop until all have received the last event."""
    subscribers = [Subscriber() for _ in range(count)]

    async def subscribe(subscriber: Subscriber) -> None:
        async with contextlib.aclosing(EventLog(log).follow_batches()) as batches:
            async for items in batches:
                subscriber.take(items)
                if subscriber.ended:
                    return

    tasks = [asyncio.create_task(subscribe(subscriber)) for subscriber in subscribers]
    while not all(subscriber.begun for subscriber in subscribers):
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.5)
    print(os.getpid(), flush=True)
    await asyncio.gather(*tasks)
    return [delay for subscriber in subscribers for delay in subscriber.delays]


def follow_sync(log: str) -> list[float]:
    """Follow in a thread."""
    subscriber = Subscriber()
    with contextlib.closing(EventLog(log).follow_sync()) as events:
        subscriber.take([next(events)])
        threading.Timer(0.5, lambda: print(os.getpid(), flush=True)).start()
        while not subscriber.ended:
            subscriber.take([next(events)])
    return subscriber.delays


def follow_by_tail(log: str) -> list[float]:
    """Read the output of `tail -F`."""
    subscriber = Subscriber()
    with subprocess.Popen(["tail", "-n", "+1", "-F", log], stdout=subprocess.PIPE) as tail:
        assert tail.stdout is not None
        for line in tail.stdout:
            first = not subscriber.begun
            subscriber.take([Event(json.loads(line))])
            if first:
                print(tail.pid, flush=True)
            if subscriber.ended:
                tail.kill()
    return subscriber.delays


def main(kind: str, count: str, log: str, events: str) -> None:
    """Body of the followers' process: prints the process id to measure, then the delays."""
    if kind == "async":
        delays = asyncio.run(follow(log, int(count)))
    else:
        delays = follow_sync(log) if kind == "sync" else follow_by_tail(log)
    assert len(delays) == int(count) * int(events), "events are missing"
    print(json.dumps(delays), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Makes the log for the readers: a rotated set as our formatter and handler write it, always the same.

Jobs run concurrently, eight at a time: typed events, application records, an occasional traceback; each job
has a trace. The lines are made here, with the fields and forms of the writers, because logging 65 MB takes
longer than reading it with every reader.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import json
import pathlib
import random
from collections.abc import Iterator
from typing import Any

SIZE = 10 * 1024 * 1024
AT_ONCE = 8
_TRACEBACK = """Traceback (most recent call last):
  File "/srv/shop/orders.py", line 212, in place
    return self.store.add(order)
  File "/srv/shop/store.py", line 87, in add
    raise ConflictError(f"order {order.id} exists")
shop.store.ConflictError: order %d exists"""


@dataclasses.dataclass(frozen=True)
class LogSet:
    """A rotated log on disk.

    Attributes:
        path: The live file.
        files: All files, oldest first.
        events: The number of events.
        trace_id: The trace id of a job in the middle.
        lines: The lines of that job's events.
        late: A time near the end.
    """

    path: pathlib.Path
    files: list[str]
    events: int
    trace_id: str
    lines: list[bytes]
    late: str

    @property
    def size(self) -> int:
        """The size of all files, in bytes."""
        return sum(pathlib.Path(file).stat().st_size for file in self.files)


def make(folder: pathlib.Path, events: int, rotated_at: int | None = None) -> LogSet:
    """Write a log of so many events into *folder*, in memory that does not grow with it.

    Args:
        folder: An empty folder, or one with the same log.
        events: The number of events.
        rotated_at: The size of the files, in bytes.
    """
    limit = SIZE if rotated_at is None else rotated_at
    path = folder / "app.log"
    parts: list[pathlib.Path] = []
    size = limit
    wanted = late = ""
    with contextlib.ExitStack() as stack:
        for number, fields in enumerate(_events(events)):
            line = json.dumps(fields, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"
            if size + len(line) > limit:
                stack.close()
                parts.append(folder / f"part-{len(parts)}")
                file = stack.enter_context(parts[-1].open("wb"))
                size = 0
            size += file.write(line)
            if number == events // 2:
                wanted = fields["trace_id"]
            if number == events - events // 100 - 1:
                late = fields["timestamp"]
    names = [f"{path}.{number}" for number in range(len(parts) - 1, 0, -1)] + [str(path)]
    found: list[bytes] = []
    for name, part in zip(names, parts, strict=True):
        part.rename(name)
        with open(name, "rb") as lines:
            found += [line for line in lines if wanted.encode() in line]
    return LogSet(path, names, events, wanted, found, late)


def _events(count: int) -> Iterator[dict[str, Any]]:
    chance = random.Random(65)
    moment = datetime.datetime(2025, 10, 17, 12, tzinfo=datetime.timezone.utc)
    running = [_job(chance, number) for number in range(AT_ONCE)]
    jobs = AT_ONCE
    for _ in range(count):
        moment += datetime.timedelta(microseconds=chance.randrange(20_000))
        slot = chance.randrange(AT_ONCE)
        fields = next(running[slot], None)
        if fields is None:
            running[slot] = _job(chance, jobs)
            fields = next(running[slot])
            jobs += 1
        yield {"timestamp": moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ"), **fields}


def _job(chance: random.Random, number: int) -> Iterator[dict[str, Any]]:
    trace = f"{chance.getrandbits(128):032x}"
    ids = {"task_id": f"task-{number}", "run_id": f"run-{number // 5}", "trace_id": trace}

    def orchestrator(event: str, status: str, **more: Any) -> dict[str, Any]:
        head = {"level": "INFO", "logger": "orchestrator_events", "event": event}
        return {**head, **ids, "message": f"Event: {event}", "status": status, **more}

    yield orchestrator("job_started", "running")
    for step in range(chance.randrange(2, 6)):
        yield {
            "level": "INFO",
            "logger": "shop.orders",
            "trace_id": trace,
            "message": f"Order {number} of user {chance.randrange(1000)}: step {step}",
            "order_id": number,
            "amount": round(chance.random() * 100, 2),
        }
        if chance.random() < 0.3:
            yield {
                "trace_id": trace,
                "event_type": "chora.content_generated",
                "content_config_id": f"readme-intro-{step}",
                "generator_type": "jinja2",
                "status": "success",
                "duration_ms": chance.randrange(1000),
                "error_message": None,
            }
    if chance.random() < 0.05:
        yield {
            "level": "ERROR",
            "logger": "shop.orders",
            "trace_id": trace,
            "message": f"Order {number} failed",
            "exception": _TRACEBACK % number,
        }
        yield orchestrator("job_failed", "error", duration_ms=chance.randrange(10_000))
    else:
        yield orchestrator("job_completed", "success", duration_ms=chance.randrange(10_000))

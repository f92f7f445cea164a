"""The check of the orchestrator's document: JSON format, creation and rotation of files, streaming.

Run it as `python tests/test_orchestrator_logging.py`, or with pytest. It works in a folder of its
own, prints each check, and exits with 1 if one fails.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import multiprocessing
import pathlib
import re
import sys
import tempfile
import time
import traceback

if __name__ == "__main__":
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from chora_logging.orchestrator import (
    get_orchestrator_events,
    log_orchestrator_event,
    setup_orchestrator_logging,
    stream_orchestrator_events,
)

TIMEOUT = 30


def events_of(path):
    """The events of a log file, each line parsed strictly."""

    def refuse(constant):
        raise ValueError(f"{constant} is not JSON")

    lines = path.read_text(encoding="utf-8").split("\n")
    assert lines.pop() == "", "the last line has its newline"
    return [json.loads(line, parse_constant=refuse) for line in lines]


def check_format(folder):
    """Events are lines of JSON with the documented fields"""
    path = folder / "logs" / "orch.log"
    setup_orchestrator_logging(log_file=path)
    log_orchestrator_event(
        event="task_started",
        task_id="task-123",
        run_id="run-456",
        message="Task started successfully",
        status="running",
    )
    log_orchestrator_event("odd", value=float("nan"), text='a\nb"\x00\udc80', name="any name")

    event, odd = events_of(path)

    assert list(event) == [
        "timestamp",
        "level",
        "logger",
        "event",
        "task_id",
        "run_id",
        "message",
        "status",
    ]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", event["timestamp"])
    assert (event["level"], event["logger"]) == ("INFO", "orchestrator_events")
    assert odd["name"] == "any name"


def check_creation(folder):
    """The folder is made by the setup, the file by the first event"""
    path = folder / "a" / "b" / "orch.log"
    setup_orchestrator_logging(log_file=path)
    assert path.parent.is_dir()
    assert not path.exists()

    log_orchestrator_event("first")

    assert len(events_of(path)) == 1


def check_rotation(folder):
    """Files are rotated at their size, 5 are kept, and no event is lost before that"""
    path = folder / "orch.log"
    setup_orchestrator_logging(log_file=path, max_bytes="10kB")
    number = 0
    while not path.with_name("orch.log.5").exists():
        log_orchestrator_event("counted", number=number)
        number += 1
    stored = asyncio.run(get_orchestrator_events(log_file=path))
    assert [event["number"] for event in stored] == list(range(number))

    for more in range(number, number * 2):
        log_orchestrator_event("counted", number=more)

    names = sorted(found.name for found in folder.glob("orch.log*"))
    assert names == ["orch.log", *(f"orch.log.{backup}" for backup in range(1, 6))]
    assert all(found.stat().st_size <= 10 * 1024 for found in folder.glob("orch.log*"))
    kept = [event["number"] for event in asyncio.run(get_orchestrator_events(log_file=path))]
    assert kept == list(range(kept[0], number * 2))


def log_from_another_process(path, count):
    """Log events in a worker of the streaming check."""
    setup_orchestrator_logging(log_file=path, max_bytes="10kB", backup_count=100)
    for number in range(count):
        log_orchestrator_event("work", task_id="task-123", number=number)
        log_orchestrator_event("work", task_id="task-other", number=number)


def check_streaming(folder):
    """A stream has stored and live events of every process, of one task, each once, over rotation"""
    path = folder / "orch.log"
    setup_orchestrator_logging(log_file=path, max_bytes="10kB", backup_count=100)
    log_orchestrator_event("stored", task_id="task-123")
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=log_from_another_process, args=(path, 200)) for _ in range(3)]

    async def stream():
        found = []
        async with contextlib.aclosing(stream_orchestrator_events(task_id="task-123")) as events:
            async for event in events:
                if not found:
                    for worker in workers:
                        worker.start()
                found.append(event)
                if len(found) == 601:
                    break
        return found

    found = asyncio.run(asyncio.wait_for(stream(), TIMEOUT))
    for worker in workers:
        worker.join()

    assert found[0]["event"] == "stored"
    assert {event["task_id"] for event in found} == {"task-123"}
    assert sorted(event["number"] for event in found[1:]) == sorted([*range(200)] * 3)


def check_latency(folder):
    """A live event arrives within 0.2 s"""
    setup_orchestrator_logging(log_file=folder / "orch.log")

    async def measure():
        delays = []
        async with contextlib.aclosing(stream_orchestrator_events()) as events:
            for _ in range(5):
                arriving = asyncio.ensure_future(anext(events))
                await asyncio.sleep(0.08)
                start = time.monotonic()
                log_orchestrator_event("live")
                await arriving
                delays.append(time.monotonic() - start)
        return sorted(delays)

    delays = asyncio.run(asyncio.wait_for(measure(), TIMEOUT))

    assert delays[2] < 0.2, delays


CHECKS = [check_format, check_creation, check_rotation, check_streaming, check_latency]


def close_logs():
    logger = logging.getLogger("orchestrator_events")
    while logger.handlers:
        logger.handlers.pop().close()


def main():
    """Run every check in a folder of its own; the exit code."""
    failed = 0
    for check in CHECKS:
        with tempfile.TemporaryDirectory() as folder:
            try:
                check(pathlib.Path(folder))
            except Exception:
                failed += 1
                traceback.print_exc()
                verdict = "FAILED"
            else:
                verdict = "ok"
            finally:
                close_logs()
        print(f"{verdict:6}  {check.__doc__}", flush=True)
    print(f"{len(CHECKS) - failed} of {len(CHECKS)} verified")
    return 1 if failed else 0


def test_format(tmp_path):
    """Events are lines of JSON with the documented fields."""
    check_format(tmp_path)


def test_creation(tmp_path):
    """The folder is made by the setup, the file by the first event."""
    check_creation(tmp_path)


def test_rotation(tmp_path):
    """Files are rotated at their size, and no event is lost before the oldest is deleted."""
    check_rotation(tmp_path)


def test_streaming(tmp_path):
    """A stream has every event of one task from every process, once, over rotation."""
    check_streaming(tmp_path)


def test_latency(tmp_path):
    """A live event arrives within 0.2 s."""
    check_latency(tmp_path)


def test_as_a_program(capsys):
    """The program prints each check and exits with 0; with 1 if a check fails."""
    assert main() == 0

    said = capsys.readouterr().out.splitlines()
    assert len(said) == len(CHECKS) + 1
    assert said[-1] == "5 of 5 verified"


def test_a_failing_check_is_reported(monkeypatch, capsys):
    """A failed check is printed, and the exit code is 1."""

    def check_nothing(folder):
        """Nothing holds"""
        raise AssertionError("no")

    monkeypatch.setattr(sys.modules[__name__], "CHECKS", [check_nothing])

    assert main() == 1
    assert "FAILED  Nothing holds" in capsys.readouterr().out


if __name__ == "__main__":
    sys.exit(main())

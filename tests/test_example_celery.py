"""The example of Celery, and the usual places of `setup_logging` in it, under real workers."""

from __future__ import annotations

import collections
import contextlib
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from tests.accounting import events_of
from tests.checkout import ROOT

DEADLINE = 100.0
TASKS = 40
#: The tasks; its places are where `setup_logging` may be.
PROGRAM = """
import os, pathlib, time
from celery import Celery, signals
from celery.utils.log import get_task_logger
from chora_logging import setup_logging
{module}
app = Celery("program", broker="filesystem://localhost")
app.conf.broker_transport_options = {{
    "data_folder_in": "messages", "data_folder_out": "messages", "control_folder": "control",
    "polling_interval": 0.02,
}}
app.conf.worker_hijack_root_logger = {hijack}
log = get_task_logger("shop")
{signal}

@app.task(name="work")
def work(number):
    pathlib.Path(f"began-{{os.getpid()}}").touch()
    while len(list(pathlib.Path().glob("began-*"))) < 2:  # so that both processes have tasks
        time.sleep(0.01)
    log.info("Task %d", number, extra={{"number": number, "pid": os.getpid()}})
    if number % 10 == 7:
        raise ValueError("no price")
"""
SEND = """
import sys
from program import work
from chora_logging import setup_logging, trace_context
setup_logging(log_file="app.jsonl", console=False)
for number in range(int(sys.argv[1])):
    with trace_context(f"req-{number}"):
        work.delay(number)
"""
SETUP = "setup_logging(log_file='app.jsonl', console=False{})"
SIGNAL = "@signals.setup_logging.connect\ndef configure(**_):\n    " + SETUP.format("")
PLACES = {
    "module": {"module": SETUP.format(""), "hijack": True, "signal": ""},
    "module, buffered": {"module": SETUP.format(", buffered=True"), "hijack": True, "signal": ""},
    "module, not hijacked": {"module": SETUP.format(""), "hijack": False, "signal": ""},
    "signal": {"module": "", "hijack": True, "signal": SIGNAL},
}


@contextlib.contextmanager
def worker(folder):
    """A worker with two processes, from when it is ready until it has ended by itself."""
    (folder / "messages").mkdir()
    command = [sys.executable, "-m", "celery", "-A", "program", "worker", "--concurrency", "2"]
    with (folder / "worker.txt").open("wb") as output:
        process = subprocess.Popen(
            command, cwd=folder, env=environment(), stdout=output, stderr=subprocess.STDOUT
        )
    try:
        yield
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE) == 0
    finally:
        process.kill()
        process.wait()


def environment():
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def wait_for(found, folder):
    """Return when *found* returns true."""
    deadline = time.monotonic() + DEADLINE
    while not found():
        assert time.monotonic() < deadline, (folder / "worker.txt").read_text()
        time.sleep(0.05)


@pytest.mark.whole
@pytest.mark.timeout(4 * DEADLINE)
@pytest.mark.parametrize("place", PLACES)
def test_every_place_of_setup_logging(tmp_path, place):
    """Each task's record, exception and result are in the log once, with the id of the task's caller."""
    log = tmp_path / "app.jsonl"
    (tmp_path / "program.py").write_text(PROGRAM.format(**PLACES[place]))
    with worker(tmp_path):
        subprocess.run([sys.executable, "-c", SEND, str(TASKS)], cwd=tmp_path, env=environment(), check=True)
        wait_for(
            lambda: log.exists() and log.read_text().count('"logger":"celery.app.trace"') >= TASKS, tmp_path
        )

    events = events_of(log)
    tasks = [event for event in events if event["logger"] == "shop"]
    assert collections.Counter((event["number"], event.get("trace_id")) for event in tasks) == {
        (number, f"req-{number}"): 1 for number in range(TASKS)
    }
    assert len({event["pid"] for event in tasks}) == 2
    results = [event for event in events if event["logger"] == "celery.app.trace"]
    assert collections.Counter((event["level"], event.get("trace_id")) for event in results) == {
        ("ERROR" if number % 10 == 7 else "INFO", f"req-{number}"): 1 for number in range(TASKS)
    }
    assert all("no price" in event["exception"] for event in results if event["level"] == "ERROR")
    received = [event for event in events if event["logger"] == "celery.worker.strategy"]
    assert len(received) == TASKS


@pytest.mark.timeout(3 * DEADLINE)
def test_the_example(tmp_path):
    """It shows the events of one task, under the trace id of its caller."""
    program = ROOT / "examples" / "celery_app.py"
    done = subprocess.run(
        [sys.executable, str(program), str(tmp_path)],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=2 * DEADLINE,
    )

    assert done.returncode == 0, done.stderr
    placed, failed = done.stdout.splitlines()
    assert placed == "INFO celery_app Order 7 charged"
    assert re.fullmatch(
        r"ERROR celery\.app\.trace Task charge\[.*\] raised unexpected: .* no price.*", failed
    )

"""The examples of hosts under the real ones: each record is logged once, with the trace id of its cause."""

from __future__ import annotations

import collections
import http.server
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time

import httpx
import pytest

from tests.accounting import events_of
from tests.checkout import ROOT
from tests.documents import EXAMPLES as PAGE
from tests.needs import find_program, namespace, need
from tests.test_example_servers import EXAMPLES, WORKERS, Server, place_orders

DEADLINE = 100.0
FAULTS = 5
#: The logger of an unhandled exception.
WEB = {"fastapi_app": "uvicorn.error", "django_app": "django.request"}
PIPES = {"capture_output": True, "text": True, "timeout": DEADLINE}


def environment(**variables):
    return {**os.environ, "PYTHONPATH": str(ROOT), **variables}


def run(name, folder, **variables):
    """Run an example to its end; return the lines that it prints."""
    command = [sys.executable, str(EXAMPLES / name), str(folder)]
    done = subprocess.run(command, cwd=folder, env=environment(**variables), **PIPES)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.timeout(4 * DEADLINE)
@pytest.mark.parametrize("name", ["fastapi_app", pytest.param("django_app", marks=pytest.mark.whole)])
def test_web_applications(tmp_path, name):
    """Under uvicorn the records of a request, its access line and its unhandled exception have its id."""
    command = ["-m", "uvicorn", "--app-dir", str(EXAMPLES), f"{name}:app", "--port", "0"]
    command += ["--workers", str(WORKERS), "--timeout-worker-healthcheck", str(int(DEADLINE))]
    with Server(command, tmp_path) as server:
        answers = place_orders(server.port)
        for number in range(FAULTS):
            failed = httpx.post(
                f"http://127.0.0.1:{server.port}/orders/free",
                headers={"X-Request-Id": f"free-{number}"},
                timeout=DEADLINE,
            )
            assert (failed.status_code, failed.headers["X-Trace-Id"]) == (500, f"free-{number}")
        server.stop()

    events = events_of(tmp_path / "web.log")
    placed = [(answer["order_id"], answer["trace_id"], answer["pid"]) for answer in answers]
    faults = {f"free-{number}" for number in range(FAULTS)}
    assert len({trace_id for _, trace_id, _ in placed} | faults) == len(placed) + FAULTS
    found = collections.Counter(
        (event["event"], event["order_id"], event["trace_id"], event["pid"])
        for event in events
        if event["logger"] == "shop" and event["order_id"] != "free"
    )
    assert found == {(event, *each): 1 for each in placed for event in ("order_received", "order_charged")}
    access = [event["trace_id"] for event in events if event["logger"] == "uvicorn.access"]
    assert collections.Counter(access) == dict.fromkeys({*faults, *(each[1] for each in placed)}, 1)
    errors = [event for event in events if event["level"] == "ERROR"]
    assert collections.Counter((event["logger"], event["trace_id"]) for event in errors) == {
        (WEB[name], trace_id): 1 for trace_id in faults
    }
    assert all("ValueError: no price" in event["exception"] for event in errors)


@pytest.fixture(scope="module")
def redis(tmp_path_factory):
    """The address of a Redis of its own."""
    need("redis-server")
    folder = tmp_path_factory.mktemp("redis")
    path = folder / "socket"
    options = ["--port", "0", "--unixsocket", str(path), "--save", "", "--dir", str(folder)]
    with (folder / "output").open("wb") as output:
        process = subprocess.Popen([find_program("redis-server"), *options], stdout=output)
    try:
        deadline = time.monotonic() + DEADLINE
        while not path.exists():
            assert process.poll() is None and time.monotonic() < deadline, (folder / "output").read_text()
            time.sleep(0.02)
        yield f"unix://{path}"
    finally:
        process.terminate()
        process.wait()


#: The log of an example with tasks, the logger of an unhandled exception, and who processed a task.
TASKS = {
    "rq_app": ("rq.jsonl", "rq.worker", re.compile(r"Worker (\w+): default: Job OK")),
    "dramatiq_app": ("dramatiq.jsonl", "dramatiq.worker.WorkerThread", re.compile(r'"pid":(\d+)')),
}


@pytest.mark.timeout(8 * DEADLINE)
@pytest.mark.whole
@pytest.mark.parametrize("name", TASKS)
def test_tasks(tmp_path, redis, name):
    """Each task's record and exception are in the workers' one log once, with the id of the caller."""
    log, logger, worker = TASKS[name]
    for attempt in range(5):  # one worker may have got all tasks
        folder = tmp_path / str(attempt)
        folder.mkdir()
        printed = run(f"{name}.py", folder, REDIS_URL=redis)

        events = events_of(folder / log)
        assert collections.Counter(
            (event["order_id"], event.get("trace_id")) for event in events if event["logger"] == "shop"
        ) == {(number, f"req-{number}"): 1 for number in range(1, 21)}
        errors = [event for event in events if event["level"] == "ERROR"]
        assert collections.Counter((event["logger"], event.get("trace_id")) for event in errors) == {
            (logger, "req-7"): 1,
            (logger, "req-17"): 1,
        }
        assert all("ValueError: order" in event.get("exception", event["message"]) for event in errors)
        assert "INFO shop Order 7 charged" in printed
        if len(set(worker.findall((folder / log).read_text()))) == WORKERS:
            return
    pytest.fail("only one worker gets tasks")


@pytest.mark.whole
@pytest.mark.timeout(2 * DEADLINE)
def test_process_pool(tmp_path):
    """Workers that are not forked log each task and its exception once, with the id of the caller."""
    printed = run("process_pool.py", tmp_path)

    events = events_of(tmp_path / "pool.jsonl")
    charged = [event for event in events if event["level"] == "INFO"]
    assert collections.Counter((event["trace_id"], event["order_id"]) for event in charged) == {
        (f"{method}-{number}", number): 1 for method in ("forkserver", "spawn") for number in range(1, 22)
    }
    failed = [event for event in events if event["level"] == "ERROR"]
    assert collections.Counter(event["trace_id"] for event in failed) == {
        f"{method}-{number}": 1 for method in ("forkserver", "spawn") for number in (7, 17)
    }
    assert all("has no price" in event["exception"] for event in failed)
    assert printed == ["INFO shop Order 7 charged", "ERROR shop charge failed"]


class Invocations(http.server.ThreadingHTTPServer):
    """Lambda's runtime API: gives the runtime each event once, and keeps what it answers."""

    daemon_threads = True

    def __init__(self, events):
        super().__init__(("127.0.0.1", 0), Invocation)
        self.waiting = [*enumerate(events, 1)]
        self.answers = []
        self.all_done, self.closed = threading.Event(), threading.Event()


class Invocation(http.server.BaseHTTPRequestHandler):
    """A request of the runtime."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if not self.server.waiting:
            self.server.all_done.set()
            self.server.closed.wait()
            return
        number, event = self.server.waiting.pop(0)
        given = {
            "Aws-Request-Id": f"req-{number}",
            "Deadline-Ms": 10**13,
            "Invoked-Function-Arn": "arn:aws:lambda:eu-central-1:1:function:shop",
            "Trace-Id": "Root=1-5759e988-bd862e3fe1be46a994272793",
        }
        headers = {f"Lambda-Runtime-{name}": value for name, value in given.items()}
        self.answer(200, json.dumps(event).encode(), headers)

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.answers.append(self.path.rpartition("/")[2])
        self.answer(202, b"{}", {})

    def answer(self, status, body, headers):
        self.send_response(status)
        fixed = {"Content-Type": "application/json", "Content-Length": len(body)}
        for name, value in {**fixed, **headers}.items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Print nothing."""


READ_ONLY = """
set -e
test $$ = 1
mount -o remount,bind,ro /
for each in /tmp "$1"; do mountpoint -q "$each" && mount -o remount,bind,ro "$each"; done
cd "$1"
touch written 2>/dev/null && exit 9
shift
exec "$@"
"""


def test_lambda(tmp_path):
    """As PID 1 on a read-only disk, with an ASCII stdout, each record is there once, as JSON with its id."""
    need("mounts")

    (tmp_path / "disk").mkdir()
    command = [*namespace(), "--pid", "--fork", "sh", "-c", READ_ONLY, "sh", str(tmp_path / "disk")]
    command += [sys.executable, "-m", "awslambdaric", "lambda_function.handler"]
    orders = [{"order_id": order_id} for order_id in (*range(1, 10), "\u00fc")]
    with Invocations(orders) as server, (tmp_path / "output").open("wb") as output:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        variables = {
            "PYTHONPATH": f"{ROOT}:{EXAMPLES}",
            "PYTHONIOENCODING": "ascii:strict",
            "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{server.server_address[1]}",
            "AWS_LAMBDA_LOG_FORMAT": "JSON",
        }
        process = subprocess.Popen(
            command,
            env={**os.environ, **variables},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            done = server.all_done.wait(DEADLINE)
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            server.closed.set()
            server.shutdown()

    said = (tmp_path / "output").read_text("ascii")
    assert done, said
    assert collections.Counter(server.answers) == {"response": 9, "error": 1}
    lines = [json.loads(line) for line in said.splitlines()]
    ours = [line for line in lines if "logger" in line]
    assert [(line["level"], line["trace_id"]) for line in ours] == [
        ("ERROR" if number == 7 else "INFO", f"req-{number}") for number in range(1, 11)
    ]
    assert "ValueError: no price" in ours[6]["exception"]
    assert ours[9]["message"] == "Order \u00fc charged"
    assert [line["errorType"] for line in lines if "logger" not in line] == ["ValueError"]  # Lambda's own


def test_loguru(tmp_path):
    """A message of loguru has its fields, exception, level and trace id in the line itself."""
    done, failed = map(json.loads, run("loguru_app.py", tmp_path))

    for line in (done, failed):
        del line["timestamp"]
    assert done == {
        "level": "SUCCESS",
        "logger": "__main__",
        "trace_id": "req-1",
        "message": "Order 7 placed",
        "order_id": 7,
    }
    exception = failed.pop("exception")
    assert failed == {
        "level": "ERROR",
        "logger": "__main__",
        "trace_id": "req-1",
        "message": "Order 7 failed",
    }
    assert exception.splitlines()[0] == "Traceback (most recent call last):"
    assert exception.count("ValueError: no price") == 1


def block(heading):
    """The first Python block below a heading of the examples' page."""
    return next(text for text, _ in PAGE.programs() if PAGE.heading_of(text) == heading)


TESTED = """
import logging
from chora_logging import setup_logging, trace_context

def order():
    with trace_context("req-1"):
        logging.getLogger("shop").warning("Order placed")

def test_alone(caplog):
    order()
    assert [record.trace_id for record in caplog.records] == ["req-1"]

def test_set_up(caplog, capsys):
    setup_logging(log_file="app.jsonl")
    order()
    assert [record.trace_id for record in caplog.records] == ["req-1"]
    assert capsys.readouterr().err.count("Order placed [req-1]") == 1

def test_after_it(caplog, capfd):
    order()
    assert [record.trace_id for record in caplog.records] == ["req-1"]
    said = capfd.readouterr().err
    assert said.count("Order placed [req-1]") == 1
    assert "Logging error" not in said
"""


def test_pytest(tmp_path):
    """With the fixture of the page caplog's records have the trace id, with and without our set-up."""
    (tmp_path / "conftest.py").write_text(block("Under pytest"))
    (tmp_path / "test_shop.py").write_text(TESTED)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    alone = environment(PYTEST_DISABLE_PLUGIN_AUTOLOAD="1")
    done = subprocess.run([*command, "."], cwd=tmp_path, env=alone, **PIPES)

    assert done.returncode == 0, done.stdout
    assert [event["trace_id"] for event in events_of(tmp_path / "app.jsonl")] == ["req-1"] * 2


NOTEBOOK = """
import json, sys
from jupyter_client.manager import run_kernel

def show(message):
    if message["msg_type"] == "stream":
        print(json.dumps(message["content"]["text"]))

with run_kernel(kernel_name="python3", cwd=".") as client:
    for cell in json.loads(sys.argv[1]):
        client.execute_interactive(cell, timeout=90, output_hook=show)
"""


@pytest.mark.whole
@pytest.mark.timeout(2 * DEADLINE)
def test_notebook(tmp_path):
    """A cell that sets up logging can be run again, and an id that a cell sets is on later cells' records."""
    cell = block("In a notebook").replace(", console=False", "")
    later = ["import logging\nlogging.info('later')", "1 / 0"]
    done = subprocess.run(
        [sys.executable, "-c", NOTEBOOK, json.dumps([cell, cell, *later, cell])],
        cwd=tmp_path,
        env=environment(HOME=str(tmp_path)),
        **PIPES,
    )

    assert done.returncode == 0, done.stderr
    events = [event for event in events_of(tmp_path / "notebook.jsonl") if event["logger"] == "root"]
    expected = ["Ready", "Ready", "later", "Ready"]
    assert [event["message"] for event in events] == expected
    assert {event["trace_id"] for event in events} == {"experiment-1"}
    shown = [json.loads(line) for line in done.stdout.splitlines()]
    assert [text.rpartition("INFO - ")[2] for text in shown] == [
        f"{message} [experiment-1]\n" for message in expected
    ]

"""Every example runs as its reader runs it; `test_example_servers.py` has the servers."""

from __future__ import annotations

import ast
import collections
import json
import os
import pathlib
import re
import subprocess
import sys

import pytest
import yaml

import chora_logging
from tests.accounting import events_of
from tests.test_public_names import OF_EXTRAS

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = pathlib.Path(chora_logging.__file__).parent.parent
EXAMPLES = ROOT / "examples"
PROGRAMS = sorted(EXAMPLES.glob("*.py"))
CONFIG_FILES = ("logging.json", "logging.yaml", "logging.toml", "logging.ini")
QUEUE_FILES = ("logging_queue.json", "logging_queue.yaml")
#: The rows of the README's table: a file and what it needs.
ROWS = dict(
    re.findall(r"^\| `([\w.-]+)` \|.*\| (.*) \|$", (EXAMPLES / "README.md").read_text("utf-8"), re.MULTILINE)
)
#: The distributions whose name differs from the name to import.
DISTRIBUTIONS = {"yaml": "pyyaml"}


def start(name, *arguments, cwd, **variables):
    """Run the example *name* with warnings as errors, and return how it went."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error", **variables}
    command = [sys.executable, str(EXAMPLES / name), *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=60)


@pytest.fixture
def run(tmp_path):
    """Run an example for the folder *tmp_path* from another folder, and return the lines it prints."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()

    def run(name, *arguments):
        done = start(name, *arguments, tmp_path, cwd=elsewhere)
        assert (done.returncode, done.stderr) == (0, "")
        assert list(elsewhere.iterdir()) == []
        return done.stdout.splitlines()

    return run


class TestContentGenerator:
    def test_success_and_failure_are_events(self, run, tmp_path):
        """Each piece, even a failed one, has one typed event with the trace id."""
        printed = run("content_generator.py")

        done, failed = events_of(tmp_path / "var/telemetry/events.jsonl")
        assert {event["event_type"] for event in (done, failed)} == {"chora.content_generated"}
        assert done["trace_id"] == failed["trace_id"] is not None
        assert (done["content_config_id"], done["status"], done["error_message"]) == (
            "readme-intro",
            "success",
            None,
        )
        assert (failed["content_config_id"], failed["status"]) == ("readme-body", "error")
        assert failed["error_message"] == "KeyError('author')"
        assert printed == [
            "Chora logs typed events.",
            "readme-body failed: no value for 'author'",
            "chora.content_generated readme-intro success None",
            "chora.content_generated readme-body error KeyError('author')",
        ]

    def test_the_current_folder_is_the_default(self, tmp_path):
        """Without an argument the events are below the current folder."""
        assert start("content_generator.py", cwd=tmp_path).returncode == 0
        assert len(events_of(tmp_path / "var/telemetry/events.jsonl")) == 2

    def test_a_full_disk_costs_the_event_only(self, tmp_path):
        """If an event cannot be written, the content is still made and the failure is printed."""
        done = start("content_generator.py", cwd=tmp_path, CHORA_EVENTS_FILE="/dev/full")

        assert done.returncode == 0
        assert done.stdout.splitlines() == [
            "Chora logs typed events.",
            "readme-body failed: no value for 'author'",
        ]
        assert done.stderr.count("event not written") == 2
        assert "No space left on device" in done.stderr


class TestJobWorker:
    def test_every_job_of_every_worker_is_in_the_log(self, run, tmp_path):
        """Three processes write one log: each job has its start and its end once, with its trace id."""
        printed = run("job_worker.py")

        events = events_of(tmp_path / ".devlogs/orch-o-glm.log")
        workers = [event for event in events if event["event"] == "worker_started"]
        assert len({event["pid"] for event in workers}) == len(workers) == 3
        (run_id,) = {event["run_id"] for event in workers}
        jobs = collections.defaultdict(list)
        for event in events:
            if "task_id" in event:
                assert event["trace_id"] == f"{run_id}-{event['task_id']}"
                jobs[event["task_id"]].append((event["event"], event["status"]))
        good = [("job_started", "running"), ("job_completed", "success")]
        bad = [("job_started", "running"), ("job_failed", "failed")]
        assert jobs == {f"job-{number}": bad if number == 7 else good for number in range(1, 13)}
        assert len(events) == 3 + 2 * 12
        assert printed[0].startswith("3 workers: {'worker_started': 3")
        assert printed[2].endswith(f"job_failed {run_id}-job-7 the customer does not exist")


class TestGateway:
    def test_events_of_the_subprocess_are_found_by_trace_id(self, run, tmp_path):
        """Each request gets its own events, live and in order, and its typed events later."""
        printed = run("gateway.py")

        seen = collections.defaultdict(list)
        for line in printed:
            where, trace_id, what = re.fullmatch(r"(live|stored) +(req-\w+): (.*)", line).groups()
            seen[trace_id].append((where, what))
        composed = [("live", f"section_composed {number}") for number in (1, 2, 3)]
        finished = ("live", "request_finished")
        assert sorted(seen.values(), key=len) == [
            [*composed[:2], finished, ("stored", "chora.artifact_assembled manual success")],
            [*composed, finished, ("stored", "chora.artifact_assembled changelog success")],
        ]
        events = events_of(tmp_path / ".devlogs/orch-o-glm.log")
        assert [event["exit_status"] for event in events if event["event"] == "request_finished"] == [0, 0]
        assert {event["trace_id"] for event in events} == set(seen)

    @pytest.mark.whole
    def test_it_can_be_run_again(self, run):
        """A second run in the same folder shows its own events, and none of the first."""
        first, second = run("gateway.py"), run("gateway.py")

        assert len(first) == len(second) == 3 + 4 + 2
        assert not set(first) & set(second)


class TestDropIn:
    def test_the_application_keeps_what_it_has(self, run, tmp_path):
        """Its console and files have the same lines as before, once each; our log has all, with fields."""
        printed = run("drop_in.py")

        assert printed.index("--- app.txt") == 1
        assert printed[0] == "INFO Order 7 placed"
        assert (tmp_path / "app.txt").read_text() == "INFO Order 7 placed\n"
        assert (tmp_path / "audit.txt").read_text() == "audit: order 7 by ann\n"
        placed, audited = events_of(tmp_path / "app.jsonl")
        assert (placed["event"], placed["order_id"], placed["trace_id"]) == ("order_placed", 7, "req-1")
        assert (audited["logger"], audited["user"], audited["trace_id"]) == ("shop.audit", "ann", "req-1")


class TestConfigFiles:
    @pytest.mark.parametrize("name", CONFIG_FILES)
    def test_every_format_does_the_same(self, run, tmp_path, name):
        """JSON, YAML, TOML and INI give the same lines."""
        run("load_config.py", EXAMPLES / name)

        assert_shop_lines(tmp_path / "logs/app.jsonl")

    def test_without_a_name_it_is_json(self, tmp_path):
        """`load_config.py` by itself loads `logging.json` and writes below the current folder."""
        assert start("load_config.py", cwd=tmp_path).returncode == 0
        assert_shop_lines(tmp_path / "logs/app.jsonl")

    @pytest.mark.parametrize("name", QUEUE_FILES)
    def test_a_queue_from_a_file(self, tmp_path, name):
        """Since Python 3.12 it gives the same lines; before, one line shows the alternative."""
        done = start("load_config.py", EXAMPLES / name, tmp_path, cwd=tmp_path)

        if sys.version_info >= (3, 12):
            assert (done.returncode, done.stderr) == (0, "")
            assert_shop_lines(tmp_path / "logs/app.jsonl")
        else:
            advice = f"{name} needs Python 3.12; queue_logging.py does the same on every Python\n"
            assert (done.returncode, done.stderr) == (1, advice)

    def test_the_files_say_the_same(self):
        """The JSON, YAML and TOML files are one configuration, and so are the two with a queue."""
        plain = json.loads((EXAMPLES / "logging.json").read_text())

        assert yaml.safe_load((EXAMPLES / "logging.yaml").read_text()) == plain
        assert tomllib.loads((EXAMPLES / "logging.toml").read_text()) == plain
        with_queue = json.loads((EXAMPLES / "logging_queue.json").read_text())
        assert yaml.safe_load((EXAMPLES / "logging_queue.yaml").read_text()) == with_queue


def assert_shop_lines(log):
    """The log holds the three records of `load_config.py`."""
    placed, started, failed = events_of(log)
    assert {event["trace_id"] for event in (placed, started, failed)} == {"req-1"}
    assert (placed["logger"], placed["event"], placed["order_id"]) == ("shop", "order_placed", 7)
    assert (started["logger"], started["task_id"]) == ("orchestrator_events", "job-1")
    assert (failed["level"], failed["message"]) == ("ERROR", "No price")
    assert failed["exception"].startswith("Traceback") and failed["exception"].endswith("7 EUR'")


class TestQueueLogging:
    def test_nothing_is_flattened_by_the_queue(self, run, tmp_path):
        """Trace id, dict message and exception are the same after the queue."""
        run("queue_logging.py")

        placed, failed = events_of(tmp_path / "queue.jsonl")
        assert (placed["event"], placed["order_id"], placed["items"]) == ("order_placed", 7, ["tea", "cup"])
        assert placed["trace_id"] == failed["trace_id"] == "req-1"
        assert (failed["message"], failed["order_id"]) == ("No price", 7)
        assert failed["exception"].endswith("7 EUR'")


class TestReadme:
    def test_the_table_has_every_file(self):
        """Each file of the folder has a row, and each row a file."""
        files = {path.name for path in EXAMPLES.iterdir() if path.is_file()} - {"README.md"}

        assert set(ROWS) == files

    @pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.name)
    def test_what_an_example_needs_is_said(self, path):
        """The row names each third-party package that the example imports."""
        ours = {*sys.stdlib_module_names, "tomllib", "chora_logging"}
        needed = {module.split(".")[0] for module, _ in imports_of(path)} - ours

        for package in needed:
            assert f"`{DISTRIBUTIONS.get(package, package)}`" in ROWS[path.name]

    @pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.name)
    def test_only_public_names_are_used(self, path):
        """Examples import only public names, from `chora_logging` itself."""
        for module, name in imports_of(path):
            if module.startswith("chora_logging"):
                assert module == "chora_logging"
                assert name in {*chora_logging.__all__, *OF_EXTRAS}

    @pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.name)
    def test_how_to_run_it_is_said(self, path):
        """The docstring of an example has the command."""
        assert f"`python {path.name} [" in ast.get_docstring(ast.parse(path.read_text()))


def imports_of(path):
    """The imports of the program: pairs of a module and the imported name, if any."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.module, alias.name) for alias in node.names)

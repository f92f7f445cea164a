"""`chora-logging demo`: its screen, its counts and its end, run as a process of its own."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import pty
import re
import signal
import subprocess
import sys
import time
import urllib.request

import pytest
from rich.cells import cell_len

from chora_logging.cli.demo.account import Account, Summary, take_account
from chora_logging.cli.demo.crew import Report
from chora_logging.cli.event_line import as_line
from chora_logging.cli.terminal import open_console
from tests.accounting import assert_exact, events_of, files_of

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
DEMO = [sys.executable, "-m", "chora_logging", "demo"]
LOGS = {"telemetry": "events.jsonl", "orchestrator": "orchestrator.log"}
ESCAPE = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")
DEADLINE = 60

HELP = """\
Usage: chora-logging demo [OPTIONS]

  Watch several processes write two logs that lose nothing.

  Worker processes build pages from templates and write events with trace ids:
  typed ones, and those of an orchestrator's jobs. Some jobs fail.
  Subprocesses continue the traces. The logs are rotated all the while. You
  see events as they arrive; then every event that a process reports is looked
  up in the files.

  With the extra `web` installed, the viewer shows the same in a browser; on a
  terminal it stays until Ctrl-C.

  Each job has a secret, which a filter replaces in the logs. Ends with status
  1 if one is left, or an event is missing, torn, doubled or out of order.
  Ctrl-C ends it early.

  Examples:
    chora-logging demo
    chora-logging demo --seconds 2 --workers 8
    chora-logging demo --seconds 1 --json

Options:
  --seconds N   How long the workers write, from the first event on.
                [default: 5.0]
  --workers N   How many processes write.  [default: 4; 1<=x<=64]
  --dir FOLDER  The folder for the logs and pages, which stay there; without
                it a new temporary folder.
  --json        Print only the result, as JSON.
  -h, --help    Show this message and exit.
"""


@pytest.fixture
def environment(tmp_path):
    """Variables for the demo: this package, a temporary folder of the test, no preferences."""
    unwanted = ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE")
    kept = {name: value for name, value in os.environ.items() if name not in unwanted}
    (tmp_path / "temporary").mkdir()
    return {
        **kept,
        "PYTHONPATH": str(ROOT),
        "PYTHONWARNINGS": "error",
        "TERM": "xterm-256color",
        "TMPDIR": str(tmp_path / "temporary"),
    }


def run(*arguments, env, command=DEMO, **options):
    """Run the demo to its end."""
    given = [*command, *map(str, arguments)]
    return subprocess.run(given, env=env, capture_output=True, text=True, timeout=DEADLINE, **options)


def run_on_terminal(columns, *arguments, env):
    """Run the demo on a terminal of this width; return its status and its output."""
    master, slave = pty.openpty()
    environment = {**env, "COLUMNS": str(columns), "LINES": "20"}
    process = subprocess.Popen(
        [*DEMO, *map(str, arguments)], env=environment, stdin=slave, stdout=slave, stderr=slave
    )
    os.close(slave)
    data = b""
    with contextlib.suppress(OSError):  # Linux says EIO when the other side is closed
        while part := os.read(master, 65536):
            data += part
            if data.endswith(b"until Ctrl-C.\r\n"):
                process.send_signal(signal.SIGINT)
    os.close(master)
    return process.wait(DEADLINE), data.decode().replace("\r\n", "\n")


@contextlib.contextmanager
def running(*arguments, env):
    """A running demo, which is killed at the end unless the test has ended it."""
    process = subprocess.Popen(
        [*DEMO, *map(str, arguments)], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def wait_until(condition, what):
    """Poll until the condition holds."""
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen within {DEADLINE} s"
        time.sleep(0.02)


def workers_in(folder):
    """The processes that write to a folder, by its name in their command: pid → command."""
    found = {}
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            command = path.read_bytes().decode(errors="replace")
            if str(folder) in command and "cli.demo.worker import work;" in command:
                found[int(path.parent.name)] = command
    return found


def children_of(pid):
    """The processes that a process has started: pid and command of each."""
    for path in pathlib.Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if int(path.read_text().rpartition(")")[2].split()[1]) == pid:
                yield int(path.parent.name), (path.parent / "cmdline").read_bytes().decode()


def events_at(url, log):
    """The events of a log from a server."""
    with urllib.request.urlopen(f"{url}api/v1/{log}/events", timeout=DEADLINE) as answer:
        return json.load(answer)["events"]


def pipes_of(pid):
    """The number of ends of pipes that a process has open."""
    return sum(os.readlink(path).startswith("pipe:") for path in pathlib.Path(f"/proc/{pid}/fd").iterdir())


def assert_whole(folder, result):
    """The files in a folder hold exactly the events that a JSON result lists for each writer."""
    for log, name in LOGS.items():
        account = result["logs"][log]
        assert_exact(folder / name, {writer: count for writer, count in account["writers"].items() if count})
        assert len(events_of(folder / name)) == account["found"] == account["written"] == account["seen"]
        assert len(files_of(folder / name)) - 1 == account["rotations"]
        assert sum(path.stat().st_size for path in files_of(folder / name)) == account["bytes"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A demo of two seconds that has ended: its folder, its process, its result."""
    folder = tmp_path_factory.mktemp("demo") / "logs"
    env = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "PYTHONWARNINGS": "error",
        "CHORA_TRACE_ID": "not-for-these",
    }
    # The settings of the user for other programs must not reach the workers.
    env.update(LOG_LEVEL="loud", LOG_FILE="/nowhere/at/all", ORCH_ID="a/b")
    done = run("--seconds", 2, "--workers", 3, "--dir", folder, "--json", env=env)
    return folder, done, json.loads(done.stdout)


class TestResult:
    def test_nothing_is_missing(self, finished):
        """The files hold each event that a process reports exactly once and in its order."""
        folder, done, result = finished

        assert (done.returncode, done.stderr) == (0, "")
        assert result["ok"] is True
        assert result["problems"] == []
        assert_whole(folder, result)

    def test_the_logs_are_rotated(self, finished):
        """Both logs were rotated while they were written, and no backup was deleted."""
        _, _, result = finished

        assert all(account["rotations"] >= 1 for account in result["logs"].values())
        assert all(not account["lost"] for account in result["logs"].values())

    def test_every_worker_writes_both_kinds(self, finished):
        """Each worker, and each subprocess of one, wrote to both logs."""
        _, _, result = finished
        telemetry, orchestrator = (account["writers"] for account in result["logs"].values())

        assert {"w1", "w2", "w3"} < telemetry.keys() == orchestrator.keys()
        assert all(count > 0 for count in [*telemetry.values(), *orchestrator.values()])
        assert result["processes"] == len(telemetry) > result["workers"] == 3

    def test_traces_go_over_both_logs_and_processes(self, finished):
        """Each trace has events in both logs; the events of a subprocess have its worker's trace id."""
        folder, _, result = finished
        traces = [{event["trace_id"] for event in events_of(folder / name)} for name in LOGS.values()]
        writers = {}
        for name in LOGS.values():
            for event in events_of(folder / name):
                writers.setdefault(event["trace_id"], set()).add(event["writer"])
        shared = [names for names in writers.values() if len(names) == 2]

        assert traces[0] == traces[1]
        assert result["traces"] == {"written": len(traces[0]), "complete": len(traces[0])}
        assert len(shared) == result["processes"] - result["workers"]
        assert all(max(names) == f"{min(names)}{max(names)[2:]}" for names in shared)

    def test_a_job_fails_for_a_real_reason(self, finished):
        """A failed job is in both logs under one trace id, with the exception that stopped it."""
        folder, _, result = finished
        failed = [e for e in events_of(folder / LOGS["orchestrator"]) if e["event"] == "job_failed"]
        broken = [e for e in events_of(folder / LOGS["telemetry"]) if e["status"] == "error"]

        assert len(failed) == len(broken) == result["jobs"]["failed"] > 0
        assert {event["trace_id"] for event in failed} == {event["trace_id"] for event in broken}
        assert all((e["level"], e["status"]) == ("ERROR", "failed") for e in failed)
        assert all("KeyError('author')" in event["error"] for event in failed)
        assert all(event["error_message"] == "the template asks for 'author'" for event in broken)

    def test_secrets_are_replaced(self, finished):
        """Every job has an address with a secret, which the log shows without it."""
        folder, _, result = finished
        events = events_of(folder / LOGS["orchestrator"])
        asked = [event["asked_by"] for event in events if event["event"] == "task_started"]

        assert len(asked) == sum(result["jobs"].values()) > 0
        assert all(address.endswith("?token=[redacted]") for address in asked)
        assert result["logs"]["orchestrator"]["unredacted"] == 0

    def test_the_work_is_real(self, finished):
        """The pages exist and are complete, and no worker has left an error file."""
        folder, _, _ = finished
        pages = list((folder / "pages").rglob("*.html"))

        assert len(pages) >= 3
        assert all(page.read_text().count("<footer>") == 1 for page in pages)
        assert {path.name for path in folder.iterdir() if path.is_file() and path.name[0] != "."} == {
            path.name for name in LOGS.values() for path in files_of(folder / name)
        }

    def test_a_folder_with_logs_is_refused(self, finished, environment):
        """A folder with the logs of an earlier run is not written to: the runs could not be distinguished."""
        folder, _, _ = finished
        before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}

        done = run("--dir", folder, env=environment)

        assert done.returncode == 2
        assert "has the logs of an earlier run: give another folder, or none" in done.stderr
        assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


class TestScreen:
    def test_a_pipe_gets_plain_whole_lines(self, environment):
        """Without a terminal there is no colour, no line is cut, and omitted lines are counted."""
        done = run("--seconds", 1, "--workers", 2, env=environment)
        (folder,) = pathlib.Path(environment["TMPDIR"]).iterdir()
        shown = re.findall(r"^\d\d:\d\d:\d\d\.\d{3} (?:INFO |ERROR|     ) [0-9a-f]{8} \w+", done.stdout, re.M)
        hidden = [int(number) for number in re.findall(r"… (\d+) more not shown", done.stdout)]
        total = sum(len(events_of(folder / name)) for name in LOGS.values())

        assert (done.returncode, done.stderr) == (0, "")
        assert "\x1b" not in done.stdout
        assert "job_failed" in done.stdout
        assert "status=error" in done.stdout
        assert len(shown) + sum(hidden) == total
        assert f"Nothing is missing: {total:,} events of" in done.stdout
        assert f"See for yourself: {folder}" in done.stdout

    @pytest.mark.parametrize(
        "columns", [40, *(pytest.param(each, marks=pytest.mark.whole) for each in (60, 120))]
    )
    def test_lines_fit_the_terminal(self, columns, environment):
        """No event takes more than one line of the terminal, and the table is whole."""
        status, text = run_on_terminal(columns, "--seconds", 0.7, "--workers", 2, env=environment)
        lines = ESCAPE.sub("", text).split("\n")
        begun = next(index for index, line in enumerate(lines) if not line)

        assert status == 0
        assert "\x1b[" in text
        copied = ("See for yourself", "The viewer stays at")  # whole, however wide
        assert all(len(line) <= columns for line in lines[begun:] if not line.startswith(copied))
        assert [line.split() for line in lines if line.startswith(" lost ")] == [["lost", "0", "0"]]
        assert any(line.startswith("Nothing is missing") for line in lines)

    @pytest.mark.whole
    def test_no_color(self, environment):
        """With NO_COLOR no escape sequence reaches the terminal."""
        env = {**environment, "NO_COLOR": "1"}
        status, text = run_on_terminal(80, "--seconds", 0.3, "--workers", 1, env=env)

        assert status == 0
        assert "\x1b" not in text
        assert "Nothing is missing" in text

    @pytest.mark.whole
    def test_an_encoding_that_cannot_write_all(self, environment):
        """An ASCII stdout gets every line, with all other characters escaped."""
        env = {**environment, "PYTHONIOENCODING": "ascii"}

        done = run("--seconds", 0.3, "--workers", 1, env=env)

        assert (done.returncode, done.stderr) == (0, "")
        assert "Nothing is missing" in done.stdout


class TestViewer:
    def test_it_is_there_while_the_demo_runs(self, environment):
        """A browser gets the page and the events of both logs; the viewer ends with its demo."""
        with running("--seconds", 60, "--workers", 1, env=environment) as demo:
            url = next(line.split()[1] for line in demo.stdout if line.startswith("  viewer"))
            (server,) = (pid for pid, command in children_of(demo.pid) if "demo.viewer" in command)

            page = urllib.request.urlopen(url, timeout=DEADLINE).read()
            wait_until(lambda: events_at(url, "telemetry") and events_at(url, "orchestrator"), "an event")
            demo.kill()
            wait_until(lambda: not pathlib.Path(f"/proc/{server}").exists(), "the viewer's end")

        assert b"<script" in page

    def test_without_the_extra(self, environment, tmp_path):
        """Without a server installed the demo names the package to install, and runs."""
        (tmp_path / "sitecustomize.py").write_text("import sys; sys.modules['uvicorn'] = None\n")
        env = {**environment, "PYTHONPATH": f"{tmp_path}:{ROOT}"}

        done = run("--seconds", 0.3, "--workers", 1, env=env)

        assert (done.returncode, done.stderr) == (0, "")
        assert "viewer        pip install 'chora_logging[web]'" in done.stdout


class TestLine:
    @pytest.mark.parametrize("width", [20, 60, 120, 10_000])
    @pytest.mark.parametrize(
        "event",
        [
            {"event": "\x1b[2J\x07[bold red]x[/]", "trace_id": "a\nb\r", "task_id": "\x9b31m", "run_id": 7},
            {"event_type": "日本語" * 30, "status": "error", "error_message": "\u202egnirts\u2066 :smile:"},
            {"timestamp": "\x1b]0;title\x07", "level": "\x1b[0m", "\x1b[1m": {"\x1b": "\u2028\ud800"}},
            {"timestamp": 5, "level": 20, "event": None, "trace_id": ["x"], "message": "\t\x00\x7f"},
            {"timestamp": "0001-01-01T00:00:00Z", "level": "", "event": ""},
            {},
        ],
        ids=["escapes", "wide and turned", "names and levels", "odd types", "empty", "nothing"],
    )
    def test_no_event_commands_the_terminal(self, event, width):
        """Any event is one line that fits and has no control character."""
        before = json.dumps(event)

        text = as_line(event, width).plain

        assert cell_len(text) <= width
        assert text.isprintable()
        assert json.dumps(event) == before

    def test_what_is_seen(self):
        """A line has the time, level, short trace id, name, ids, and the other fields with errors first."""
        event = {
            "timestamp": "2025-09-28T08:54:11.456336",
            "level": "ERROR",
            "logger": "orchestrator_events",
            "event": "job_failed",
            "task_id": "task-1",
            "run_id": "run-1",
            "trace_id": "0123456789abcdef",
            "message": "Event: job_failed",
            "why": "no idea",
            "error": "[red]gone",
        }

        assert as_line(event, 200, hidden=["why"]).plain == (
            "08:54:11.456 ERROR 01234567 job_failed                 task-1 run-1 error=[red]gone"
        )
        assert as_line(event, 60).plain == '08:54:11 E 01234567 job_failed task-1 run-1 [red]gone why="…'


class TestDamage:
    def test_a_killed_worker_is_told(self, environment, tmp_path):
        """When a worker is killed, its report is missing, the result says so, and the status is 1."""
        folder = tmp_path / "logs"
        with running("--seconds", 1, "--workers", 2, "--dir", folder, "--json", env=environment) as process:
            wait_until((folder / LOGS["orchestrator"]).exists, "the first event")
            victim = next(pid for pid, command in workers_in(folder).items() if "'w2'" in command)
            os.kill(victim, signal.SIGKILL)
            output, errors = process.communicate(timeout=DEADLINE)
        result = json.loads(output)

        assert (process.returncode, errors) == (1, "")
        assert result["ok"] is False
        assert "worker w2 was killed by SIGKILL" in result["problems"]

    @pytest.mark.whole
    def test_a_line_that_nobody_wrote_is_told(self, environment, tmp_path):
        """A line that another program adds to a log is found, and the screen reports it."""
        folder = tmp_path / "logs"
        with running("--seconds", 1, "--workers", 1, "--dir", folder, env=environment) as process:
            wait_until((folder / LOGS["orchestrator"]).exists, "the first event")
            with open(folder / LOGS["orchestrator"], "ab") as file:
                file.write(b"this is no event\n")
            output, errors = process.communicate(timeout=DEADLINE)

        assert (process.returncode, errors) == (1, "")
        assert "orchestrator: 1 torn lines" in output
        assert "The logs are not whole." in output
        assert "Nothing is missing" not in output

    @pytest.mark.whole
    def test_workers_that_cannot_write_are_told(self, environment, tmp_path):
        """When no worker can write, the demo ends immediately with the reason, without a traceback."""
        folder = tmp_path / "logs"
        folder.mkdir()
        (folder / "pages").write_text("in the way")

        done = run("--workers", 1, "--dir", folder, env=environment)

        assert done.returncode == 1
        assert "worker w1 exited with status 1: " in done.stdout
        assert "no worker wrote anything" in done.stdout
        assert "Traceback" not in done.stdout + done.stderr
        assert "Traceback" in (folder / "worker-w1.stderr").read_text()

    def test_stopped_before_the_first_event(self):
        """Ctrl-C before the first event is not a failure; a whole run without an event is one."""
        empty = {log: Account(name, {}, 0) for log, name in LOGS.items()}

        assert Summary("", 0.0, 4, True, Report(), empty).problems == []
        assert Summary("", 5.0, 4, False, Report(), empty).problems == ["no worker wrote anything"]

    def test_the_folder_is_not_obeyed(self, capsys):
        """The name of the folder is shown with its control characters escaped."""
        Summary("\x1b[2Jhere", 5.0, 4, False, Report(), {}).print(open_console())

        assert "See for yourself: \\x1b[2Jhere\n" in capsys.readouterr().out


class TestAccount:
    @pytest.fixture
    def log(self, tmp_path):
        """A log of two files, ten events of one writer in order, and its lines."""
        lines = [json.dumps({"writer": "w1", "seq": number, "trace_id": "t"}) + "\n" for number in range(10)]
        (tmp_path / "x.log.1").write_text("".join(lines[:4]))
        (tmp_path / "x.log").write_text("".join(lines[4:]))
        return tmp_path / "x.log", lines

    def test_a_whole_log(self, log):
        """A log that holds what was written has no differences."""
        account = take_account(str(log[0]), {"w1": 10}, seen=10)

        assert account.differences() == []
        assert (account.found, account.rotations, account.traces["t"]) == (10, 1, 10)

    @pytest.mark.parametrize(
        ("change", "seen", "differences"),
        [
            (lambda lines: lines[:-1], 9, ["1 lost"]),
            (lambda lines: [*lines, lines[-1]], 11, ["1 doubled"]),
            (lambda lines: [lines[1], lines[0], *lines[2:]], 10, ["1 out of order"]),
            (lambda lines: [*lines, '{"writer": "w2", "seq": 0}\n'], 11, ["1 unexpected"]),
            (lambda lines: [*lines, '{"writer": "w1", "seq": 10}\n'], 11, ["1 unexpected"]),
            (lambda lines: [*lines, '{"seq": tr'], 10, ["1 torn lines"]),
            (lambda lines: [*lines[:-1], lines[-1].strip()], 9, ["1 lost", "1 torn lines"]),
            (lambda lines: [*lines[:2], lines[2][:9], *lines[3:]], 8, ["2 lost", "1 torn lines"]),
            (lambda lines: [*lines, "[]\n", "\n"], 10, ["2 torn lines"]),
            (
                lambda lines: [*lines[:-1], lines[-1].replace("}", ', "asked_by": "?token=demo-secret-1"}')],
                10,
                ["1 lines with a secret"],
            ),
            (lambda lines: lines, 8, ["2 not seen live"]),
        ],
        ids=[
            "lost",
            "doubled",
            "swapped",
            "unknown writer",
            "unknown number",
            "half a line",
            "no newline",
            "run together",
            "no objects",
            "a secret",
            "not followed",
        ],
    )
    def test_every_difference_is_found(self, log, change, seen, differences):
        """Each kind of damage is counted under its own name."""
        path, lines = log
        path.write_text("".join(change(lines[4:])))

        assert take_account(str(path), {"w1": 10}, seen).differences() == differences

    def test_a_log_that_is_not_there(self, tmp_path):
        """All events of a log without files are lost."""
        assert take_account(str(tmp_path / "x.log"), {"w1": 3}, seen=0).differences() == ["3 lost"]


class TestEnds:
    def test_ctrl_c_ends_early_and_still_checks(self, environment, tmp_path):
        """Ctrl-C lets the workers finish, checks the events so far, and exits with the shell's status 130."""
        folder = tmp_path / "logs"
        with running("--seconds", 20, "--workers", 2, "--dir", folder, "--json", env=environment) as process:
            wait_until((folder / f"{LOGS['telemetry']}.1").exists, "a rotation")
            process.send_signal(signal.SIGINT)
            output, errors = process.communicate(timeout=DEADLINE)
        result = json.loads(output)

        assert (process.returncode, errors) == (130, "")
        assert (result["ok"], result["interrupted"]) == (True, True)
        assert result["seconds"] < 15
        assert_whole(folder, result)
        assert workers_in(folder) == {}

    @pytest.mark.whole
    def test_ctrl_c_is_not_for_the_workers(self, environment, tmp_path):
        """A worker does not react to SIGINT: Ctrl-C may come while it is being started."""
        folder = tmp_path / "logs"
        with running("--seconds", 2, "--workers", 2, "--dir", folder, "--json", env=environment) as process:
            wait_until(lambda: len(workers_in(folder)) == 2, "the start of two workers")
            for worker in workers_in(folder):
                os.kill(worker, signal.SIGINT)
            output, errors = process.communicate(timeout=DEADLINE)

        assert (process.returncode, errors) == (0, "")
        assert json.loads(output)["problems"] == []

    @pytest.mark.whole
    def test_a_second_ctrl_c_ends_at_once(self, environment, tmp_path):
        """A second Ctrl-C ends the demo without waiting for a worker that hangs."""
        folder = tmp_path / "logs"
        with running("--seconds", 600, "--workers", 1, "--dir", folder, env=environment) as process:
            wait_until((folder / LOGS["telemetry"]).exists, "the first event")
            seen = []  # a proofreader that is just being started looks like its worker for a moment
            wait_until(lambda: seen.append([*workers_in(folder)]) or len(seen[-1]) == 1, "the worker alone")
            (worker,) = seen[-1]
            os.kill(worker, signal.SIGSTOP)
            before = pipes_of(process.pid)
            process.send_signal(signal.SIGINT)
            wait_until(lambda: pipes_of(process.pid) < before, "the closing of the worker's stdin")
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=DEADLINE)

        assert process.returncode == 130
        assert "Traceback" not in errors
        assert workers_in(folder) == {}

    @pytest.mark.whole
    def test_a_closed_pipe_ends_quietly(self, environment, tmp_path):
        """When the pipe is closed (`| head`), the demo ends without a message and stops its workers."""
        folder = tmp_path / "logs"
        with running("--seconds", 600, "--workers", 1, "--dir", folder, env=environment) as process:
            assert process.stdout.readline().startswith("chora-logging demo")
            process.stdout.close()
            errors = process.stderr.read()
            status = process.wait(DEADLINE)

        assert (status, errors) == (141, "")
        assert workers_in(folder) == {}

    def test_workers_do_not_outlive_a_killed_demo(self, environment, tmp_path):
        """The workers of a killed demo end by themselves."""
        folder = tmp_path / "logs"
        with running("--seconds", 600, "--workers", 2, "--dir", folder, env=environment) as process:
            wait_until(lambda: len(workers_in(folder)) == 2, "the start of the workers")
            process.kill()
            process.wait(DEADLINE)

            wait_until(lambda: not workers_in(folder), "the end of the workers")


class TestUse:
    def test_help(self, environment):
        """The help is this text."""
        done = run("--help", env={**environment, "COLUMNS": "80"})

        assert done.stdout == HELP
        assert (done.returncode, done.stderr) == (0, "")

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--seconds", "0"], "Invalid value for '--seconds': must be from 0.1 to 3600, got 0"),
            (["--seconds", "nan"], "Invalid value for '--seconds': must be from 0.1 to 3600, got nan"),
            (["--seconds", "soon"], "Invalid value for '--seconds'"),
            (["--workers", "0"], "Invalid value for '--workers'"),
            (["--workers", "65"], "Invalid value for '--workers'"),
            (["--dir", "/dev/null/x"], "Invalid value for '--dir': /dev/null/x: Not a directory"),
            (["--dir", "/etc/passwd"], "Invalid value for '--dir'"),
            (["--colour"], "No such option"),
            (["more"], "unexpected extra argument"),
        ],
        ids=lambda value: " ".join(value) if isinstance(value, list) else "",
    )
    def test_wrong_use(self, arguments, message, environment):
        """A wrong option is named with what is allowed, with status 2, and nothing is started."""
        done = run(*arguments, env=environment)

        assert done.returncode == 2
        assert message in done.stderr
        assert done.stdout == ""
        assert "Traceback" not in done.stderr
        assert list(pathlib.Path(environment["TMPDIR"]).iterdir()) == []

    @pytest.mark.parametrize("package", ["click", "rich"])
    def test_without_the_extra(self, package, environment):
        """Without the extra `cli` one line names the extra to install, with status 2."""
        program = (
            f"import sys; sys.modules[{package!r}] = None; import chora_logging.cli as c; sys.exit(c.main())"
        )

        done = run("demo", env=environment, command=[sys.executable, "-c", program])

        assert done.returncode == 2
        assert done.stdout == ""
        assert done.stderr == f"chora-logging: {package} is not installed: pip install 'chora_logging[cli]'\n"

    @pytest.mark.whole
    def test_what_lies_in_the_working_directory(self, environment, tmp_path):
        """Workers import from the same path as the demo, not files of the user with the same names."""
        for name in ("logging", "json", "string", "pydantic"):
            (tmp_path / f"{name}.py").write_text("raise SystemExit('the wrong one')")
        program = (
            f"import sys; sys.path[0] = {str(ROOT)!r}; from chora_logging.cli import main; sys.exit(main())"
        )

        command = [sys.executable, "-c", program]
        env = {name: value for name, value in environment.items() if name != "PYTHONPATH"}
        done = run("demo", "--seconds", 0.3, "--workers", 1, env=env, command=command, cwd=tmp_path)

        assert (done.returncode, done.stderr) == (0, "")
        assert "Nothing is missing" in done.stdout

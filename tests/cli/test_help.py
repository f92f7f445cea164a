"""The text of `--help`: it fits a terminal, and every example in it runs."""

from __future__ import annotations

import contextlib
import http.client
import os
import pty
import re
import shlex
import signal
import subprocess
import sys

import pytest
from rich.cells import cell_len

from chora_logging.cli import main
from chora_logging.cli.commands import COMMANDS, commands
from tests.cli.running import DEADLINE, environment
from tests.needs import need

WRITER = """
from chora_logging.context import trace_context
from chora_logging.orchestrator import log_orchestrator_event as log, setup_orchestrator_logging
from chora_logging.telemetry import ContentGeneratedEvent, emit_event

setup_orchestrator_logging()
with trace_context("4bf92f3577b34da6a3ce929d0e0e4736"):
    log("task_started", "build", "r1", status="running")
    emit_event(ContentGeneratedEvent(
        content_config_id="page", generator_type="template", duration_ms=3, status="error"))
    log("job_failed", "build", "r1", level="ERROR", status="failed", duration_ms=5)
with trace_context():
    log("job_completed", "build", "r2", status="completed", duration_ms=7)
    log("task_started", "deploy", "r3", status="running")
"""


def examples_of(name):
    """The lines below "Example:" or "Examples:" in a command's help, without comments.

    A line whose quotation mark is open goes on in the next one.
    """
    context = commands.make_context("chora-logging", [name], resilient_parsing=True)
    text = (commands.get_command(context, name) or commands).help or ""
    _, _, after = text.partition("Example")
    found = [""]
    for line in map(str.strip, after.split("\n\n")[0].splitlines()[1:]):
        if found[-1].count('"') % 2:
            found[-1] += f"\n{line}"
        elif line and not line.startswith("#"):
            found.append(line)
    return found[1:]


def is_endless(line):
    """Whether it runs until Ctrl-C, or for seconds, such as those in which it waits for servers."""
    words = line.split()
    return (
        words[1] in ("serve", "ship", "audit")
        or (words[1] == "demo" and "--json" not in words)
        or "-f" in words
    )


#: The line that a server prints when it listens.
ADDRESS = re.compile(rb'http://\S+?:(\d+)/["\r]')

#: The tests of the demo run it too.
LONG = examples_of("demo")
EXAMPLES = [line for name in COMMANDS for line in examples_of(name)]
PLAIN = [line for line in EXAMPLES if line.startswith("chora-logging ") and not set("|>$") & set(line)]
ENDLESS = [line for line in EXAMPLES if line.startswith("chora-logging ") and is_endless(line)]
IN_A_SHELL = [line for line in EXAMPLES if line not in PLAIN and line not in ENDLESS]


def long_marked(lines):
    """The lines as parameters; the long ones are for whole runs."""
    return [pytest.param(line, marks=[pytest.mark.whole] if line in LONG else []) for line in lines]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A folder where a program has logged events of both kinds."""
    folder = tmp_path_factory.mktemp("examples")
    subprocess.run(
        [sys.executable, "-c", WRITER], cwd=folder, env=environment(), check=True, timeout=DEADLINE
    )
    (folder / "token").write_text("0123456789abcdef0123456789abcdef\n")
    program = folder / "bin" / "chora-logging"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m chora_logging "$@"\n')
    program.chmod(0o755)
    return folder


def shell(line, folder, **options):
    """Start a line in a shell, in a session of its own as on a terminal."""
    path = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
    env = environment(PATH=path, COLUMNS="80", TMPDIR=str(folder))
    return subprocess.Popen(
        ["bash", "-c", line], cwd=folder, env=env, start_new_session=True, stdin=subprocess.DEVNULL, **options
    )


def status_of(port):
    """The status with which the server on a port responds."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)
    with contextlib.closing(connection):
        connection.request("GET", "/api/v1/orchestrator/events?limit=1")
        return connection.getresponse().status


class TestText:
    @pytest.mark.parametrize("name", ["", *COMMANDS])
    def test_it_fits_a_terminal(self, call, name):
        """No line is wider than 80 columns, and every option says what it does."""
        status, output, errors = call(*filter(None, [name]), "--help")

        assert (status, errors) == (0, "")
        assert [line for line in output.splitlines() if cell_len(line) > 80] == []

    @pytest.mark.parametrize("name", COMMANDS)
    def test_it_has_an_example(self, name):
        """Every command has an example of its use."""
        assert any(
            line.startswith("chora-logging " + name) or f"({name}" in line or f" {name} " in line
            for line in examples_of(name)
        )

    def test_the_list_of_commands(self, call):
        """The help of the program has every command with its summary."""
        output = " ".join(call("--help")[1].split())

        for name, (_, summary) in COMMANDS.items():
            assert f" {name} {summary}" in output

    @pytest.mark.parametrize("name", COMMANDS)
    def test_every_option_is_explained(self, name):
        """Every option of every command has a help text."""
        context = commands.make_context("chora-logging", [name], resilient_parsing=True)
        command = commands.get_command(context, name)

        silent = [
            param.name for param in command.params if param.param_type_name == "option" and not param.help
        ]
        assert silent == []


class TestExamples:
    @pytest.mark.parametrize("line", long_marked(line for line in PLAIN if line not in ENDLESS))
    def test_plain_ones(self, written, monkeypatch, capsys, line):
        """It ends with status 0 if a program has logged something, and prints something."""
        monkeypatch.chdir(written)
        status = main(shlex.split(line)[1:])
        output, errors = capsys.readouterr()

        assert status == 0, errors
        assert output or errors

    @pytest.mark.parametrize("line", IN_A_SHELL)
    def test_those_for_a_shell(self, written, line):
        """It ends with status 0, together with the programs in its pipeline."""
        for program in {"jq", "curl"} & set(line.split()):
            need(program)
        process = shell(f"set -o pipefail; {line}", written, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        _, errors = process.communicate(timeout=DEADLINE)

        assert (process.returncode, errors) == (0, b"")

    @pytest.mark.parametrize("line", long_marked(ENDLESS))
    def test_those_that_go_on(self, written, line):
        """It shows something, and ends at Ctrl-C without an error."""
        if " serve" in line:
            line += " --port 0"  # tests run side by side, and the port may be in use
        master, slave = pty.openpty()
        process = shell(line, written, stdout=slave, stderr=slave)
        os.close(slave)
        try:
            shown = os.read(master, 65536)
            if " serve" in line:
                while not (address := ADDRESS.search(shown)):
                    shown += os.read(master, 65536)
                assert status_of(int(address[1])) in (200, 401, 404)
            os.killpg(process.pid, signal.SIGINT)
            with contextlib.suppress(OSError):  # Linux says EIO when the other side is closed
                while part := os.read(master, 65536):
                    shown += part
            status = process.wait(DEADLINE)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            os.close(master)

        assert status in (0, 128 + signal.SIGINT, -signal.SIGINT)
        assert shown
        assert b"Traceback" not in shown


def test_all_examples_are_run():
    """Each example of each command is run by one of the tests above."""
    assert len(EXAMPLES) >= 2 * len(COMMANDS)
    assert set(EXAMPLES) == {*PLAIN, *ENDLESS, *IN_A_SHELL}

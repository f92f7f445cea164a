"""The ends of commands: their statuses and error messages, and no tracebacks."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.cli.calling import HOSTILE, assert_tame, write_events
from tests.cli.running import COMMAND, DEADLINE, Terminal, environment

EXTRA = "Got unexpected extra argument"

EVENT = {"timestamp": "2026-03-01T12:00:00Z", "event": "tick", "trace_id": "t"}

#: The texts that can come from a command line: no NUL, and a byte beyond UTF-8 for the surrogate.
TYPED = [text.replace("\0", "").replace("\ud800", "\udcff") for text in HOSTILE]

#: Every command that prints and ends by itself, and the help.
PRINTING = (
    ("tail", "--log", "app.log"),
    ("query", "--log", "app.log"),
    ("query", "--log", "app.log", "--json"),
    ("query", "--log", "app.log", "--format", "csv"),
    ("stats", "--log", "app.log"),
    ("sql", "FROM events", "--log", "app.log"),
    ("check", "--log", "app.log"),
    ("trace", "t", "--log", "app.log"),
    ("config",),
    ("completion", "bash"),
    ("--help",),
    ("tail", "--help"),
)


@pytest.fixture
def folder(tmp_path):
    """A folder with a log."""
    write_events(tmp_path / "app.log", EVENT)
    return tmp_path


def ended(folder, *arguments, stdout, **more):
    """Run a command as a process of its own: its status, and its stderr."""
    done = subprocess.run(
        [*COMMAND, *arguments],
        cwd=folder,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        timeout=DEADLINE,
        **more,
    )
    return done.returncode, done.stderr


class TestErrors:
    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (["query", "--limit", "0"], "chora-logging query: Invalid value for '--limit': 0 is not in"),
            (["trace"], "chora-logging trace: Missing argument 'ID'."),
            (
                ["completion"],
                "chora-logging completion: Missing argument '{bash|zsh|fish}'. Choose from: bash,",
            ),
            (
                ["stats", "--sinse", "1h"],
                "chora-logging stats: No such option --sinse. Did you mean --since?\n",
            ),
            (
                ["tail", "--task_id", "7"],
                "chora-logging tail: No such option --task_id. Did you mean --task-id?",
            ),
            (
                ["query", "--user", "7"],
                "chora-logging query: No such option --user. If it is a field: --where u",
            ),
            (
                ["check", "--xyz"],
                "chora-logging check: No such option --xyz. See chora-logging check --help.\n",
            ),
            (["nope"], "chora-logging: No such command 'nope'. The commands are demo, tail, query, "),
            (["tial"], "chora-logging: No such command 'tial'. Did you mean 'tail'? The commands are demo, "),
            (["tail", "no.log"], "chora-logging tail: Invalid value for 'FILE': no.log does not exist, and"),
            (["check", "a*.log"], "chora-logging check: Invalid value for 'FILE': no file matches a*.log\n"),
            (["check", "-"], "chora-logging check: the files of a log are checked, and stdin is a pipe\n"),
            (["query", "-", "-"], "chora-logging query: stdin can be read only once: give - once\n"),
            (["stats", "run_id=7"], f"chora-logging stats: {EXTRA} (run_id=7). Did you mean --run-id 7?\n"),
            (["query", "user=7"], f"chora-logging query: {EXTRA} (user=7). Did you mean --where user=7?\n"),
            (["serve", "a.log"], f"chora-logging serve: {EXTRA} (a.log). Did you mean --log NAME=a.log?\n"),
            (["serve", "a=a.log"], f"chora-logging serve: {EXTRA} (a=a.log). Did you mean --log a=a.log?\n"),
            (["config", "\x1b[31mred"], "chora-logging config: Got unexpected extra argument (\\x1b[31mred)"),
        ],
        ids=lambda value: ascii(" ".join(value)) if isinstance(value, list) else "",
    )
    def test_wrong_use(self, call, arguments, said):
        """The error is one line on stderr that begins with the command, and the status is 2."""
        status, output, errors = call(*arguments)

        assert (status, output) == (2, "")
        assert errors.startswith(said)
        assert errors.count("\n") == 1

    @pytest.mark.parametrize("text", TYPED)
    def test_what_was_typed_is_not_obeyed(self, folder, call, monkeypatch, text):
        """No control character of an argument reaches the terminal, whatever the error is."""
        log = folder / "app.log"
        for arguments in (
            [text],
            [f"--{text}"],
            ["config", text],
            ["query", "--log", text],
            ["query", "--log", log, "--event", text],
            ["query", "--log", log, "--where", text],
            ["query", "--log", log, "--since", text],
            ["query", "--log", log, "--to", f"{text}/x.csv"],
            ["query", "--log", log, f"--{text}"],
            ["query", f"--log={log}", f"--limit={text}"],
            ["trace", text, "--log", log],
            ["sql", text, "--log", log],
            ["sql", f"SELECT '{text}'::INT", "--log", log],
            ["serve", "--host", text],
        ):
            screen = Terminal()
            with monkeypatch.context() as patch:
                patch.setattr(sys, "stderr", screen)
                status, _, _ = call(*arguments)
            assert status in (1, 2)
            assert screen.text
            assert_tame(screen.text)

    def test_without_a_command(self, call):
        """The program alone prints its help."""
        _, output, errors = call()

        assert "Commands:" in output + errors

    def test_a_full_disk(self, folder):
        """A failed write is reported in the words of the system."""
        with open("/dev/full", "w", encoding="utf-8") as full:
            assert ended(folder, "query", "--log", "app.log", stdout=full) == (
                1,
                "chora-logging: No space left on device\n",
            )


class TestStdout:
    @pytest.mark.parametrize("arguments", PRINTING, ids=" ".join)
    def test_a_closed_pipe(self, folder, arguments):
        """A command whose pipe is closed ends quietly, with the status that a shell gives to SIGPIPE."""
        reading, writing = os.pipe()
        os.close(reading)
        with open(writing, "w", encoding="utf-8") as pipe:
            assert ended(folder, *arguments, stdout=pipe) == (141, "")

    @pytest.mark.parametrize("arguments", [PRINTING[0], PRINTING[2], PRINTING[-1]], ids=" ".join)
    def test_none(self, folder, arguments):
        """Without any stdout a command runs as usual, and prints nothing."""
        assert ended(folder, *arguments, stdout=None, preexec_fn=lambda: os.close(1)) == (0, "")


def test_statuses_are_told(call):
    """The help lists the exit statuses."""
    assert "Status:\n    0  done\n    1  nothing found" in call("--help")[1]

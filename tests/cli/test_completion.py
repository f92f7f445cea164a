"""Shell completion, requested as a shell requests it; bash itself is run."""

from __future__ import annotations

import os
import pathlib
import shlex
import subprocess
import sys

import pytest

from chora_logging.cli.commands import COMMANDS
from chora_logging.schema import LEVELS
from tests.cli.calling import write_events

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
DEADLINE = 60

#: Completes the words after `complete_this` as bash does on TAB, one answer a line.
ASK = """
eval "$(chora-logging completion bash)"
shopt -s progcomp
complete_this() {
    COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}; COMPREPLY=()
    local setup; setup=$(complete -p chora-logging) || exit 3
    [[ $setup =~ -F\\ ([^ ]+) ]] || exit 4
    compopt() { printf 'compopt %s %s\\n' "$@"; }
    "${BASH_REMATCH[1]}" chora-logging "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
    (( ${#COMPREPLY[@]} )) && printf '%s\\n' "${COMPREPLY[@]}"
}
complete_this """


@pytest.fixture
def environment(tmp_path):
    """Variables with which `chora-logging` is this package, whatever is installed."""
    program = tmp_path / "bin" / "chora-logging"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m chora_logging "$@"\n')
    program.chmod(0o755)
    path = f"{program.parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error"}


def completed_in_bash(environment, *words):
    """The completions of bash after these words."""
    script = ASK + shlex.join(["chora-logging", *words])
    done = subprocess.run(
        ["bash", "--norc", "--noprofile", "-c", script],
        env=environment,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
    )
    assert done.stderr == ""
    return done.stdout.split("\n")[:-1]


class TestBash:
    def test_commands(self, environment):
        """After the name of the program come all commands, in the order of the help."""
        assert completed_in_bash(environment, "") == list(COMMANDS)

    def test_the_beginning_of_a_command(self, environment):
        """The beginning of a command is completed."""
        assert completed_in_bash(environment, "co") == ["config", "completion"]

    def test_options(self, environment):
        """After a command come its options, although it is imported only when it is called."""
        assert completed_in_bash(environment, "stats", "--s") == ["--status", "--since", "--sum"]

    def test_values(self, environment):
        """An option with fixed values offers them."""
        assert completed_in_bash(environment, "config", "--format", "") == ["json", "yaml", "toml"]

    @pytest.mark.whole
    def test_levels(self, environment):
        """The names of levels are completed, in the case in which they were begun."""
        assert completed_in_bash(environment, "tail", "--level", "") == [*LEVELS]
        assert completed_in_bash(environment, "tail", "--level", "W") == ["WARNING"]
        assert completed_in_bash(environment, "query", "--level", "e") == ["error"]

    def test_fields(self, environment, tmp_path):
        """Fields of the newest events are completed, those in objects and behind a comma too."""
        event = {"event": "made", "user": "anna", "http": {"status": 1}, "$(touch x)": 1, "-x": 1, "a b": 1}
        log = str(write_events(tmp_path / "app.log", event))

        fields = ["event", "http", "http.status", "user"]
        assert completed_in_bash(environment, "tail", log, "--fields", "") == fields
        assert completed_in_bash(environment, "query", "--log", log, "--by", "h") == ["http", "http.status"]
        assert completed_in_bash(environment, "query", log, "--hide", "http,u") == ["http,user"]
        assert completed_in_bash(environment, "stats", log, "--where", "us") == ["user="]
        assert completed_in_bash({**environment, "LOG_FILE": log}, "tail", "--fields", "us") == ["user"]

    @pytest.mark.whole
    def test_names_of_events(self, environment, tmp_path):
        """Names of events are completed, but nothing that a shell would run."""
        names = ("made", "$(touch x)", "mended", "m;id", "`id`", "-m")
        log = str(write_events(tmp_path / "app.log", *({"event": name} for name in names)))

        assert completed_in_bash(environment, "tail", log, "--event", "m") == ["made", "mended"]
        assert completed_in_bash(environment, "tail", "-", "--event", "m") == []
        assert completed_in_bash(environment, "tail", "no/such.log", "--event", "m") == []

    @pytest.mark.whole
    def test_files(self, environment):
        """An option that takes a path leaves it to the shell to complete it."""
        assert completed_in_bash(environment, "stats", "--log", "") == ["compopt -o default"]
        assert completed_in_bash(environment, "stats", "") == ["compopt -o default"]

    def test_nothing(self, environment):
        """A word without completions offers none, without a message."""
        assert completed_in_bash(environment, "nonsense") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
class TestEveryShell:
    def test_the_script(self, call, shell):
        """The script is printed alone, and asks this program by its variable."""
        status, output, errors = call("completion", shell)

        assert (status, errors) == (0, "")
        assert f"_CHORA_LOGGING_COMPLETE={shell}_complete" in output
        assert "chora-logging" in output

    def test_the_answer(self, environment, shell):
        """The program answers in the form that the script of the shell reads, and ends with status 0."""
        asked = {"COMP_WORDS": "chora-logging st", "COMP_CWORD": "st" if shell == "fish" else "1"}
        asked["_CHORA_LOGGING_COMPLETE"] = f"{shell}_complete"
        done = subprocess.run(
            ["chora-logging"], env={**environment, **asked}, capture_output=True, text=True, timeout=DEADLINE
        )

        assert (done.returncode, done.stderr) == (0, "")
        assert "stats" in done.stdout
        assert "tail" not in done.stdout


def test_listing_commands_imports_none(environment):
    """The commands are listed without importing one, so a missing extra does not matter."""
    program = (
        "import sys\n"
        "from chora_logging.cli import main\n"
        "try: main([])\n"
        "except SystemExit: pass\n"
        "print(sorted(name for name in sys.modules if name in {'rich', 'starlette', 'pydantic', 'msgspec'}\n"
        "  or name.startswith('chora_logging.cli.') and name[18:] not in {'commands', 'reader_end'}))\n"
    )
    asked = {"COMP_WORDS": "chora-logging ", "COMP_CWORD": "1", "_CHORA_LOGGING_COMPLETE": "bash_complete"}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**environment, **asked},
        capture_output=True,
        text=True,
        timeout=DEADLINE,
    )

    assert done.stderr == ""
    assert done.stdout.splitlines()[-1] == "[]"
    assert "plain,stats" in done.stdout


def test_an_unknown_shell(call):
    """An unknown shell is wrong use."""
    status, output, errors = call("completion", "tcsh")

    assert (status, output) == (2, "")
    assert "bash" in errors

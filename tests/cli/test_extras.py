"""The command line without what the extra `cli` installs."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from chora_logging.cli.commands import COMMANDS
from tests.cli.running import DEADLINE, environment

#: Calls every command in a process where a package is missing; prints how each ended.
PROGRAM = """
import contextlib, io, json, sys
sys.modules[sys.argv[1]] = None
from chora_logging.cli import main
for name in sys.argv[2:]:
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        status = main([name, "--help"])
    print(json.dumps([status, said.getvalue()]))
"""


def called_without(package):
    """The status and stderr of each command if *package* is not installed."""
    command = [sys.executable, "-c", PROGRAM, package, *COMMANDS]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=DEADLINE)
    assert (done.returncode, done.stderr) == (0, "")
    return dict(zip(COMMANDS, map(json.loads, done.stdout.splitlines()), strict=True))


@pytest.mark.parametrize("package", ["click", "rich"])
def test_the_extra_is_named(package):
    """Every command that needs the package names the extra to install, in one line, with status 2."""
    message = f"chora-logging: {package} is not installed: pip install 'chora_logging[cli]'\n"
    ended = called_without(package)
    needless = ["serve", "token", "lnav-format", "completion"] if package == "rich" else []

    assert {name: end for name, end in ended.items() if name not in needless} == {
        name: [2, message] for name in COMMANDS if name not in needless
    }
    assert all(ended[name] == [0, ""] for name in needless)


def test_serve_names_its_own():
    """The command that needs another extra names it."""
    assert called_without("starlette")["serve"] == [
        2,
        "chora-logging: starlette is not installed: pip install 'chora_logging[web]'\n",
    ]


def test_sql_names_its_own(tmp_path):
    """A query needs the extra `sql`, its help does not."""
    log = tmp_path / "app.log"
    log.write_text("{}\n")
    program = PROGRAM.replace('[name, "--help"]', '["sql", *name.split("|")]')
    command = [sys.executable, "-c", program, "duckdb", "--help", f"FROM events|{log}"]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=DEADLINE)

    missing = "chora-logging: duckdb is not installed: pip install 'chora_logging[sql]'\n"
    assert [json.loads(line) for line in done.stdout.splitlines()] == [[0, ""], [2, missing]]

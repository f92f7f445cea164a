"""The installation of the newest Pythons where it is not possible; `.ci/run` does it where it is."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from tests.checkout import ROOT


@pytest.fixture
def install(tmp_path):
    """Runs a copy of the program, which installs below itself, with certain programs on its PATH."""
    (tmp_path / "tests").mkdir()
    for name in ("pythons.py", "debian.py"):
        shutil.copy(ROOT / "tests" / name, tmp_path / "tests")
    programs = tmp_path / "programs"
    programs.mkdir()

    def run(**scripts):
        for name, text in scripts.items():
            (programs / name.replace("_", "-")).write_text(f"#!/bin/sh\n{text}\n")
            (programs / name.replace("_", "-")).chmod(0o755)
        return subprocess.run(
            [sys.executable, str(tmp_path / "tests" / "pythons.py")],
            env={**os.environ, "PATH": str(programs)},
            capture_output=True,
            text=True,
        )

    return run


def test_without_apt(install):
    """A system that is not Debian is told so, in a line, with status 1."""
    done = install()

    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.startswith("Python 3.14 and 3.15 cannot be installed here: ")
    assert len(done.stdout.splitlines()) == 1


def test_without_network(install, tmp_path):
    """The output of an apt that reaches no archive is the reason, and nothing is installed."""
    done = install(apt_get="echo http://debian.example/; echo E: no route >&2; exit 100")

    assert (done.returncode, done.stderr) == (1, "")
    assert "cannot be installed here: " in done.stdout
    assert not (tmp_path / ".venvs").exists()

"""The README's commands for installing the package into a project."""

from __future__ import annotations

import os
import shutil
import venv

import pytest

from tests.documents import README, ROOT
from tests.test_packaging import files_of, run, stated_version


@pytest.mark.whole
def test_a_wheel_with_extras(tmp_path):
    """The two commands build a wheel in a checkout, and install it with both extras."""
    source, project = tmp_path / "source", tmp_path / "project"
    for name in files_of():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, source / name)
    venv.create(project, with_pip=True)
    (block,) = (text for text in README.blocks("sh") if "pip wheel" in text)
    path = f"{project / 'bin'}:{os.environ['PATH']}"

    run("sh", "-ec", block, cwd=source, PATH=path)

    program = "chora-logging --version && python -c 'import chora_logging.web'"
    assert stated_version() in run("sh", "-ec", program, cwd=project, PATH=path).stdout
    assert [file.suffix for file in (source / "dist").iterdir()] == [".whl"]

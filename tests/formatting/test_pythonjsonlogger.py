"""python-json-logger's own formatter tests, run with our formatter."""

from __future__ import annotations

import importlib.metadata
import os
import pathlib
import re
import subprocess
import sys
import tarfile

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
CACHE = ROOT / ".venvs" / "sdists"
VERSION = importlib.metadata.version("python-json-logger")

#: Inserted before their first test: replaces their classes with ours, with their default for *fmt*.
REPLACEMENT = """
from chora_logging import EventFormatter


class Ours(EventFormatter):
    def __init__(self, fmt="%(message)s", *args, **kwargs):
        super().__init__(fmt, *args, **kwargs)


ALL_FORMATTERS = [Ours]
"""


def source_archive():
    """Return the source archive of the installed version, fetched once."""
    found = list(CACHE.glob(f"python_json_logger-{VERSION}.tar.gz"))
    if not found:
        CACHE.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        command += ["--no-binary", ":all:", "--dest", str(CACHE), f"python-json-logger=={VERSION}"]
        subprocess.run(command, check=True, timeout=110, capture_output=True)
        found = list(CACHE.glob(f"python_json_logger-{VERSION}.tar.gz"))
    return found[0]


@pytest.fixture
def their_tests(tmp_path):
    """Their test module with our class in it."""
    with tarfile.open(source_archive()) as archive:
        name = f"python_json_logger-{VERSION}/tests/test_formatters.py"
        source = archive.extractfile(name).read().decode()
    marker = "_LOGGER_COUNT = 0"
    assert source.count(marker) == 1, "their tests have changed: find the new place for our class"
    module = tmp_path / "test_formatters.py"
    module.write_text(source.replace(marker, REPLACEMENT + marker), encoding="utf-8")
    return module


def test_their_formatter_tests_pass_with_ours(their_tests):
    """Nothing fails, and only tests that they skip for old Pythons are skipped."""
    command = [sys.executable, "-m", "pytest", "-rs", "-p", "no:cacheprovider", str(their_tests)]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}

    result = subprocess.run(
        command, cwd=their_tests.parent, env=environment, capture_output=True, text=True, timeout=110
    )

    assert result.returncode == 0, result.stdout[-4000:] + result.stderr[-2000:]
    counts = {word: int(n) for n, word in re.findall(r"(\d+) (passed|skipped)", result.stdout)}
    assert counts["passed"] > 60
    skipped = [line for line in result.stdout.splitlines() if line.startswith("SKIPPED")]
    assert not skipped or sys.version_info < (3, 11)
    assert all("require Python 3.11 or higher" in line for line in skipped)

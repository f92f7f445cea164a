"""The standard library's own tests for `RotatingFileHandler`, run on our handler in its place."""

from __future__ import annotations

import re
import subprocess
import sys

from tests.needs import need

PROGRAM = """
import logging.handlers, unittest
from chora_logging.writing.handler import EventFileHandler
logging.handlers.RotatingFileHandler = EventFileHandler
unittest.main("test.test_logging", argv=["", "-v", "RotatingFileHandlerTest"])
"""


def results_of(program, folder):
    """Run a program of CPython's tests; return how each of them ended."""
    need("CPython's tests")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return dict(re.findall(r"^(test_\w+) .*\.\.\. (\w+)$", done.stderr, re.MULTILINE))


def test_standard_library(tmp_path):
    """Each of CPython's tests for the class passes with our handler in its place; none is skipped."""
    results = results_of(PROGRAM, tmp_path)

    assert {"test_should_rollover", "test_rollover_filenames", "test_namer_rotator_inheritance"} <= set(
        results
    )
    assert set(results.values()) == {"ok"}

"""The standard library's own tests for `RotatingFileHandler`, with ours in that class's place."""

from __future__ import annotations

import re
import subprocess
import sys

PROGRAM = """
import logging.handlers, unittest
from chora_logging.handler import EventFileHandler
logging.handlers.RotatingFileHandler = EventFileHandler
unittest.main("test.test_logging", argv=["", "-v", "RotatingFileHandlerTest"])
"""


def test_standard_library(tmp_path):
    """Each of CPython's tests for the class passes with our handler in its place; none is skipped."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    results = dict(re.findall(r"^(test_\w+) .*\.\.\. (\w+)$", done.stderr, re.MULTILINE))

    assert done.returncode == 0, done.stderr
    assert {"test_should_rollover", "test_rollover_filenames", "test_namer_rotator_inheritance"} <= set(
        results
    )
    assert set(results.values()) == {"ok"}

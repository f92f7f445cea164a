"""A Python without `fcntl`, as on Windows: the parts that work, and the errors of the others."""

from __future__ import annotations

import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent

#: Removes what Python does not have on Windows and the package might use.
ELSEWHERE = f"""
import os, sys
sys.path.insert(0, {str(ROOT)!r})
sys.modules["fcntl"] = sys.modules["resource"] = sys.modules["pwd"] = None
for name in ("sysconf", "register_at_fork", "fork", "fchmod", "fchown", "geteuid", "getegid", "getuid",
             "O_CLOEXEC", "O_TMPFILE", "O_NONBLOCK", "mkfifo"):
    if hasattr(os, name):
        delattr(os, name)
"""


def run(program):
    """Run a program in its own interpreter and return its output."""
    command = [sys.executable, "-c", ELSEWHERE + program]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "statement",
    [
        "import chora_logging; chora_logging.EventFileHandler",
        "from chora_logging.handler import EventFileHandler",
        "import chora_logging.telemetry",
    ],
)
def test_the_file_handler_says_that_it_is_unsupported(statement):
    """File handlers cannot be imported; the error names the supported systems and what works here."""
    printed = run(f"try:\n    {statement}\nexcept ImportError as error:\n    print(error)\n")

    assert "POSIX systems only" in printed
    assert "EventFormatter and TraceIdFilter work everywhere" in printed


def test_formatting_works_everywhere():
    """Formatter, filter, trace context and queue handler work with a console."""
    printed = run("""
import logging, queue
import chora_logging as c
handler = logging.StreamHandler(sys.stdout)
handler.setFormatter(c.EventFormatter())
handler.addFilter(c.TraceIdFilter())
logger = logging.getLogger("app")
logger.setLevel("INFO")
through = queue.Queue()
logger.addHandler(c.EventQueueHandler(through))
with c.trace_context("t"):
    logger.info("hello", extra={"task_id": 1})
handler.handle(through.get())
""")

    assert '"logger":"app","task_id":1,"trace_id":"t","message":"hello"}' in printed

"""Runs commands as processes of their own; a terminal for those called in this process."""

from __future__ import annotations

import contextlib
import io
import os
import pathlib
import select
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
COMMAND = [sys.executable, "-m", "chora_logging"]
DEADLINE = 60


class Terminal(io.TextIOWrapper):
    """A stdout that is a terminal, and records its output."""

    def __init__(self):
        super().__init__(io.BytesIO(), encoding="utf-8", newline="\n")

    def isatty(self):
        return True

    @property
    def text(self):
        self.flush()
        return self.buffer.getvalue().decode()


def environment(**more):
    """Variables for a process: this package, warnings as errors, and no preferences of this machine."""
    unwanted = ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE")
    kept = {name: value for name, value in os.environ.items() if name not in unwanted}
    return {**kept, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error", "TERM": "xterm-256color", **more}


class Running:
    """A running command."""

    def __init__(self, process):
        self.process = process
        self.output = b""

    def lines(self, count):
        """Wait until there are *count* lines on stdout, and return all so far."""
        file = self.process.stdout
        deadline = time.monotonic() + DEADLINE
        while self.output.count(b"\n") < count:
            assert time.monotonic() < deadline, self.output
            if select.select([file], [], [], 0.1)[0]:
                part = os.read(file.fileno(), 65536)
                assert part, (self.output, self.process.stderr.read())
                self.output += part
        return self.output[: self.output.rfind(b"\n") + 1].decode().splitlines()

    def end(self, number):
        """Send a signal, and return the status and stderr."""
        self.process.send_signal(number)
        errors = self.process.communicate(timeout=DEADLINE)[1]
        return self.process.returncode, errors.decode()


@contextlib.contextmanager
def running(*arguments, **options):
    """A command as a process, which is killed at the end unless the test has ended it."""
    options = {"env": environment(), "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    process = subprocess.Popen([*COMMAND, *map(str, arguments)], **options)
    try:
        yield Running(process)
    finally:
        process.kill()
        process.communicate()

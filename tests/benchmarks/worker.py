"""One writer in a process of its own: `python -m tests.benchmarks.worker '{"rival": "ours", …}'`.

Prints `ready` when the log is open, waits for a line on its input, writes, and prints its start and end
times, on the clock that all processes of the machine share.
"""

from __future__ import annotations

import json
import logging
import pathlib
import subprocess
import sys
import tempfile
import time
from typing import Any

from tests.benchmarks.rivals import RIVALS, Log

ROOT = pathlib.Path(__file__).resolve().parents[2]


def work(order: dict[str, Any]) -> dict[str, list[float]]:
    """Write the ordered events in pieces; return when the first one began and when each one ended."""
    log = Log(pathlib.Path(order["path"]), order["max_bytes"], order["backups"])
    loop = RIVALS[order["rival"]].open(log)
    loop(order["writer"], -order["warm_up"], 0)
    print("ready", flush=True)
    sys.stdin.readline()

    writer, piece = order["writer"], order["piece"]
    times = [time.monotonic()]
    for first in range(0, order["events"], piece):
        loop(writer, first, min(first + piece, order["events"]))
        times.append(time.monotonic())

    logging.shutdown()
    return {"times": times}


class Writer:
    """A started worker, seen from the benchmark."""

    def __init__(
        self, rival: str, log: Log, *, events: int, piece: int, writer: int = 0, warm_up: int = 0
    ) -> None:
        order = {
            "rival": rival,
            "path": str(log.path),
            "max_bytes": log.max_bytes,
            "backups": log.backups,
            "events": events,
            "piece": piece,
            "writer": writer,
            "warm_up": warm_up,
        }
        # A pipe that is not read would block a rival that prints many errors.
        self.errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed in `result`
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.benchmarks.worker", json.dumps(order)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
        )
        assert self.process.stdout is not None
        self.ready = self.process.stdout.readline().strip() == "ready"

    def go(self) -> None:
        """Let it write."""
        if self.ready:
            assert self.process.stdin is not None
            self.process.stdin.write("go\n")
            self.process.stdin.flush()

    def result(self) -> list[float]:
        """Return when it began, and when each piece ended.

        Raises:
            RuntimeError: it failed; the message has its error output.
        """
        out, _ = self.process.communicate(timeout=600)
        with self.errors:
            self.errors.seek(0)
            complaints = self.errors.read()
        if self.process.returncode or not self.ready:
            raise RuntimeError(f"a writer failed ({self.process.returncode}):\n{complaints}")
        times: list[float] = json.loads(out.splitlines()[-1])["times"]
        return times


if __name__ == "__main__":
    print(json.dumps(work(json.loads(sys.argv[1]))), flush=True)

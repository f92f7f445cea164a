"""Runs the viewer of the demo: `chora-logging serve` for its two logs, in a process of its own."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping

from chora_logging.cli.demo.crew import FOREIGN, interruptions_held, program

#: The packages of the extra `web`.
_NEEDED = ("prometheus_client", "starlette", "uvicorn")


class Viewer:
    """Serves *logs* to browsers on this machine, on a free port, until it is closed.

    Close it, or use it in a `with`. If the demo is killed, it ends by itself, since its stdin is closed.

    Args:
        logs: The file of each log.

    Attributes:
        url: Its address, once `place` has returned it; else empty.
    """

    def __init__(self, logs: Mapping[str, str]) -> None:
        self.url = ""
        self._process: subprocess.Popen[str] | None = None
        if not all(map(_is_installed, _NEEDED)):
            return
        environment = {name: value for name, value in os.environ.items() if name not in FOREIGN}
        with interruptions_held():
            self._process = subprocess.Popen(
                program("viewer.serve", *(f"{name}={path}" for name, path in logs.items())),
                env={**environment, "LOG_LEVEL": "WARNING"},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                start_new_session=True,
            )

    def place(self) -> str:
        """Wait until it is ready, and return its address, or else how to get the viewer."""
        if self._process is None or self._process.stdout is None:
            return "pip install 'chora_logging[web]'"
        self.url = next((line.strip() for line in self._process.stdout if line.startswith("http")), "")
        return self.url or "did not start; see chora-logging serve"

    def close(self) -> None:
        """End it; a second call does nothing."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()  # it has nothing to finish: the events are in the files
            process.communicate()

    def __enter__(self) -> Viewer:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def _is_installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ValueError:  # the import is blocked: None in sys.modules
        return False


def serve(*named: str) -> None:
    """Run the server; the body of the process."""
    from chora_logging.cli.serve import command

    threading.Thread(target=_end_with_demo, daemon=True).start()
    command([argument for log in named for argument in ("--log", log)] + ["--port", "0"])


def _end_with_demo() -> None:
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGKILL)

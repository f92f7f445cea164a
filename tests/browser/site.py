"""A real server on real logs, as `chora-logging serve` starts it, and loggers that write them."""

from __future__ import annotations

import logging
import pathlib
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import MutableMapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from chora_logging import EventFileHandler, EventFormatter

PROGRAM = """
import socket, sys
import uvicorn
path = sys.argv[1]
{code}
listening = socket.socket()
listening.bind(("127.0.0.1", 0))
listening.listen()
print(f"http://127.0.0.1:{{listening.getsockname()[1]}}{prefix}", flush=True)
uvicorn.Server(uvicorn.Config(app, log_level="warning")).run(sockets=[listening])
"""


class Site:
    """Two logs, and a server that can be killed and started again at the same address."""

    def __init__(self, folder: pathlib.Path, *, token: str | None = None, fields: Sequence[str] = ()) -> None:
        self.folder = folder
        self.fields = fields
        self.token = token
        self.url = ""
        self._server: subprocess.Popen[str] | None = None
        self._handlers: list[logging.Handler] = []
        self.port = 0

    def path(self, name: str) -> pathlib.Path:
        """The live file of a log."""
        return self.folder / f"{name}.jsonl"

    def logger(self, name: str = "orchestrator", **options: object) -> logging.Logger:
        """A logger that writes to a log; the options are those of the handler."""
        handler = EventFileHandler(self.path(name), **options)
        handler.setFormatter(EventFormatter())
        self._handlers.append(handler)
        logger = logging.Logger(f"{name}.{uuid.uuid4().hex[:6]}")
        logger.addHandler(handler)
        return logger

    def raw(self, line: str, name: str = "orchestrator") -> None:
        """Append a line as it is."""
        with self.path(name).open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    def start(self) -> None:
        """Start the server and wait until it listens."""
        with (self.folder / "server.err").open("a") as errors:
            self._server = subprocess.Popen(
                self.command(), stdout=subprocess.PIPE, stderr=errors, stdin=subprocess.DEVNULL, text=True
            )
        self.url = self._printed_url()
        self.port = urlsplit(self.url).port or 0

    def command(self) -> list[str]:
        """Return the command that starts the server, always at the same port."""
        command = [sys.executable, "-m", "chora_logging", "serve", "--port", str(self.port)]
        for name in ("orchestrator", "telemetry"):
            command += ["--log", f"{name}={self.path(name)}"]
        for field in self.fields:
            command += ["--field", field]
        if self.token:
            file = self.folder / "token"
            file.write_text(self.token)
            command += ["--token-file", str(file)]
        return command

    def _printed_url(self) -> str:
        assert self._server is not None
        assert self._server.stdout is not None
        for line in self._server.stdout:
            if line.startswith("http://"):
                # Nothing reads further; the little that the server still prints must not block it.
                threading.Thread(target=self._server.stdout.read, daemon=True).start()
                return line.strip()
        raise AssertionError((self.folder / "server.err").read_text())

    def send(self, number: signal.Signals) -> None:
        """Send the server a signal."""
        assert self._server is not None
        self._server.send_signal(number)

    def stop(self, how: signal.Signals = signal.SIGKILL) -> None:
        """End the server."""
        if self._server is None:
            return
        self._server.send_signal(how)
        self._server.wait(15)
        assert self._server.stdout is not None
        self._server.stdout.close()
        self._server = None

    def close(self) -> None:
        """End the server and close the logs."""
        self.stop()
        for handler in self._handlers:
            handler.close()


class Application(Site):
    """The logs in an application of one's own.

    Args:
        folder: Where the logs are.
        code: Makes `app` from `path`, the path of the orchestrator's log.
        prefix: The path of the viewer in it.
    """

    def __init__(self, folder: pathlib.Path, code: str, prefix: str = "/") -> None:
        super().__init__(folder)
        self._code = PROGRAM.format(code=code, prefix=prefix)

    def command(self) -> list[str]:
        """Return the command that starts the application."""
        return [sys.executable, "-c", self._code, str(self.path("orchestrator"))]


class RunLogger(logging.LoggerAdapter):
    """A logger whose events are all of one run."""

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """Add the run to the fields of an event."""
        return msg, {**kwargs, "extra": {**self.extra, **kwargs.get("extra", {})}}

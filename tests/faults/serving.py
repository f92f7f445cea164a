"""Real servers in processes of their own, and clients that misbehave."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import pathlib
import re
import signal
import socket
import struct
import subprocess
import sys
import time

import chora_logging
from tests.needs import SO_ATTACH_FILTER

ROOT = pathlib.Path(chora_logging.__file__).parent.parent
PATIENCE = 60.0
APP = "tests.faults.server_app:app"
STREAM = "/api/v1/orchestrator/events/stream"

UVICORN = ["-m", "uvicorn", APP, "--port", "0"]
GUNICORN = ["-m", "gunicorn", APP, "--bind", "127.0.0.1:0", "--worker-class", "uvicorn_worker.UvicornWorker"]
SERVE = ["-m", "chora_logging", "serve", "--port", "0", "--log", "orchestrator={log}"]


class Server:
    """A server process, from when it listens until it has ended.

    Args:
        command: The arguments of Python.
        log: The log that it serves.
        folder: The working directory.
        port: The port at which it listens; None if it chooses one, and prints it.
        limits: The limits of the application.
    """

    def __init__(self, command, log, folder, port=None, **limits):
        self._port = port
        self._said = folder / "server.txt"
        env = {**os.environ, "PYTHONPATH": str(ROOT), "LOG": str(log), "LIMITS": json.dumps(limits)}
        env["HOME"] = str(folder)
        env.pop("XDG_RUNTIME_DIR", None)  # gunicorn keeps a socket there
        with self._said.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, *(part.format(log=log) for part in command)],
                cwd=folder,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def said(self):
        """Its output so far."""
        return self._said.read_text(errors="replace")

    @property
    def port(self):
        """The port that it chose; None until it has printed it."""
        if self._port is not None:
            return self._port
        found = re.search(r"http://127\.0\.0\.1:(\d+)", self.said)
        return found and int(found[1])

    @property
    def worker(self):
        """The id of the process that answers: its own, or that of its one child."""
        children = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return int(children.split()[0]) if children.split() else self.process.pid

    def descriptors(self):
        """The number of sockets that the answering process has open."""
        folder = f"/proc/{self.worker}/fd"
        found = 0
        for name in os.listdir(folder):
            with contextlib.suppress(FileNotFoundError):
                found += os.readlink(f"{folder}/{name}").startswith("socket:")
        return found

    def memory(self):
        """The resident memory of the answering process, in bytes."""
        text = pathlib.Path(f"/proc/{self.worker}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", text)[1]) * 1024

    def wait_until_quiet(self):
        """Return when it only polls its log: everything that could be sent has been sent."""
        while self.ticks_in(0.5) > 10:
            pass

    def ticks_in(self, seconds):
        """Its processor time during so many seconds, in hundredths of a second."""
        before = self.ticks()
        time.sleep(seconds)
        return self.ticks() - before

    def ticks(self):
        """Its processor time so far, in hundredths of a second."""
        stat = pathlib.Path(f"/proc/{self.worker}/stat").read_text()
        fields = stat.rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])

    def stop(self):
        """Stop it with SIGTERM; return how long that took, in seconds."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(PATIENCE)
        return time.monotonic() - began

    def __enter__(self):
        try:
            wait_for(lambda: self.process.poll() is not None or is_listening(self.port))
            assert self.process.poll() is None, self.said
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


class Client:
    """A raw connection that has requested a stream."""

    def __init__(self, port, path=STREAM, *headers, buffer=None):
        self.socket = socket.socket()
        if buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        self.socket.settimeout(PATIENCE)
        head = [f"GET {path} HTTP/1.1", "Host: localhost", *headers, "", ""]
        try:
            self.socket.connect(("127.0.0.1", port))
            self.socket.sendall("\r\n".join(head).encode())
        except OSError:
            self.socket.close()
            raise
        self.got = bytearray()

    def read_until(self, text):
        """Read until *text* has arrived."""
        searched = 0
        while self.got.find(text, searched) < 0:
            searched = max(0, len(self.got) - len(text))
            data = self.socket.recv(65536)
            assert data, "the stream has ended"
            self.got += data
        return self

    def read_to_end(self):
        """Read until the server has ended the connection."""
        with contextlib.suppress(ConnectionError):
            while data := self.socket.recv(65536):
                self.got += data
        return self.got

    def reset(self):
        """Reset the connection."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.socket.close()

    def vanish(self):
        """Act as a machine that has lost its power: ignore what arrives, and send nothing."""
        self._drop_all = ctypes.create_string_buffer(struct.pack("HBBI", 6, 0, 0, 0))  # return 0 bytes
        program = struct.pack("HL", 1, ctypes.addressof(self._drop_all))
        self.socket.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)

    def close(self):
        """Close the connection."""
        self.socket.close()


def wait_for(condition, patience=PATIENCE):
    """Return when *condition* is true."""
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, "it did not come to be"
        time.sleep(0.02)


def is_listening(port):
    """Whether connections are accepted: uvicorn does so a moment after it reports its start."""
    if port is None:
        return False
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0

"""The example of many machines: it proves that nothing is missing, and leaves nothing running."""

from __future__ import annotations

import os
import pathlib
import re
import signal
import subprocess
import sys

import pytest

from tests.jetstream.servers import wait_for

EXAMPLES = pathlib.Path(__file__).parents[2] / "examples"
COMMAND = [sys.executable, str(EXAMPLES / "many_machines.py")]

#: The longest run on a busy machine, in seconds.
PATIENCE = 300.0


def environment(program):
    return {**os.environ, "NATS_SERVER": str(program), "PYTHONPATH": str(EXAMPLES.parent)}


def left(folder):
    """The command lines of processes that have to do with a folder, or with the servers that listen in it."""
    ports = {
        port for path in folder.rglob("n?.conf") for port in re.findall(r'listen: "(\S+)"', path.read_text())
    }
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            text = path.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
        except OSError:
            continue
        if any(part in text for part in (str(folder), *ports)):
            found.append(text)
    return found


@pytest.mark.whole
@pytest.mark.timeout(PATIENCE + 60)
def test_nothing_is_missing(server_program, tmp_path):
    """The leader and a shipper are killed, and each event is there once; the viewer's address is printed."""
    done = subprocess.run(
        [*COMMAND, str(tmp_path)],
        env=environment(server_program),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )

    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert re.fullmatch(r"The viewer: http://127\.0\.0\.1:\d+/", lines[2])
    assert [line for line in lines if line.startswith("Killed")] == [lines[3], "Killed the shipper of m1"]
    assert lines[-1] == "Nothing is missing: 3,600 events of 3 machines, each once and in order."
    assert left(tmp_path) == []


@pytest.mark.whole
@pytest.mark.timeout(PATIENCE + 60)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted(newest_program, tmp_path, number):
    """Ctrl-C ends everything that it has started, without a traceback."""
    output = tmp_path / "output"
    with output.open("w") as file:
        process = subprocess.Popen(
            [*COMMAND, str(tmp_path)],
            env=environment(newest_program),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    wait_for(lambda: "The viewer" in output.read_text() or process.poll() is not None, patience=PATIENCE)
    wait_for(lambda: len(left(tmp_path)) > 10 or process.poll() is not None, patience=PATIENCE)
    process.send_signal(number)

    assert process.wait(PATIENCE) == 128 + signal.SIGINT
    assert "Traceback" not in output.read_text()
    assert left(tmp_path) == []


def test_an_old_server_is_refused(old_program, tmp_path):
    """A server that may store events twice is refused in one sentence."""
    done = subprocess.run(
        [*COMMAND, str(tmp_path)], env=environment(old_program), capture_output=True, text=True
    )

    assert done.returncode == 1
    assert re.fullmatch(r"\S+ is nats-server: v2\.\S+: version 2\.10 or later is needed\n", done.stderr)
    assert list(tmp_path.iterdir()) == []


def test_no_server(tmp_path):
    """Without a server the sentence says how to name one."""
    done = subprocess.run(
        [*COMMAND, str(tmp_path)], env=environment("/nowhere/nats-server"), capture_output=True, text=True
    )

    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "set NATS_SERVER to its path" in done.stderr

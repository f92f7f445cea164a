"""Other code of the process closes or reuses the log's descriptor, or has closed the standard streams."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

#: Makes `log(number)` for one of the ways to write; `closed` is a descriptor's number to be used again.
PROGRAM = """
import logging, os, sys
from chora_logging import BufferedEventFileHandler, EventFileHandler, EventFormatter

way = sys.argv[1]
if way == "emitter":
    from chora_logging.telemetry import ContentGeneratedEvent, EventEmitter
    emitter = EventEmitter("app.log")
    def log(number):
        emitter.emit(ContentGeneratedEvent(content_config_id="c", generator_type="g", status="success",
                                           duration_ms=number))
else:
    kind = BufferedEventFileHandler if way == "buffered" else EventFileHandler
    handler = kind("app.log", fsync=way == "fsync")
    handler.setFormatter(EventFormatter())
    logger = logging.getLogger("app")
    logger.addHandler(handler)
    logger.setLevel("INFO")
    def log(number):
        logger.info("line", extra={"duration_ms": number})
        handler.flush()
"""
WAYS = ["plain", "fsync", "buffered", "emitter"]
PURE = pytest.mark.parametrize("pure", ["", "1"], ids=["compiled", "pure"])


def run(tmp_path, program, way, pure, reports=0):
    """Run the program, which has lost its descriptor so many times; return its lines, and their numbers."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM + program, way],
        cwd=tmp_path,
        env={**os.environ, "CHORA_LOGGING_PURE": pure},
        capture_output=True,
        text=True,
        timeout=60,
    )
    events = [json.loads(line) for line in (tmp_path / "app.log").read_text().splitlines()]
    found = [event for event in events if event.get("event") == "descriptor_lost"]
    if way == "emitter":  # its log has only typed events
        found = done.stderr.splitlines()
        assert all(line.startswith("other code of this process has closed") for line in found)
    else:
        assert done.stderr == ""
    assert (done.returncode, len(found)) == (0, reports)
    return [event["duration_ms"] for event in events if "duration_ms" in event]


@PURE
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("records", [1, 3])
def test_all_closed_and_used_again(tmp_path, way, pure, records):
    """A daemoniser closes every descriptor, and a file of the program gets the number of the log's."""
    program = f"""
for number in range({records}):
    log(number)
os.closerange(3, 256)
others = [os.open(f"other-{{number}}", os.O_RDWR | os.O_CREAT) for number in range(10)]
for number in range({records}, {records} + 3):
    log(number)
for fd in others:
    os.write(fd, b"mine")  # none was closed
"""
    assert run(tmp_path, program, way, pure, reports=1) == list(range(records + 3))
    assert [(tmp_path / f"other-{number}").read_bytes() for number in range(10)] == [b"mine"] * 10


@PURE
@pytest.mark.parametrize("way", WAYS)
def test_all_closed(tmp_path, way, pure):
    """The numbers are not used again."""
    program = "log(0)\nos.closerange(3, 256)\nlog(1)\nlog(2)\n"

    assert run(tmp_path, program, way, pure, reports=1) == [0, 1, 2]


@PURE
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("position", ["os.SEEK_SET", "os.SEEK_END"])
def test_the_log_itself_was_opened_under_the_number(tmp_path, way, pure, position):
    """A reader of the log has the number: it can not be written, and it is not closed."""
    program = f"""
log(0)
os.closerange(3, 256)
others = [os.open("app.log", os.O_RDONLY) for number in range(10)]
for fd in others:
    os.lseek(fd, 0, {position})
log(1)
log(2)
for fd in others:
    os.close(fd)
"""
    assert run(tmp_path, program, way, pure, reports=1) == [0, 1, 2]


@PURE
def test_two_logs_exchange_their_numbers(tmp_path, pure):
    """After all were closed, a log is opened under the number that another one of the same size had."""
    program = """
second = EventFileHandler("second.log")
second.setFormatter(handler.formatter)
other = logging.getLogger("second")
other.addHandler(second)
for number in range(3):
    log(number)
    other.warning("line")
os.truncate("second.log", os.path.getsize("app.log"))
os.closerange(3, 256)
other.warning("line")
log(3)
"""
    assert run(tmp_path, program, "plain", pure, reports=1) == [0, 1, 2, 3]
    assert b"duration_ms" not in (tmp_path / "second.log").read_bytes()


@PURE
@pytest.mark.parametrize("way", WAYS)
def test_without_standard_streams(tmp_path, way, pure):
    """What a program prints to a closed stdout or stderr does not stand in the log."""
    program = """
log(0)
for fd in (0, 1, 2):
    try:
        os.write(fd, b"stray")
    except OSError:
        pass
for number in range(1, 200):
    log(number)
"""
    closing = 'exec "$@" <&- >&- 2>&-'
    command = ["bash", "-c", closing, "bash", sys.executable, "-c", PROGRAM + program, way]
    done = subprocess.run(command, cwd=tmp_path, env={**os.environ, "CHORA_LOGGING_PURE": pure}, timeout=60)

    assert done.returncode == 0
    lines = (tmp_path / "app.log").read_text().splitlines()
    assert [json.loads(line)["duration_ms"] for line in lines] == list(range(200))


@PURE
@pytest.mark.parametrize("way", ["plain", "fsync", "buffered"])
@pytest.mark.parametrize("mode", ["a", "w"])
def test_opened_again(tmp_path, way, pure, mode):
    """What gunicorn does at SIGUSR1: closed, and opened again as the standard library's handlers are."""
    program = f"""
handler.mode = {mode!r}
log(0)
handler.close()
os.rename("app.log", "app.log-moved")
handler.stream = handler._open()
for number in range(1, 4):
    log(number)
print(handler._log.is_closed, file=open("closed", "w"))
if way == "buffered":
    logger.info("line", extra={{"duration_ms": 4}})
    import time
    deadline = time.monotonic() + 20
    while b'"duration_ms":4' not in open("app.log", "rb").read():
        assert time.monotonic() < deadline, "its thread has not been started again"
        time.sleep(0.01)
"""
    assert run(tmp_path, program, way, pure) == list(range(1, 5 if way == "buffered" else 4))
    assert (tmp_path / "closed").read_text() == "False\n"

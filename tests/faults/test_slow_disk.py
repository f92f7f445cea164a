"""A disk that has become slow delays the thread that writes, and no other."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.needs import need

#: Replaces `write` in a process: some lines wait, and some wait for another thread.
SHIM = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static void pause_for(long nanoseconds) {
    struct timespec time = {0, nanoseconds};
    nanosleep(&time, NULL);
}

ssize_t write(int fd, const void *bytes, size_t length) {
    if (length > 4 && memmem(bytes, length, "slow line", 9) != NULL)
        pause_for(300000000);
    if (length > 4 && memmem(bytes, length, "line that asks", 14) != NULL) {
        close(open("asked", O_CREAT | O_WRONLY, 0600));
        for (int i = 0; i < 20000 && access("answered", F_OK) != 0; i++)
            pause_for(1000000);
    }
    return syscall(SYS_write, fd, bytes, length);
}
"""

PROGRAM = """
import logging, os, pathlib, threading, time
from chora_logging import EventFileHandler, EventFormatter

handler = EventFileHandler("app.log")
handler.setFormatter(EventFormatter())
logger = logging.getLogger("app")
logger.addHandler(handler)
logger.setLevel("INFO")
answered = []

def answer():
    deadline = time.monotonic() + 10
    while not os.path.exists("asked") and time.monotonic() < deadline:
        time.sleep(0.001)
    answered.append(os.path.getsize("app.log"))
    pathlib.Path("answered").touch()

for _ in range(4):
    logger.info("an ordinary line")
thread = threading.Thread(target=answer)
thread.start()
logger.info("a slow line")
logger.info("a line that asks")
thread.join()
print(os.path.getsize("app.log") > answered[0])
"""


@pytest.mark.parametrize("pure", ["", "1"], ids=["compiled", "pure"])
def test_others_run_while_a_line_waits(tmp_path, pure):
    """After a slow line another thread can do the work that the next line waits for."""
    need("a C compiler")
    (tmp_path / "shim.c").write_text(SHIM)
    shim = tmp_path / "shim.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", shim, tmp_path / "shim.c"], check=True)
    environment = {**os.environ, "LD_PRELOAD": str(shim), "CHORA_LOGGING_PURE": pure}

    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert (done.stdout, done.stderr) == ("True\n", "")
    lines = (tmp_path / "app.log").read_text().splitlines()
    assert [line.split('"message":')[1] for line in lines[-2:]] == ['"a slow line"}', '"a line that asks"}']

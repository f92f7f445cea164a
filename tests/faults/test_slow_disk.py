"""A disk that has become slow delays the thread that writes, and no other."""

from __future__ import annotations

import pytest

from tests.faults.shims import run_shimmed

#: Replaces `write` in a process: some lines wait, and some wait for another thread.
SHIM = r"""
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


PURE = pytest.mark.parametrize("pure", ["", "1"], ids=["compiled", "pure"])


@PURE
def test_others_run_while_a_line_waits(tmp_path, pure):
    """After a slow line another thread can do the work that the next line waits for."""
    done = run_shimmed(tmp_path, SHIM, PROGRAM, CHORA_LOGGING_PURE=pure)

    assert (done.stdout, done.stderr) == ("True\n", "")
    lines = (tmp_path / "app.log").read_text().splitlines()
    assert [line.split('"message":')[1] for line in lines[-2:]] == ['"a slow line"}', '"a line that asks"}']


#: A line that stalls stands in `write` until another thread has looked at the clock often enough.
STALL = r"""
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

ssize_t write(int fd, const void *bytes, size_t length) {
    if (length > 4 && memmem(bytes, length, "stalled", 7) != NULL) {
        struct timespec millisecond = {0, 1000000};
        close(open("stalled", O_CREAT | O_WRONLY, 0600));
        for (int i = 0; i < 20000 && access("ticked", F_OK) != 0; i++)
            nanosleep(&millisecond, NULL);
        close(open(access("ticked", F_OK) == 0 ? "free" : "stood still", O_CREAT | O_WRONLY, 0600));
    }
    return syscall(SYS_write, fd, bytes, length);
}
"""

#: The other thread is the one that ticks; it must run in the middle of the stall, the first of all.
TICKING = """
import logging, os, pathlib, sys, threading, time
from chora_logging import BufferedEventFileHandler, EventFileHandler, EventFormatter

way = sys.argv[1]
if way == "emitter":
    from chora_logging.telemetry import ContentGeneratedEvent, EventEmitter
    emitter = EventEmitter("app.log")
    def log(text):
        emitter.emit(ContentGeneratedEvent(content_config_id=text, generator_type="g", status="success",
                                           duration_ms=1))
else:
    handler = (BufferedEventFileHandler if way == "buffered" else EventFileHandler)("app.log")
    handler.setFormatter(EventFormatter())
    logger = logging.getLogger("app")
    logger.addHandler(handler)
    logger.setLevel("INFO")
    def log(text):
        logger.info(text)
        handler.flush()

def tick():
    while not os.path.exists("stalled"):
        time.sleep(0.001)
    for _ in range(10):  # each needs the interpreter
        time.sleep(0.001)
    pathlib.Path("ticked").touch()

for _ in range(4):
    log("ordinary")
thread = threading.Thread(target=tick)
thread.start()
for _ in range(20):
    log("ordinary")
log("stalled")
thread.join()
"""


@PURE
@pytest.mark.parametrize("way", ["plain", "buffered", "emitter"])
def test_no_other_thread_stands_still(tmp_path, way, pure):
    """A thread that does not log runs in the middle of the first `write` that stalls."""
    done = run_shimmed(tmp_path, STALL, TICKING, way, CHORA_LOGGING_PURE=pure)

    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "free").exists()
    assert not (tmp_path / "stood still").exists()
    assert (tmp_path / "app.log").read_text().count("\n") == 25

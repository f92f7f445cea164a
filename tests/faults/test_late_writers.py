"""A program that keeps the log open for ever, as `nohup` and systemd's `append:` do, beside our rotation."""

from __future__ import annotations

import subprocess
import time

import pytest

from chora_logging.eventlog import EventLog
from chora_logging.eventlog.following import Follower
from tests.faults.test_readers_logrotate import Record
from tests.faults.writer import logger_on, write

LINES, ROTATIONS = 400, 12
DEADLINE = 60
#: Writes lines to a log that it opens once; ends when it has written all.
SHELL = """
for number in $(seq 0 {last}); do
    echo '{{"writer": "shell", "seq": '$number'}}'
    if [ $((number % 5)) = 0 ]; then sleep 0.01; fi
done >> {log}
"""


@pytest.mark.parametrize("begins", ["from the beginning", "at the end"])
def test_a_shell_that_keeps_its_descriptor(tmp_path, begins):
    """What a shell adds to rotated files reaches each follower once, and is a gap for who resumes."""
    log = tmp_path / "app.log"
    logger = logger_on(log, maxBytes=10**9, backupCount=ROTATIONS + 1)
    write(logger, "ours", 1)
    count = 1
    followed, resumed = Record(), Record()
    resumed.take(EventLog(log).read())
    with Follower(str(log), after="end" if begins == "at the end" else None) as follower:
        shell = subprocess.Popen(["bash", "-c", SHELL.format(last=LINES - 1, log=log)])
        deadline = time.monotonic() + DEADLINE

        def is_done():
            return len(followed.seen["shell"]) == LINES and followed.seen["ours"][-1:] == [count - 1]

        while not is_done():
            assert time.monotonic() < deadline, (followed.seen, followed.gaps)
            followed.take(follower.poll_items() or [])
            if not followed.seen["shell"]:
                continue
            if count < 20 * ROTATIONS:
                write(logger, "ours", count + 1, first=count)
                count += 1
                if not count % 20:
                    logger.handlers[0].doRollover()
                    resumed.take(EventLog(log).read(after=resumed.cursor))
    assert shell.wait() == 0
    write(logger, "ours", count + 1, first=count)
    resumed.take(EventLog(log).read(after=resumed.cursor))

    stored = [event["seq"] for event in EventLog(log).read() if event["writer"] == "shell"]
    assert stored == list(range(LINES))
    assert followed.seen["shell"] == stored
    assert followed.seen["ours"] == list(range(begins == "at the end", count))
    assert followed.gaps == 0
    assert resumed.seen["ours"] == list(range(count + 1))
    assert (len(resumed.seen["shell"]) < LINES) == (resumed.gaps > 0)

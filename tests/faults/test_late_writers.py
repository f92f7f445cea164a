"""A program that keeps the log open for ever, as `nohup` and systemd's `append:` do, beside our rotation."""

from __future__ import annotations

import os
import subprocess
import time

import pytest

from chora_logging.eventlog import EventLog
from chora_logging.eventlog.following import Follower
from chora_logging.writing import compression
from tests.accounting import files_of
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


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("begins", ["from the beginning", "at the end"])
def test_a_shell_that_keeps_its_descriptor(tmp_path, begins, compress):
    """What a shell adds to rotated files reaches each follower once, and is a gap for who resumes."""
    log = tmp_path / "app.log"
    logger = logger_on(log, maxBytes=10**9, backupCount=ROTATIONS + 1, compress=compress)
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
    assert followed.gaps == []
    assert resumed.seen["ours"] == list(range(count + 1))
    assert (len(resumed.seen["shell"]) < LINES) == bool(resumed.gaps)


def test_a_backup_is_compressed_when_nobody_writes_to_it_any_more(tmp_path):
    """A backup that a process has open for writing stays plain, and what it adds is kept."""
    log = tmp_path / "app.log"
    logger = logger_on(log, maxBytes=10**9, backupCount=9, compress=True)
    write(logger, "ours", 1)
    command = f'exec 3>>{log}; echo; while read -r line; do echo "$line" >&3; echo; done'
    with subprocess.Popen(["bash", "-c", command], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as shell:
        assert shell.stdout.readline()  # it has opened the log
        for number in range(3):
            write(logger, "ours", number + 2, first=number + 1)
            logger.handlers[0].doRollover()
            logger.handlers[0].close()
            shell.stdin.write(b'{"writer": "shell", "seq": %d}\n' % number)
            shell.stdin.flush()
            assert shell.stdout.readline()
        names = [path.name for path in files_of(log)]
        shell.stdin.close()
    write(logger, "ours", 5, first=4)
    logger.handlers[0].doRollover()
    logger.handlers[0].close()

    assert names == ["app.log.3", "app.log.2.gz", "app.log.1.gz", "app.log"]
    assert {path.suffix for path in files_of(log)[:-1]} == {".gz"}
    events = [(event["writer"], event["seq"]) for event in EventLog(log).read()]
    assert sorted(events) == [("ours", seq) for seq in range(5)] + [("shell", seq) for seq in range(3)]


@pytest.mark.parametrize(
    "script", ["exec 3>>{0}; echo; read -r; echo '{1}' >&3", "echo '{1}' >>{0}; echo; read -r"]
)
def test_a_backup_that_changes_while_it_is_compressed(tmp_path, monkeypatch, script):
    """A backup that somebody opens for writing, or writes to, meanwhile stays until the next rotation."""
    log = tmp_path / "app.log"
    logger = logger_on(log, maxBytes=10**9, backupCount=9)
    write(logger, "ours", 1)
    logger.handlers[0].doRollover()
    write(logger, "ours", 2, first=1)
    command = script.format(f"{log}.1", '{"writer": "shell", "seq": 0}')
    shells = []

    def synced(fd):
        if not shells:  # the compressed file is written
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
            shells.append(subprocess.Popen(["bash", "-c", command], **pipes))
            assert shells[0].stdout.readline()

    monkeypatch.setattr(os, "fsync", synced)
    compression.compress_backups(str(log), 9, str)
    names = sorted(path.name for path in tmp_path.iterdir())
    with shells[0]:
        shells[0].stdin.close()
    compression.compress_backups(str(log), 9, str)

    assert names == [".app.log.lock", "app.log", "app.log.1"]
    assert [path.name for path in files_of(log)] == ["app.log.1.gz", "app.log"]
    assert [event["writer"] for event in EventLog(log).read()] == ["ours", "shell", "ours"]

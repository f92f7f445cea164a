"""`chora-logging check` while a log is written, rotated and packed, and its writers are killed: no damage."""

from __future__ import annotations

import contextlib
import itertools
import logging
import multiprocessing
import os
import random
import signal

import pytest

from chora_logging.cli.check.verdict import judge
from chora_logging.cli.logs import Log
from chora_logging.formatting.formatter import EventFormatter
from chora_logging.writing.handler import EventFileHandler
from tests.soaks import soak

#: How many checks are made, and after how many of them each writer is killed.
CHECKS, KILL_AFTER = soak(400), 5


def write(log, compress, keep):
    handler = EventFileHandler(log, maxBytes=5_000, backupCount=keep, compress=compress)
    handler.setFormatter(EventFormatter())
    for number in itertools.count():
        handler.handle(logging.makeLogRecord({"msg": "x" * 50, "writer": os.getpid(), "n": number}))
        if number % 1000 == 999:
            handler.close()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("compress", [False, True])
def test_nothing_is_missing(tmp_path, compress):
    """Only what a writer that was killed has left half is damage; no file is missing."""
    log = str(tmp_path / "app.log")
    context = multiprocessing.get_context("fork")
    with contextlib.ExitStack() as ends:
        writers = []

        def start():
            writer = context.Process(target=write, args=(log, compress, random.choice([2, 3])), daemon=True)
            writer.start()
            ends.callback(writer.join)
            ends.callback(writer.kill)
            return writer

        writers += [start(), start()]
        for number in range(CHECKS):
            verdict = judge(Log("app", log), 10, is_expected=False)
            missing = [problem for problem in verdict.problems if problem.kind in ("missing", "unreadable")]
            assert missing == []
            if number % KILL_AFTER == 0:
                killed = random.choice(writers)
                os.kill(killed.pid, signal.SIGKILL)
                writers[writers.index(killed)] = start()

"""A writer is killed at each step of a rotation; the next record of any writer completes it."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time

import pytest

from chora_logging import log_files
from tests.accounting import assert_exact, events_of, files_of
from tests.faults.test_interrupted_compression import answer_of, counted_calls
from tests.faults.writer import logger_on, write

FREQUENT = {"maxBytes": 30_000, "backupCount": 100_000}
OPTIONS = {"maxBytes": 1_500, "backupCount": 4}
STEPS = ("rename", "replace", "link", "unlink", "pwrite", "open", "stat", "fchmod", "close")


def run(log, fatal):
    """Fill a log and all its backups in a forked process, which dies at a call of the rotation after that.

    *fatal* is the number of that call among those in `STEPS`. Return how many there are; None if it died.
    """

    def fill_and_rotate():
        logger = logger_on(log, **OPTIONS)
        write(logger, "killed", 40, size=100)
        return counted_calls(fatal, logger.handlers[0].doRollover, [(os, name) for name in STEPS])

    return answer_of(fill_and_rotate)


def numbers_of(log):
    """The numbers of the events in the log and its backups, oldest first."""
    return [event["seq"] for event in events_of(log) if event.get("writer") == "killed"]


@pytest.fixture(scope="module")
def steps(tmp_path_factory):
    """The number of calls in one whole rotation."""
    return run(tmp_path_factory.mktemp("whole") / "events.log", 0)


@pytest.mark.parametrize(
    ("open_before", "limits"),
    [(False, {}), (True, {}), (False, {"backupCount": 50, "maxTotalBytes": 7_500})],
    ids=["new writer", "writer that had it open", "limit of all files"],
)
def test_every_step(tmp_path, monkeypatch, steps, open_before, limits):
    """Killed before call 1, 2, 3 …: the next record completes the rotation, and no event is missing."""
    monkeypatch.setitem(globals(), "OPTIONS", {**OPTIONS, **limits})
    assert steps > 15
    for fatal in range(1, steps + 1):
        folder = tmp_path / str(fatal)
        log = folder / "events.log"
        witness = None
        if open_before:
            witness = logger_on(log, **OPTIONS)
            write(witness, "witness", 1)
        assert run(log, fatal) is None
        before = numbers_of(log)

        write(witness or logger_on(log, **OPTIONS), "next", 1)

        after = numbers_of(log)
        state = log_files.read_sidecar(str(log))
        assert after == list(range(after[0], 40)), f"call {fatal}"
        assert after[-1] == before[-1] == 39, f"call {fatal}"
        assert state is not None and not state.under_way, f"call {fatal}"
        assert [path.name for path in files_of(log)] == [
            *(f"events.log.{number}" for number in (4, 3, 2, 1)),
            "events.log",
        ], f"call {fatal}"
        assert [name for name in os.listdir(folder) if name.startswith(".")] == [".events.log.lock"]


def test_sidecar_is_deleted(tmp_path, steps):
    """At whichever step it is killed, and the sidecar deleted then: nothing is missing, rotation goes on.

    Without a sidecar a rotation that has ended, and was not one by size, may have been that of another tool.
    """
    for fatal in range(1, steps + 1):
        log = tmp_path / str(fatal) / "events.log"
        assert run(log, fatal) is None
        before = numbers_of(log)
        (log.parent / ".events.log.lock").unlink(missing_ok=True)
        logger = logger_on(log, maxBytes=1_500, backupCount=1000)
        write(logger, "next", 40, size=100)

        assert numbers_of(log) == before == list(range(before[0], 40)), f"call {fatal}"
        failed = [event for event in events_of(log) if event.get("event") == "rotation_failed"]
        has_ended = fatal > steps - 2
        assert len(failed) == has_ended, f"call {fatal}"
        assert (len(files_of(log)) > 8) is not has_ended, f"call {fatal}"
        assert [name for name in os.listdir(log.parent) if name.startswith(".")] == [".events.log.lock"]


def test_generation_counts_rotations(tmp_path, steps):
    """At whichever step a rotation is killed, the generation grows by one for each rotated file."""
    for fatal in range(1, steps + 1, 3):
        log = tmp_path / str(fatal) / "events.log"
        run(log, fatal)
        logger = logger_on(log, maxBytes=1_500, backupCount=1000)
        write(logger, "next", 60, size=100)

        state = log_files.read_sidecar(str(log))
        assert state is not None
        newest = [event["seq"] for event in events_of(log) if event["writer"] == "next"]
        assert newest == list(range(60))
        assert state.generation >= 4 + 60 * 100 // 1_500


def forked_writer(log, number):
    """Start a process that writes until it is killed; return its id and a pipe of its acknowledgements."""
    here, there = os.pipe()
    pid = os.fork()
    if not pid:
        os.dup2(there, 1)
        write(logger_on(log, **FREQUENT), number, 10**9, size=number * 37, acknowledge=True)
    os.close(there)
    return pid, os.fdopen(here, "rb")


def test_random_kills(tmp_path):
    """40 writers are killed at random moments: every acknowledged event is there, no line is torn."""
    log = tmp_path / "events.log"
    acknowledged = {}
    for number in range(40):
        pid, acknowledgements = forked_writer(log, number)
        with acknowledgements:
            assert acknowledgements.readline() == b"0\n"
            time.sleep(random.uniform(0, 0.05))
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            acknowledged[str(number)] = max(map(int, acknowledgements.read().splitlines()), default=0)
    write(logger_on(log, **FREQUENT), "last", 1)

    written = {}
    for event in events_of(log):
        written.setdefault(str(event["writer"]), []).append(event["seq"])
    for writer, last in acknowledged.items():
        assert written[writer][: last + 1] == list(range(last + 1)), f"writer {writer}"
    assert_exact(log, {writer: len(seen) for writer, seen in written.items()})


@pytest.mark.parametrize("way", ["copytruncate", "copy", "create"])
def test_another_tool_in_between(tmp_path, steps, way):
    """Killed before call 1, 2, 3 …, then logrotate rotates: what it made stays, no event is missing."""
    for fatal in range(1, steps + 1):
        log = tmp_path / str(fatal) / "events.log"
        assert run(log, fatal) is None
        before = numbers_of(log)
        for number in range(9, 0, -1):
            if os.path.exists(f"{log}.{number}"):
                os.rename(f"{log}.{number}", f"{log}.{number + 1}")
        if not os.path.exists(log):  # logrotate finds nothing to rotate
            continue
        if way == "create":
            os.rename(log, f"{log}.1")
        else:
            shutil.copyfile(log, f"{log}.1")
        if way == "copytruncate":
            os.truncate(log, 0)
        theirs = os.stat(f"{log}.1").st_ino
        write(logger_on(log, **OPTIONS), "next", 1)

        assert theirs in [os.stat(path).st_ino for path in log.parent.iterdir()], f"call {fatal}"
        found = sorted(set(numbers_of(log)))
        assert found == list(range(found[0], 40)), f"call {fatal}"
        # Our rotation may have been completed, and keeps its number of backups, by their numbers.
        assert found[0] <= before[0] + (12 if way == "create" else 6), f"call {fatal}"

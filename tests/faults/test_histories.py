"""Random histories of one log: writers start, stop, rotate and are killed, and others change its files.

After each step the files hold exactly the events of the model, in order.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import warnings
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.accounting import bytes_of, files_of
from tests.faults.test_interrupted_compression import die_at
from tests.faults.writer import logger_on

SIZES = (0, 250, 600, "1kB")
MAX_WRITERS = 3
MEDDLING = (
    "move_away",
    "delete",
    "truncate",
    "replace",
    "remove_folder",
    "harm_sidecar",
    "leave_half_a_line",
    "block",
)


class Histories(RuleBasedStateMachine):
    """The model: the events that the log's files must hold, and the open writers."""

    @initialize()
    def begin(self):
        """An empty folder and one writer."""
        self.folder = Path(tempfile.mkdtemp())
        self.log = self.folder / "log" / "events.log"
        self.expected = []
        self.writers = []
        self.number = self.moved = 0
        self.blocked = False
        self.open(250, False, False, False)

    @rule(size=st.sampled_from(SIZES), compress=st.booleans(), fsync=st.booleans(), delay=st.booleans())
    def open(self, size, compress, fsync, delay):
        """One more writer with settings of its own."""
        if len(self.writers) == MAX_WRITERS:
            self.writers.pop(0).handlers[0].close()
        self.writers.append(
            logger_on(
                self.log, maxBytes=size, backupCount=10_000, compress=compress, fsync=fsync, delay=delay
            )
        )

    @precondition(lambda self: self.writers)
    @rule(which=st.integers(0, MAX_WRITERS - 1))
    def close(self, which):
        """A writer that was closed still writes late records."""
        self.writer(which).handlers[0].close()

    @precondition(lambda self: self.writers)
    @rule(
        which=st.integers(0, MAX_WRITERS - 1), count=st.integers(1, 9), size=st.sampled_from([0, 300, 2000])
    )
    def write(self, which, count, size):
        """Some records."""
        for _ in range(count):
            self.expected.append(self.number)
            self.log_one(self.writer(which), self.number, size)
            self.number += 1
        self.settle()

    @precondition(lambda self: self.writers)
    @rule(which=st.integers(0, MAX_WRITERS - 1))
    def rotate(self, which):
        """A rotation by hand."""
        self.writer(which).handlers[0].doRollover()
        self.settle()

    @precondition(lambda self: self.writers)
    @rule(which=st.integers(0, MAX_WRITERS - 1), count=st.integers(1, 9), fatal=st.integers(1, 60))
    def kill(self, which, count, fatal):
        """A forked child writes until it is killed: its finished events are there, and at most one more."""
        acknowledged = self.folder / "acknowledged"
        acknowledged.write_bytes(b"")
        logger, first = self.writer(which), self.number

        def work():
            for number in range(first, first + count):
                self.log_one(logger, number, 0)
                with open(acknowledged, "ab", buffering=0) as file:
                    file.write(b"x")

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # the threads that compress are done
            die_at(fatal, work)
        sure = acknowledged.stat().st_size
        self.number += count
        self.expected += range(first, first + sure)
        if sure < count and first + sure in self.found():
            self.expected.append(first + sure)

    @rule(how=st.sampled_from(MEDDLING))
    def meddle(self, how):
        """Another program changes the files."""
        getattr(self, how)()

    def move_away(self):
        """As logrotate does with `create`."""
        self.lose_live_file(lambda: os.rename(self.log, self.folder / "elsewhere"))

    def delete(self):
        """The live file is deleted."""
        self.lose_live_file(lambda: os.unlink(self.log))

    def truncate(self):
        """As logrotate does with `copytruncate`."""
        self.lose_live_file(lambda: os.truncate(self.log, 0))

    def replace(self):
        """Another file replaces it."""
        (self.folder / "new").write_bytes(b"text of somebody's\n")
        self.lose_live_file(lambda: os.replace(self.folder / "new", self.log))

    def remove_folder(self):
        """The folder is removed with everything in it."""
        shutil.rmtree(self.log.parent, ignore_errors=True)
        self.expected = []
        self.blocked = False

    def harm_sidecar(self):
        """The sidecar is deleted, or garbage."""
        path = self.log.parent / ".events.log.lock"
        if path.exists():
            path.write_bytes(b"garbage") if self.number % 2 else path.unlink()

    def leave_half_a_line(self):
        """Another program dies in the middle of a line."""
        if self.log.exists():
            with open(self.log, "ab") as file:
                file.write(b"text that ends in the mid")

    def block(self):
        """A folder has the name of the first backup for a while."""
        place = self.log.parent / "events.log.1"
        if self.blocked:
            place.rmdir()
        elif not self.log.parent.exists() or place.exists() or place.with_name("events.log.1.gz").exists():
            return
        else:
            place.mkdir()
        self.blocked = not self.blocked

    @invariant()
    def exactly_the_expected(self):
        """Nothing lost, doubled, torn or out of order."""
        assert self.found() == self.expected

    @invariant()
    def nothing_left_over(self):
        """No file is there but the log's."""
        if self.log.parent.exists():
            names = {path.name for path in self.log.parent.iterdir()}
            spare = names - {path.name for path in files_of(self.log)}
            assert spare <= {".events.log.lock", ".events.log.rotating", ".events.log.gz.new"}

    def teardown(self):
        """Close what is open."""
        for logger in getattr(self, "writers", []):
            logger.handlers[0].close()
        shutil.rmtree(self.folder)

    def writer(self, which):
        """One of the writers."""
        return self.writers[which % len(self.writers)]

    def log_one(self, logger, number, size):
        """Log one event."""
        logger.info("event", extra={"seq": number, "padding": "x" * size})

    def settle(self):
        """Wait for the compression of backups, if there is any."""
        for logger in self.writers:
            if logger.handlers[0]._log._schedule._compressor is not None:
                logger.handlers[0]._log._schedule._compressor.join()

    def lose_live_file(self, act):
        """Do what takes the events of the live file out of the log."""
        if self.log.exists():
            gone = set(self.numbers_in(self.log))
            act()
            self.expected = [number for number in self.expected if number not in gone]

    def found(self):
        """The events that the files hold, oldest first."""
        if not self.log.parent.exists():
            return []
        return [number for path in files_of(self.log) if path.is_file() for number in self.numbers_in(path)]

    def numbers_in(self, path):
        """The events of one file; a line that is no event is text that somebody else wrote."""
        numbers = []
        *lines, rest = bytes_of(path).split(b"\n")
        for line in lines:
            if not line.startswith(b"text"):
                event = json.loads(line)
                numbers += [event["seq"]] if "seq" in event else []
        assert not rest or rest.startswith(b"text")
        return numbers


TestHistories = Histories.TestCase
TestHistories.settings = settings(max_examples=25, stateful_step_count=30)

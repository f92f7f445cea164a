"""All neighbours of one log at the same time: writers of every kind that are killed, a writer without our
lock, the real logrotate, and readers.
"""

from __future__ import annotations

import collections
import itertools
import json
import multiprocessing
import random
import time

import pytest

from tests.accounting import bytes_of, files_of
from tests.faults import chaos
from tests.faults.test_logrotate import logrotate
from tests.faults.test_readers_soak import DEADLINE, Reader, assert_accounted, until
from tests.faults.writer import logger_on, write
from tests.needs import need
from tests.soaks import WHOLE

SECONDS = 600 if WHOLE else 15
WRITERS = 7
#: What the README says for a log that logrotate rotates: our rotation is off, or yields by itself.
LIMITS = (0, 300_000)
STANZA = "nocreate\ncompress\ndelaycompress"
#: How often each thing is done, and the longest pause after it, in seconds. logrotate keeps 1,000 files.
ACTIONS = {"kill a writer": 6, "rotate": 2, "kill a reader": 1}
LONGEST_PAUSE = 0.4
MOST_ROTATIONS = 900
#: Writes the first and the last event.
FRAME = 1


class Writers:
    """Processes that write through our handlers; one that is killed is followed by another."""

    def __init__(self, context, log, notes):
        self.context, self.log, self.notes = context, log, notes
        self.numbers = itertools.count(chaos.WRITERS_OF_A_PROCESS, chaos.WRITERS_OF_A_PROCESS)
        self.ends, self.alive = context.Pipe(duplex=False)
        self.kills = 0
        self.processes = [self.start() for _ in range(WRITERS)]

    def start(self):
        """Start a process."""
        number = next(self.numbers)
        kind = number // chaos.WRITERS_OF_A_PROCESS % len(chaos.KINDS)
        arguments = (kind, self.log, number, self.notes, random.choice(LIMITS), self.alive)
        process = self.context.Process(target=chaos.run, args=arguments, daemon=True)
        process.start()
        return process

    def kill(self, index):
        """Kill a process, which was running."""
        process = self.processes[index]
        assert process.is_alive(), f"a writer has ended with {process.exitcode}"
        process.kill()
        process.join()
        self.kills += 1

    def end(self):
        """Kill all, and wait for the children that they have forked."""
        for index in range(WRITERS):
            self.kill(index)
        self.alive.close()
        assert self.ends.poll(DEADLINE)
        with pytest.raises(EOFError):
            self.ends.recv()


def found_in(log):
    """The numbers of each writer in the files, in their order, and the lines that are no events."""
    found, torn = collections.defaultdict(list), []
    for path in files_of(log):
        for line in filter(None, bytes_of(path).split(b"\n")):
            try:
                event = json.loads(line)
            except ValueError:
                torn.append(line)
                continue
            if "writer" in event:
                found[event["writer"]].append(event["seq"])
    return found, torn


def read_to_the_end(reader):
    """Return when *reader* has recorded the last event; it must not stand still for `DEADLINE`."""

    def is_done():
        with open(reader.path, "rb") as file:
            file.seek(max(0, reader.recorded() - 1000))
            return b"\n%d 1 " % FRAME in file.read()

    while not is_done():
        size = reader.recorded()
        until(lambda: reader.recorded() > size or is_done())


@pytest.mark.timeout(3 * SECONDS + 240)
def test_everything_at_once(tmp_path):
    """Every event whose call returned is there once and in order, and so is every line of the other writer.

    A call that a kill interrupts may have written its line, or a part of it, which is no event. Readers,
    one of them killed and resumed, get each event once and in its writer's order, or are told of a gap.
    """
    need("logrotate")
    folder = tmp_path / "log"
    folder.mkdir(mode=0o755)
    log, notes, stop = folder / "events.log", str(tmp_path / "notes"), tmp_path / "stop"
    logger = logger_on(log)
    write(logger, FRAME, 1)
    logrotate(tmp_path, log, STANZA)  # the first file is logrotate's, so ours yields from then on
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.faults.chaos"])
    foreign = context.Process(target=chaos.append_foreign, args=(str(log), notes, str(stop)), daemon=True)
    foreign.start()
    writers = Writers(context, str(log), notes)
    follower, resuming = (Reader(context, str(log), number) for number in range(2))
    done = collections.Counter()
    began = time.monotonic()
    while time.monotonic() - began < SECONDS:
        action = random.choices(list(ACTIONS), list(ACTIONS.values()))[0]
        done[action] += 1
        if action == "kill a writer":
            index = random.randrange(WRITERS)
            writers.kill(index)
            writers.processes[index] = writers.start()
        elif action == "rotate" and done[action] < MOST_ROTATIONS:
            logrotate(tmp_path, log, STANZA)
        elif action == "kill a reader":
            resuming.kill()
            resuming.start()
        time.sleep(random.uniform(0, LONGEST_PAUSE))
    writers.end()
    stop.touch()
    foreign.join(DEADLINE)
    assert foreign.exitcode == 0
    write(logger, FRAME, 2, first=1)

    found, torn = found_in(log)
    noted = chaos.noted(notes)
    for writer in noted.keys() - {chaos.FOREIGN}:
        numbers, number = found[writer], noted[writer][-1]
        assert numbers == list(range(len(numbers))), f"writer {writer}: lost, doubled or out of order"
        assert number < len(numbers), f"writer {writer}: {number + 1 - len(numbers)} lost at the end"
    theirs = found[chaos.FOREIGN]
    assert theirs == sorted(set(theirs)), "the other writer's lines are doubled or out of order"
    assert set(noted[chaos.FOREIGN]) <= set(theirs), "a line of the other writer is lost"
    assert len(torn) <= writers.kills
    assert min(done.values()) > 0

    last = {writer: numbers[-1] for writer, numbers in found.items()}
    for reader in (follower, resuming):
        read_to_the_end(reader)
        reader.process.kill()
        reader.process.join()
        assert_accounted(reader.path, last)
    print(
        f"{sum(map(len, found.values()))} events of {len(found)} writers, {len(found[chaos.FOREIGN])} "
        f"foreign ones; {dict(done)}; {len(torn)} lines torn by a kill; {len(files_of(log))} files"
    )

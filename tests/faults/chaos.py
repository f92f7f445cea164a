"""Bodies of writers that end when they are killed, and of one that knows nothing of the lock.

A writer notes each number in a file once the call that logged it has returned: that event must be in the log.
Writers have numbers; a process has `WRITERS_OF_A_PROCESS`, for its threads and children.
"""

from __future__ import annotations

import collections
import contextlib
import os
import random
import threading
import time

from chora_logging.telemetry import EventEmitter, TelemetryEvent
from tests.faults.writer import logger_on, write

FOREIGN = 0
WRITERS_OF_A_PROCESS, THREADS, CHILD_EVENTS = 1000, 3, 20
#: How many events a writer writes together, and the pause after them, in seconds.
EVENTS, PAUSE = 4, 0.02
#: How many rounds of a buffered writer lie between two flushes.
BUFFERED_ROUNDS = 10


class Numbered(TelemetryEvent):
    """A typed event with a number."""

    event_type: str = "test.numbered"
    writer: int
    seq: int
    padding: str


class Notes:
    """The file in which writers note what they have logged."""

    def __init__(self, path):
        self.fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def add(self, writer, number):
        """Note that *number* and those before it are logged."""
        os.write(self.fd, b"%d %d\n" % (writer, number))


def noted(path):
    """The numbers of each writer in the notes."""
    found = collections.defaultdict(list)
    with open(path, encoding="ascii") as file:
        for writer, number in map(str.split, file):
            found[int(writer)].append(int(number))
    return found


def write_by_handler(logger, writer, notes, count=10**9):
    """Log events; note each once its call has returned, or after a flush if the handler has a buffer."""
    for number in range(count):
        write(logger, writer, number + 1, first=number, size=random.randint(0, 600))
        if not hasattr(logger.handlers[0], "flush_interval"):
            notes.add(writer, number)
        elif number % (EVENTS * BUFFERED_ROUNDS) == 0:
            logger.handlers[0].flush()
            notes.add(writer, number)
        if number % EVENTS == 0 and count > CHILD_EVENTS:
            time.sleep(PAUSE)


def alone(log, writer, notes, **options):
    """A process with one thread."""
    write_by_handler(logger_on(log, **options), writer, notes)


def with_threads(log, writer, notes, **options):
    """A process whose threads share a handler."""
    logger = logger_on(log, **options)
    for number in range(1, THREADS):
        threading.Thread(target=write_by_handler, args=(logger, writer + number, notes), daemon=True).start()
    write_by_handler(logger, writer, notes)


def with_children(log, writer, notes, **options):
    """A process that forks children, which log with its handler, and logs itself meanwhile."""
    logger = logger_on(log, **options)
    first = 0
    for child in range(1, WRITERS_OF_A_PROCESS - 1):
        pid = os.fork()
        if not pid:
            write_by_handler(logger, writer + child, notes, CHILD_EVENTS)
            logger.handlers[0].flush()
            os._exit(0)
        while os.waitpid(pid, os.WNOHANG) == (0, 0):
            write(logger, writer, first + EVENTS, first=first)
            first += EVENTS
            if "buffered" not in options:
                notes.add(writer, first - 1)
            time.sleep(PAUSE)
    write_by_handler(logger, writer + WRITERS_OF_A_PROCESS - 1, notes)


def emitting(log, writer, notes, **options):
    """A process that emits typed events."""
    with EventEmitter(log, max_bytes=options["maxBytes"]) as emitter:
        for number in range(10**9):
            emitter.emit(Numbered(status="success", writer=writer, seq=number, padding="x" * (number % 600)))
            notes.add(writer, number)
            if number % EVENTS == 0:
                time.sleep(PAUSE)


#: The bodies of writers through our handlers, with options of these.
KINDS = (
    (alone, {}),
    (alone, {"buffered": True}),
    (with_threads, {}),
    (with_threads, {"buffered": True}),
    (with_children, {}),
    (with_children, {"buffered": True}),
    (emitting, {}),
)


def run(kind, log, writer, notes, max_bytes, alive):
    """Run the body of *KINDS* with this index; its process and their children have *alive* open."""
    body, options = KINDS[kind]
    body(log, writer, Notes(notes), maxBytes=max_bytes, **options)


def append_foreign(log, notes, stop):
    """Append lines of about 50 kB as a shell's `>>` does, until the file *stop* exists.

    A line is noted if its file was still the log after the `write`. One that comes two rotations late, on a
    busy machine, is lost by the rotator, which compresses its file meanwhile.
    """
    made = Notes(notes)
    number = 0
    while not os.path.exists(stop):
        size = random.randint(40_000, 60_000)
        line = b'{"writer": %d, "seq": %d, "padding": "%s"}\n' % (FOREIGN, number, b"x" * size)
        fd = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        assert os.write(fd, line) == len(line)
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(fd), os.stat(log)):
                made.add(FOREIGN, number)
        os.close(fd)
        number += 1
        time.sleep(random.uniform(0, 4 * PAUSE))

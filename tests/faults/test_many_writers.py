"""Many processes and threads write one log under constant rotation."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import threading

from tests.accounting import assert_exact, assert_small, files_of
from tests.faults.writer import logger_on, write

KEEP = 5000


def start_writer(log, writer, count, **options):
    """A writer program of its own."""
    command = [sys.executable, "-m", "tests.faults.writer", str(log), str(writer), str(count)]
    return subprocess.Popen([*command, *(f"{name}={value!r}" for name, value in options.items())])


def forked(log, writer, count, logger, barrier):
    """Body of a forked worker: it logs with the handler of its parent."""
    barrier.wait()
    write(logger, writer, count)


def spawned(log, writer, count, barrier):
    """Body of a spawned worker: it makes a handler of its own."""
    logger = logger_on(log, maxBytes=100_000, backupCount=KEEP)
    barrier.wait()
    write(logger, writer, count)


def finish(processes):
    """Wait for all; none fails."""
    for process in processes:
        process.join(100)
        assert process.exitcode == 0


def test_forked(tmp_path):
    """8 forked processes with 4,000 events each, rotated at 100 kB: 0 lost, 0 doubled, 0 torn."""
    log = tmp_path / "events.log"
    context = multiprocessing.get_context("fork")
    logger = logger_on(log, maxBytes=100_000, backupCount=KEEP)
    write(logger, "parent", 10)  # the file and its lock are open when the children are forked
    barrier = context.Barrier(8)
    processes = [context.Process(target=forked, args=(log, n, 4000, logger, barrier)) for n in range(8)]
    for process in processes:
        process.start()
    finish(processes)

    assert_exact(log, {"parent": 10, **dict.fromkeys(range(8), 4000)})
    assert_small(log, 100_000)
    assert len(files_of(log)) > 10


def test_spawned(tmp_path):
    """8 spawned processes with 4,000 events each, rotated at 100 kB: 0 lost, 0 doubled, 0 torn."""
    log = tmp_path / "events.log"
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(8)
    processes = [context.Process(target=spawned, args=(log, n, 4000, barrier)) for n in range(8)]
    for process in processes:
        process.start()
    finish(processes)

    assert_exact(log, dict.fromkeys(range(8), 4000))
    assert_small(log, 100_000)


def test_different_settings(tmp_path):
    """Programs with different sizes, or none, share a log; the smallest size counts, and nothing is lost."""
    log = tmp_path / "events.log"
    go = tmp_path / "go"
    settings = [{"maxBytes": 3_000}, {"maxBytes": 20_000}, {"maxBytes": 0}, {"maxBytes": "5kB"}]
    programs = [
        start_writer(log, n, 1500, backupCount=KEEP, start=str(go), **options)
        for n, options in enumerate(settings)
    ]
    go.touch()
    for program in programs:
        assert program.wait(100) == 0

    assert_exact(log, dict.fromkeys(range(4), 1500))


def test_threads_and_processes(tmp_path):
    """6 processes of 4 threads each rotate at every few lines: each thread's events are in order."""
    log = tmp_path / "events.log"
    programs = [start_writer(log, n, 150, threads=4, maxBytes=2_000, backupCount=KEEP) for n in range(6)]
    for program in programs:
        assert program.wait(100) == 0

    assert_exact(log, {f"{n}.{t}": 150 for n in range(6) for t in range(4)})
    assert_small(log, 2_000)


def test_two_handlers_in_one_process(tmp_path):
    """Two handlers on one path in one process exclude each other like two processes."""
    log = tmp_path / "events.log"
    loggers = [logger_on(log, maxBytes=2_000, backupCount=KEEP) for _ in range(2)]
    threads = [threading.Thread(target=write, args=(logger, n, 1000)) for n, logger in enumerate(loggers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert_exact(log, {0: 1000, 1: 1000})
    assert_small(log, 2_000)


def test_fork_under_logging_threads(tmp_path):
    """100 forks while 6 threads log: no child hangs, and no event is lost."""
    log = tmp_path / "events.log"
    logger = logger_on(log, maxBytes=50_000, backupCount=KEEP)
    done = threading.Event()
    counts = [0] * 6

    def work(number):
        while not done.is_set():
            write(logger, f"thread {number}", counts[number] + 1, first=counts[number])
            counts[number] += 1

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    children = []
    for number in range(100):
        pid = os.fork()
        if not pid:
            write(logger, f"child {number}", 5)
            os._exit(0)
        children.append(pid)
    statuses = [os.waitpid(pid, 0)[1] for pid in children]  # a hung child ends in the test's time limit
    done.set()
    for thread in threads:
        thread.join()

    assert statuses == [0] * 100
    assert_exact(
        log,
        {f"child {n}": 5 for n in range(100)} | {f"thread {n}": count for n, count in enumerate(counts)},
    )


def test_backups_never_change(tmp_path):
    """While 4 processes write and rotate, a backup seen under a number stays the same file."""
    log = tmp_path / "events.log"
    programs = [start_writer(log, n, 2000, maxBytes=10_000, backupCount=KEEP) for n in range(4)]
    contents = {}
    while any(program.poll() is None for program in programs):
        for path in files_of(log)[:-1]:
            try:
                with open(path, "rb") as file:
                    inode, data = os.fstat(file.fileno()).st_ino, file.read()
            except FileNotFoundError:
                continue
            assert contents.setdefault(inode, data) == data
    assert len(contents) > 10
    assert_exact(log, dict.fromkeys(range(4), 2000))

"""Several users of the system write one log; its permissions are never too wide for a moment."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import stat
import tempfile
import threading
import traceback

import pytest

from tests.accounting import assert_exact, assert_small, events_of, files_of
from tests.faults.writer import logger_on, write
from tests.needs import need

NOBODY = 65534
OPTIONS = {"maxBytes": 2_000, "backupCount": 1000, "lock_timeout": 60}


def as_nobody(work):
    """Do *work* in a process of another user; return its result, by way of JSON."""
    need("root")
    here, there = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            os.write(there, json.dumps(work()).encode())
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    os.close(there)
    _, status = os.waitpid(pid, 0)
    with os.fdopen(here) as answer:
        text = answer.read()
    assert status == 0
    return json.loads(text)


@pytest.fixture
def log():
    """A log in a folder that every user may enter, unlike those of pytest."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        yield pathlib.Path(folder, "log", "events.log")


def modes_of(log):
    """The permissions of every file in the folder of the log."""
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in log.parent.iterdir()}


def test_both_may_rotate(log):
    """Two users alternate, each with a handler of its own, to write and rotate a log that both may write."""
    log.parent.mkdir(0o777)
    log.parent.chmod(0o777)
    logger = logger_on(log, **OPTIONS, file_mode=0o666)
    for turn in range(3):
        write(logger, "root", turn * 20 + 20, first=turn * 20)
        as_nobody(lambda turn=turn: nobody_writes(log, turn * 20, turn * 20 + 20, file_mode=0o666))

    assert_exact(log, {"root": 60, "nobody": 60})
    assert_small(log, 2_000)
    assert set(modes_of(log).values()) == {0o666}
    assert {path.stat().st_uid for path in files_of(log)} == {0, NOBODY}


def test_both_at_once(log):
    """Two users at the same time lose, double and tear nothing."""
    log.parent.mkdir(0o777)
    log.parent.chmod(0o777)
    logger = logger_on(log, **OPTIONS, file_mode=0o666)
    need("root")
    write(logger, "root", 1)
    thread = threading.Thread(target=write, args=(logger, "root", 1500), kwargs={"first": 1})
    pid = os.fork()
    if not pid:
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        write(logger, "nobody", 1500)
        os._exit(0)
    thread.start()
    assert os.waitpid(pid, 0)[1] == 0
    thread.join()

    assert_exact(log, {"root": 1500, "nobody": 1500})
    assert_small(log, 2_000)
    assert set(modes_of(log).values()) == {0o666}


def test_a_mode_that_may_not_be_set(log):
    """A file_mode that only the file's owner could set stops the other user from nothing."""
    log.parent.mkdir(0o777)
    log.parent.chmod(0o777)
    log.touch()
    log.chmod(0o666)
    refused = as_nobody(lambda: nobody_writes(log, 0, 60, file_mode=0o660))

    assert refused == []
    assert_exact(log, {"nobody": 60})
    assert_small(log, 2_000)
    assert [path.stat().st_uid for path in files_of(log)][:1] == [0]


def test_one_may_only_append(log):
    """A user who may not create files in the folder appends, and reports that once; the other one rotates."""
    logger = logger_on(log, **OPTIONS, file_mode=0o666)
    write(logger, "root", 1)
    refused = as_nobody(lambda: nobody_writes(log, 0, 60))

    assert refused == []
    assert len(files_of(log)) == 1
    assert log.stat().st_size > 4_000
    notices = [event["event"] for event in events_of(log) if event["logger"] == "chora_logging"]
    assert notices == ["rotation_failed"]
    write(logger, "root", 2, first=1)
    assert len(files_of(log)) == 2
    assert_exact(log, {"root": 2, "nobody": 60})


def test_one_may_only_read(log):
    """Where a user may not write the log, its records are reported and the application goes on."""
    write(logger_on(log, **OPTIONS), "root", 5)
    refused = as_nobody(lambda: nobody_writes(log, 0, 3, delay=True))
    refused_now = as_nobody(lambda: nobody_opens(log))

    assert refused == [0, 1, 2]
    assert "Permission denied" in refused_now
    assert_exact(log, {"root": 5})


@pytest.mark.parametrize("way", ["chroot", "moved"])
def test_the_next_file_is_out_of_reach(log, way):
    """A daemon that can not open the log any more goes on in the file that it has, and reports that once."""
    need("root")
    logger = logger_on(log, **OPTIONS)
    jail = log.parent.with_name("jail")
    jail.mkdir(0o755)
    if way == "moved":
        log.parent.chmod(0o755)

    def daemon():
        if way == "chroot":
            os.chroot(jail)
            os.chdir("/")
        else:
            os.rename(log, log.with_name("moved"))
        os.setuid(NOBODY)
        write(logger, "daemon", 60)

    write(logger, "root", 1)
    pid = os.fork()
    if not pid:
        with contextlib.suppress(BaseException):
            daemon()
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    if way == "moved":
        os.rename(log.with_name("moved"), log)

    assert_exact(log, {"root": 1, "daemon": 60})
    notices = [event["event"] for event in events_of(log) if event["logger"] == "chora_logging"]
    assert notices == ["log_unreachable"]
    assert not list(jail.iterdir())


def test_owner_and_permissions_stay(log):
    """A file that root rotates stays that of the log's user."""
    log.parent.mkdir(0o777)
    log.parent.chmod(0o777)
    as_nobody(lambda: nobody_writes(log, 0, 1, file_mode=0o600))
    write(logger_on(log, **OPTIONS), "root", 60)
    refused = as_nobody(lambda: nobody_writes(log, 1, 60))

    assert refused == []
    assert_exact(log, {"nobody": 60, "root": 60})
    assert {(path.stat().st_uid, path.stat().st_mode & 0o777) for path in log.parent.iterdir()} == {
        (NOBODY, 0o600)
    }


def nobody_writes(log, first, count, **options):
    """Log as the other user; return the numbers of the records reported as not written."""
    logger = logger_on(log, **OPTIONS, **options)
    refused = []
    logger.handlers[0].handleError = lambda record: refused.append(record.seq)
    write(logger, "nobody", count, first=first)
    return refused


def nobody_opens(log):
    """Make a handler that opens immediately; return the error."""
    try:
        logger_on(log)
    except OSError as error:
        return str(error)
    return None


@pytest.mark.parametrize("options", [{"file_mode": 0o600}, {}], ids=["file_mode", "as it was"])
@pytest.mark.parametrize("compress", [False, True], ids=["plain", "compressed"])
def test_no_moment_with_other_permissions(log, options, compress):
    """However often it is checked, no file of the log ever has permissions that it should not have."""
    before = os.umask(0)
    try:
        log.parent.mkdir()
        log.touch(0o600)
        logger = logger_on(log, **OPTIONS, compress=compress, **options)
        thread = threading.Thread(target=write, args=(logger, "one", 800))
        thread.start()
        seen = set()
        while thread.is_alive():
            with os.scandir(log.parent) as entries:
                for entry in entries:
                    with contextlib.suppress(FileNotFoundError):
                        seen.add(stat.S_IMODE(os.stat(entry.path).st_mode))
        logger.handlers[0].close()
    finally:
        os.umask(before)

    assert seen == {0o600}
    assert set(modes_of(log).values()) == {0o600}
    assert len(files_of(log)) > 20


@pytest.mark.parametrize("buffered", [False, True])
def test_a_child_that_drops_its_rights(log, buffered):
    """root opens the log, forks, and the child logs for the first time as another user: all is written."""
    logger = logger_on(log, buffered=buffered, file_mode=0o600)
    write(logger, "root", 3)
    log.parent.chmod(0o700)

    def work():
        write(logger, "child", 3)
        logger.handlers[0].flush()
        return os.getuid()

    assert as_nobody(work) == NOBODY
    write(logger, "root", 6, first=3)
    logger.handlers[0].close()
    assert_exact(log, {"root": 6, "child": 3})


def test_a_child_without_rights(log):
    """The rights were dropped before the fork: the child can not open the log again, and writes it."""
    logger = logger_on(log, file_mode=0o600)
    log.parent.chmod(0o700)

    def work():
        pid = os.fork()
        if not pid:
            write(logger, "child", 3)
            os._exit(0)
        write(logger, "parent", 3)
        return os.waitpid(pid, 0)[1]

    os.seteuid(NOBODY)
    try:
        status = work()
    finally:
        os.seteuid(0)
    logger.handlers[0].close()

    assert status == 0
    assert_exact(log, {"child": 3, "parent": 3})

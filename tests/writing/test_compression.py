"""Backups that are compressed with zstd, beside others that are not, or with gzip."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from chora_logging import EventFileHandler
from chora_logging.compressed_files import ZSTD, zstd_library
from chora_logging.errors import ConfigurationError
from chora_logging.eventlog import EventLog
from chora_logging.log_files import sidecar_path
from chora_logging.writing.compression import compress_backups
from tests.accounting import assert_exact, events_of, files_of, snapshot
from tests.faults.test_many_writers import start_writer
from tests.faults.writer import logger_on, write
from tests.needs import need

OPTIONS = {"maxBytes": 1000, "backupCount": 50}


@pytest.fixture
def log(tmp_path):
    return tmp_path / "events.log"


def written(log, writer, count, **options):
    """Write so many events with a handler of these options, and close it."""
    logger = logger_on(log, **{**OPTIONS, **options})
    write(logger, writer, count, size=100)
    logger.handlers[0].close()


def suffixes(log):
    return [path.suffix for path in files_of(log)]


def test_the_program_unpacks_it(log):
    """`zstd` takes a backup for its own, finds nothing wrong in it, and gives the exact bytes."""
    need("zstd")
    written(log, "plain", 30)
    before = snapshot(log.parent)
    compress_backups(str(log), 50, str, ZSTD)
    packed = files_of(log)[:-1]
    assert {path.suffix for path in packed} == {".zst"}
    subprocess.run(["zstd", "--test", "--quiet", *packed], check=True)

    for path in packed:
        done = subprocess.run(["zstd", "-dc", path], check=True, capture_output=True)
        assert done.stdout == before[path.stem]
        assert path.read_bytes().startswith(b"\x28\xb5\x2f\xfd")


@pytest.mark.parametrize("value", ["ZSTD", " zstd "])
def test_texts_of_configuration_files(log, value):
    """The name of the format may be in any case, and have spaces around it."""
    written(log, "one", 30, compress=value)

    assert set(suffixes(log)[:-1]) == {".zst"}


@pytest.mark.parametrize("value", ["lz4", "zst", 2, None])
def test_others_are_refused(log, value):
    """What is no format and no flag is refused in one sentence, before anything is made."""
    message = 'compress must be true, which is "gzip", false (or yes/no, on/off, 1/0), "gzip" or "zstd", got '
    with pytest.raises(ConfigurationError, match=re.escape(message + repr(value))):
        EventFileHandler(log, compress=value)

    assert not os.listdir(log.parent)


def test_an_option_that_changes(log):
    """Backups of each format and plain ones are one series, in which they are moved, read and deleted."""
    for step, compress in enumerate([False, "gzip", "zstd", "no"]):
        written(log, step, 12, compress=compress, backupCount=9)
    stored = [(event["writer"], event["seq"]) for event in events_of(log)]

    assert len(files_of(log)) == len(snapshot(log.parent)) == 10
    assert {".gz", ".zst"} < set(suffixes(log)[:-1])
    assert not {".gz", ".zst"} & set(suffixes(log)[-3:])
    assert stored == [(step, seq) for step in range(4) for seq in range(12)][-len(stored) :]
    assert [(event["writer"], event["seq"]) for event in EventLog(log).read()] == stored
    assert [(event["writer"], event["seq"]) for event in EventLog(log).last(len(stored))] == stored


@pytest.mark.parametrize("limit", [{"maxTotalBytes": 3000}, {"maxAge": 3600}], ids=str)
def test_limits(log, limit):
    """Compressed files count with their size on the disk and the time of their last line."""
    written(log, "zstd", 60, compress="zstd")
    *old, _ = files_of(log)
    for path in old[: len(old) // 2]:
        os.utime(path, (1e9, 1e9))
    written(log, "last", 1, maxBytes=300, **limit)

    kept = files_of(log)
    if "maxAge" in limit:
        assert len(kept) == 2 + len(old) - len(old) // 2
    else:
        assert 2000 < sum(path.stat().st_size for path in kept) < 3000
    assert ".zst" in suffixes(log)


def test_two_processes_with_different_options(log):
    """Of two processes one compresses with gzip, one with zstd: nothing is lost, doubled or left over."""
    options = {"maxBytes": 3_000, "backupCount": 500, "start": str(log.with_name("go"))}
    programs = [
        start_writer(log, name, 400, compress=name, pause=0.0005, **options) for name in ("gzip", "zstd")
    ]
    log.with_name("go").touch()
    for program in programs:
        assert program.wait(100) == 0
    log.with_name("go").unlink()
    written(log, "last", 3, compress="zstd", maxBytes=1, backupCount=500)

    assert_exact(log, {"gzip": 400, "zstd": 400, "last": 3})
    *packed, live = files_of(log)
    assert {".zst"} <= {path.suffix for path in packed} <= {".gz", ".zst"}
    assert sorted(path.name for path in log.parent.iterdir()) == sorted(
        [".events.log.lock", *(path.name for path in (*packed, live))]
    )
    assert len(list(EventLog(log).read())) == 803


def test_a_sidecar_that_is_lost(log):
    """Our compressed backups are taken over for ours without it, too."""
    written(log, "first", 30, compress="zstd")
    os.unlink(sidecar_path(str(log)))
    written(log, "second", 30, compress="zstd")

    assert_exact(log, {"first": 30, "second": 30})
    assert set(suffixes(log)[:-1]) == {".zst"}


@pytest.mark.parametrize("theirs", ["gzip", "zstd"])
def test_a_file_of_somebody_else(log, theirs):
    """A compressed file that another program has put beside a backup stays, and so does the backup."""
    written(log, "ours", 8)
    backup = files_of(log)[-2]
    foreign = backup.with_name(backup.name + {"gzip": ".gz", "zstd": ".zst"}[theirs])
    foreign.write_bytes(zstd_library().compress(b"{}\n"))
    before = snapshot(log.parent)
    logger = logger_on(log, **OPTIONS, compress="zstd")
    logger.handlers[0]._log._schedule.compress(logger.handlers[0]._log.hooks())
    logger.handlers[0].close()

    after = snapshot(log.parent)
    assert after.items() >= {name: before[name] for name in (backup.name, foreign.name)}.items()


#: Without the library: refuses, reads, checks, and writes.
WITHOUT = """
import contextlib, io, json, sys
sys.modules.update({"backports.zstd": None, "compression.zstd": None})
from chora_logging import ChoraLoggingError, EventFileHandler, EventLog, Gap
from chora_logging.cli import main
from tests.writing.test_compression import written
log, cursor = sys.argv[1:]
try:
    EventFileHandler(log + ".other", compress="zstd")
except ChoraLoggingError as error:
    print(error)
for item in EventLog(log).read(after=cursor):
    print(f"{item.files} files: {item.reason}" if isinstance(item, Gap) else item["writer"])
sys.argv[1:] = ["check", "--log", log, "--json"]
with contextlib.redirect_stdout(io.StringIO()) as checked, contextlib.suppress(SystemExit):
    main()
[verdict] = json.loads(checked.getvalue())["logs"]
print(*(problem["kind"] for problem in verdict["problems"]))
written(log, "without", 20, compress=True)
"""


def test_without_the_library(log):
    """It is refused before anything is made; readers say what to do; writers keep and move such backups."""
    written(log, "with", 12, compress="zstd")
    assert suffixes(log) == [".zst", ".zst", ".log"]
    stored = list(EventLog(log).read())
    command = [sys.executable, "-c", WITHOUT, log, stored[5].cursor]
    refused, *read = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    if sys.version_info >= (3, 14):
        reason = "this Python was built without compression.zstd"
        assert refused == f"compress must be true, false or \"gzip\", because {reason}, got 'zstd'"
        advice = "unpack it"
    else:
        reason = "backports.zstd is not installed"
        assert refused == f"{reason}: pip install 'chora_logging[zstd]'"
        advice = "pip install 'chora_logging[zstd]', or unpack it"

    assert read == [
        f"1 files: the file that the cursor points into is not read, because {reason}: {advice}",
        *["with"] * 4,
        "unreadable unreadable",
    ]
    assert_exact(log, {"with": 12, "without": 20})
    assert suffixes(log)[:2] == [".zst", ".zst"]
    assert not list(log.parent.glob("*.other*"))

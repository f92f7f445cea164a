"""File systems and sandboxes without locks, links, /proc or unnamed files, and read-only folders."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
import tempfile

import pytest

from tests.accounting import events_of, files_of
from tests.faults.shims import run_shimmed
from tests.needs import need

#: Every call of a function fails with this error.
FAILING = {
    "flock": "#include <errno.h>\nint flock(int fd, int how) { errno = %s; return -1; }",
    "linkat": "#include <errno.h>\n"
    "int linkat(int a, const char *b, int c, const char *d, int e) { errno = %s; return -1; }",
    "unnamed": """
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/syscall.h>
#include <unistd.h>
int open64(const char *path, int flags, ...) {
    va_list more;
    va_start(more, flags);
    int mode = va_arg(more, int);
    if ((flags & O_TMPFILE) == O_TMPFILE) { errno = %s; return -1; }
    return syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}
int open(const char *path, int flags, ...) {
    va_list more;
    va_start(more, flags);
    return open64(path, flags, va_arg(more, int));
}
""",
}
#: Every other look at the log's path fails with this error.
FAILING_LOOKS = """
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
static int fails(const char *path) {
    static int looks;
    size_t length = strlen(path);
    if (length < 7 || strcmp(path + length - 7, "app.log") != 0 || looks++ %% 2 == 0) return 0;
    errno = %s;
    return 1;
}
int stat64(const char *path, struct stat64 *found) {
    return fails(path) ? -1 : fstatat64(AT_FDCWD, path, found, 0);
}
int stat(const char *path, struct stat *found) {
    return fails(path) ? -1 : fstatat(AT_FDCWD, path, found, 0);
}
int statx(int fd, const char *path, int flags, unsigned mask, struct statx *found) {
    return fails(path) ? -1 : syscall(SYS_statx, fd, path, flags, mask, found);
}
"""
PROGRAM = """
import logging, sys
from chora_logging import BufferedEventFileHandler, EventFileHandler, EventFormatter

way = sys.argv[1]
if way == "emitter":
    from chora_logging.telemetry import ContentGeneratedEvent, EventEmitter
    emitter = EventEmitter("app.log", max_bytes=2_000, backup_count=100)
    for number in range(20):
        emitter.emit(ContentGeneratedEvent(content_config_id="c", generator_type="g", status="success",
                                           duration_ms=number))
else:
    kind = BufferedEventFileHandler if way == "buffered" else EventFileHandler
    handler = kind("app.log", maxBytes=2_000, backupCount=100)
    handler.setFormatter(EventFormatter())
    logger = logging.getLogger("app")
    logger.addHandler(handler)
    logger.setLevel("INFO")
    for number in range(20):
        logger.info("line", extra={"duration_ms": number, "pad": "x" * 150})
        if number % 5 == 4:
            handler.flush()
"""
WAYS = ["plain", "buffered", "emitter"]


def accounted(log, done, way):
    """The reports of a run, of which no record may be lost or reported lost, nor any be there twice."""
    assert done.returncode == 0, done.stderr
    events = events_of(log)
    assert [event["duration_ms"] for event in events if "duration_ms" in event] == list(range(20))
    assert not any("lost" in event for event in events)
    if way == "emitter":  # its log has only typed events
        return done.stderr.splitlines()
    assert done.stderr == ""
    return [event["message"] for event in events if "duration_ms" not in event]


@pytest.mark.parametrize("pure", ["", "1"], ids=["compiled", "pure"])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("error", ["ENOSYS", "ENOLCK", "EOPNOTSUPP", "EINVAL", "EIO"])
def test_without_locks(tmp_path, way, error, pure):
    """Everything is written, the file grows and is not rotated, and one sentence says so."""
    done = run_shimmed(tmp_path, FAILING["flock"] % error, PROGRAM, way, CHORA_LOGGING_PURE=pure)

    (report,) = accounted(tmp_path / "app.log", done, way)
    assert "cannot be locked" in report
    assert len(files_of(tmp_path / "app.log")) == 1


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("function", "error"),
    [("linkat", "ENOENT"), ("linkat", "EPERM"), ("unnamed", "EOPNOTSUPP"), ("unnamed", "EISDIR")],
)
def test_without_links_or_unnamed_files(tmp_path, way, function, error):
    """The log is rotated as elsewhere. A `linkat` that fails with ENOENT is that of a root without /proc."""
    done = run_shimmed(tmp_path, FAILING[function] % error, PROGRAM, way)

    assert accounted(tmp_path / "app.log", done, way) == []
    assert len(files_of(tmp_path / "app.log")) > 1


@pytest.mark.parametrize("pure", ["", "1"], ids=["compiled", "pure"])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("error", ["EIO", "ESTALE", "ENOMEM", "ELOOP"])
def test_a_failing_look_at_the_path(tmp_path, way, error, pure):
    """A record for which the log's path cannot be looked at is written to the file that is open."""
    done = run_shimmed(tmp_path, FAILING_LOOKS % error, PROGRAM, way, CHORA_LOGGING_PURE=pure)

    accounted(tmp_path / "app.log", done, way)


@pytest.mark.parametrize("way", WAYS)
def test_a_read_only_folder(way):
    """A log that may be written, in a folder that may not: it grows, and one sentence says so."""
    # root may write any folder.
    drop = "import os, chora_logging.telemetry, chora_logging.writing.buffered\n"
    drop += "if not os.geteuid(): os.setegid(65534); os.seteuid(65534)\n"
    with tempfile.TemporaryDirectory() as outer:
        os.chmod(outer, 0o755)
        folder = pathlib.Path(outer, "logs")
        folder.mkdir()
        (folder / "app.log").touch()
        (folder / "app.log").chmod(0o666)
        folder.chmod(0o555)
        done = subprocess.run(
            [sys.executable, "-c", drop + PROGRAM, way],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=60,
        )
        folder.chmod(0o755)

        (report,) = accounted(folder / "app.log", done, way)
    assert "could not be rotated" in report


@pytest.mark.parametrize("way", WAYS)
def test_a_file_that_can_only_grow(tmp_path, way):
    """`chattr +a`: it can not be renamed, and grows; one sentence says so."""
    need("root")
    log = tmp_path / "app.log"
    log.touch()
    subprocess.run(["chattr", "+a", log], check=True)
    try:
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, way], cwd=tmp_path, capture_output=True, text=True, timeout=60
        )
        (report,) = accounted(log, done, way)
    finally:
        subprocess.run(["chattr", "-a", log], check=True)
    assert "could not be rotated" in report
    assert json.loads(log.read_text().splitlines()[0])

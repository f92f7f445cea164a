"""Writers that know nothing of the lock: whole lines in one large `write` each, as of a shell's `>>`."""

from __future__ import annotations

import collections
import json
import mmap
import os
import pathlib
import subprocess
import sys
import tempfile
import types
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chora_logging.writing.shared_log import SharedLog
from tests.accounting import events_of
from tests.faults.writer import logger_on, write

LINES = 1500
#: Appends lines of 300 B to 50 kB to a file, each with one `write`, then makes the file `done`.
FOREIGN = """
import os, random, sys
log, count = sys.argv[1], int(sys.argv[2])
fd = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
chosen = random.Random(1)
for number in range(count):
    line = b'{"foreign": %d, "pad": "%s"}\\n' % (number, b"x" * chosen.randint(300, 50_000))
    assert os.write(fd, line) == len(line)
open(log + "-done", "w").close()
"""


@pytest.fixture(params=["folder", "memory"])
def log(request, tmp_path):
    """A log on a disk, and on a tmpfs."""
    if request.param == "folder":
        yield tmp_path / "app.log"
    else:
        with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
            yield pathlib.Path(folder, "app.log")


@pytest.mark.parametrize("options", [{}, {"lock_timeout": 0}, {"buffered": True}], ids=str)
def test_no_line_of_the_other_is_lost(log, options):
    """A writer of large lines beside ours: all lines of both are there, whole, once, and in order."""
    logger = logger_on(log, maxBytes=0, **options)
    foreign = subprocess.Popen([sys.executable, "-c", FOREIGN, str(log), str(LINES)])
    count = 0
    while not pathlib.Path(f"{log}-done").exists():
        assert foreign.poll() in (None, 0)
        write(logger, "ours", count + 10, first=count)
        count += 10
    foreign.wait()
    for handler in logger.handlers:
        handler.close()

    found = collections.defaultdict(list)
    for event in events_of(log):
        found["foreign" if "foreign" in event else "ours"].append(event.get("foreign", event.get("seq")))
    assert found == {"foreign": list(range(LINES)), "ours": list(range(count))}


class HalfSeen:
    """Shows `os.stat` and `os.pread` only a part of a file, up to a page boundary, until our next `write`.

    The kernel shows the size of a large `write` page by page while that is under way, and has any other
    `write` wait for its end.
    """

    def __init__(self):
        self.size = None
        self.calls = os.stat, os.pread, os.write, os.fstat

    def stat(self, path, **options):
        status = self.calls[0](path, **options)
        if self.size is None or not isinstance(path, str):
            return status
        names = ("st_ino", "st_dev", "st_nlink", "st_mode")
        return types.SimpleNamespace(st_size=self.size, **{name: getattr(status, name) for name in names})

    def pread(self, fd, length, offset):
        if self.size is not None:
            length = max(0, min(length, self.size - offset))
        return self.calls[1](fd, length, offset)

    def fstat(self, fd):
        return self.stat(f"/proc/self/fd/{fd}") if self.size is not None else self.calls[3](fd)

    def write(self, fd, data):
        self.size = None
        return self.calls[2](fd, data)


STEPS = st.lists(
    st.tuples(st.sampled_from(["ours", "foreign", "foreign, seen by half"]), st.integers(300, 200_000)),
    max_size=12,
)


@settings(max_examples=150)
@given(steps=STEPS)
def test_histories(steps):
    """Whatever part of the other's line is seen: nothing is removed, and every line of both is whole."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "app.log")
        log, seen, wanted = SharedLog(path, max_bytes=0, backup_count=0), HalfSeen(), []
        with mock.patch.multiple(os, stat=seen.stat, pread=seen.pread, write=seen.write, fstat=seen.fstat):
            for number, (step, length) in enumerate(steps):
                line = json.dumps({"n": number, "pad": "x" * length}).encode() + b"\n"
                wanted.append(line)
                if step == "ours":
                    log.append(line)
                    continue
                before = os.path.getsize(path) if os.path.exists(path) else 0
                with open(path, "ab", buffering=0) as file:
                    file.write(line)
                boundary = (before + length // 2) // mmap.PAGESIZE * mmap.PAGESIZE
                if step != "foreign" and boundary > before:
                    seen.size = boundary
            seen.size = None
            log.close()

        found = pathlib.Path(path).read_bytes() if wanted else b""
        assert found == b"".join(wanted)


def test_a_short_write_beside_another_writer(tmp_path, monkeypatch):
    """Only the own part of a line is removed, and only if nothing follows it."""
    path = tmp_path / "app.log"
    log = SharedLog(str(path), max_bytes=0, backup_count=0)
    log.append(b"one\n")
    os_write = os.write

    def half(fd, data):
        monkeypatch.setattr(os, "write", full)
        written = os_write(fd, data[:2])
        if foreign:
            with open(path, "ab") as file:
                file.write(b"foreign\n")
        return written

    def full(fd, data):
        raise OSError(28, "No space left on device")

    for foreign in (False, True):
        monkeypatch.setattr(os, "write", half)
        with pytest.raises(OSError, match="No space left"):
            log.append(b"two\n")
    monkeypatch.setattr(os, "write", os_write)
    log.append(b"three\n")
    log.close()

    assert path.read_bytes() == b"one\ntwforeign\nthree\n"

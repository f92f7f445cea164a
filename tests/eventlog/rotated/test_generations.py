"""Files that begin alike have the order in which they were written, whatever tool has moved them since."""

from __future__ import annotations

import contextlib
import gzip
import os

import pytest

from chora_logging.eventlog import EventLog
from chora_logging.eventlog.following import Follower
from tests.eventlog.writing import Writer, alone, numbers

KEEP = 4


@pytest.fixture
def writer(tmp_path):
    with contextlib.closing(Writer(tmp_path / "app.log", KEEP)) as writer:
        yield writer


def write(writer, banner):
    """Write an event into a new file, after a banner."""
    with open(writer.log, "ab") as file:
        file.write(b"#" * banner + b"\n")
    writer.write(1)


@pytest.mark.parametrize("banner", [10, 1500], ids=["another head", "the same head"])
@pytest.mark.parametrize("files", [2, 3])
@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("shifts", [0, 1])
def test_moved_by_another_tool(monkeypatch, writer, banner, files, compressed, shifts):
    """logrotate rotates after us: the number of a file is no longer that of its rotation."""
    alone(monkeypatch)
    follower = Follower(writer.log)
    followed = []
    for _ in range(files):
        write(writer, banner)
        followed += numbers(follower.poll_items() or [])
        writer.rotate()
        if compressed:
            writer.compress(1)
    for _ in range(shifts):
        writer.copytruncate()
    while (items := follower.poll_items()) is not None:
        followed += numbers(items)
    follower.close()

    log = EventLog(writer.log, on_skip=lambda skipped: None)
    assert numbers(log.read()) == followed == list(range(files))
    assert numbers(log.read(newest_first=True)) == list(range(files))[::-1]


def test_inode_of_another(monkeypatch, writer):
    """A compressed file may have got the inode of a file that was compressed before it."""
    alone(monkeypatch)
    for number in range(2):
        write(writer, 1500)
        writer.rotate()
        if number:
            os.rename(writer.log + ".gone", writer.log + ".1.gz.new")  # its inode is that of the first file
            with open(writer.backup(1), "rb") as plain, open(writer.log + ".1.gz.new", "wb") as packed:
                packed.write(gzip.compress(plain.read()))
            os.rename(writer.log + ".1.gz.new", writer.backup(1) + ".gz")
            os.unlink(writer.backup(1))
        else:
            os.link(writer.backup(1), writer.log + ".gone")
            writer.compress(1)

    assert numbers(EventLog(writer.log, on_skip=lambda skipped: None).read()) == [0, 1]

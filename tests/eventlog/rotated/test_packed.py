"""Compressed files: of ours, in each format, whole, cut and changed; and of other programs."""

from __future__ import annotations

import json
import os

import pytest

from chora_logging.compressed_files import FORMATS, ZSTD, zstd_library
from chora_logging.eventlog import EventLog, Gap
from tests.eventlog.writing import line, numbers, write, write_packed

EVENTS = 20


@pytest.fixture
def log(tmp_path):
    write(tmp_path / "app.log", EVENTS)
    return str(tmp_path / "app.log")


def packed(log, format, data=None):
    """Our compressed file of a first backup with *data*; its path."""
    data = b"".join(map(line, range(EVENTS))) if data is None else data
    path = f"{log}.1{format.suffix}"
    write_packed(path, format, data)
    return path


def read(log):
    """The numbers of the events, and whether it was told that something is missing or is no line."""
    told = []
    items = list(EventLog(log, on_skip=told.append).read())
    return numbers(item for item in items if not isinstance(item, Gap)), bool(told)


@pytest.mark.parametrize("format", FORMATS, ids=lambda format: format.name)
def test_cut_anywhere(log, format):
    """Wherever our file is cut, what can be read of it is given, and that it is cut is told."""
    path = packed(log, format)
    assert read(log) == ([*range(EVENTS + 1)], False)

    for length in range(1, os.path.getsize(path))[::-1]:
        os.truncate(path, length)
        found, is_told = read(log)
        assert is_told, length
        assert found[:-1] == [*range(len(found) - 1)]
        assert found[-1] == EVENTS


@pytest.mark.parametrize("format", FORMATS, ids=lambda format: format.name)
def test_changed_anywhere(log, format):
    """Whichever byte of our file is changed, its events are given as they were, or it is told."""
    path = packed(log, format)
    with open(path, "rb") as file:
        data = file.read()
    before = os.stat(path).st_mtime_ns

    for at in range(len(data)):
        with open(path, "wb") as file:
            file.write(data[:at] + bytes([data[at] ^ 0x55]) + data[at + 1 :])
        os.utime(path, ns=(before, before))
        found, is_told = read(log)
        assert is_told or found == [*range(EVENTS + 1)], at


@pytest.mark.parametrize(
    "what", ["of another program", "bytes after the end", "two in one", "a large window"]
)
def test_what_we_do_not_write(log, what):
    """A file in our format that this package does not write is not read, or up to there, and that is told."""
    path, zstd = packed(log, ZSTD), zstd_library()
    with open(path, "rb") as file:
        data = file.read()
    content = b"".join(map(line, range(EVENTS)))
    packer = zstd.ZstdCompressor(options={zstd.CompressionParameter.window_log: 27})
    large = packer.compress(content) + packer.flush()
    made = {
        "of another program": zstd.compress(content),
        "bytes after the end": data + b"\0",
        "two in one": data * 2,
        "a large window": ZSTD.header() + large + data[-16:],
    }
    with open(path, "wb") as file:
        file.write(made[what])
    told = []
    found = numbers(EventLog(log, on_skip=told.append).read())

    assert found == [*range(EVENTS * ("end" in what or "two" in what)), EVENTS]
    [reason] = [skipped.reason for skipped in told]
    if what == "of another program":
        assert reason == (
            "the compressed file is not read, because of its format (.zst of another program): unpack it, or "
            "compress with gzip"
        )
    else:
        assert "damaged" in reason


@pytest.mark.parametrize("format", FORMATS, ids=lambda format: format.name)
@pytest.mark.parametrize("size", [0, 1, 300_000, 3_000_000])
def test_any_size(log, format, size):
    """Files that need none, one or several pieces are read from any place."""
    data = b"".join(line(number, 1000) for number in range(size // 1000)) or b"\n" * size
    packed(log, format, data)
    events = list(EventLog(log).read())

    assert [json.loads(each) for each in data.splitlines() if each] == [dict(event) for event in events[:-1]]
    for event in events[:: size // 10_000 or 1]:
        assert len(list(EventLog(log).read(after=event.cursor))) == len(events) - events.index(event) - 1

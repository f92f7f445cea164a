"""Compares the files of a log with the events its writers wrote: none lost, doubled, torn or out of order."""

from __future__ import annotations

import collections
import gzip
import json
import os
from pathlib import Path

from chora_logging.compressed_files import zstd_library
from chora_logging.log_files import backup_number


def files_of(log):
    """The files of the log, oldest first."""
    log = Path(log)
    numbered = {
        number: path
        for path in log.parent.iterdir()
        if (number := backup_number(path.name, log.name)) is not None
    }
    files = [numbered[number] for number in sorted(numbered, reverse=True)]
    return [*files, log] if log.exists() else files


def bytes_of(path):
    """The bytes of one file of the log, decompressed."""
    data = path.read_bytes()
    if path.suffix == ".zst":
        return zstd_library().decompress(data)
    return gzip.decompress(data) if path.suffix == ".gz" else data


def lines_of(log):
    """Every line of the log, oldest first; the last line of each file must be complete."""
    lines = []
    for path in files_of(log):
        data = bytes_of(path)
        assert not data or data.endswith(b"\n"), f"{path.name} ends in half a line: {data[-80:]!r}"
        lines += data.split(b"\n")[:-1]
    return lines


def events_of(log):
    """Every event of the log, oldest first; each line must be a JSON object."""
    events = [json.loads(line) for line in lines_of(log)]
    assert all(isinstance(event, dict) for event in events)
    return events


def assert_exact(log, writers):
    """Assert that the log has exactly the events 0 … n-1 of each writer in *writers*, in their order."""
    found = collections.defaultdict(list)
    for event in events_of(log):
        if "writer" in event:
            found[str(event["writer"])].append(event["seq"])
    for writer, count in writers.items():
        seen = found[str(writer)]
        lost = set(range(count)) - set(seen)
        assert not lost, f"writer {writer}: {len(lost)} of {count} lost, e.g. {sorted(lost)[:5]}"
        assert len(seen) == len(set(seen)), f"writer {writer}: {len(seen) - len(set(seen))} doubled"
        assert seen == sorted(seen), f"writer {writer}: out of order"
    assert set(found) == {str(writer) for writer in writers}


def assert_small(log, max_bytes):
    """Assert that no backup reaches *max_bytes*, unless it is a single line."""
    for path in files_of(log)[:-1]:
        data = bytes_of(path)
        assert len(data) < max_bytes or data.count(b"\n") == 1, f"{path.name}: {len(data)} bytes"


def snapshot(folder):
    """Every file of a folder with its content, except the sidecar."""
    return {
        name: Path(folder, name).read_bytes()
        for name in sorted(os.listdir(folder))
        if not name.startswith(".")
    }

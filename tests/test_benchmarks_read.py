"""The benchmark of the readers runs, and reports readers with other results."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import re

import pytest

from tests.benchmarks import read, read_set, readers
from tests.benchmarks.__main__ import PAGE


@pytest.fixture
def log(tmp_path, monkeypatch):
    monkeypatch.setattr(read_set, "SIZE", 100_000)
    return read_set.make(tmp_path, 1_000)


def test_every_task_has_ours():
    """Each task has a table in which ours and all installed readers found the same."""
    text = read.run(rounds=1, events=300)

    for task in readers.TASKS.values():
        rows = text.partition(f"**{task.title}**")[2].partition("\n**")[0]
        for reader in task.readers:
            (row,) = re.findall(rf"^\| {re.escape(reader.name)} \| (.*)$", rows, re.MULTILINE)
            assert "same" in row or "not installed" in row
            assert "not installed" not in row or not reader.name.startswith("**chora_logging**")


def test_what_is_found_is_compared(log):
    """A reader that misses an event is reported."""
    task = readers.TASKS["find"]
    ours = next(reader for reader in task.readers if reader.name.startswith("**chora_logging**"))
    half = dataclasses.replace(ours, function=lambda log: len(log.lines) - 1)

    assert read.compare(ours, task, log) == "same"
    assert read.compare(half, task, log) == f"found {len(log.lines) - 1} of {len(log.lines)}"


def test_the_set(log):
    """The set is rotated by size, in the order of time, always the same, with lines of about 250 bytes."""
    again = read_set.make(log.path.parent, 1_000)
    data = [pathlib.Path(file).read_bytes() for file in log.files]
    times = [json.loads(line)["timestamp"] for part in data for line in part.splitlines()]

    assert len(log.files) == 3
    assert all(len(part) <= read_set.SIZE for part in data)
    assert times == sorted(times)
    assert 200 < log.size / len(times) < 300
    assert again == log
    assert 3 <= len(log.lines) <= 12


def test_the_page_has_its_tables():
    """The page of the benchmarks has each task with each reader's row."""
    (found,) = re.findall(
        r"^<!-- read -->\n(.*?)<!-- /read -->$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL
    )

    assert all(f"**{task.title}**" in found for task in readers.TASKS.values())
    assert all(f"| {reader.name} |" in found for task in readers.TASKS.values() for reader in task.readers)

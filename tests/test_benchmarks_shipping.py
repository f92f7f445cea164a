"""The benchmark of shipping runs, and its page has what it prints."""

from __future__ import annotations

import re

import pytest

from tests.benchmarks import shipping, streams
from tests.benchmarks.__main__ import PAGE
from tests.needs import NATS_SERVERS, need

NAMES = [
    shipping.ALONE,
    shipping.MINE,
    shipping.SINGLE,
    "**chora_logging**, blocks",
    "**chora_logging**, compressed blocks",
    "from the file",
    "through the stream, `--linger 0`",
    "100",
    "1,000",
    "shipper",
    "`tail -f`",
]


@pytest.fixture
def small(monkeypatch):
    """Makes everything short: the tests only show that the benchmark works."""
    need(f"nats-server {NATS_SERVERS[-1]}")
    monkeypatch.setattr(shipping, "QUICK", (1, 300, 10, 0.5))
    monkeypatch.setattr(shipping, "MEMORY_RATE", 200)
    monkeypatch.setattr(shipping, "LOOK_SECONDS", 0.2)
    monkeypatch.setattr(shipping.serve, "SETTLING", 0.0)


def rows(text, name):
    """The cells of the rows that begin with a name."""
    return [row.split(" | ") for row in re.findall(rf"^\| {re.escape(name)} \| (.*) \|$", text, re.MULTILINE)]


@pytest.mark.whole
@pytest.mark.timeout(300)
def test_every_figure_is_there(small):
    """Each way stored, found or delivered everything, and has its row; the unit of each table is 1."""
    text = shipping.run(quick=True)

    for name in NAMES:
        assert rows(text, name)
    assert rows(text, shipping.ALONE)[0][2:4] == ["1.00", "1.00 to 1.00"]
    assert rows(text, "from the file")[0][2:] == ["1.0", "1.0 to 1.0"]
    assert [cells[-2] for cells in rows(text, shipping.SINGLE)] == ["1.00", "1.00"]
    assert all(float(cells[0]) > 0 for name in ("shipper", "`tail -f`") for cells in rows(text, name))


def test_the_log(tmp_path):
    """The log has the events of the trace that is sought, and its blocks are the whole file."""
    log = streams.Log.make(tmp_path, 1000)
    data = log.path.read_bytes()

    assert data.count(b"\n") == 1000
    assert (
        data.count(f'"{streams.trace_id(streams.TRACE)}"'.encode())
        == log.of_the_trace
        == streams.EVENTS_A_TRACE
    )
    assert b"".join(block.chunk[: block.size] for block in log.blocks()) == data
    assert 240 < log.size / 1000 < 330


def test_the_page_has_its_tables():
    """The page of the benchmarks has a row for each way."""
    (found,) = re.findall(
        r"^<!-- shipping -->\n(.*?)<!-- /shipping -->$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL
    )

    assert [name for name in NAMES if not rows(found, name)] == []

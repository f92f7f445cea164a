"""The benchmark of shipping to a collector runs, and its tables have every figure."""

from __future__ import annotations

import re

import pytest

from tests.benchmarks import otlp


@pytest.fixture
def small(monkeypatch):
    """Makes everything short: the test only shows that the benchmark works."""
    monkeypatch.setattr(otlp, "QUICK", (1, 0.3, 30, 0.2))
    monkeypatch.setattr(otlp, "MEMORY_RATE", 200)
    monkeypatch.setattr(otlp, "LOOK_SECONDS", 0.1)


@pytest.mark.whole
@pytest.mark.timeout(300)
def test_every_figure_is_there(small):
    """Both ways delivered every record at each rate; the SDK's processor time is the unit."""
    text = otlp.run(quick=True)

    rows = [row.split(" | ") for row in re.findall(r"^\| (.* of .*) \|$", text, re.MULTILINE)]
    paces = [("100 a second", "30 of 30"), ("1,000 a second", "300 of 300"), ("30 at once", "30 of 30")]
    for pace, delivered in paces:
        mine, theirs = (row for row in rows if row[0] == pace)
        assert (mine[1], theirs[1]) == (otlp.MINE, otlp.THEIRS)
        assert mine[-1] == theirs[-1] == delivered
        assert float(mine[2]) > float(mine[3]) > 0
        assert theirs[3:6] == ["", "1.00", "1.00 to 1.00"]
    assert re.search(r"^\| shipper \| [1-9]", text, re.MULTILINE)


def test_what_is_dropped_is_said(monkeypatch):
    """A burst of which the collector got a part is no full delivery, and the table says so."""
    monkeypatch.setattr(otlp, "ours", lambda rate, events: otlp.Sent(events, {otlp.APPLICATION: 1.0}))
    monkeypatch.setattr(otlp, "theirs", lambda rate, events: otlp.Sent(events // 2, {otlp.APPLICATION: 2.0}))
    monkeypatch.setattr(otlp, "memory", lambda seconds: "")

    text = otlp.run(rounds=1, events=10)

    assert re.search(r"^\| 10 at once .* 0\.50 .* 10 of 10 \|$", text, re.MULTILINE)
    assert re.search(r"^\| 10 at once .* 1\.00 .* 5 of 10 \|$", text, re.MULTILINE)

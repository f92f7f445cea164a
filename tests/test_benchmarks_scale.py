"""The benchmark of questions to a large log runs, and all programs give the same answers."""

from __future__ import annotations

import re

import pytest

from tests.benchmarks import scale


@pytest.mark.whole
def test_all_answers_are_the_same(monkeypatch):
    """Each question has a row of each program, with the same answer if it is installed."""
    monkeypatch.setattr(scale, "SIZES", (100_000,))
    text = scale.run(rounds=1, events=1_000)

    for question, peers in scale.QUESTIONS.items():
        rows = text.partition(f"\n**{question}**")[2].partition("\n**")[0]
        for peer in peers:
            (row,) = re.findall(rf"^\| {re.escape(peer.name)} \| (.*) \|$", rows, re.MULTILINE)
            assert row.endswith("same") or "not installed" in row

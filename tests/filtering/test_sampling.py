"""A share of the traces is kept, each as a whole, the same in every process."""

from __future__ import annotations

import logging
import subprocess
import sys

import pytest

from chora_logging.context import TraceIdFilter, trace_context
from chora_logging.errors import ConfigurationError
from chora_logging.filtering.sampling import TraceSampleFilter
from chora_logging.trace_ids import new_trace_id
from tests.records import Event, Raises, record_of

IDS = [f"trace-{number}" for number in range(2000)]


def kept(share):
    """Those of IDS that are kept."""
    sample = TraceSampleFilter(share)
    return {trace_id for trace_id in IDS if sample.filter(record_of(trace_id=trace_id))}


def test_the_share():
    """About the share of traces passes; a larger share keeps those of a smaller one."""
    assert kept(0) == set()
    assert kept(1) == set(IDS)
    assert 120 < len(kept(0.1)) < 280
    assert kept(0.1) < kept(0.3) < kept(0.9)


def test_all_or_nothing_wherever_the_id_comes_from():
    """The id of the record, of its message or of the context decides alike, before or after TraceIdFilter."""
    sample = TraceSampleFilter(0.5)
    for _ in range(20):
        trace_id = new_trace_id()
        with trace_context(trace_id):
            late = record_of("m")
            TraceIdFilter().filter(late)
            answers = [sample.filter(record_of(*each)) for each in [("m",), ({"a": 1},), (Event(),)]]
        answers.append(sample.filter(late))
        answers += [sample.filter(record_of(m)) for m in ({"trace_id": trace_id}, Event(trace_id))]
        answers.append(sample.filter(record_of(trace_id=trace_id)))

        assert set(answers) == {sample.keeps(trace_id)}


def test_processes_decide_alike():
    """Another process, with other hash seeds, keeps the same traces."""
    code = (
        "from chora_logging import TraceSampleFilter\n"
        "sample = TraceSampleFilter(0.3)\n"
        "print(*[f'trace-{n}' for n in range(2000) if sample.keeps(f'trace-{n}')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert set(done.stdout.split()) == kept(0.3)


def test_what_always_passes():
    """Records without a trace pass, by option those of a level and above, and those that raise."""
    sample = TraceSampleFilter(0, always="warning")
    with trace_context("a"):
        low, high = record_of("m"), record_of("m")
        high.levelno = logging.WARNING

        assert (sample.filter(low), sample.filter(high)) == (False, True)
    assert sample.filter(record_of("m"))
    assert sample.filter(record_of(Raises()))


@pytest.mark.parametrize("share", [-0.1, 1.1, "all", None, True, float("nan")])
def test_bad_input(share):
    """A share that is none is refused in one sentence."""
    with pytest.raises(ConfigurationError, match=r"^share must be a number from 0 to 1, got"):
        TraceSampleFilter(share)

"""The file with the position of a log that is shipped to a collector, when something has happened to it."""

from __future__ import annotations

import resource

import pytest

from chora_logging.errors import RefusedError
from tests.otlp.collector import Collector
from tests.otlp.test_shipping import Shipping

LOST = "the position is lost, so the log is shipped again from its beginning"


@pytest.fixture
def shipping(tmp_path):
    """A log of which five lines were shipped."""
    shipping = Shipping(tmp_path)
    with Collector() as collector:
        for _ in range(2):
            shipping.write(range(5))
            shipping.ship(collector)
    return shipping


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda whole: b"", f"it is empty: {LOST}"),
        (lambda whole: b"\0" * len(whole), f"it is damaged: {LOST}"),
        (lambda whole: whole[:512] + b"x" * 1024, f"it is damaged: {LOST}"),
        (lambda whole: whole[:5], f"it is damaged: {LOST}"),
    ],
    ids=["empty", "zeros", "positions", "cut off"],
)
def test_lost(shipping, caplog, damage, said):
    """A lost position is said once, and nothing is left out; then there is one again."""
    shipping.state.write_bytes(damage(shipping.state.read_bytes()))
    with Collector() as collector:
        shipping.ship(collector)
        shipping.ship(collector)

    assert len(collector.numbers()) == 10
    assert [record.getMessage() for record in caplog.records] == [f"{shipping.state}: {said}"]


def test_a_start_that_fails(tmp_path, caplog):
    """A file that could not be written is not taken for one that has lost a position."""
    shipping = Shipping(tmp_path)
    shipping.write(range(5))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with Collector() as collector:
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
        try:
            with pytest.raises(RefusedError, match="the position cannot be kept: File too large"):
                shipping.ship(collector)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        shipping.ship(collector)

    assert collector.numbers() == list(range(5))
    assert caplog.text == ""


def test_torn(shipping, caplog):
    """One that was torn when it was written is the one before, without a word."""
    whole = bytearray(shipping.state.read_bytes())
    whole[512 + 40] ^= 1
    shipping.state.write_bytes(whole)
    with Collector() as collector:
        shipping.ship(collector)

    assert len(collector.numbers()) == 5
    assert caplog.text == ""


def test_of_somebody_else(shipping):
    """A file that no shipper has made is an error, and is left as it is."""
    shipping.state.write_bytes(b"name: value\n" * 100)
    with Collector() as collector, pytest.raises(RefusedError, match="not a shipper's file") as caught:
        shipping.ship(collector)

    assert str(caught.value).endswith("; choose another --state")
    assert shipping.state.read_bytes() == b"name: value\n" * 100
    assert collector.requests == []


def test_of_another_log(shipping, tmp_path, caplog):
    """The position of another log, with the same name and folder of state, is told, and all is shipped."""
    other = Shipping(tmp_path / "other")
    other.path.parent.mkdir()
    other.write(range(100, 103), text="z" * 300)
    other.state = shipping.state
    with Collector() as collector:
        other.ship(collector)

    assert collector.numbers() == [100, 101, 102]
    assert f"{shipping.state}: it has the position of {shipping.path}; if that is another" in caplog.text

"""The benchmark of the servers runs, and reports missing events."""

from __future__ import annotations

import dataclasses
import re

import pytest

from tests.benchmarks import serve, servers
from tests.benchmarks.__main__ import PAGE
from tests.needs import need


@pytest.fixture(autouse=True)
def few(monkeypatch):
    """Use few clients: the tests only show that the benchmark works."""
    for name, value in {"CLIENTS": 3, "IDLE": 5, "REST": 0.1, "SETTLING": 0.0}.items():
        monkeypatch.setattr(serve, name, value)


@pytest.mark.whole
def test_every_server_has_a_row():
    """Every installed server delivered each event to each client, as it is in the log."""
    text = serve.run(rounds=1, events=10)

    for rival in servers.RIVALS.values():
        (row,) = re.findall(rf"^\| {re.escape(rival.name)} \| (.*) \|$", text, re.MULTILINE)
        cells = row.split(" | ")
        if rival.missing:
            assert cells[0] == "not installed"
        else:
            assert 0 < float(cells[0]) <= float(cells[1])
            assert (cells[2], cells[5], cells[8].partition(";")[0]) == ("30", "5", "same")


def test_nchan_is_measured():
    """nchan, the server in C, is measured."""
    need("nginx with nchan")

    assert not servers.RIVALS["nchan"].missing


def test_the_dependencies_of_the_tests_bring_the_generator():
    """Our server and sse-starlette's generator are always installed in the tests."""
    assert not any(servers.RIVALS[key].missing for key in ("ours", "generator", "eager"))


def test_the_page_has_its_table():
    """The page of the benchmarks has a row for each server."""
    (found,) = re.findall(
        r"^<!-- serve -->\n(.*?)<!-- /serve -->$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL
    )

    assert all(f"| {rival.name} |" in found for rival in servers.RIVALS.values())


def test_missing_events_are_reported():
    """A server that delivers fewer or other events is reported as different."""
    outcome = serve.Outcome([0.001] * 29, 29, False, 0.1, 1.0, 4, 0.1, 1.0)

    cells = serve.row(servers.RIVALS["ours"], [outcome], 10)

    assert (cells[3], cells[6]) == ("29 of 30", "4 of 5")
    assert cells[9].startswith("not those of the log; ")


def test_a_missing_server_is_named():
    """A server that is not installed has a row with that result."""
    absent = dataclasses.replace(servers.RIVALS["nchan"], needs="/nowhere")

    assert absent.missing


def test_a_server_that_does_not_begin(tmp_path):
    """A server that ends immediately is an error with its output."""
    broken = dataclasses.replace(
        servers.RIVALS["ours"], commands=lambda *_: [["sh", "-c", "echo no such thing >&2; exit 1"]]
    )

    with (
        pytest.raises(RuntimeError, match="no such thing"),
        servers.running(broken, tmp_path / "log", tmp_path),
    ):
        pass

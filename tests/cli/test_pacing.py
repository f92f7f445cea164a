"""A terminal that is behind leaves events out, says how many, and shows the newest."""

from __future__ import annotations

import pytest

from chora_logging.cli import pacing
from chora_logging.cli.logs import Log
from chora_logging.cli.pacing import Pacing
from chora_logging.eventlog.events import Event, Gap

LOG = Log("app", "app.log")


@pytest.fixture
def time(monkeypatch):
    """A clock to set, and a limit of 10 events and 1 second."""
    monkeypatch.setattr(pacing, "LEAST_EVENTS", 10)
    return [0.0]


@pytest.fixture
def paced(time):
    """A terminal of three rows: what it shows of numbered events."""
    terminal = Pacing(3, lambda: time[0])

    def shown(*numbers):
        left_out, items = terminal.shown(
            [(LOG, n if isinstance(n, Gap) else Event({"n": n})) for n in numbers]
        )
        return left_out, [item if isinstance(item, Gap) else item["n"] for _, item in items]

    return shown


def test_a_burst_is_shown_whole(paced, time):
    """Many events at once, and few over a long time, are all shown."""
    assert paced(*range(50)) == (0, [*range(50)])
    assert paced() == (0, [])
    time[0] = 5
    assert paced(1, 2) == (0, [1, 2])


def test_behind(paced, time):
    """After a second and many events without a rest, the newest are shown now and then, with the number."""
    paced(*range(11))
    time[0] = 1.1
    assert paced(*range(11, 21)) == (7, [18, 19, 20])
    time[0] = 1.2
    assert paced(21, 22) == (0, [])
    assert paced(23, 24) == (0, [])
    time[0] = 1.7
    assert paced(25) == (2, [23, 24, 25])


def test_caught_up(paced, time):
    """When everything was read, what was held is shown, and all that comes next."""
    paced(*range(11))
    time[0] = 1.1
    paced(11)
    assert paced(12, 13, 14, 15) == (0, [])
    assert paced() == (1, [13, 14, 15])
    assert paced(16, 17) == (0, [16, 17])


def test_a_gap_is_shown(paced, time):
    """What is missing is never left out."""
    gap = Gap("deleted")
    paced(*range(11))
    time[0] = 1.1
    paced(11)
    assert paced(12, gap, 13) == (0, [12, gap, 13])


def test_nothing_is_lost(paced, time):
    """Each event is shown or counted, once and in order."""
    total, seen = 0, []
    for step in range(200):
        time[0] += 0.07
        left_out, shown = paced(*range(step * 5, step * 5 + 5))
        total += left_out
        seen += shown
    left_out, shown = paced()

    assert total + left_out + len(seen + shown) == 1000
    assert seen == sorted(seen)
    assert (seen + shown)[-1] == 999

"""The stream of a shipper: what is asked for, in what another differs, and which subjects it takes."""

from __future__ import annotations

import pytest

from chora_logging.jetstream import provision
from chora_logging.jetstream.provision import Wanted, differences


def test_config():
    """The configuration has the limits, in the units of the server; ids are not kept longer than messages."""
    config = Wanted("clog", 3, 7 * 86400, 50 * 2**30).config("CLOG")

    assert (config["name"], config["subjects"], config["num_replicas"]) == ("CLOG", ["clog.>"], 3)
    assert (config["max_age"], config["max_bytes"]) == (604_800_000_000_000, 53_687_091_200)
    assert (config["discard"], config["deny_delete"], config["retention"]) == ("old", True, "limits")
    assert config["duplicate_window"] == 120_000_000_000
    assert Wanted("clog", 1, 60, -1).config("CLOG")["duplicate_window"] == 60_000_000_000
    assert Wanted("clog", 1, 0, -1).config("CLOG")["max_age"] == 0


def test_differences():
    """Each difference is one sentence; what nobody asked for is none."""
    wanted = Wanted("clog", 1, 60, -1).config("CLOG")

    assert differences({**wanted, "compression": "s2", "description": ""}, wanted) == []
    assert differences({**wanted, "num_replicas": 3, "max_age": 0}, wanted) == [
        "num_replicas is 3, and 1 was asked for",
        "max_age is 0, and 60000000000 was asked for",
    ]


@pytest.mark.parametrize(
    ("pattern", "subject", "expected"),
    [
        ("clog.>", "clog.web1.app", True),
        ("clog.*.*", "clog.web1.app", True),
        ("clog.web1.app", "clog.web1.app", True),
        (">", "clog.web1.app", True),
        ("clog.*", "clog.web1.app", False),
        ("clog.web1.app.>", "clog.web1.app", False),
        ("other.>", "clog.web1.app", False),
        ("clog.web1.app.late", "clog.web1.app", False),
    ],
)
def test_matches(pattern, subject, expected):
    """Subjects match patterns as in NATS."""
    assert provision._matches(pattern, subject) is expected

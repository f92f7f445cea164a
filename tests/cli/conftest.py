"""What the tests of the commands share."""

from __future__ import annotations

import pytest

from tests.cli.calling import Caller


@pytest.fixture
def call(capsys, monkeypatch):
    """Calls a command in this process."""
    return Caller(capsys, monkeypatch)

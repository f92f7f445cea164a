"""No token of the machine reaches a test."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def no_token(monkeypatch):
    """Without this a server under test might ask for one."""
    monkeypatch.delenv("CHORA_LOGGING_TOKEN", raising=False)

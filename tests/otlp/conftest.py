"""Removes OpenTelemetry's variables, and calls commands."""

from __future__ import annotations

import os

import pytest

from tests.cli.calling import Caller
from tests.jetstream.conftest import certificates  # noqa: F401  # a fixture


@pytest.fixture(autouse=True)
def without_variables(monkeypatch):
    """Remove OpenTelemetry's variables from the environment of each test."""
    for name in list(os.environ):
        if name.startswith("OTEL_"):
            monkeypatch.delenv(name)


@pytest.fixture
def call(capsys, monkeypatch):
    """Calls a command in this process."""
    return Caller(capsys, monkeypatch)

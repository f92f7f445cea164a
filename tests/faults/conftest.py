"""Closes the handlers that a test made."""

from __future__ import annotations

import pytest

from tests.faults import writer


@pytest.fixture(autouse=True)
def handlers_closed():
    """Close what `writer.logger_on` made."""
    yield
    while writer.made:
        writer.made.pop().close()

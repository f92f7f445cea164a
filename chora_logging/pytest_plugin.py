"""The pytest plugin: the fixture `capture_events`. The package is imported when a test uses it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from chora_logging.testing import capture_events as CapturedEvents  # noqa: N812 - the fixture has its name


@pytest.fixture
def capture_events() -> Iterator[CapturedEvents]:
    """What the test logs, in all threads and forked processes: `capture_events.assert_logged(event="…")`."""
    from chora_logging import testing

    with testing.capture_events() as captured:
        yield captured

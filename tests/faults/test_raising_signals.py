"""Signal handlers that raise in the middle of whatever runs, as time limits and Ctrl-C do."""

from __future__ import annotations

import os

import pytest

from tests.accounting import assert_exact
from tests.faults.writer import logger_on, write


@pytest.mark.parametrize("call", range(5))
def test_a_rename_that_was_left(tmp_path, monkeypatch, call):
    """An exception right after any rename of a rotation costs no backup."""
    log = tmp_path / "events.log"
    logger = logger_on(log, backupCount=10)
    for number in range(5):
        write(logger, "before", number + 1, first=number)
        logger.handlers[0].doRollover()
    write(logger, "before", 6, first=5)
    renames, rename = [], os.rename

    def left(*paths):
        rename(*paths)
        renames.append(paths)
        if len(renames) == call + 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(os, "rename", left)
    with pytest.raises(KeyboardInterrupt):
        logger.handlers[0].doRollover()
    monkeypatch.undo()
    write(logger, "after", 1)

    assert_exact(log, {"before": 6, "after": 1})

"""The file after one that was deleted while it was read."""

from __future__ import annotations

import contextlib
import os

import pytest

from chora_logging.eventlog import Gap
from chora_logging.eventlog.following import Follower
from tests.eventlog.writing import Writer, alone


@pytest.mark.parametrize("known", [True, False], ids=["the next was there", "the next is new"])
def test_the_next_is_deleted_too(tmp_path, monkeypatch, known):
    """Of a file that was there after the current one, and is not any more, a gap says that it is missing."""
    alone(monkeypatch)
    with contextlib.closing(Writer(tmp_path / "app.log", 2)) as writer:
        writer.write(4)
        if known:
            writer.rename()
            writer.write(2)
        writer.forget()  # nothing but the files themselves says in which order they were written
        with contextlib.closing(Follower(writer.log)) as follower:
            follower.poll_items()
            writer.rename()
            writer.write(3)
            writer.forget()
            for number in (1, 2):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(writer.backup(number))
            items = []
            while (found := follower.poll_items()) is not None:
                items += found

    gaps = [item.reason for item in items if isinstance(item, Gap)]
    assert [item["n"] for item in items if not isinstance(item, Gap)] == list(
        range(writer.count - 3, writer.count)
    )
    told = "the file was deleted, and other files may have been before they were read"
    assert gaps == [told] * known

"""The length of soaks: a quarter in an ordinary run, the whole with `tests/run.py --whole`."""

from __future__ import annotations

import os

#: Set by `tests/run.py --whole`.
WHOLE = "CHORA_WHOLE" in os.environ


def soak(amount: int) -> int:
    """Return *amount*, seconds or a count, in a whole run, else a quarter of it."""
    return amount if WHOLE else amount // 4

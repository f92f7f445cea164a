"""The length of soaks: an eighth in an ordinary run, the whole with `tests/run.py --whole`."""

from __future__ import annotations

import os

#: Set by `tests/run.py --whole`.
WHOLE = "CHORA_WHOLE" in os.environ


def soak(amount: int) -> int:
    """Return *amount*, seconds or a count, in a whole run, else an eighth of it."""
    return amount if WHOLE else max(1, amount // 8)

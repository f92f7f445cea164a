"""The fast path in C, and whether it is in use.

It is compiled at installation where there is a C compiler. Without it, and for whatever it leaves undone,
Python does the same. `CHORA_LOGGING_PURE=1` in the environment leaves it out; `speedups.h` is where to
begin reading.
"""

from __future__ import annotations

import os

#: Whether it is in use.
in_use = False

if not os.environ.get("CHORA_LOGGING_PURE"):
    try:
        from chora_logging.speedups._speedups import CONSTANT as CONSTANT
        from chora_logging.speedups._speedups import MESSAGE as MESSAGE
        from chora_logging.speedups._speedups import STAMP as STAMP
        from chora_logging.speedups._speedups import Appender as Appender
        from chora_logging.speedups._speedups import LineWriter as LineWriter
        from chora_logging.speedups._speedups import events_are as events_are
        from chora_logging.speedups._speedups import make_record as make_record
        from chora_logging.speedups._speedups import trace_by as trace_by

        in_use = True
    except ImportError:
        pass

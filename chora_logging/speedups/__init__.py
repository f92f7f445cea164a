"""The fast path in C, and whether it is in use.

It is compiled at installation where there are a C compiler and Python's headers. Without it, and for
whatever it leaves undone, Python does the same. `CHORA_LOGGING_PURE=1` in the environment leaves it out;
`speedups.h` is where to begin reading.
"""

from __future__ import annotations

import os
import sys

#: Whether it is in use.
in_use = False
#: Why it is not in use, and what brings it; empty where it is in use.
why_not = ""

if os.environ.get("CHORA_LOGGING_PURE"):
    why_not = "CHORA_LOGGING_PURE is set"
else:
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
    except ModuleNotFoundError:
        why_not = (
            "not built: it is for Pythons with a GIL"
            if "t" in sys.abiflags  # free-threaded (PEP 703)
            else "not built: install a C compiler and Python's headers (Debian: gcc, python3-dev), "
            "then this package again"
        )
    except ImportError as error:
        why_not = f"cannot be loaded ({error}): install this package again"

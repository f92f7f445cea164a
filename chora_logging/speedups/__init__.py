"""The fast path in C, and whether it is in use.

It is compiled at installation if there are a C compiler and Python's headers. Without it, and for every
record that it declines, Python code does the same. `CHORA_LOGGING_PURE=1` in the environment disables
it; `0`, `no` and the like do not. Start reading at `speedups.h`.
"""

from __future__ import annotations

import os
import sys

from chora_logging.errors import ConfigurationError
from chora_logging.options import parse_flag

#: Whether the fast path is in use.
in_use = False
#: Why it is not in use, and what to do about it; empty if it is in use.
why_not = ""


def _is_disabled() -> bool:
    value = os.environ.get("CHORA_LOGGING_PURE")
    try:
        return bool(value) and parse_flag("CHORA_LOGGING_PURE", value)
    except ConfigurationError:  # an import must not fail for it
        return True


if _is_disabled():
    why_not = "CHORA_LOGGING_PURE is set"
else:
    try:
        from chora_logging.speedups._speedups import CONSTANT as CONSTANT
        from chora_logging.speedups._speedups import MESSAGE as MESSAGE
        from chora_logging.speedups._speedups import STAMP as STAMP
        from chora_logging.speedups._speedups import Appender as Appender
        from chora_logging.speedups._speedups import LineWriter as LineWriter
        from chora_logging.speedups._speedups import events_are as events_are
        from chora_logging.speedups._speedups import fields_by as fields_by
        from chora_logging.speedups._speedups import make_record as make_record
        from chora_logging.speedups._speedups import trace_by as trace_by

        in_use = True
    except ModuleNotFoundError:
        why_not = (
            "not built: it requires a Python with a GIL"
            if "t" in sys.abiflags  # free-threaded (PEP 703)
            else "not built: install a C compiler and Python's headers (Debian: gcc, python3-dev), "
            "then reinstall this package"
        )
    except ImportError as error:
        why_not = f"cannot be loaded ({error}): reinstall this package"

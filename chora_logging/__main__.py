"""`python -m chora_logging`: the same as the command `chora-logging`."""

from __future__ import annotations

import sys

from chora_logging.cli import main

if __name__ == "__main__":
    sys.exit(main())

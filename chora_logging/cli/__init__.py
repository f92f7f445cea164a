"""The command line `chora-logging` (extra `cli`). Each command is a module, imported when it is called."""

from __future__ import annotations

import sys
from collections.abc import Sequence

#: The packages that the commands import and only an extra installs, each with that extra.
_EXTRAS = {
    **dict.fromkeys(("click", "rich", "tomli_w", "yaml"), "cli"),
    "duckdb": "sql",
    "uvicorn": "web",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line, and return its exit status.

    Needs the extra `cli`; without it, one line on stderr names the extra to install.

    Args:
        arguments: The arguments after the program name; None takes those of this process.
    """
    from chora_logging.errors import MissingExtraError

    try:
        from chora_logging.cli.commands import run

        return run(arguments)
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in _EXTRAS:
            raise
        print(f"chora-logging: {MissingExtraError(package, _EXTRAS[package])}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:  # while the command was still being imported
        return 130

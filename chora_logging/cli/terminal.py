"""What reaches a terminal: colours where they are wanted, and no character that commands it."""

from __future__ import annotations

import io
import os
import sys
from typing import NoReturn

from rich.console import Console

#: Wide enough that nothing is broken or cut where there is no terminal to fit in.
UNLIMITED = 10_000

# Controls (C0, DEL, C1), the separators of Unicode, what turns the direction of text around (which can
# make a line read as another one), invisible characters, and halves of surrogate pairs.
_HARMFUL = (
    (0x00, 0x1F),
    (0x7F, 0x9F),
    (0x061C, 0x061C),
    (0x200B, 0x200F),
    (0x2028, 0x202E),
    (0x2060, 0x206F),
    (0xFEFF, 0xFEFF),
    (0xFFF9, 0xFFFB),
    (0xD800, 0xDFFF),
    (0xE0000, 0xE007F),
)
_ESCAPED = {code: ascii(chr(code))[1:-1] for first, last in _HARMFUL for code in range(first, last + 1)}


def printable(text: str) -> str:
    """*text* with every character escaped that would not be seen but obeyed.

    >>> printable("a\\x1b[31mred\\nnext")
    'a\\\\x1b[31mred\\\\nnext'
    """
    return text.translate(_ESCAPED)


class _Screen(Console):
    def on_broken_pipe(self) -> NoReturn:
        """Leave it to the caller how to end: there may be processes to stop."""
        raise BrokenPipeError


def open_console() -> Console:
    """A console on stdout: coloured on a terminal, plain in a pipe and with `NO_COLOR`.

    Lines fit the terminal, or `COLUMNS`; where there is neither they are as long as they are.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    is_terminal = sys.stdout is not None and sys.stdout.isatty()
    plain = not is_terminal or bool(os.environ.get("NO_COLOR"))
    width = None if is_terminal or os.environ.get("COLUMNS") else UNLIMITED
    return _Screen(
        color_system=None if plain else "auto",
        force_terminal=is_terminal,
        width=width,
        highlight=False,
        markup=False,
        emoji=False,
        soft_wrap=False,
    )

"""What reaches a terminal: colours where they are wanted, and no character that commands it."""

from __future__ import annotations

import io
import json
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

# Controls below DEL are escaped in JSON anyway; between its tokens they may stand, and do no harm.
_ESCAPED_IN_JSON = {code: json.dumps(chr(code))[1:-1] for code in _ESCAPED if code >= 0x7F}


def printable(text: str) -> str:
    """*text* with every character escaped that would not be seen but obeyed.

    >>> printable("a\\x1b[31mred\\nnext")
    'a\\\\x1b[31mred\\\\nnext'
    """
    return text.translate(_ESCAPED)


def printable_json(line: bytes) -> bytes:
    """The same JSON as *line*, with every such character as an escape of JSON."""
    return (
        line if line.isascii() and b"\x7f" not in line else line.decode().translate(_ESCAPED_IN_JSON).encode()
    )


class JsonLines:
    """Events as JSON Lines on stdout, each as its log has it; on a terminal nothing in them is obeyed.

    Args:
        at_once: Whether each line is to be there when it has been written, for who watches.
    """

    def __init__(self, *, at_once: bool = False) -> None:
        self._for_eyes = sys.stdout.isatty()
        self._at_once = at_once or self._for_eyes

    def write(self, line: bytes) -> None:
        """Write *line*, strict JSON without a newline."""
        sys.stdout.buffer.write((printable_json(line) if self._for_eyes else line) + b"\n")
        if self._at_once:
            sys.stdout.flush()


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


def can_draw() -> bool:
    """Whether stdout takes the characters that lines are drawn with."""
    try:
        "━╸╺•".encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True

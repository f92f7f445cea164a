"""What reaches a terminal: colours where they are wanted, and no character that commands it."""

from __future__ import annotations

import codecs
import io
import json
import os
import sys
from typing import IO, NoReturn

from rich.console import Console
from rich.text import Text

#: Wide enough that nothing is broken or cut where there is no terminal to fit in.
UNLIMITED = 10_000

#: The narrowest screen on which a table of numbers has all its columns; below the second one it has the
#: most important ones only.
WIDE_COLUMNS, NARROW_COLUMNS = 72, 40

# Controls (C0, DEL, C1), the separators of Unicode, what turns the direction of text around (which can
# make a line read as another one), invisible characters, halves of surrogate pairs, and skin tones, for
# terminals do not agree on how wide they are.
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
    (0x1F3FB, 0x1F3FF),
    (0xE0000, 0xE007F),
)
_ESCAPED = {code: ascii(chr(code))[1:-1] for first, last in _HARMFUL for code in range(first, last + 1)}

# Controls below DEL are escaped in JSON anyway; between its tokens they may stand, and do no harm.
_ESCAPED_IN_JSON = {code: json.dumps(chr(code))[1:-1] for code in _ESCAPED if code >= 0x7F}

#: What stands for the characters that screens are drawn with, where stdout does not take them.
_LIKE = dict(zip("━╸╺•─│┤┼▁▂▃▄▅▆▇█…–·", "===|-|++...:::##~--", strict=True))


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


class Screen(Console):
    """Stdout for eyes; `open_console` makes it.

    Args:
        at_once: Whether each line is to be there when it has been printed, also in a pipe.
    """

    def __init__(self, *, at_once: bool = False) -> None:
        is_terminal = sys.stdout.isatty()
        self._is_plain = not is_terminal or bool(os.environ.get("NO_COLOR"))
        self._at_once = at_once
        super().__init__(
            color_system=None if self._is_plain else "auto",
            force_terminal=is_terminal,
            width=_columns() or (None if is_terminal else UNLIMITED),
            highlight=False,
            markup=False,
            emoji=False,
            soft_wrap=False,
            _environ={name: value for name, value in os.environ.items() if name != "COLUMNS"},
        )

    def show(self, line: Text) -> None:
        """Print *line*, which is one that fits."""
        if not self._is_plain:
            self.print(line, no_wrap=True, end="\n")
            return
        self.file.write(f"{line.plain}\n")  # laid out like a paragraph it would take ten times as long
        if self._at_once:
            self.file.flush()

    def on_broken_pipe(self) -> NoReturn:
        """Leave it to the caller how to end: there may be processes to stop."""
        raise BrokenPipeError


def open_console(*, at_once: bool = False) -> Screen:
    """A console on stdout: coloured on a terminal, plain in a pipe and with `NO_COLOR`.

    Lines fit the terminal, or `COLUMNS`; where there is neither they are as long as they are.

    Args:
        at_once: Whether each line is to be there when it has been printed, also in a pipe.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="chora_logging.alike")
    return Screen(at_once=at_once)


def open_text() -> IO[str]:
    """Stdout for text that programs read: UTF-8, as the logs, whatever the locale of this place is."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        if sys.stdout.isatty():
            sys.stdout.reconfigure(errors="backslashreplace")
        else:
            sys.stdout.reconfigure(encoding="utf-8")
    return sys.stdout


def _columns() -> int | None:
    """What `COLUMNS` says; None if that is nothing that a line could fit."""
    text = os.environ.get("COLUMNS", "")
    return int(text) or None if text.isascii() and text.isdigit() and len(text) < 10 else None


def _alike(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    return "".join(_LIKE.get(c) or c.encode("ascii", "backslashreplace").decode() for c in text), error.end


codecs.register_error("chora_logging.alike", _alike)

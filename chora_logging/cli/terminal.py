"""Output to a terminal: colours, line widths, and escapes for control characters."""

from __future__ import annotations

import codecs
import contextlib
import functools
import io
import json
import os
import sys
import threading
from collections.abc import Callable, Iterator
from typing import IO, Any, Literal, NoReturn

import click
from rich.color import ColorSystem
from rich.console import Console
from rich.style import Style
from rich.text import Span, Text

from chora_logging.cli.reader_end import pipe_of_stdout

#: The width without a terminal: large enough that no line is wrapped or cut.
UNLIMITED = 10_000

#: How many lines are written at once.
WRITTEN_LINES = 32

#: How often output to a pipe is flushed, in seconds.
FLUSH_SECONDS = 0.1

#: The narrowest screen on which a table of numbers has all its columns; below the second width it has only
#: the most important ones.
WIDE_COLUMNS, NARROW_COLUMNS = 72, 40

#: The values of `--color`; None leaves it to the environment.
_COLOR = {"auto": None, "always": True, "never": False}

#: The variables that rich would read, and understands differently.
_OURS = ("COLUMNS", "NO_COLOR", "FORCE_COLOR")

# Controls (C0, DEL, C1), Unicode separators, bidirectional controls (which can make a line read as another
# one), invisible characters, surrogates, and skin tones, because terminals disagree about their width.
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

# Inside JSON strings, controls below DEL are escaped already; between tokens they are whitespace.
_ESCAPED_IN_JSON = {code: json.dumps(chr(code))[1:-1] for code in _ESCAPED if code >= 0x7F}

#: ASCII substitutes for the characters that screens are drawn with, where stdout cannot encode them.
_LIKE = dict(zip("━╸╺•─│┤┼▁▂▃▄▅▆▇█…–·", "===|-|++...:::##~--", strict=True))


def printable(text: str) -> str:
    """Return *text* with its control and invisible characters escaped.

    >>> printable("a\\x1b[31mred\\nnext")
    'a\\\\x1b[31mred\\\\nnext'
    """
    if text.isascii() and text.isprintable():  # nearly always, and five times as fast
        return text
    return text.translate(_ESCAPED)


def printable_json(line: bytes) -> bytes:
    """Return the JSON *line* with the same characters as JSON escapes."""
    return (
        line if line.isascii() and b"\x7f" not in line else line.decode().translate(_ESCAPED_IN_JSON).encode()
    )


class JsonLines:
    """Writes events to stdout as JSON Lines, unchanged; on a terminal with control characters escaped.

    Args:
        flush: Whether to flush after each line; on a terminal each line is flushed in any case.
    """

    def __init__(self, *, flush: bool = False) -> None:
        self._is_terminal = sys.stdout.isatty()
        self._is_flushed = flush or self._is_terminal

    def write(self, line: bytes) -> None:
        """Write *line*, strict JSON without a newline."""
        sys.stdout.buffer.write((printable_json(line) if self._is_terminal else line) + b"\n")
        if self._is_flushed:
            sys.stdout.flush()


class Screen(Console):
    """A rich console on stdout; `open_console` makes it.

    Args:
        flush: Whether to flush after each line, also in a pipe.
    """

    def __init__(self, *, flush: bool = False) -> None:
        is_terminal = sys.stdout.isatty()
        self._is_flushed = flush or is_terminal
        system: Literal["auto", "standard"] = "auto" if is_terminal else "standard"
        super().__init__(
            color_system=system if _is_coloured() else None,
            force_terminal=is_terminal,
            width=_columns() or (None if is_terminal else UNLIMITED),
            highlight=False,
            markup=False,
            emoji=False,
            soft_wrap=False,
            _environ={name: value for name, value in os.environ.items() if name not in _OURS},
        )
        self._is_plain = self.color_system is None

    def show(self, *lines: Text) -> None:
        """Print *lines*, which must fit the width."""
        # The layout of a paragraph takes ten times as long. Of a large write to a pipe that is being closed,
        # an unbuffered stdout loses a part without an error.
        for start in range(0, len(lines), WRITTEN_LINES):
            part = lines[start : start + WRITTEN_LINES]
            self.file.write("".join(f"{line.plain if self._is_plain else as_ansi(line)}\n" for line in part))
        if self._is_flushed:
            self.file.flush()

    def on_broken_pipe(self) -> NoReturn:
        """Raise, so that the caller decides how to end: it may have processes to stop."""
        raise BrokenPipeError


def color_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the option `--color` to a command."""
    option = click.option(
        "--color",
        type=click.Choice(tuple(_COLOR)),
        default="auto",
        show_default=True,
        expose_value=False,
        callback=_set_color,
        help="When to use colours; auto means on a terminal, unless NO_COLOR is set, or if FORCE_COLOR is.",
    )
    return option(function)


@contextlib.contextmanager
def flushed_often() -> Iterator[None]:
    """Flush the buffer of stdout several times a second in the block, by a thread, if it is a pipe.

    So a reader need not wait until the buffer is full, and no line costs a system call of its own.
    """
    if pipe_of_stdout() is None:
        yield
        return
    done = threading.Event()
    buffer = sys.stdout.buffer

    def flush() -> None:
        with contextlib.suppress(OSError, ValueError):  # the thread that writes gets the same error
            while not done.wait(FLUSH_SECONDS):
                buffer.flush()

    thread = threading.Thread(target=flush, name="flush", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


class LineBuilder:
    """Collects the parts of a line; `Text.append` would take several times as long."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._spans: list[Span] = []
        self._length = 0

    def append(self, text: str, style: str = "") -> LineBuilder:
        """Add *text* with a style, and return the builder."""
        start = self._length
        self._length += len(text)
        self._parts.append(text)
        if style and text:
            self._spans.append(Span(start, self._length, style))
        return self

    def line(self) -> Text:
        """Return the line, without blanks at its end."""
        line = Text("".join(self._parts), spans=self._spans, no_wrap=True, overflow="ellipsis", end="")
        line.rstrip()
        return line


def as_ansi(line: Text) -> str:
    """Return *line* with escape sequences for its styles, as rich prints it; its spans must not overlap."""
    text, at = line.plain, 0
    base, end = _codes(str(line.style))
    parts = []
    for start, stop, style in line.spans:
        if start > at:
            parts.append(f"{base}{text[at:start]}{end}")
        if stop > start:
            before, after = _codes(f"{line.style} {style}" if base else str(style))
            parts.append(f"{before}{text[start:stop]}{after}")
        at = stop
    if at < len(text):
        parts.append(f"{base}{text[at:]}{end}")
    return "".join(parts)


@functools.cache
def _codes(style: str) -> tuple[str, str]:
    text = Style.parse(style).render("\0", color_system=ColorSystem.STANDARD)
    before, _, after = text.partition("\0")
    return before, after


def _set_color(ctx: click.Context, param: click.Parameter, value: str) -> None:
    ctx.color = _COLOR[value]


def _is_coloured() -> bool:
    context = click.get_current_context(silent=True)
    if context is not None and context.color is not None:
        return context.color
    if os.environ.get("NO_COLOR"):
        return False
    return sys.stdout.isatty() or os.environ.get("FORCE_COLOR", "0") not in ("", "0", "false")


def open_console(*, flush: bool = False) -> Screen:
    """Return a console on stdout: coloured as `--color` says, else on a terminal but for `NO_COLOR`.

    Lines fit `COLUMNS`, or else the terminal; without either they are not cut.

    Args:
        flush: Whether to flush after each line, also in a pipe.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="chora_logging.alike")
    return Screen(flush=flush)


def open_text() -> IO[str]:
    """Return stdout for text that programs read: UTF-8 in any locale; a terminal keeps its encoding."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        if sys.stdout.isatty():
            sys.stdout.reconfigure(errors="backslashreplace")
        else:
            sys.stdout.reconfigure(encoding="utf-8")
    return sys.stdout


def _columns() -> int | None:
    """Return the width in `COLUMNS`, or None if it is not a usable number."""
    text = os.environ.get("COLUMNS", "")
    return int(text) or None if text.isascii() and text.isdigit() and len(text) < 10 else None


def _alike(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    return "".join(_LIKE.get(c) or c.encode("ascii", "backslashreplace").decode() for c in text), error.end


codecs.register_error("chora_logging.alike", _alike)

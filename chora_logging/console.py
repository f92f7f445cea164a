"""The console: the form of its records, and which handlers of an application already write to one."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import logging.handlers
import os
import re
import stat
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TextIO

_CONTROL = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if code not in (9, 10)}

# They write to memory, to the network or to nothing.
_NO_CONSOLES = (
    logging.NullHandler,
    logging.handlers.BufferingHandler,
    logging.handlers.HTTPHandler,
    logging.handlers.NTEventLogHandler,
    logging.handlers.SMTPHandler,
    logging.handlers.SocketHandler,
    logging.handlers.SysLogHandler,
)


_not_ascii = re.compile("[^\x00-\x7f]+")


if TYPE_CHECKING:
    _StreamHandler = logging.StreamHandler[TextIO]
else:  # it is generic since Python 3.11
    _StreamHandler = logging.StreamHandler


class ConsoleHandler(_StreamHandler):
    """Writes records to stderr or stdout, whatever the encoding of that is and whoever replaces it.

    If the stream cannot encode a line, the line's characters beyond ASCII are written as JSON's escapes,
    such as `\\u00fc`, which mean the same in JSON (RFC 8259, section 7). A stream that was closed, as
    tests do with one in place of `sys.stderr`, is exchanged for the present one.

    Args:
        stream: `sys.stderr` if it is None.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        super().__init__(stream)
        self._standard = "stdout" if self.stream is sys.stdout else "stderr"

    def emit(self, record: logging.LogRecord) -> None:
        """Write *record*."""
        if getattr(self.stream, "closed", False):
            self.stream: Any = getattr(sys, self._standard)
        super().emit(record)

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of *record*, as the stream can encode it."""
        line = super().format(record)
        encoding = None if line.isascii() else getattr(self.stream, "encoding", None)
        if encoding is not None:
            try:
                line.encode(encoding)
            except UnicodeEncodeError:
                line = _not_ascii.sub(lambda found: json.dumps(found[0])[1:-1], line)
        return line


class ConsoleFormatter(logging.Formatter):
    """Formats records for people: time, logger, level, message, and the trace id if there is one.

    Control characters are escaped, so a record cannot send commands to the terminal. The second and
    later lines of a record are indented, so they cannot be mistaken for records.
    """

    def __init__(self) -> None:
        super().__init__("%(asctime)s - %(name)s - %(levelname)s - %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """Return the text of *record*."""
        text = super().format(record)
        trace_id = getattr(record, "trace_id", None)
        if trace_id is not None:
            text += f" [{trace_id}]"
        return text.translate(_CONTROL).replace("\n", "\n    ")


def may_be_console(handler: logging.Handler) -> bool:
    """Return whether records of *handler* may reach stdout, stderr or a terminal.

    A handler of an unknown class, such as rich's, counts as a console: on a second one, every line would
    come twice. So does a queue, unless it is known where its records go.
    """
    if isinstance(handler, logging.handlers.QueueHandler):
        listener = getattr(handler, "listener", None)  # new in Python 3.12
        return listener is None or any(map(may_be_console, listener.handlers))
    if isinstance(handler, logging.handlers.MemoryHandler):
        return handler.target is not None and may_be_console(handler.target)
    if isinstance(handler, logging.FileHandler):
        return _is_screen(handler.baseFilename)
    if isinstance(handler, logging.StreamHandler):
        return _shows(handler.stream)
    return not isinstance(handler, _NO_CONSOLES)


def _shows(stream: Any) -> bool:
    """Return whether what is written to *stream* may be seen: it is not in memory, closed or a file."""
    if stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
        return True
    if isinstance(stream, io.StringIO) or isinstance(getattr(stream, "buffer", None), io.BytesIO):
        return False
    try:
        return _is_screen(stream.fileno())
    except ValueError:  # it is closed, or has no descriptor (io.UnsupportedOperation)
        return not getattr(stream, "closed", False)
    except Exception:  # an object with a `write` of its own, which may pass on to a console
        return stream is not None


def _is_screen(file: int | str) -> bool:
    """Return whether *file*, a descriptor or path, is a terminal or what stdout or stderr goes to."""
    try:
        status = os.stat(file)
    except OSError:
        return False
    if stat.S_ISCHR(status.st_mode):
        return not os.path.samestat(status, os.stat(os.devnull))
    return any(os.path.samestat(status, other) for other in _standard_files())


def _standard_files() -> Iterator[os.stat_result]:
    for descriptor in (1, 2):
        with contextlib.suppress(OSError):  # it is closed
            yield os.fstat(descriptor)

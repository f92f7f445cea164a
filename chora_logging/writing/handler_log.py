"""The log of an `EventFileHandler`, which may name, move, rotate and open its files otherwise."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from typing import Any

from chora_logging.writing.reporting import ReportingHandler
from chora_logging.writing.rotation_schedule import Hooks
from chora_logging.writing.shared_log import SharedLog


class HandlerLog(SharedLog):
    """The log of a handler, which may name, move and rotate its files otherwise.

    Args:
        handler: The handler.
        rotates_as_usual: Returns whether it does not.
        path: As for `SharedLog`.
        options: As for `SharedLog`.
    """

    def __init__(
        self,
        handler: ReportingHandler,
        rotates_as_usual: Callable[[Any], bool],
        path: str,
        **options: Any,
    ) -> None:
        self._handler = weakref.ref(handler)
        self._rotates_as_usual = rotates_as_usual
        super().__init__(path, **options)

    def newline(self) -> bytes:
        """Return the end of a line, as the handler has it."""
        handler = self._handler()
        return b"\n" if handler is None else handler._encode(handler.terminator)

    def hooks(self) -> Hooks:
        """Return the handler's own steps of a rotation, if it has any."""
        handler = self._handler()
        if handler is None or self._rotates_as_usual(handler):
            return Hooks()
        return Hooks(self._run_rotation, self._backup_name, self._move_to_backup)

    # By a weak reference: a thread that compresses must not keep the handler alive.

    def _run_rotation(self) -> None:
        handler = self._handler()
        if handler is None:
            self.rotate()
        else:
            handler.doRollover()

    def _backup_name(self, default: str) -> str:
        handler = self._handler()
        return default if handler is None else handler.rotation_filename(default)

    def _move_to_backup(self, source: str, target: str) -> None:
        handler = self._handler()
        if handler is not None:
            handler.rotate(source, target)
        elif os.path.exists(source):
            os.rename(source, target)

    def notice(self, event: str, message: str, **fields: Any) -> None:
        """Write a line about the log itself, formatted by the handler."""
        handler = self._handler()
        if handler is not None:
            handler.notice(event, message, **fields)

    def after_fork(self) -> None:
        """Begin anew in a forked child."""
        super().after_fork()
        handler = self._handler()
        if handler is not None:
            handler._lost = handler._unsynced = 0  # the parent reports them


class OpenedByHandler(HandlerLog):
    """The log of a handler of a class that opens it otherwise."""

    def reopen(self) -> None:
        """Open the log by the handler's own `_open`."""
        handler = self._handler()
        if handler is None:
            super().reopen()
        else:
            handler.stream = handler._open()

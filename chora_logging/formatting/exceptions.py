"""Exceptions as JSON objects: type, message and stack, with their causes and the members of groups.

Readers show such an object as a traceback, see `chora_logging.eventlog.tracebacks`.
"""

from __future__ import annotations

import traceback
from types import TracebackType
from typing import Any

from chora_logging.formatting.fields import text_of
from chora_logging.formatting.values import plain_text

#: How many exceptions an object has, with causes and members of groups: what follows is left out.
MOST_EXCEPTIONS = 50

#: How many frames a stack has: of a longer one, those in the middle are left out and counted.
MOST_FRAMES = 100


def exception_object(error: BaseException, stack: TracebackType | None) -> dict[str, Any]:
    """Return *error*, raised through the frames of *stack*, as an object without the values of variables.

    ================  ===========================================================================
    field             value
    ================  ===========================================================================
    `type`            the class, with its module unless that is `builtins` or `__main__`
    `message`         the text of the exception
    `notes`           the notes that were added (PEP 678), if any
    `stack`           the frames, the innermost last: objects with `file`, `line`, `function`, and
                      `code`, the text of that line if the file can be read
    `frames_omitted`  how many frames in the middle of *stack* are left out, if any
    `cause`           the exception of `raise … from …`, such an object
    `context`         the exception that was being handled, if there is no cause; not after `from None`
    `exceptions`      the members of a group (PEP 654), such objects
    ================  ===========================================================================

    Raises:
        Exception: what a property of *error* raises.
    """
    return _Exceptions().object_of(error, stack)


class _Exceptions:
    """The exceptions that were met: each is written once, so that cycles end."""

    def __init__(self) -> None:
        self._met: set[int] = set()

    def object_of(self, error: BaseException, stack: TracebackType | None) -> dict[str, Any]:
        self._met.add(id(error))
        found: dict[str, Any] = {"type": type_name(type(error)), "message": text_of(error)}
        notes = getattr(error, "__notes__", None)
        if notes:
            found["notes"] = [text_of(note) for note in notes] if type(notes) is list else text_of(notes)
        frames, omitted = _frames(stack)
        found["stack"] = frames
        if omitted:
            found["frames_omitted"] = omitted
        if (cause := self._next(error.__cause__)) is not None:
            found["cause"] = cause
        elif not error.__suppress_context__ and (context := self._next(error.__context__)) is not None:
            found["context"] = context
        members = getattr(error, "exceptions", None)
        if type(members) is tuple:  # a group's; else an attribute that happens to have the name
            found["exceptions"] = [member for each in members if (member := self._next(each)) is not None]
        return found

    def _next(self, error: Any) -> dict[str, Any] | None:
        if not isinstance(error, BaseException) or id(error) in self._met:
            return None
        return self.object_of(error, error.__traceback__) if len(self._met) < MOST_EXCEPTIONS else None


def type_name(kind: type) -> str:
    """Return the name of a class of exceptions as a traceback has it."""
    module, name = kind.__module__, plain_text(kind.__qualname__)
    return name if module in ("builtins", "__main__") else f"{plain_text(str(module))}.{name}"


def _frames(stack: TracebackType | None) -> tuple[list[dict[str, Any]], int]:
    """Return the frames of *stack* as objects, and how many are left out."""
    walked = list(traceback.walk_tb(stack))
    omitted = max(0, len(walked) - MOST_FRAMES)
    if omitted:
        del walked[MOST_FRAMES // 2 : MOST_FRAMES // 2 + omitted]
    return [_frame(frame) for frame in traceback.StackSummary.extract(iter(walked))], omitted


def _frame(frame: traceback.FrameSummary) -> dict[str, Any]:
    found: dict[str, Any] = {
        "file": plain_text(frame.filename),
        "line": frame.lineno,
        "function": plain_text(frame.name),
    }
    if frame.line:
        found["code"] = plain_text(frame.line)
    return found

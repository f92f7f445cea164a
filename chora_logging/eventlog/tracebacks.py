"""The exception of a line as the text of a traceback.

Exceptions as objects are those of our formatter (`chora_logging.formatting.exceptions`) and of structlog's
`dict_tracebacks`: a list in which each exception follows the one that it has caused. The viewer has the same
rules.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeGuard

#: What stands between the tracebacks of two exceptions, as the standard library words it.
CAUSE = "The above exception was the direct cause of the following exception:"
CONTEXT = "During handling of the above exception, another exception occurred:"

#: How many exceptions within exceptions are shown.
_DEEPEST = 50


def traceback_of(value: Any) -> str | None:
    """Return *value*, what a line says about an exception, as text; None if it says nothing.

    It is text, an array of lines, or an exception as an object.

    >>> print(traceback_of({"type": "KeyError", "message": "'id'", "stack": [{"file": "a.py", "line": 3}]}))
    Traceback (most recent call last):
      File "a.py", line 3
    KeyError: 'id'
    """
    if isinstance(value, str):
        return value if value.strip() else None
    if isinstance(value, list) and all(isinstance(line, str) for line in value):
        return traceback_of("\n".join(line.rstrip("\n") for line in value))
    if _is_ours(value):
        return "\n".join(_ours(value, _DEEPEST))
    if isinstance(value, list) and all(map(_is_structlogs, value)):
        return "\n".join(_structlogs(value, _DEEPEST))
    return None


def _is_ours(value: Any) -> TypeGuard[Mapping[str, Any]]:
    return isinstance(value, dict) and isinstance(value.get("type"), str)


def _ours(error: Mapping[str, Any], deepest: int) -> Iterator[str]:
    for name, between in (("cause", CAUSE), ("context", CONTEXT)):
        before = error.get(name)
        if _is_ours(before) and deepest:
            yield from (*_ours(before, deepest - 1), "", between, "")
    yield from _stack(error.get("stack"), ("file", "line", "function"), "code", error.get("frames_omitted"))
    yield from _end(error["type"], error.get("message"), error.get("notes"))
    members = error.get("exceptions")
    if isinstance(members, list) and deepest:
        for member in members:
            if _is_ours(member):
                yield from _member(_ours(member, deepest - 1))


def _is_structlogs(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("exc_type"), str)


def _structlogs(errors: list[Any], deepest: int) -> Iterator[str]:
    for number, error in reversed(list(enumerate(errors))):
        yield from _stack(error.get("frames"), ("filename", "lineno", "name"), "line", None)
        yield from _end(error["exc_type"], error.get("exc_value"), error.get("exc_notes"))
        members = error.get("exceptions")
        if isinstance(members, list) and deepest:
            for member in members:
                if isinstance(member, list) and all(map(_is_structlogs, member)):
                    yield from _member(_structlogs(member, deepest - 1))
        if number:
            yield from ("", CAUSE if error.get("is_cause") else CONTEXT, "")


def _stack(frames: Any, names: tuple[str, str, str], code: str, omitted: Any) -> Iterator[str]:
    known = [frame for frame in frames if isinstance(frame, dict)] if isinstance(frames, list) else []
    file, line, function = names
    if known:
        yield "Traceback (most recent call last):"
    for number, frame in enumerate(known):
        if type(omitted) is int and number == len(known) // 2:
            yield f"  … {omitted} more frames"
        at = f", line {frame[line]}" if type(frame.get(line)) is int else ""
        where = f", in {frame[function]}" if isinstance(frame.get(function), str) else ""
        yield f'  File "{frame[file] if isinstance(frame.get(file), str) else "?"}"{at}{where}'
        if isinstance(frame.get(code), str) and frame[code]:
            yield f"    {frame[code]}"


def _end(kind: str, message: Any, notes: Any) -> Iterator[str]:
    yield f"{kind}: {message}" if isinstance(message, str) and message else kind
    yield from (note for note in notes if isinstance(note, str)) if isinstance(notes, list) else ()


def _member(lines: Iterator[str]) -> Iterator[str]:
    yield "  +----------------"
    yield from (f"  | {line}" for line in lines)

import logging
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

STAMP: int
MESSAGE: int
CONSTANT: int

class Appender:
    name: bytes
    fd: int
    inode: int
    device: int
    links: int
    end: int
    mark: int

class LineWriter:
    def __init__(
        self,
        standard: tuple[str, ...],
        special: str,
        encode: Callable[[Any], bytes],
        encode_refused: Callable[[Any], bytes],
        finish: Callable[[bytes], bytes],
        shorten: Callable[[bytes], bytes],
        clock: Callable[[float], Any],
        rfc3339: bool,
        max_bytes: int,
    ) -> None: ...
    def line(self, attributes: dict[Any, Any], /) -> bytes | None: ...
    def write(self, handler: logging.Handler, record: logging.LogRecord, /) -> bool: ...
    def write_event(self, log: object, event: object, /) -> bool | None: ...
    def learn(
        self, attributes: dict[Any, Any], special: bool, parts: tuple[tuple[bytes, int, bool], ...], /
    ) -> None: ...
    def forget(self) -> None: ...

def trace_by(
    filter: type,
    variable: ContextVar[str | None],
    ids: Callable[[], tuple[str | None, str | None]],
    signs: tuple[Any, ...],
    /,
) -> None: ...
def fields_by(variable: ContextVar[Any], /) -> None: ...
def events_are(
    event: type,
    dump: Callable[..., str],
    loggers: dict[str, Any],
    name: str,
    /,
) -> None: ...
def make_record(*arguments: Any, **keywords: Any) -> logging.LogRecord: ...

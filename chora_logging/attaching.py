"""Makes handlers of a configuration and puts them on loggers, while other threads log.

`dictConfig` first removes and closes every handler of the process. Here a handler whose configuration
has not changed stays, and the others are replaced in one step.
"""

from __future__ import annotations

import logging
import logging.config
import os
import sys
from typing import Any

from chora_logging.writing.handler import EventFileHandler

# Our handlers by name, each with the configuration it was made from; if that is unchanged, the handler stays.
_made: dict[str, tuple[Any, logging.Handler]] = {}


class _Maker(logging.config.DictConfigurator):
    """Makes the objects of a configuration; unlike `dictConfig` it closes and removes none."""

    def make(self) -> dict[str, logging.Handler]:
        for section, configure in (
            ("formatters", self.configure_formatter),
            ("filters", self.configure_filter),
            ("handlers", self.configure_handler),
        ):
            entries = self.config[section]
            for name in sorted(entries):
                entries[name] = configure(entries[name])
        handlers: dict[str, logging.Handler] = dict(self.config["handlers"])
        return handlers


def make_handlers(config: dict[str, Any]) -> dict[str, logging.Handler]:
    """Return the handlers of *config*; one with an unchanged configuration is reused."""
    sources = {name: _source(entry, config["formatters"]) for name, entry in config["handlers"].items()}
    kept = {
        name: made
        for name, (source, made) in _made.items()
        if sources.get(name) == source and not getattr(made, "_closed", False)
    }
    missing = {name: entry for name, entry in config["handlers"].items() if name not in kept}
    handlers = _Maker({**config, "handlers": missing}).make()
    for name, handler in handlers.items():
        handler.name = name
        _made[name] = sources[name], handler
    return {**kept, **handlers}


def _source(entry: dict[str, Any], formatters: dict[str, Any]) -> tuple[Any, ...]:
    """Return all that decides what the handler made of *entry* writes, and where."""
    stream = sys.stdout if "stream" in entry else sys.stderr
    where = os.path.abspath(entry["filename"]) if "filename" in entry else stream
    return where, dict(entry), formatters[entry["formatter"]]


def attach(
    logger: logging.Logger, new: list[logging.Handler], ours: tuple[str, ...]
) -> list[logging.Handler]:
    """Replace the handlers of *logger* whose name is in *ours* with *new*, in one step; return them.

    The caller closes them, unless another logger has them. A record that is logged meanwhile sees
    either the old list or the new one: it is neither lost nor doubled. A handler is left out if another
    one with the same records already writes to its file.
    """
    written = {_file_of(found) for found in files_reached(logger) if found.name not in ours}
    new = [found for found in new if _file_of(found) is None or _file_of(found) not in written]
    # The lock that addHandler takes; `logging` itself replaces it in a forked child.
    with logging._lock:  # type: ignore[attr-defined]  # not in typeshed
        old = [found for found in logger.handlers if found.name in ours and found not in new]
        kept = [found for found in logger.handlers if found not in old]
        logger.handlers = kept + [found for found in new if found not in kept]
    return old


def handlers_reached(logger: logging.Logger) -> list[logging.Handler]:
    """Return the handlers that get the records of *logger*: its own and those it propagates to."""
    handlers: list[logging.Handler] = []
    here: logging.Logger | None = logger
    while here is not None:
        handlers += here.handlers
        here = here.parent if here.propagate else None
    return handlers


def files_reached(logger: logging.Logger) -> list[EventFileHandler]:
    """Return those of the handlers reached that are an `EventFileHandler`."""
    return [found for found in handlers_reached(logger) if isinstance(found, EventFileHandler)]


def _file_of(handler: logging.Handler) -> str | None:
    return os.path.realpath(handler.baseFilename) if isinstance(handler, logging.FileHandler) else None

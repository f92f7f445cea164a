"""Logging set up as a whole: as a `dictConfig` dictionary, or added to what the application has.

Each kind of record has one file: events of the orchestrator, typed events, and everything else if
`LOG_FILE` names a file. The console shows everything else. Filters stand on handlers, since a
filter on a logger does not see the records of the loggers below it.
"""

from __future__ import annotations

import logging
import logging.config
import os
import sys
from typing import Any, Literal

from chora_logging import optimizing, settings
from chora_logging.errors import ConfigurationError
from chora_logging.optimizing import OptimizingHandler as OptimizingHandler
from chora_logging.schema import ORCHESTRATOR_LOGGER, TELEMETRY_LOGGER
from chora_logging.settings import StrPath
from chora_logging.writing.handler import EventFileHandler

#: The names of our handlers. A handler that has one of them is ours, and is replaced by a new setup.
CONSOLE = "chora_console"
GENERAL = "chora_log_file"
ORCHESTRATOR = "chora_orchestrator"
TELEMETRY = "chora_telemetry"
OPTIMIZER = "chora_optimizer"

Console = bool | Literal["text", "json"]
Config = dict[str, Any]

_CONTROL = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if code not in (9, 10)}

# What each of our handlers was made from: the same again means that the handler can stay.
_made: dict[str, tuple[Any, logging.Handler]] = {}

# The orchestrator's handler that somebody asked for by itself: `setup_logging` leaves it.
_chosen: dict[str, logging.Handler] = {}


class ConsoleFormatter(logging.Formatter):
    """Lines for people: time, level, logger, message, and the trace id when there is one.

    Control characters are escaped, so what is logged cannot send commands to the terminal; further
    lines of a record are indented, so none can pass for a record.
    """

    def __init__(self) -> None:
        super().__init__("%(asctime)s - %(name)s - %(levelname)s - %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """The text of *record*."""
        text = super().format(record)
        trace_id = getattr(record, "trace_id", None)
        if trace_id is not None:
            text += f" [{trace_id}]"
        return text.translate(_CONTROL).replace("\n", "\n    ")


def get_logging_config(
    log_level: str | int | None = None,
    log_file: StrPath | None = None,
    *,
    orch_id: str | None = None,
    orch_log_file: StrPath | None = None,
    events_file: StrPath | None = None,
    max_bytes: int | str = settings.MAX_BYTES,
    backup_count: int = settings.BACKUP_COUNT,
    console: Console = True,
    propagate: bool = False,
    timestamp_format: str | None = None,
    static_fields: dict[str, Any] | None = None,
    buffered: bool = False,
    optimize: bool = False,
) -> Config:
    """A dictionary for `logging.config.dictConfig`, of plain values: it can be kept as JSON or YAML.

    What is not given comes from the environment: `LOG_LEVEL`, `LOG_FILE`, `ORCH_ID`,
    `ORCH_LOG_FILE`, `CHORA_EVENTS_FILE`. Nothing is touched or made until the dictionary is applied;
    folders are then made at once, files by the first record.

    Applying it with `dictConfig` replaces the handlers of the root logger; `setup_logging` keeps them.

    Args:
        log_level: The level of the root logger. Events are written from INFO on all the same.
        log_file: Where everything but the events goes; there is no such file without it.
        orch_id: The orchestrator's id, part of the name of its log.
        orch_log_file: The orchestrator's log.
        events_file: The file of the typed events.
        max_bytes: The size at which each file is rotated.
        backup_count: How many rotated files of each to keep.
        console: Whether to write to stderr what the root logger gets: True or `"text"` for people,
            `"json"` for machines.
        propagate: Whether events go to the root logger's handlers too.
        timestamp_format: As for `EventFormatter`.
        static_fields: Fields of every JSON line, such as `{"service": "billing"}`.
        buffered: Have the files written by `BufferedEventFileHandler`: calls are cheaper, and a
            `kill -9` loses the lines of the last 50 ms. What is emitted with `emit_event` is still
            written when that returns.
        optimize: At the first record, switch off in `logging` what no formatter of the process prints:
            the caller's file and line, names of threads, processes and tasks. The log says what.
            `stack_info=True` has no effect then.

    Raises:
        ConfigurationError: a value cannot be used; the message names all that cannot.
    """
    found = settings.resolve(
        log_level,
        log_file,
        orch_id=orch_id,
        orch_log_file=orch_log_file,
        events_file=events_file,
        max_bytes=max_bytes,
        backup_count=backup_count,
        buffered=buffered,
    )
    files = {ORCHESTRATOR: found.orch_log_file, TELEMETRY: found.events_file}
    if found.log_file is not None:
        files[GENERAL] = found.log_file
    config = _parts(files, found.max_bytes, found.backup_count, timestamp_format, static_fields)
    if found.buffered:
        for name in files:
            config["handlers"][name]["class"] = "chora_logging.BufferedEventFileHandler"
    if console_handler := _console(console):
        config["handlers"][CONSOLE] = console_handler
        config["formatters"]["console"] = {"()": f"{__name__}.ConsoleFormatter"}
    config["root"] = {
        "level": _level_name(found.log_level),
        "handlers": [name for name in (CONSOLE, GENERAL) if name in config["handlers"]],
    }
    level = _level_name(min(found.log_level, logging.INFO))
    for logger, handler in ((ORCHESTRATOR_LOGGER, ORCHESTRATOR), (TELEMETRY_LOGGER, TELEMETRY)):
        # An event that goes up to a handler on the same file must not be written by both.
        shared = propagate and files[handler] == found.log_file
        config["loggers"][logger] = {
            "level": level,
            "handlers": [] if shared else [handler],
            "propagate": propagate,
        }
        if shared:
            del config["handlers"][handler]
    if optimize:
        config["handlers"][OPTIMIZER] = {"class": f"{__name__}.OptimizingHandler"}
        for entry in (config["root"], *config["loggers"].values()):
            entry["handlers"].append(OPTIMIZER)
    return config


def setup_logging(
    log_level: str | int | None = None,
    log_file: StrPath | None = None,
    *,
    capture_warnings: bool = False,
    optimize: bool = False,
    **options: Any,
) -> None:
    """Set logging up as `get_logging_config` describes it, beside what the application has.

    Handlers that are there stay: those of the application on the root logger get their records as
    before, and no second console is added to one that writes to stderr or stdout. Loggers that do
    not propagate to the root logger (uvicorn's and gunicorn's) keep their console, and get the
    general log besides. A server that sets up logging after this (`uvicorn.run` does) needs
    `log_config=None` for that. A level that the application gave its root logger stays unless
    *log_level* or `LOG_LEVEL` says another; our handlers have theirs.

    Calling it again changes what has changed and nothing else: no line is doubled or lost, also
    while other threads log. The log of `setup_orchestrator_logging` stays unless another is given.

    Args:
        log_level: As for `get_logging_config`.
        log_file: As for `get_logging_config`.
        capture_warnings: Log what `warnings.warn` says, as the logger `py.warnings`.
        optimize: As for `get_logging_config`, but now, and so with the handlers that are there now.
        options: The other arguments of `get_logging_config`.

    Raises:
        ConfigurationError: a value cannot be used; nothing has been changed then.
    """
    config = get_logging_config(log_level, log_file, **options)
    root = logging.getLogger()
    if CONSOLE in config["handlers"] and any(map(_is_console, root.handlers)):
        del config["handlers"][CONSOLE]
        config["root"]["handlers"].remove(CONSOLE)
    if options.get("orch_id") is None and options.get("orch_log_file") is None:
        _leave_orchestrator(config)
    if log_level is None and not os.environ.get("LOG_LEVEL"):
        _leave_root_level(config, root)
    handlers = _make_handlers(config)
    _apply(root, config["root"], handlers, (CONSOLE, GENERAL))
    for name, entry in config["loggers"].items():
        _apply(logging.getLogger(name), entry, handlers, (ORCHESTRATOR, TELEMETRY))
    for logger in _islands():
        _attach(logger, [handlers[GENERAL]] if GENERAL in handlers else [], (GENERAL,))
    if capture_warnings:
        logging.captureWarnings(True)
    if optimize:
        optimizing.optimize()


def attach_orchestrator_log(
    path: str,
    *,
    max_bytes: int | str = settings.MAX_BYTES,
    backup_count: int = settings.BACKUP_COUNT,
    timestamp_format: str | None = None,
    static_fields: dict[str, Any] | None = None,
    chosen: bool = True,
) -> logging.Logger:
    """Give the logger of the orchestrator's events the file *path*, in place of the one before.

    A later `setup_logging` leaves it if it was *chosen*, and not only what there was by default.
    """
    config = _parts({ORCHESTRATOR: path}, max_bytes, backup_count, timestamp_format, static_fields)
    logger = logging.getLogger(ORCHESTRATOR_LOGGER)
    handlers = list(_make_handlers(config).values())
    _attach(logger, handlers, (ORCHESTRATOR,))
    if chosen and handlers:
        _chosen[ORCHESTRATOR] = handlers[0]
    if logger.getEffectiveLevel() > logging.INFO:
        logger.setLevel(logging.INFO)
    return logger


def handlers_reached(logger: logging.Logger) -> list[logging.Handler]:
    """The handlers that get the records of *logger*: its own and those that it propagates to."""
    handlers: list[logging.Handler] = []
    here: logging.Logger | None = logger
    while here is not None:
        handlers += here.handlers
        here = here.parent if here.propagate else None
    return handlers


def files_reached(logger: logging.Logger) -> list[EventFileHandler]:
    """The handlers among those that write to a file as ours do."""
    return [found for found in handlers_reached(logger) if isinstance(found, EventFileHandler)]


def _parts(
    files: dict[str, str],
    max_bytes: int | str,
    backup_count: int,
    timestamp_format: str | None,
    static_fields: dict[str, Any] | None,
) -> Config:
    formatter: Config = {"()": "chora_logging.EventFormatter"}
    if timestamp_format is not None:
        formatter["timestamp_format"] = timestamp_format
    if static_fields:
        formatter["static_fields"] = dict(static_fields)
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"event": formatter},
        "filters": {"trace": {"()": "chora_logging.TraceIdFilter"}},
        "handlers": {
            name: {
                "class": "chora_logging.EventFileHandler",
                "filename": path,
                "maxBytes": max_bytes,
                "backupCount": backup_count,
                "delay": True,
                "formatter": "event",
                "filters": ["trace"],
            }
            for name, path in files.items()
        },
        "loggers": {},
    }


def _console(console: Console) -> Config | None:
    if console not in (True, False, "text", "json"):
        raise ConfigurationError("console", console, 'True, False, "text" or "json"')
    if console is False:
        return None
    return {
        "class": "logging.StreamHandler",
        "formatter": "event" if console == "json" else "console",
        "filters": ["trace"],
    }


def _level_name(level: int) -> str | int:
    name = logging.getLevelName(level)
    return name if logging.getLevelName(name) == level else level


class _Maker(logging.config.DictConfigurator):
    """Makes the objects of a configuration and, unlike `dictConfig`, closes and removes none."""

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


def _make_handlers(config: Config) -> dict[str, logging.Handler]:
    """The handlers of *config*; one that was made from the same before is taken again."""
    here = os.getcwd()  # a relative path means another file in another folder
    sources = {
        name: (here, dict(entry), config["formatters"][entry["formatter"]])
        for name, entry in config["handlers"].items()
    }
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


def _apply(
    logger: logging.Logger,
    entry: Config,
    handlers: dict[str, logging.Handler],
    ours: tuple[str, ...],
) -> None:
    logger.propagate = entry.get("propagate", logger.propagate)
    _attach(logger, [handlers[name] for name in entry["handlers"]], ours)
    logger.setLevel(entry["level"])


def _attach(logger: logging.Logger, new: list[logging.Handler], ours: tuple[str, ...]) -> None:
    """Put *new* in the place of those of *ours* that *logger* has, in one step.

    A record that is logged meanwhile sees the list before or after: it is not missed, nor doubled.
    A handler is left out where another one that gets the same records writes to its file already.
    """
    written = {found.baseFilename for found in files_reached(logger) if found.name not in ours}
    new = [found for found in new if getattr(found, "baseFilename", None) not in written]
    # The lock that addHandler takes; `logging` itself makes it anew in a forked child.
    with logging._lock:  # type: ignore[attr-defined]  # not in typeshed
        old = [found for found in logger.handlers if found.name in ours and found not in new]
        kept = [found for found in logger.handlers if found not in old]
        logger.handlers = kept + [found for found in new if found not in kept]
    for handler in old:
        handler.close()


def _leave_orchestrator(config: Config) -> None:
    chosen = _chosen.get(ORCHESTRATOR)
    attached = chosen in logging.getLogger(ORCHESTRATOR_LOGGER).handlers
    if attached and isinstance(chosen, EventFileHandler) and ORCHESTRATOR in config["handlers"]:
        config["handlers"][ORCHESTRATOR]["filename"] = chosen.baseFilename


def _leave_root_level(config: Config, root: logging.Logger) -> None:
    """Have our level on our handlers where the root logger has a level and handlers of somebody's own."""
    theirs = [found for found in root.handlers if found.name not in (CONSOLE, GENERAL)]
    if not theirs:
        return
    for name in config["root"]["handlers"]:
        config["handlers"][name]["level"] = config["root"]["level"]
    if root.level not in (logging.WARNING, logging.NOTSET):  # these are not chosen: `logging` sets them
        config["root"]["level"] = root.level


def _is_console(handler: logging.Handler) -> bool:
    if not isinstance(handler, logging.StreamHandler) or handler.name == CONSOLE:
        return False
    return handler.stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__)


def _islands() -> list[logging.Logger]:
    """The loggers that write by themselves and not through the root logger, ours left out."""
    ours = (ORCHESTRATOR_LOGGER, TELEMETRY_LOGGER)
    return [
        logger
        for logger in list(logging.getLogger().manager.loggerDict.values())
        if isinstance(logger, logging.Logger)
        and not logger.propagate
        and logger.name not in ours
        and not all(isinstance(found, logging.NullHandler) for found in logger.handlers)
    ]

"""Sets up logging: as a dictionary for `dictConfig`, or added to the application's handlers.

Each kind of record has one file: the orchestrator's events, the typed events, and all other records
if `LOG_FILE` names a file. The console shows those other records. Filters are attached to handlers,
since a filter on a logger does not see the records of the loggers below it.
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

#: The names of our handlers. A handler with one of these names is ours; a new setup replaces it.
CONSOLE = "chora_console"
GENERAL = "chora_log_file"
ORCHESTRATOR = "chora_orchestrator"
TELEMETRY = "chora_telemetry"
OPTIMIZER = "chora_optimizer"

Console = bool | Literal["text", "json"]
Config = dict[str, Any]

_CONTROL = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if code not in (9, 10)}

# Our handlers by name, each with the configuration it was made from; if that is unchanged, the handler stays.
_made: dict[str, tuple[Any, logging.Handler]] = {}

# The orchestrator's handler that the program set up explicitly: `setup_logging` leaves it.
_chosen: dict[str, logging.Handler] = {}


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
    """Return a dictionary for `logging.config.dictConfig`, of plain values that JSON or YAML can store.

    Missing arguments come from the environment: `LOG_LEVEL`, `LOG_FILE`, `ORCH_ID`, `ORCH_LOG_FILE`,
    `CHORA_EVENTS_FILE`. This function creates nothing. Applying the dictionary creates the folders, and
    the first record of each file creates the file.

    Applying it with `dictConfig` replaces the handlers of the root logger; `setup_logging` keeps them.

    Args:
        log_level: The level of the root logger. Events of level INFO and above are always written.
        log_file: The file for all records but the events; without it and `LOG_FILE` there is none.
        orch_id: The orchestrator's id, part of the name of its log.
        orch_log_file: The orchestrator's log.
        events_file: The file of the typed events.
        max_bytes: Rotate before a file reaches this size; an int in bytes, or a string such as `"10MB"`.
        backup_count: The number of backups to keep of each file.
        console: Whether to write the root logger's records to stderr: True or `"text"` for people,
            `"json"` for machines.
        propagate: Whether events also go to the root logger's handlers.
        timestamp_format: As for `EventFormatter`.
        static_fields: Fields of every JSON line, such as `{"service": "billing"}`.
        buffered: Write the files with `BufferedEventFileHandler`: calls are cheaper, but a `kill -9`
            loses the lines of the last 50 ms. Events of `emit_event` are still written when it returns.
        optimize: At the first record, switch off the attributes in `logging` that no formatter of the
            process prints: the caller's file and line, names of threads, processes and tasks. The log
            lists them. `stack_info=True` has no effect then.

    Raises:
        ConfigurationError: one or more values are invalid; the message lists them all.
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
        # An event that propagates to a handler on the same file must not be written twice.
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
    """Set up logging as `get_logging_config` describes it, and keep the application's handlers.

    The application's handlers on the root logger get their records as before; if one of them writes
    to stderr or stdout, no second console is added. Loggers that do not propagate to the root logger
    (uvicorn's and gunicorn's) keep their console and also write to the general log; a server that
    sets up logging after this call (`uvicorn.run` does) needs `log_config=None` for that. The level
    that the application gave its root logger stays unless *log_level* or `LOG_LEVEL` sets another;
    our handlers have their own.

    Calling it again changes only the settings that differ. No line is doubled or lost, even while
    other threads log. The log of `setup_orchestrator_logging` stays unless *orch_id* or
    *orch_log_file* is passed.

    Args:
        log_level: As for `get_logging_config`.
        log_file: As for `get_logging_config`.
        capture_warnings: Log the warnings of `warnings.warn` with the logger `py.warnings`.
        optimize: As for `get_logging_config`, but immediately, for the handlers present now.
        options: The other arguments of `get_logging_config`.

    Raises:
        ConfigurationError: a value is invalid; nothing has been changed.
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
    """Write the orchestrator's events to the file *path*, in place of their former file.

    A later `setup_logging` leaves it if it was *chosen* by the program, and replaces a default.
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


def _make_handlers(config: Config) -> dict[str, logging.Handler]:
    """Return the handlers of *config*; one with an unchanged configuration is reused."""
    here = os.getcwd()  # a relative path depends on it
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
    """Replace the handlers of *logger* whose name is in *ours* with *new*, in one step.

    A record that is logged meanwhile sees either the old list or the new one: it is neither lost nor
    doubled. A handler is left out if another one with the same records already writes to its file.
    """
    written = {found.baseFilename for found in files_reached(logger) if found.name not in ours}
    new = [found for found in new if getattr(found, "baseFilename", None) not in written]
    # The lock that addHandler takes; `logging` itself replaces it in a forked child.
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
    """If the root logger has the application's handlers, set our level on ours and keep its own level."""
    theirs = [found for found in root.handlers if found.name not in (CONSOLE, GENERAL)]
    if not theirs:
        return
    for name in config["root"]["handlers"]:
        config["handlers"][name]["level"] = config["root"]["level"]
    if root.level not in (logging.WARNING, logging.NOTSET):  # these two are the defaults of `logging`
        config["root"]["level"] = root.level


def _is_console(handler: logging.Handler) -> bool:
    if not isinstance(handler, logging.StreamHandler) or handler.name == CONSOLE:
        return False
    return handler.stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__)


def _islands() -> list[logging.Logger]:
    """Return the loggers, except ours, that have handlers and do not propagate to the root logger."""
    ours = (ORCHESTRATOR_LOGGER, TELEMETRY_LOGGER)
    return [
        logger
        for logger in list(logging.getLogger().manager.loggerDict.values())
        if isinstance(logger, logging.Logger)
        and not logger.propagate
        and logger.name not in ours
        and not all(isinstance(found, logging.NullHandler) for found in logger.handlers)
    ]

"""Sets up logging: as a dictionary for `dictConfig`, or added to the application's handlers.

Each kind of record has one file: the orchestrator's events, the typed events, and all other records
if `LOG_FILE` names a file. The console shows those other records. Filters are attached to handlers,
since a filter on a logger does not see the records of the loggers below it.
"""

from __future__ import annotations

import logging
import os
from typing import Any, Literal

from chora_logging import optimizing, settings
from chora_logging.attaching import attach, make_handlers
from chora_logging.console import ConsoleFormatter as ConsoleFormatter
from chora_logging.console import ConsoleHandler as ConsoleHandler
from chora_logging.console import may_be_console
from chora_logging.hosts import join_hosts
from chora_logging.optimizing import OptimizingHandler as OptimizingHandler
from chora_logging.options import checked_names, parse_fields, parse_flag
from chora_logging.schema import ORCHESTRATOR_LOGGER, OWN_LOGGER, TELEMETRY_LOGGER
from chora_logging.settings import StrPath
from chora_logging.writing.handler import EventFileHandler

#: The names of our handlers. A handler with one of these names is ours; a new setup replaces it.
CONSOLE = "chora_console"
GENERAL = "chora_log_file"
ORCHESTRATOR = "chora_orchestrator"
TELEMETRY = "chora_telemetry"
OPTIMIZER = "chora_optimizer"
#: The general log's handler on loggers that do not propagate, where only its own level limits it.
ISOLATED = "chora_log_file_isolated"

Console = bool | Literal["text", "json", "stdout"]
Config = dict[str, Any]

# The orchestrator's handler that the program set up explicitly: `setup_logging` leaves it.
_chosen: dict[str, logging.Handler] = {}


@checked_names()
def get_logging_config(
    log_level: str | int | None = None,
    log_file: StrPath | None = None,
    *,
    orch_id: str | None = None,
    orch_log_file: StrPath | None = None,
    events_file: StrPath | None = None,
    max_bytes: int | str | None = None,
    backup_count: int | None = None,
    orch_max_bytes: int | str | None = None,
    orch_backup_count: int | None = None,
    events_max_bytes: int | str | None = None,
    events_backup_count: int | None = None,
    console: Console = True,
    propagate: bool = False,
    timestamp_format: str | None = None,
    static_fields: dict[str, Any] | None = None,
    buffered: bool = False,
    optimize: bool = False,
) -> Config:
    """Return a dictionary for `logging.config.dictConfig`, of plain values that JSON or YAML can store.

    Missing arguments come from the environment: `LOG_LEVEL`, `LOG_FILE`, `ORCH_ID`, `ORCH_LOG_FILE`,
    `CHORA_EVENTS_FILE`, and for the rotation of each file `LOG_MAX_BYTES`, `LOG_BACKUP_COUNT`,
    `ORCH_LOG_MAX_BYTES`, `ORCH_LOG_BACKUP_COUNT`, `CHORA_EVENTS_MAX_BYTES`,
    `CHORA_EVENTS_BACKUP_COUNT`. Flags, sizes and counts may be text, as files of settings have them:
    `"no"`, `"10MB"`, `"5"`. This function creates nothing. Applying the dictionary creates the folders, and
    the first record of each file creates the file.

    Applying it with `dictConfig` replaces the handlers of the root logger; `setup_logging` keeps them.

    Args:
        log_level: The level of the root logger. Events of level INFO and above are always written.
        log_file: The file for all records but the events; without it and `LOG_FILE` there is none.
        orch_id: The orchestrator's id, part of the name of its log.
        orch_log_file: The orchestrator's log.
        events_file: The file of the typed events.
        max_bytes: Rotate before a file reaches this size; an int in bytes, or a string such as `"10MB"`.
            0 never rotates, which leaves it to logrotate. It is for every file whose own size, below,
            is not given.
        backup_count: The number of backups to keep of each file; 0 never rotates.
        orch_max_bytes: As *max_bytes*, for the orchestrator's log.
        orch_backup_count: As *backup_count*, for the orchestrator's log.
        events_max_bytes: As *max_bytes*, for the file of the typed events.
        events_backup_count: As *backup_count*, for the file of the typed events.
        console: Whether to write the root logger's records to stderr: True or `"text"` for people,
            `"json"` for machines. `"stdout"` writes JSON to stdout, where containers' logs are collected.
            A stream that is not UTF-8 gets the characters that it cannot encode as escapes.
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

    Example:
        >>> import logging.config
        >>> config = get_logging_config(log_file="var/app.log", static_fields={"service": "billing"})
        >>> logging.config.dictConfig(config)
        >>> logging.getLogger("shop").warning("Stock is low", extra={"left": 3})
        >>> event = EventLog("var/app.log").last(1)[0]
        >>> event["service"], event["left"]
        ('billing', 3)
    """
    found = settings.resolve(
        log_level,
        log_file,
        orch_id=orch_id,
        orch_log_file=orch_log_file,
        events_file=events_file,
        max_bytes=max_bytes,
        backup_count=backup_count,
        orch_max_bytes=orch_max_bytes,
        orch_backup_count=orch_backup_count,
        events_max_bytes=events_max_bytes,
        events_backup_count=events_backup_count,
        console=console,
        propagate=propagate,
        static_fields=static_fields,
        buffered=buffered,
        optimize=optimize,
    )
    files = {
        ORCHESTRATOR: _file(found.orch_log_file, found.orch_max_bytes, found.orch_backup_count),
        TELEMETRY: _file(found.events_file, found.events_max_bytes, found.events_backup_count),
    }
    if found.log_file is not None:
        files[GENERAL] = _file(found.log_file, found.max_bytes, found.backup_count)
    config = _parts(files, timestamp_format, found.static_fields)
    if found.buffered:
        for file in files.values():
            file["class"] = "chora_logging.BufferedEventFileHandler"
    if found.console is not None:
        config["handlers"][CONSOLE] = {
            "class": f"{__name__}.ConsoleHandler",
            "formatter": "console" if found.console == "text" else "event",
            "filters": ["trace"],
        }
        if found.console == "stdout":
            config["handlers"][CONSOLE]["stream"] = "ext://sys.stdout"
        config["formatters"]["console"] = {"()": f"{__name__}.ConsoleFormatter"}
    config["root"] = {
        "level": _level_name(found.log_level),
        "handlers": [name for name in (CONSOLE, GENERAL) if name in config["handlers"]],
    }
    level = _level_name(min(found.log_level, logging.INFO))
    for logger, handler in ((ORCHESTRATOR_LOGGER, ORCHESTRATOR), (TELEMETRY_LOGGER, TELEMETRY)):
        # An event that propagates to a handler on the same file must not be written twice.
        shared = found.propagate and files[handler]["filename"] == found.log_file
        config["loggers"][logger] = {
            "level": level,
            "handlers": [] if shared else [handler],
            "propagate": found.propagate,
        }
        if shared:
            del config["handlers"][handler]
    if found.optimize:
        config["handlers"][OPTIMIZER] = {"class": f"{__name__}.OptimizingHandler"}
        for entry in (config["root"], *config["loggers"].values()):
            entry["handlers"].append(OPTIMIZER)
    return config


@checked_names(get_logging_config)
def setup_logging(
    log_level: str | int | None = None,
    log_file: StrPath | None = None,
    *,
    capture_warnings: bool = False,
    optimize: bool = False,
    **options: Any,
) -> None:
    """Set up logging as `get_logging_config` describes it, and keep the application's handlers.

    The application's handlers on the root logger get their records as before; if one of them may write
    to a console (rich's, a queue's, any of an unknown class), no second console is added; a warning says
    so if JSON was asked for. Loggers that
    do not propagate to the root logger (uvicorn's and gunicorn's) keep their console, and their records
    of *log_level* and above are also written to the general log; a server that sets up logging after
    this call (`uvicorn.run` does) needs `log_config=None` for that. Where Celery is imported, its workers
    leave logging as it is set up here, and tasks get the trace id of their caller in a header of their
    message: call this in the module of the Celery application, after its import. The level
    that the application gave its root logger stays unless *log_level* or `LOG_LEVEL` sets another;
    our handlers have their own.

    Calling it again changes only the settings that differ; our console moves to a `sys.stderr` or
    `sys.stdout` that was replaced since, as it does by itself when the former one was closed. No line is
    doubled or lost, even while other threads log. The log of `setup_orchestrator_logging` stays unless
    *orch_id* or *orch_log_file* is passed.

    Args:
        log_level: As for `get_logging_config`.
        log_file: As for `get_logging_config`.
        capture_warnings: Log the warnings of `warnings.warn` with the logger `py.warnings`.
        optimize: As for `get_logging_config`, but immediately, for the handlers present now.
        options: The other arguments of `get_logging_config`.

    Raises:
        ConfigurationError: a value is invalid; nothing has been changed.

    Example:
        >>> setup_logging("INFO", log_file="var/app.log", max_bytes="10MB")
        >>> logging.getLogger("shop").info("Order placed", extra={"event": "order_placed", "total": 30})
        >>> EventLog("var/app.log").last(1)[0]["total"]
        30
    """
    captures, optimizes = parse_flag("capture_warnings", capture_warnings), parse_flag("optimize", optimize)
    config = get_logging_config(log_level, log_file, **options)
    root = logging.getLogger()
    consoles = [handler for handler in root.handlers if _is_console(handler)]
    if CONSOLE in config["handlers"] and consoles:
        del config["handlers"][CONSOLE]
        config["root"]["handlers"].remove(CONSOLE)
    if options.get("orch_id") is None and options.get("orch_log_file") is None:
        _leave_orchestrator(config)
    isolated = _isolated_loggers() if GENERAL in config["handlers"] else []
    if isolated:
        level = config["root"]["level"]
        config["handlers"][ISOLATED] = {**config["handlers"][GENERAL], "level": level}
    if log_level is None and not os.environ.get("LOG_LEVEL"):
        _leave_root_level(config, root)
    handlers = make_handlers(config)
    replaced = _apply(root, config["root"], handlers, (CONSOLE, GENERAL))
    for name, entry in config["loggers"].items():
        replaced += _apply(logging.getLogger(name), entry, handlers, (ORCHESTRATOR, TELEMETRY))
    for logger in _loggers():
        further = [handlers[ISOLATED]] if logger in isolated else []
        replaced += attach(logger, further, (GENERAL, ISOLATED))
    for handler in replaced:
        if handler not in handlers.values():
            handler.close()
    join_hosts()
    if consoles and options.get("console") in ("json", "stdout"):
        _report_console(options["console"], consoles[0])
    if captures:
        logging.captureWarnings(True)
    if optimizes:
        optimizing.optimize()


def attach_orchestrator_log(
    path: str,
    *,
    max_bytes: int | str | None = None,
    backup_count: int | None = None,
    timestamp_format: str | None = None,
    static_fields: dict[str, Any] | None = None,
    chosen: bool = True,
) -> logging.Logger:
    """Write the orchestrator's events to the file *path*, in place of their former file.

    A later `setup_logging` leaves it if it was *chosen* by the program, and replaces a default.
    """
    size = settings.resolve_max_bytes("ORCH_LOG", max_bytes=max_bytes)
    count = settings.resolve_backup_count("ORCH_LOG", backup_count=backup_count)
    fields = parse_fields("static_fields", {} if static_fields is None else static_fields)
    config = _parts({ORCHESTRATOR: _file(path, size, count)}, timestamp_format, fields)
    logger = logging.getLogger(ORCHESTRATOR_LOGGER)
    handlers = list(make_handlers(config).values())
    for handler in attach(logger, handlers, (ORCHESTRATOR,)):
        handler.close()
    if chosen and handlers:
        _chosen[ORCHESTRATOR] = handlers[0]
    if logger.getEffectiveLevel() > logging.INFO:
        logger.setLevel(logging.INFO)
    return logger


def _file(path: str, max_bytes: int, backup_count: int) -> Config:
    return {
        "class": "chora_logging.EventFileHandler",
        "filename": path,
        "maxBytes": max_bytes,
        "backupCount": backup_count,
        "delay": True,
        "formatter": "event",
        "filters": ["trace"],
    }


def _parts(files: dict[str, Config], timestamp_format: str | None, static_fields: dict[str, Any]) -> Config:
    formatter: Config = {"()": "chora_logging.EventFormatter"}
    if timestamp_format is not None:
        formatter["timestamp_format"] = timestamp_format
    if static_fields:
        formatter["static_fields"] = static_fields
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"event": formatter},
        "filters": {"trace": {"()": "chora_logging.TraceIdFilter"}},
        "handlers": dict(files),
        "loggers": {},
    }


def _level_name(level: int) -> str | int:
    name = logging.getLevelName(level)
    return name if logging.getLevelName(name) == level else level


def _apply(
    logger: logging.Logger,
    entry: Config,
    handlers: dict[str, logging.Handler],
    ours: tuple[str, ...],
) -> list[logging.Handler]:
    logger.propagate = entry.get("propagate", logger.propagate)
    replaced = attach(logger, [handlers[name] for name in entry["handlers"]], ours)
    logger.setLevel(entry["level"])
    return replaced


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
    ours = isinstance(handler, OptimizingHandler) or handler.name in (CONSOLE, GENERAL)
    return not ours and may_be_console(handler)


def _report_console(asked: str, found: logging.Handler) -> None:
    """Log that the console that was *asked* for is not there, because the application's may be one."""
    text = "console=%r adds nothing beside %s, which may write to a console: remove it from the root logger"
    fields = {"event": "console_kept"}
    logging.getLogger(OWN_LOGGER).warning(text, asked, repr(found), extra=fields)


def _loggers() -> list[logging.Logger]:
    """Return all loggers except the root logger and ours."""
    ours = (ORCHESTRATOR_LOGGER, TELEMETRY_LOGGER)
    known = list(logging.getLogger().manager.loggerDict.values())
    return [found for found in known if isinstance(found, logging.Logger) and found.name not in ours]


def _isolated_loggers() -> list[logging.Logger]:
    """Return the loggers, except ours, that have handlers and do not propagate to the root logger."""
    return [
        logger
        for logger in _loggers()
        if not logger.propagate
        and not all(isinstance(found, logging.NullHandler) for found in logger.handlers)
    ]

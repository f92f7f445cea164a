"""`chora-logging lnav-format`: prints the file with which lnav reads the logs."""

from __future__ import annotations

import json
from typing import Any

import click

from chora_logging.eventlog.meaning import STATUS, USUAL
from chora_logging.eventlog.severities import SEVERITIES
from chora_logging.schema import LAYOUT

#: The name of the format, and of the table in lnav's SQL.
NAME = "chora_logging"

#: lnav's levels, the least number of each, and the numbers that have no name, as in `Level 25`.
_LEVELS = (
    ("trace", 0, r"\d"),
    ("debug", 10, r"1\d"),
    ("info", 20, "2[0-4]"),
    ("notice", 25, "2[5-9]"),
    ("warning", 30, r"3\d"),
    ("error", 40, r"4\d"),
    ("critical", 50, r"([5-9]\d|\d{3,})"),
)

_TIME, _LEVEL, _MESSAGE, _TRACE, _DURATION, _EXCEPTION = (
    USUAL.names(meaning)[0] for meaning in ("time", "level", "message", "trace", "duration", "exception")
)
#: The names of events; those of typed ones are in `event_type`.
_EVENTS = USUAL.names("event")[:2]
#: The fields whose values get a colour each: names and ids.
_IDENTIFIERS = dict.fromkeys(name for name in (*LAYOUT, *_EVENTS) if name not in (_TIME, _LEVEL, _MESSAGE))


@click.command("lnav-format")
def command() -> None:
    """Print the file with which lnav, a viewer in the terminal, reads the logs.

    `lnav -i chora_logging.json` puts it into ~/.config/lnav/formats/installed (without ~/.config, into
    ~/.lnav). Then `lnav app.log*` shows the time, level, logger, trace id, name and message of each event,
    and all other fields below it; the keys o and O go to the next and the previous event of the trace.

    In SQL (key ;) the table is chora_logging, and its columns are log_time, log_level, log_body, logger,
    event, event_type, task_id, run_id, trace_id, status, duration_ms and exception; a field of your own
    is jget(log_raw_text, '/order_id').

    An unknown level is lnav's highest, fatal, so that no filter hides it. An event without a level, as
    typed ones are, is lnav's info, even if it failed: see its status.

    \b
    Example:
      chora-logging lnav-format > chora_logging.json
    """
    click.echo(json.dumps(lnav_format(), indent=2))


def lnav_format() -> dict[str, Any]:
    """Return the format as lnav's schema has it."""
    return {
        "$schema": "https://lnav.org/schemas/format-v1.schema.json",
        NAME: {
            "title": NAME,
            "description": "Events of chora_logging, a JSON object a line",
            "json": True,
            "hide-extra": False,
            "timestamp-field": _TIME,
            "level-field": _LEVEL,
            "level": _levels(),
            "body-field": _MESSAGE,
            "opid-field": _TRACE,
            "value": {
                **{name: {"kind": "string"} for name in (_LEVEL, _MESSAGE, STATUS, _EXCEPTION)},
                **{name: {"kind": "string", "identifier": True} for name in _IDENTIFIERS},
                _DURATION: {"kind": "float"},
            },
            "line-format": [
                {"field": "__timestamp__"},
                " ",
                {"field": _LEVEL, "min-width": len("CRITICAL"), "default-value": ""},
                " ",
                {"field": "logger", "default-value": ""},
                " ",
                {"field": _TRACE, "default-value": ""},  # lnav 0.11 has no opid that is not in the row
                " ",
                *({"field": name, "default-value": ""} for name in _EVENTS),  # an event has one of them
                " ",
                {"field": _MESSAGE, "default-value": ""},
            ],
        },
    }


def _levels() -> dict[str, str]:
    """Return the regular expression of each of lnav's levels; lnav tries them in the order of severity."""
    words = {level: [f"(level )?{numbers}"] for level, _, numbers in _LEVELS}
    for name, number in SEVERITIES.items():
        words[next(level for level, least, _ in reversed(_LEVELS) if number >= least)].append(name)
    return {**{level: f"^(?i:{'|'.join(each)})$" for level, each in words.items()}, "fatal": "."}

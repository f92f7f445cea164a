"""`chora-logging config`: prints the effective configuration, and where each value comes from."""

from __future__ import annotations

import json
import logging
import os
import re
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import click
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from chora_logging import settings, speedups
from chora_logging.cli import amounts
from chora_logging.cli.terminal import open_console, printable
from chora_logging.config import get_logging_config

#: Narrower screens get no table: the value and its origin are below each setting.
WIDE_TABLE_COLUMNS = 60

#: The environment variables of each setting, in order of precedence.
_VARIABLES = {
    "log_level": ("LOG_LEVEL",),
    "log_file": ("LOG_FILE",),
    "orch_log_file": ("ORCH_LOG_FILE", "ORCH_ID"),
    "events_file": ("CHORA_EVENTS_FILE",),
    "max_bytes": ("LOG_MAX_BYTES",),
    "backup_count": ("LOG_BACKUP_COUNT",),
    "orch_max_bytes": ("ORCH_LOG_MAX_BYTES",),
    "orch_backup_count": ("ORCH_LOG_BACKUP_COUNT",),
    "events_max_bytes": ("CHORA_EVENTS_MAX_BYTES",),
    "events_backup_count": ("CHORA_EVENTS_BACKUP_COUNT",),
}

_NOT_ASCII = re.compile(r"[^\x00-\x7f]")
_SURROGATE = re.compile(r"\\U0000d[89a-f]..")


class Origin(NamedTuple):
    """A setting, its value, the variable that set it or None, and another reason if there is one."""

    setting: str
    value: str | int | None
    variable: str | None
    reason: str = ""

    @property
    def words(self) -> str:
        """The origin of the value, with the variables that could have set it."""
        if self.reason:
            return self.reason
        if self.variable:
            return f"variable {self.variable}"
        return f"default (no {', '.join(_VARIABLES[self.setting])})"


@click.command("config")
@click.option(
    "--format",
    "form",
    type=click.Choice(["json", "yaml", "toml"]),
    help="The format of the configuration. Without it JSON, on a terminal after the table of --origins.",
)
@click.option("--origins", is_flag=True, help="Print where each setting comes from instead.")
@click.option("--json", "as_json", is_flag=True, help="Print only JSON, also on a terminal.")
def command(form: str | None, origins: bool, as_json: bool) -> None:
    """Print the logging configuration that the environment gives, for logging.config.dictConfig.

    It is what setup_logging and get_logging_config make of the environment variables that --origins
    lists, such as LOG_LEVEL and ORCH_LOG_FILE. Nothing is set up or written. Arguments in a
    program take precedence over the environment.

    \b
    Examples:
      chora-logging config
      chora-logging config > logging.json
      chora-logging config --format yaml
      chora-logging config --origins
    """
    if as_json and form not in (None, "json"):
        raise click.UsageError(f"--json cannot be used together with --format {form}")
    found = find_origins()
    if origins and form in ("yaml", "toml"):
        raise click.UsageError(f"--origins cannot be used together with --format {form}")
    if origins and not as_json and form is None:
        _print_table(found)
        return
    if origins:
        click.echo(json.dumps({origin.setting: _as_dict(origin) for origin in found}, indent=2))
        return
    if form is None and not as_json and sys.stdout.isatty():
        _print_table(found)
        click.echo()
    click.echo(_FORMATS[form or "json"](get_logging_config(), found), nl=False)


def find_origins() -> list[Origin]:
    """Return every setting with its value and where that comes from.

    Raises:
        ConfigurationError: a variable is invalid; the message names all that are.
    """
    found = settings.resolve()
    values: dict[str, str | int | None] = {name: getattr(found, name) for name in _VARIABLES}
    values["log_level"] = logging.getLevelName(found.log_level)
    return [*(Origin(name, value, _variable_of(name)) for name, value in values.items()), _compiled_part()]


def _compiled_part() -> Origin:
    """Return whether the compiled part is in use: not a setting, but it affects logging like one."""
    used = "in use" if speedups.in_use else "not in use"
    variable = "CHORA_LOGGING_PURE" if os.environ.get("CHORA_LOGGING_PURE") else None
    return Origin("compiled_part", used, variable, speedups.why_not or "built with the package")


def _variable_of(setting: str) -> str | None:
    return next((name for name in _VARIABLES[setting] if os.environ.get(name)), None)


def _as_dict(origin: Origin) -> dict[str, Any]:
    reason = {"reason": origin.reason} if origin.reason else {}
    return {"value": origin.value, "variable": origin.variable, **reason}


def _print_table(origins: list[Origin]) -> None:
    console = open_console()
    if console.width < WIDE_TABLE_COLUMNS:
        for origin in origins:
            console.print(Text(origin.setting, "bold"))
            for text, style in _cells(origin):
                console.print(Padding(Text(text, style, overflow="fold"), (0, 0, 0, 2)))
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for title in ("setting", "value", "from"):
        table.add_column(title, header_style="bold", overflow="fold")
    for origin in origins:
        table.add_row(origin.setting, *(Text(text, style) for text, style in _cells(origin)))
    console.print(table)


def _cells(origin: Origin) -> tuple[tuple[str, str], tuple[str, str]]:
    """Return the value and where it comes from, each with its style."""
    return (_shown(origin), ""), (origin.words, "cyan" if origin.variable else "dim")


def _as_json(config: dict[str, Any], origins: list[Origin]) -> str:
    return json.dumps(config, indent=2) + "\n"


def _as_yaml(config: dict[str, Any], origins: list[Origin]) -> str:
    import yaml

    text: str = yaml.safe_dump(config, sort_keys=False)
    return _comments(origins) + text


def _as_toml(config: dict[str, Any], origins: list[Origin]) -> str:
    import tomli_w

    # Only ASCII, as in JSON and YAML: other characters could control a terminal.
    text = _NOT_ASCII.sub(lambda found: f"\\U{ord(found[0]):08x}", tomli_w.dumps(config))
    if surrogate := _SURROGATE.search(text):
        raise click.UsageError(
            f"TOML cannot represent {surrogate[0]}, a byte that is not UTF-8: use --format json"
        )
    return _comments(origins) + text


def _comments(origins: list[Origin]) -> str:
    return "".join(f"# {origin.setting} = {_shown(origin)}: {origin.words}\n" for origin in origins)


def _shown(origin: Origin) -> str:
    if isinstance(origin.value, str):
        return printable(origin.value)
    if origin.value is None:
        return "none"
    return (
        f"{origin.value} ({amounts.size(origin.value)})" if "bytes" in origin.setting else str(origin.value)
    )


_FORMATS: dict[str, Callable[[dict[str, Any], list[Origin]], str]] = {
    "json": _as_json,
    "yaml": _as_yaml,
    "toml": _as_toml,
}

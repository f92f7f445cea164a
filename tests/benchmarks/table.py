"""Makes Markdown tables, and the line that describes the machine on which they were measured."""

from __future__ import annotations

import importlib.metadata
import os
import pathlib
import platform
from collections.abc import Sequence

DISTRIBUTIONS = (
    "python-json-logger",
    "msgspec",
    "pydantic",
    "orjson",
    "concurrent-log-handler",
    "structlog",
    "loguru",
    "eliot",
)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; every column except the first and the last has numbers and is aligned to the right."""
    rule = [":--", *["--:"] * (len(head) - 2), ":--"]
    lines = ["| " + " | ".join(row) + " |" for row in [head, rule, *rows]]
    return "\n".join(lines) + "\n"


def machine() -> str:
    """Processor, system, Python and the versions of all rivals."""
    parts = [
        processor(),
        f"{os.cpu_count()} cores",
        f"load {os.getloadavg()[0]:.1f} before",
        f"{platform.system()} {platform.release()}",
        f"{platform.python_implementation()} {platform.python_version()}",
    ]
    versions = ", ".join(f"{name} {version(name)}" for name in DISTRIBUTIONS)
    return f"{'; '.join(parts)}. {versions}."


def processor() -> str:
    """The name of the processor model."""
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.machine()


def version(distribution: str) -> str:
    """The installed version."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "(not installed)"

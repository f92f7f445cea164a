"""Gives the viewer the table of meanings that all readers share, as a JavaScript module."""

from __future__ import annotations

import json

from chora_logging.eventlog import meaning, severities, times
from chora_logging.schema import LEVELS

#: The types of the table that the viewer's own modules are checked with.
_TYPES = """/**
 * @type {{
 *   names: Record<string, string[]>, type: string, outcomes: string[], failed: string[], paths: string[],
 *   units: Record<string, number>, leastNumberSeconds: number, levels: Record<string, number>,
 *   severities: Record<string, number>, synonyms: Record<string, string>, pino: number[],
 *   syslog: Record<number, number>, nextcloud: Record<number, number>, opentelemetry: number[],
 *   earliestSeconds: number, latestSeconds: number, timeUnits: [number, number][],
 *   durationUnits: Record<string, number>, longestDuration: number
 * }}
 */
"""

#: The name of the module among the files of the viewer.
TABLE = "table.js"


def table_module() -> bytes:
    """Return the module: it exports the object `TABLE`."""
    table = {
        "names": meaning.NAMES,
        "type": meaning.TYPE,
        "outcomes": meaning.OUTCOMES,
        "failed": sorted(meaning.FAILED),
        "paths": sorted(meaning.PATHS),
        "units": meaning.UNITS,
        "leastNumberSeconds": meaning.LEAST_NUMBER_SECONDS,
        "levels": LEVELS,
        "severities": severities.SEVERITIES,
        "synonyms": severities.SYNONYMS,
        "pino": severities.PINO,
        "syslog": severities.SYSLOG,
        "nextcloud": severities.NEXTCLOUD,
        "opentelemetry": severities.OPENTELEMETRY,
        "earliestSeconds": times.EARLIEST_SECONDS,
        "latestSeconds": times.LATEST_SECONDS,
        "timeUnits": times.TIME_UNITS,
        "durationUnits": times.DURATION_UNITS,
        "longestDuration": times.LONGEST_DURATION_MS,
    }
    return f"{_TYPES}export const TABLE = {json.dumps(table, indent=1)};\n".encode()

"""`chora-logging trace`: shows all events of one trace as a timeline."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from typing import Any

import click

from chora_logging.cli.amounts import stamp
from chora_logging.cli.commands import LogCommand, NothingFound
from chora_logging.cli.logs import Found, Log, Logs, log_option, read
from chora_logging.cli.progress import progress
from chora_logging.cli.terminal import JsonLines, open_console, printable
from chora_logging.cli.waterfall import Timeline, as_lines, timeline_of

#: How many of the ids with the same prefix an error names.
NAMED_IDS = 3


@click.command("trace", cls=LogCommand)
@click.argument("trace_id", metavar="ID")
@log_option
@click.option("--json", "as_json", is_flag=True, help="Print the timeline as one JSON object.")
def command(logs: Logs, trace_id: str, as_json: bool) -> None:
    """Show the events of one trace in all logs as a timeline.

    ID is a trace id, or a prefix of only one id in the logs. Each event is a row: how long after
    the start of the trace it was logged, its duration (`duration_ms`, which ends at its timestamp), its
    name, and a bar from start to end. A failed event is red, with its error below.

    Ends with status 1 if the logs have no such trace. All events of the trace are held in memory.

    \b
    Examples:
      chora-logging trace 4bf92f3577b34da6a3ce929d0e0e4736
      chora-logging trace 4bf92f35
      chora-logging trace 4bf92f35 --json | jq .duration_ms
    """
    if not trace_id:
        raise click.BadParameter("must not be empty", param_hint="'ID'")
    with logs.rereadable() as chosen:
        timeline = timeline_of(_find(chosen, trace_id))
    if as_json:
        _print_json(timeline)
        return
    console = open_console()
    for line in as_lines(timeline, console.width):
        console.show(line)


def _find(logs: Sequence[Log], wanted: str) -> list[Found]:
    """Return the events of the trace with the id *wanted*, or of the one whose id begins with it."""
    tests = {log: log.selection(raw=False, trace_id=wanted).has_fields for log in logs}
    found: list[Found] = []
    others: dict[str, list[Found]] = {}
    with progress(logs):
        for each in read(logs, trace_prefix=wanted):
            if tests[each.log](each.event):
                found.append(each)
                others.clear()
            elif not found and len(others) <= NAMED_IDS:
                _add(others, each)
    if not (found or others):
        raise NothingFound(f"no trace id in {_names(logs)} begins with {printable(wanted)}")
    if len(others) > 1:
        named = ", ".join(printable(text) for text in itertools.islice(others, NAMED_IDS))
        more = " and others" if len(others) > NAMED_IDS else ""
        raise click.BadParameter(
            f"must be the prefix of one trace id, got {printable(wanted)}, the prefix of {named}{more}",
            param_hint="'ID'",
        )
    return found or next(iter(others.values()))


def _add(traces: dict[str, list[Found]], each: Found) -> None:
    """Add an event to its trace; of several traces only the ids are kept."""
    events = traces.setdefault(each.log.meaning.trace_of(each.event) or "", [])
    if len(traces) == 1:
        events.append(each)
    else:
        next(iter(traces.values())).clear()


def _names(logs: Sequence[Log]) -> str:
    return ", ".join(printable(log.name) for log in logs)


def _print_json(timeline: Timeline) -> None:
    events = []
    for span in timeline.spans:
        place: dict[str, Any] = {"log": span.found.log.name, "offset_ms": _rounded(timeline.offset(span))}
        events.append(json.dumps(place).encode()[:-1] + b', "event": ' + span.found.event.json + b"}")
    head = {
        "trace_id": timeline.spans[0].meaning.trace_of(timeline.spans[0].found.event),
        "start": stamp(timeline.start),
        "duration_ms": _rounded(timeline.seconds * 1000),
    }
    line = json.dumps(head).encode()[:-1] + b', "events": [' + b", ".join(events) + b"]}"
    JsonLines().write(line)


def _rounded(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else round(milliseconds, 3)

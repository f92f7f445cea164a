"""The command `chora-logging demo`: starts the crew, shows the events, and checks the files."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import click
from rich.console import Console
from rich.text import Text

from chora_logging import speedups
from chora_logging.cli.commands import INTERRUPTED
from chora_logging.cli.demo.account import Summary, take_account
from chora_logging.cli.demo.board import Board
from chora_logging.cli.demo.crew import ORCHESTRATOR_FILE, TELEMETRY_FILE, Crew, interruptions_held
from chora_logging.cli.demo.viewer import Viewer
from chora_logging.cli.terminal import open_console, printable
from chora_logging.eventlog.rotated.file_set import paths_of

#: The size at which the logs are rotated, for each ten seconds of a run: small enough for many rotations.
ROTATED_BYTES = 16 * 1024
SHORTEST_SECONDS, LONGEST_SECONDS = 0.1, 3600.0
#: The time limit for the first event, and the interval at which the logs are polled, in seconds.
STARTUP_SECONDS = 60.0
POLL_SECONDS = 0.05


def _check_seconds(ctx: click.Context, param: click.Parameter, value: float) -> float:
    if not SHORTEST_SECONDS <= value <= LONGEST_SECONDS:  # nan fails every comparison
        raise click.BadParameter(f"must be from {SHORTEST_SECONDS:g} to {LONGEST_SECONDS:g}, got {value:g}")
    return value


@click.command("demo")
@click.option(
    "--seconds",
    type=float,
    metavar="N",
    default=5.0,
    show_default=True,
    callback=_check_seconds,
    help="How long the workers write, from the first event on.",
)
@click.option(
    "--workers",
    type=click.IntRange(1, 64),
    metavar="N",
    default=4,
    show_default=True,
    help="How many processes write.",
)
@click.option(
    "--dir",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="The folder for the logs and pages, which stay there; without it a new temporary folder.",
)
@click.option("--json", "as_json", is_flag=True, help="Print only the result, as JSON.")
@click.pass_context
def command(ctx: click.Context, seconds: float, workers: int, folder: Path | None, as_json: bool) -> None:
    """Watch several processes write two logs that lose nothing.

    Worker processes build pages from templates and write events with trace ids: typed ones, and those
    of an orchestrator's jobs. Some jobs fail. Subprocesses continue the traces. The logs are rotated all
    the while. You see events as they arrive; then every event that a process reports is looked up in the
    files.

    With the extra `web` installed, the viewer shows the same in a browser; on a terminal it stays until
    Ctrl-C.

    Each job has a secret, which a filter replaces in the logs. Ends with status 1 if one is left, or an
    event is missing, torn, doubled or out of order. Ctrl-C ends it early.

    \b
    Examples:
      chora-logging demo
      chora-logging demo --seconds 2 --workers 8
      chora-logging demo --seconds 1 --json
    """
    folder = _make_folder(folder)
    logs = {"telemetry": str(folder / TELEMETRY_FILE), "orchestrator": str(folder / ORCHESTRATOR_FILE)}
    if as_json:
        summary = _run(folder, logs, workers, seconds)
        click.echo(json.dumps(summary.as_dict(), indent=2))
    else:
        with Viewer(logs) as viewer:
            console = open_console()
            summary = _run(folder, logs, workers, seconds, console, viewer)
            summary.print(console)
            if not summary.interrupted:
                _stay(console, viewer)
    if summary.problems:
        ctx.exit(1)
    if summary.interrupted:
        ctx.exit(INTERRUPTED)


def _make_folder(folder: Path | None) -> Path:
    if folder is None:
        return Path(tempfile.mkdtemp(prefix="chora-demo-"))
    folder = Path(os.path.abspath(folder))
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise click.BadParameter(f"{folder}: {error.strerror}", param_hint="'--dir'") from error
    for name in (TELEMETRY_FILE, ORCHESTRATOR_FILE):
        if paths_of(str(folder / name)):
            rule = f"{folder} has the logs of an earlier run: give another folder, or none"
            raise click.BadParameter(rule, param_hint="'--dir'")
    return folder


def _run(
    folder: Path,
    logs: dict[str, str],
    workers: int,
    seconds: float,
    console: Console | None = None,
    viewer: Viewer | None = None,
) -> Summary:
    max_bytes = int(ROTATED_BYTES * max(1.0, seconds / 10))
    with (
        _interruptions() as interrupted,
        Crew(folder, workers, max_bytes) as crew,
        Board(logs, console) as board,
    ):
        if console is not None and viewer is not None:
            compiled = speedups.why_not or "in use"
            places = {**logs, "viewer": viewer.place(), "compiled part": compiled}
            _announce(console, places, workers, seconds, max_bytes)
        took = _watch(crew, board, seconds, interrupted)
        report = crew.dismiss()
        board.poll()
        board.show()
        accounts = {
            log: take_account(path, report.written.get(log, {}), board.seen[log])
            for log, path in logs.items()
        }
        return Summary(str(folder), took, workers, bool(interrupted), report, accounts)


def _watch(crew: Crew, board: Board, seconds: float, interrupted: list[int]) -> float:
    """Show events until the time is up, and return the seconds since the first event."""
    first = None
    deadline = time.monotonic() + STARTUP_SECONDS
    while time.monotonic() < deadline and not interrupted and crew.is_working():
        board.poll()
        if first is None and any(board.seen.values()):
            first = time.monotonic()
            deadline = first + seconds
        time.sleep(POLL_SECONDS)
    return 0.0 if first is None else time.monotonic() - first


@contextlib.contextmanager
def _interruptions() -> Iterator[list[int]]:
    """Note the first Ctrl-C in a list, so that it does not interrupt a reader; the next one raises."""
    noted: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        if noted:
            signal.signal(number, signal.SIG_IGN)  # a third one must not prevent the killing of the workers
            raise KeyboardInterrupt
        noted.append(number)

    before = signal.signal(signal.SIGINT, note)
    try:
        yield noted
    finally:
        signal.signal(signal.SIGINT, before)


def _stay(console: Console, viewer: Viewer) -> None:
    """Keep the viewer running until Ctrl-C, if stdin and stdout are a terminal."""
    if viewer.url and sys.stdin.isatty() and console.is_terminal:
        with interruptions_held():
            console.print(Text(f"The viewer stays at {viewer.url} until Ctrl-C."), soft_wrap=True)
            signal.sigwait({signal.SIGINT})


def _announce(console: Console, places: dict[str, str], workers: int, seconds: float, max_bytes: int) -> None:
    text = Text("chora-logging demo", "bold")
    text.append(
        f"  {workers} process{'' if workers == 1 else 'es'}, {seconds:g} s, "
        f"logs rotated at {max_bytes // 1024} kB",
        "not bold",
    )
    console.print(text)
    for name, place in places.items():
        console.print(Text(f"  {name:<13} {printable(place)}", "dim"), soft_wrap=True)
    console.print()

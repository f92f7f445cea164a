"""The paths that the user means: globs, sets whose backups are named too, stdin."""

from __future__ import annotations

import glob
import os
import re
import select
import stat
from collections.abc import Iterable, Sequence

import click

from chora_logging.cli.commands import PROGRAM
from chora_logging.cli.terminal import printable
from chora_logging.eventlog.pipe import STDIN, is_pipe
from chora_logging.eventlog.rotated.file_set import paths_of
from chora_logging.eventlog.source import is_address
from chora_logging.log_files import real_path

#: The name of a backup as the handlers here and logrotate give it: the log's, a number, how it is packed.
_NUMBERED = re.compile(r"(.+)\.[1-9][0-9]*(\.\w+)?")

#: After how many seconds without input the user is told that the command waits for it.
QUIET_SECONDS = 1.0


def expanded(paths: Iterable[str], hint: str) -> list[str]:
    """Return *paths* with each quoted glob (`*`, `?`, `[…]`, `**`) replaced by the logs that it matches.

    A path that exists is not a glob. A log whose live file is not there matches if it has a numbered backup:
    in the middle of a rotation it has nothing else.

    Args:
        paths: The paths as the user gave them.
        hint: Where the user gave them, for the error.

    Raises:
        click.BadParameter: a glob matches no file.
    """
    found: list[str] = []
    for path in paths:
        if not _is_file(path) or os.path.lexists(path) or not glob.has_magic(path):
            found.append(path)
            continue
        matches = {match for match in glob.glob(path, recursive=True) if os.path.isfile(match)}
        # The backups later: a live file that was missed has become one.
        backed = set(map(_log_of, glob.glob(path + ".[1-9]*", recursive=True)))
        matches.update(log for log in backed - matches if log and paths_of(log))
        if not matches:
            raise click.BadParameter(f"no file matches {path}", param_hint=f"'{hint}'")
        found += sorted(matches)
    return found


def without_backups(paths: Sequence[str]) -> list[str]:
    """Return those of *paths* that are not backups of another one, which is read with its backups.

    So a shell may expand `app.log*`.
    """
    backups: set[str] = set()
    by_length = sorted({_real(path) for path in paths if _is_file(path)}, key=len)
    for number, path in enumerate(by_length):
        if path not in backups and any(other.startswith(path) for other in by_length[number + 1 :]):
            backups.update(_real(name) for name in paths_of(path) if _real(name) != path)
    return [path for path in paths if not _is_file(path) or _real(path) not in backups]


def stdin_has_input() -> bool:
    """Return whether stdin is a pipe into which somebody writes, or a file that nobody has begun to read.

    Waits until the first bytes are there or the pipe is closed. A terminal, a socket and /dev/null have no
    input, nor has a pipe that ends empty, as cron gives one to its jobs.
    """
    try:
        status = os.fstat(0)
        if stat.S_ISREG(status.st_mode):
            return status.st_size > 0 and os.lseek(0, 0, os.SEEK_CUR) == 0
        if not stat.S_ISFIFO(status.st_mode):
            return False
    except OSError:  # closed
        return False
    poll = select.poll()
    poll.register(0, select.POLLIN)
    found = poll.poll(QUIET_SECONDS * 1000)
    if not found:
        click.echo(f"{PROGRAM}: waiting for input from a pipe (FILE or --log PATH reads a log)", err=True)
        while not (found := poll.poll(QUIET_SECONDS * 1000)):
            pass
    return bool(found[0][1] & select.POLLIN)


def why_absent(path: str) -> str:
    """Return why *path* is not a log, as the end of an error message that begins with it."""
    if is_address(path):
        return f"{printable(path)} does not exist: there is no such stream"
    if os.path.exists(path):
        return f"{printable(path)} is not a regular file"
    folder = os.path.dirname(os.path.abspath(path))
    while not os.path.isdir(folder):
        folder, missing = os.path.dirname(folder), folder
        if os.path.isdir(folder):
            return f"{printable(path)} does not exist: there is no folder {printable(missing)}"
    return f"{printable(path)} does not exist, and has no backup"


def names_of(addresses: Sequence[str]) -> list[tuple[str, str]]:
    """Pair each address with its name: its last part without suffix, and earlier ones until it is unique."""
    parts = [_parts(address) for address in addresses]
    for depth in range(1, max(map(len, parts)) + 1):
        names = [os.sep.join(part[-depth:]) for part in parts]
        if len(set(names)) == len(names):
            return list(zip(names, addresses, strict=True))
    return [(address, address) for address in addresses]  # they differ only in their suffixes


def _log_of(backup: str) -> str | None:
    """Return the path of the log that a file with a numbered name is a backup of."""
    numbered = _NUMBERED.fullmatch(backup)
    return numbered[1] if numbered else None


def _parts(address: str) -> list[str]:
    if address == STDIN:
        return ["stdin"]
    if is_address(address):
        return address.split("/")
    return os.path.splitext(os.path.abspath(address))[0].split(os.sep)


def _is_file(path: str) -> bool:
    return not (is_address(path) or is_pipe(path))


def _real(path: str) -> str:
    return real_path(os.path.abspath(path))

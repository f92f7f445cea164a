"""Finds and ends the processes that tests leave running.

They are recognised by a variable in their initial environment, which survives a double fork and a new
session, or by their parent processes.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import time
from collections.abc import Callable, Set

VARIABLE = "CHORA_LOGGING_TESTS"
#: The longest that killed processes may take to end, in seconds; one that waits for a disk takes longest.
DEADLINE = 10.0


def mark_below(name: str) -> str:
    """Return the value of `VARIABLE` for processes started under *name*, below this process's own value."""
    return f"{os.environ.get(VARIABLE, '')}/{name}"


def living() -> set[int]:
    """Return the ids of all processes of the system, including zombies."""
    return {int(name) for name in os.listdir("/proc") if name.isdigit()}


def end_all(find: Callable[[], Set[int]]) -> None:
    """Kill the processes that *find* returns until it returns none or `DEADLINE` has passed."""
    deadline = time.monotonic() + DEADLINE
    while (found := find()) and time.monotonic() < deadline:
        for pid in found:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.005)


def started_under(mark: str) -> set[int]:
    """Return the running processes that were started under *mark*, except this one."""
    return {pid for pid in living() - {os.getpid()} if _line_of(pid) and _is_under(mark, pid)}


def started_since(before: Set[int], mark: str) -> set[int]:
    """Return the running processes that were started under *mark* or by this process, unless they are among
    *before*, or are descendants of one of ours in *before*, as a tab is of its browser.
    """
    me = os.getpid()
    found = set()
    for pid in living() - before - {me}:
        line = _line_of(pid)
        ours = line[: line.index(me)] if me in line else [each for each in line if _is_under(mark, each)]
        if pid in ours and not before & set(ours):
            found.add(pid)
    return found


def _line_of(pid: int) -> list[int]:
    """The process and its ancestors; empty if it has ended."""
    line = []
    while pid:
        try:
            fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return line
        state, parent, threads = fields[0], fields[1], fields[17]
        if state in "ZX" and threads in "01" and not line:  # a zombie with threads is still ending
            return line
        line.append(pid)
        pid = int(parent)
    return line


def _is_under(mark: str, pid: int) -> bool:
    with contextlib.suppress(OSError):
        wanted = f"{VARIABLE}={mark}".encode()
        variables = pathlib.Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        return any(each == wanted or each.startswith(wanted + b"/") for each in variables)
    return False

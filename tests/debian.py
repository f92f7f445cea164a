"""The Debian archive that apt uses on this machine, for the programs that install from it."""

from __future__ import annotations

import pathlib
import re
import subprocess


class Failed(Exception):
    """A command failed, or this system has no archive; the message has the reason."""


def attempt(*command: str) -> str:
    """Run a command and return its output.

    Raises:
        Failed: The command failed; the message has the end of its output.
    """
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
    except OSError as error:
        raise Failed(f"{command[0]}: {error.strerror}") from None
    if done.returncode:
        raise Failed(f"{' '.join(command)} failed:\n{done.stdout[-2000:]}")
    return done.stdout


def debian_archive() -> tuple[str, str]:
    """Return the address of the archive that apt uses here, and the name of this system's release in it.

    Raises:
        Failed: This is not a release of Debian, or apt has no archive of it.
    """
    try:
        text = pathlib.Path("/etc/os-release").read_text()
    except OSError:
        text = ""
    release = dict(re.findall(r'^(\w+)="?(.*?)"?$', text, re.MULTILINE))
    suite = release.get("VERSION_CODENAME", "")
    if release.get("ID") != "debian" or not suite:
        raise Failed(f"this system is {release.get('PRETTY_NAME', 'unknown')}, not a release of Debian")
    targets = "apt-get", "indextargets", "--format", "$(REPO_URI)", f"Codename: {suite}"
    if not (listed := attempt(*targets).split()):
        attempt("apt-get", "update", "-qq")
        listed = attempt(*targets).split()
    if not listed:
        raise Failed(f"apt has no archive of {suite}: see apt-get indextargets")
    return listed[0], suite

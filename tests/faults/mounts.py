"""Runs commands with a mount that only they see, and that ends with them."""

from __future__ import annotations

import contextlib
import os
import subprocess

from tests.needs import namespace, need


@contextlib.contextmanager
def mounted(options, *command, **popen_options):
    """Start a command in a mount namespace of its own, in which `mount` was called with *options*.

    The last option is the mount point. The process is killed at the end.
    """
    need("mounts")
    script = 'count=$1; shift; mount "${@:1:$count}"; shift "$count"; exec "$@"'
    arguments = ["bash", "-ec", script, "bash", len(options), *options, *command]
    process = subprocess.Popen([*namespace(), *map(str, arguments)], text=True, **popen_options)
    try:
        with process:
            try:
                yield process
            finally:
                process.kill()
    finally:
        # If the root folder is no mount point itself, the namespace may share its mounts.
        if os.path.ismount(options[-1]):
            subprocess.run(["umount", "--lazy", options[-1]], check=True, capture_output=True)


def run_mounted(options, *command):
    """Run a command to its end with a mount, which must succeed; return its output."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with mounted(options, *command, **pipes) as process:
        out, errors = process.communicate()
    assert process.returncode == 0, errors
    return subprocess.CompletedProcess(process.args, 0, out, errors)

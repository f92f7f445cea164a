"""Commands that see a mount which nobody else sees, and which ends with them."""

from __future__ import annotations

import contextlib
import os
import subprocess

from tests.needs import namespace, need


@contextlib.contextmanager
def mounted(options, *command, **popen_options):
    """A command in a mount namespace of its own, in which `mount` was called with *options*.

    The last of the options is where. The process is killed at the end.
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
        # In a root folder that is no mount itself the namespace may share its mounts.
        if os.path.ismount(options[-1]):
            subprocess.run(["umount", "--lazy", options[-1]], check=True, capture_output=True)


def run_mounted(options, *command):
    """Run a command to its end so; what it printed. It must succeed."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with mounted(options, *command, **pipes) as process:
        out, errors = process.communicate()
    assert process.returncode == 0, errors
    return subprocess.CompletedProcess(process.args, 0, out, errors)

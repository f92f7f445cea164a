"""Replaces functions of the C library in a process, as a file system, a sandbox or a slow disk would."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.needs import need


def run_shimmed(folder, source, program, *arguments, **variables):
    """Run a Python program in *folder* with the functions of a C *source*; return the process."""
    need("a C compiler")
    (folder / "shim.c").write_text("#define _GNU_SOURCE\n" + source)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", folder / "shim.so", folder / "shim.c"], check=True)
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=folder,
        env={**os.environ, "LD_PRELOAD": str(folder / "shim.so"), **variables},
        capture_output=True,
        text=True,
        timeout=60,
    )

"""The real logrotate works on a log that is being written."""

from __future__ import annotations

import json
import subprocess

from tests.accounting import lines_of
from tests.faults.test_many_writers import start_writer
from tests.needs import find_program, need

CONFIGURATION = """
{log} {{
    rotate 1000
    size 1
    missingok
    {mode}
}}
"""


def logrotate(tmp_path, log, mode):
    """Run logrotate once."""
    configuration = tmp_path / "logrotate.conf"
    configuration.write_text(CONFIGURATION.format(log=log, mode=mode))
    configuration.chmod(0o644)
    command = [find_program("logrotate"), "-s", tmp_path / "state", configuration]
    subprocess.run(command, check=True, capture_output=True)


def test_create(tmp_path):
    """While 3 processes write, logrotate moves the file away (create): nothing is lost or doubled."""
    need("logrotate")
    folder = tmp_path / "log"
    folder.mkdir(mode=0o755)
    log = folder / "events.log"
    programs = [start_writer(log, n, 8000, maxBytes=0) for n in range(3)]
    rotations = 0
    while any(program.poll() is None for program in programs):
        if log.exists() and log.stat().st_size:
            logrotate(tmp_path, log, "create 0644")
            rotations += 1
    assert [program.returncode for program in programs] == [0, 0, 0]

    # logrotate moves aside a log that was created between its two steps.
    lines = [*lines_of(log), *(line for path in folder.glob("*.backup") for line in lines_of(path))]
    found = sorted((int(event["writer"]), event["seq"]) for event in map(json.loads, lines))
    assert found == [(writer, number) for writer in range(3) for number in range(8000)]
    assert rotations > 5


def test_copytruncate(tmp_path):
    """After logrotate's copytruncate the file continues without a hole of NULs, in whole lines."""
    need("logrotate")
    folder = tmp_path / "log"
    folder.mkdir(mode=0o755)
    log = folder / "events.log"
    programs = [start_writer(log, n, 4000, maxBytes=0) for n in range(3)]
    while any(program.poll() is None for program in programs):
        if log.exists() and log.stat().st_size:
            logrotate(tmp_path, log, "copytruncate")

    assert [program.returncode for program in programs] == [0, 0, 0]
    assert b"\0" not in log.read_bytes()
    assert all(
        line.startswith(b'{"timestamp"') and line.endswith(b"}") for line in log.read_bytes().splitlines()
    )

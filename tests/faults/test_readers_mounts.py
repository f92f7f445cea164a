"""Following a log through another mount of its folder, as containers do."""

from __future__ import annotations

import subprocess
import sys

from tests.eventlog.writing import Writer
from tests.faults.mounts import mounted
from tests.needs import need

FOLLOW = """
import sys
from chora_logging.eventlog import EventLog
for event in EventLog(sys.argv[1] + "/app.log").follow_sync():
    print(event["n"], flush=True)
    if event["n"] == 29:
        break
"""


def test_a_bind_mount(tmp_path):
    """A reader that sees the folder through a bind mount gets every event, over rotations, in time."""
    need("mounts")
    there = tmp_path / "there"
    (tmp_path / "here").mkdir()
    there.mkdir()
    writer = Writer(tmp_path / "here" / "app.log", keep=20)
    writer.write(1)
    options = ["--bind", tmp_path / "here", there]
    with mounted(options, sys.executable, "-c", FOLLOW, there, stdout=subprocess.PIPE) as reader:
        found = [int(reader.stdout.readline())]
        for number in range(1, 30):
            if number % 4 == 0:
                writer.rotate()
            writer.write(1)
            found.append(int(reader.stdout.readline()))
        reader.wait()
    writer.close()

    assert found == list(range(30))
    assert reader.returncode == 0
    assert list(there.iterdir()) == []

"""The pictures of the README are small, and whoever changes a screen can make them anew."""

from __future__ import annotations

import struct
import subprocess
import sys

import pytest

from tests.needs import need
from tests.pictures import FOLDER, ROOT

NAMES = ("terminal.png", "viewer.png")
LARGEST = 200_000


def size_of(path):
    """Width and height of a PNG, from its head."""
    head = path.read_bytes()[:24]
    assert head[:8] == b"\x89PNG\r\n\x1a\n"
    return struct.unpack(">II", head[16:])


@pytest.mark.parametrize("name", NAMES)
def test_a_picture_is_small(name):
    """A picture of the repository is a PNG that fits on a page and is loaded at once."""
    width, height = size_of(FOLDER / name)

    assert 800 <= width <= 1200
    assert 300 <= height <= 700
    assert (FOLDER / name).stat().st_size < LARGEST


def test_pictures_are_made(tmp_path):
    """The command makes both, as small, from a demo of its own."""
    need("chromium")

    done = subprocess.run(
        [sys.executable, "-m", "tests.pictures", str(tmp_path)], cwd=ROOT, capture_output=True, text=True
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert sorted(path.name for path in tmp_path.iterdir()) == list(NAMES)
    for name in NAMES:
        assert size_of(tmp_path / name)[0] == size_of(FOLDER / name)[0]
        assert (tmp_path / name).stat().st_size < LARGEST

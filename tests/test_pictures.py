"""The pictures of the README are small, and a command makes new ones."""

from __future__ import annotations

import struct
import subprocess
import sys

import pytest

from tests.needs import need
from tests.pictures import FOLDER, ROOT

NAMES = ("terminal.png", "viewer.png")
LARGEST = 200_000


def check(path):
    """A picture is a PNG that fits on a page and loads quickly."""
    head = path.read_bytes()[:24]
    width, height = struct.unpack(">II", head[16:])

    assert head[:8] == b"\x89PNG\r\n\x1a\n"
    assert 800 <= width <= 1200
    assert 300 <= height <= 700
    assert path.stat().st_size < LARGEST


@pytest.mark.parametrize("name", NAMES)
def test_a_picture_is_small(name):
    """The pictures of the repository are small."""
    check(FOLDER / name)


@pytest.mark.whole
def test_looks_are_made(tmp_path):
    """The command makes a picture of a state of the viewer for each theme and width."""
    need("chromium-headless-shell")

    subprocess.run([sys.executable, "-m", "tests.looks", str(tmp_path), "keys", "lost"], cwd=ROOT, check=True)

    made = {path.name for path in tmp_path.iterdir() if path.stat().st_size > 5_000}
    widths, themes = ("360", "800", "1440"), ("light", "dark")
    assert made == {
        f"{state}-{theme}-{width}.png" for state in ("keys", "lost") for theme in themes for width in widths
    }


@pytest.mark.whole
def test_pictures_are_made(tmp_path):
    """The command makes both pictures, small too, from a demo of its own."""
    need("chromium-headless-shell")

    done = subprocess.run(
        [sys.executable, "-m", "tests.pictures", str(tmp_path)], cwd=ROOT, capture_output=True, text=True
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert sorted(path.name for path in tmp_path.iterdir()) == list(NAMES)
    for name in NAMES:
        check(tmp_path / name)

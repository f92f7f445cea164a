"""The hooks of PyInstaller for this package, found by the entry point `pyinstaller40`.

PyInstaller sees neither the modules that are loaded on first use nor the files of the viewer.
"""

from __future__ import annotations

import os


def hook_folders() -> list[str]:
    """Return the folders with the hooks."""
    return [os.path.join(os.path.dirname(__file__), "pyinstaller")]

"""The files of the repository, in a checkout and in an unpacked sdist."""

from __future__ import annotations

import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent
#: The folders that building, installing and testing leave in an sdist; in a checkout git ignores them.
LEFT = ("__pycache__", "build", "dist", "var")


def files_of(folder: str = "") -> set[str]:
    """Return the paths, from the root, of the files below a folder that git tracks or does not ignore."""
    if not (ROOT / ".git").exists():
        paths = (path.relative_to(ROOT) for path in (ROOT / folder).rglob("*") if path.is_file())
        return {str(path) for path in paths if _is_source(path)}
    command = ["git", "ls-files", "-co", "--exclude-standard", "-z", "--", folder or "."]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return {name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()}


def _is_source(path: pathlib.Path) -> bool:
    *folders, name = path.parts
    made = any(part.startswith(".") or part in LEFT or part.endswith(".egg-info") for part in folders)
    return not made and not name.endswith(".so") and name != "PKG-INFO"

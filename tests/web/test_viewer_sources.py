"""The modules of the viewer are typed by JSDoc, and checked by the TypeScript compiler."""

from __future__ import annotations

import json
import shutil
import subprocess

from chora_logging.web.table import TABLE, table_module
from tests.checkout import ROOT
from tests.needs import find_program, need

VIEWER = ROOT / "chora_logging" / "web" / "viewer"
#: A newcomer reads a file in one sitting.
LONGEST = 300
OPTIONS = {
    "allowJs": True,
    "checkJs": True,
    "noEmit": True,
    "strict": True,
    "useUnknownInCatchVariables": False,
    "target": "ES2022",
    "module": "ES2022",
    "moduleResolution": "node",
    "lib": ["ES2022", "DOM", "DOM.Iterable"],
    "types": [],
}


def test_types(tmp_path):
    """The compiler finds nothing wrong, with the strict rules."""
    need("typescript")
    shutil.copytree(VIEWER, tmp_path / "viewer")
    (tmp_path / "viewer" / TABLE).write_bytes(table_module())
    (tmp_path / "tsconfig.json").write_text(
        json.dumps({"compilerOptions": OPTIONS, "files": ["viewer/main.js"]})
    )
    done = subprocess.run(
        [find_program("tsc"), "-p", str(tmp_path)], cwd=tmp_path, capture_output=True, text=True, check=False
    )

    assert done.stdout == ""
    assert done.returncode == 0


def test_sizes():
    """No file of the viewer is longer than a reader takes in."""
    assert {path.name for path in VIEWER.iterdir() if len(path.read_text().splitlines()) >= LONGEST} == set()

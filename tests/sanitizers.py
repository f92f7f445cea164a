"""`python -m tests.sanitizers`: the tests of the C code under the address and undefined-behaviour sanitizers.

A copy of the package is compiled with them, and the tests run in it; `tests/run.py --whole` does it once.
Needs gcc and its libasan. Leaks are not checked, because CPython frees little at its end; `TestMemory`
counts references. Arguments are passed to pytest.
"""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence

ROOT = pathlib.Path(__file__).resolve().parent.parent
COPIED = ("chora_logging", "tests", "setup.py", "setup.cfg", "README.md")
#: -UNDEBUG enables the assertions of CPython's headers.
FLAGS = "-O1 -g -UNDEBUG -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=undefined"


def build(folder: pathlib.Path) -> str:
    """Copy the package to a folder and compile it there; return the path of the extension module."""
    for name in COPIED:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy2
        copy(ROOT / name, folder / name)
    for stale in folder.glob("chora_logging/speedups/*.so"):
        stale.unlink()
    command = [sys.executable, "setup.py", "--quiet", "build_ext", "--inplace"]
    subprocess.run(command, cwd=folder, env={**os.environ, "CFLAGS": FLAGS, "LDFLAGS": FLAGS}, check=True)
    (built,) = folder.glob("chora_logging/speedups/*.so")
    return str(built)


def environment() -> dict[str, str]:
    """The variables with which an interpreter loads the sanitized extension."""
    compiler = os.environ.get("CC", "gcc")
    asked = subprocess.run(
        [compiler, "-print-file-name=libasan.so"], capture_output=True, text=True, check=True
    )
    return {
        **os.environ,
        "LD_PRELOAD": asked.stdout.strip(),
        # The interpreter is not sanitized: the fill pattern in freed memory shows its use of a freed object.
        "ASAN_OPTIONS": "detect_leaks=0:max_free_fill_size=65536",
        "UBSAN_OPTIONS": "print_stacktrace=1",
        "PYTHONMALLOC": "malloc",  # allocates each object separately, so that its end is checked
    }


def main(arguments: Sequence[str]) -> int:
    """Build, test, and return the exit status."""
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name).resolve()
        built = build(folder)
        variables = environment()
        program = "from chora_logging.speedups import _speedups; print(_speedups.__file__)"
        loaded = subprocess.run(
            [sys.executable, "-c", program], cwd=folder, env=variables, capture_output=True, text=True
        )
        if loaded.stdout.strip() != built:
            print(f"not loaded: {built}\n{loaded.stdout}{loaded.stderr}", file=sys.stderr)
            return 1
        tests = sorted(str(path.relative_to(folder)) for path in folder.glob("tests/test_speedups*.py"))
        pytest = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *tests, *arguments]
        return subprocess.run(pytest, cwd=folder, env=variables).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

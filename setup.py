from __future__ import annotations

import os
import pathlib
import sysconfig

from setuptools import Extension, setup
from setuptools.command.sdist import sdist

# The extension is optional: if it cannot be compiled, or CHORA_LOGGING_PURE is set, the package is pure
# Python and does the same. It is not built for free-threaded Pythons, because it relies on the GIL.
compiled = not (os.environ.get("CHORA_LOGGING_PURE") or sysconfig.get_config_var("Py_GIL_DISABLED"))

sources = pathlib.Path("chora_logging", "speedups")


class SdistWithTests(sdist):
    """Adds the files that the tests read to the sdist; the top level may not have a MANIFEST.in."""

    def make_release_tree(self, base_dir: str, files: list[str]) -> None:
        """Add the tests, the examples and the configuration of the checks."""
        found = [path for root in ("tests", "examples") for path in pathlib.Path(root).rglob("*")]
        more = [str(path) for path in found if path.is_file() and "__pycache__" not in path.parts]
        super().make_release_tree(base_dir, sorted({*files, *more, ".dockerignore", ".ruff.toml"}))


setup(
    cmdclass={"sdist": SdistWithTests},
    ext_modules=[
        Extension(
            "chora_logging.speedups._speedups",
            sorted(map(str, sources.glob("*.c"))),
            depends=sorted(map(str, sources.glob("*.h"))),
            # The files call each other directly; only the functions that Python calls are exported.
            extra_compile_args=["-std=c11", "-ffp-contract=off", "-fvisibility=hidden"],
            optional=True,
        )
    ]
    if compiled
    else [],
)

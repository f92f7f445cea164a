from __future__ import annotations

import os
import pathlib
import sysconfig

from setuptools import Extension, setup

# What is compiled is an option: where it cannot be, or CHORA_LOGGING_PURE is set, the package is pure
# Python and does the same. Not for Pythons without a GIL, on which it stands.
compiled = not (os.environ.get("CHORA_LOGGING_PURE") or sysconfig.get_config_var("Py_GIL_DISABLED"))

sources = pathlib.Path("chora_logging", "speedups")

setup(
    ext_modules=[
        Extension(
            "chora_logging.speedups._speedups",
            sorted(map(str, sources.glob("*.c"))),
            depends=sorted(map(str, sources.glob("*.h"))),
            # The files call each other directly, as if they were one: only what Python calls is exported.
            extra_compile_args=["-std=c11", "-ffp-contract=off", "-fvisibility=hidden"],
            optional=True,
        )
    ]
    if compiled
    else []
)

from __future__ import annotations

import os
import sysconfig

from setuptools import Extension, setup

# What is compiled is an option: where it cannot be, or CHORA_LOGGING_PURE is set, the package is pure
# Python and does the same. Not for Pythons without a GIL, on which it stands.
compiled = not (os.environ.get("CHORA_LOGGING_PURE") or sysconfig.get_config_var("Py_GIL_DISABLED"))

setup(
    ext_modules=[
        Extension(
            "chora_logging.speedups._speedups",
            ["chora_logging/speedups/line.c"],
            extra_compile_args=["-std=c11", "-ffp-contract=off"],
            optional=True,
        )
    ]
    if compiled
    else []
)

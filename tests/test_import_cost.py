"""The modules that importing the package loads; `tests/benchmarks` measures the time."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
BASELINE = "import logging.handlers, pythonjsonlogger.msgspec"
PACKAGE = "import chora_logging"
PARTS = "import chora_logging as c; c.EventFormatter, c.EventFileHandler, c.TraceIdFilter"

#: Packages that an application which only logs must not load.
HEAVY = ("pydantic", "asyncio", "starlette", "opentelemetry", "click", "rich", "nats", "multiprocessing")

#: The modules that the three parts load beyond `BASELINE`: ours, and these of the standard library.
OWN = {
    "chora_logging",
    "chora_logging._version",
    "chora_logging.writing.appending",
    "chora_logging.writing.adoption",
    "chora_logging.writing.backups",
    "chora_logging.compressed_files",
    "chora_logging.context",
    "chora_logging.options",
    "chora_logging.settings",
    "chora_logging.formatting.fields",
    "chora_logging.speedups",
    "chora_logging.trace_ids",
    "chora_logging.speedups._speedups",
    "chora_logging.formatting.values",
    "chora_logging.errors",
    "chora_logging.formatting.formatter",
    "chora_logging.formatting.last_resort",
    "chora_logging.writing.handler",
    "chora_logging.writing.handler_log",
    "chora_logging.writing.live_file",
    "chora_logging.writing",
    "chora_logging.writing.locking",
    "chora_logging.writing.opening",
    "chora_logging.writing.shared_log",
    "chora_logging.formatting",
    "chora_logging.formatting.options",
    "chora_logging.formatting.planned",
    "chora_logging.formatting.plans",
    "chora_logging.writing.periods",
    "chora_logging.writing.reporting",
    "chora_logging.writing.retention",
    "chora_logging.writing.journal",
    "chora_logging.writing.loss",
    "chora_logging.writing.rotation",
    "chora_logging.writing.rotation_schedule",
    "chora_logging.log_files",
    "chora_logging.schema",
    "chora_logging.formatting.timestamps",
}
EARLIER = {
    "chora_logging.buffered",
    "chora_logging.filters",
    "chora_logging.formatter",
    "chora_logging.handler",
    "chora_logging.queue_handler",
}
STANDARD = {"_contextvars", "_struct", "contextvars", "fcntl", "math", "struct", "zlib"}
STANDARD |= {"_math_integer", "math.integer"}  # of `math`, from Python 3.15 on


def loaded(statement: str) -> set[str]:
    """Return the modules of a fresh interpreter after a statement."""
    program = f"{statement}\nimport sys, json\nprint(json.dumps(list(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd="/",
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    return set(json.loads(done.stdout))


@pytest.mark.parametrize("statement", [PACKAGE, PARTS], ids=["package", "parts"])
def test_nothing_heavy_is_loaded(statement):
    """Importing the package and using the three logging parts loads none of the large dependencies."""
    roots = {name.split(".")[0] for name in loaded(statement)}

    assert roots.isdisjoint(HEAVY)


def test_the_package_alone_is_next_to_nothing():
    """`import chora_logging` loads only its own file and the version, and no other package.

    The modules under the paths of earlier versions load nothing before they are used.
    """
    extra = loaded(PACKAGE) - loaded("") - EARLIER
    roots = {name.split(".")[0] for name in extra}

    assert {name for name in extra if name.startswith("chora_logging")} <= {
        "chora_logging",
        "chora_logging._version",
    }
    assert roots <= {"chora_logging", *sys.stdlib_module_names}
    assert "logging" not in roots


def test_the_parts_bring_only_what_is_listed():
    """Beyond their dependencies, the three parts load our modules and a few small ones, all listed."""
    extra = loaded(PARTS) - loaded(BASELINE)

    assert extra <= OWN | EARLIER | STANDARD


#: Logs, rotates and loses its file; prints the modules that were imported meanwhile.
CALLS = """
import logging, os, sys, traceback
import chora_logging
traceback.format_exception(ValueError, ValueError(), None)  # imports a module of its own, from Python 3.14 on
kind, log, compress = sys.argv[1:4]
handler = getattr(chora_logging, kind)(log, maxBytes=2000, backupCount=3, compress=compress)
handler.setFormatter(chora_logging.EventFormatter())
handler.addFilter(chora_logging.TraceIdFilter())
logger = logging.Logger("x")
logger.addHandler(handler)
found = []
sys.addaudithook(lambda name, arguments: name == "import" and found.append(arguments[0]))
for number in range(60):
    logger.info("hello %d", number, extra={"task_id": "t"})
    try:
        raise ValueError
    except ValueError:
        logger.exception("bad", stack_info=True)
handler.doRollover()
os.unlink(log)
logger.error("again")
handler.close()
print(*found)
"""


@pytest.mark.parametrize("pure", ["", "1"], ids=["compiled", "pure"])
@pytest.mark.parametrize("compress", [False, True, "zstd"])
@pytest.mark.parametrize("kind", ["EventFileHandler", "BufferedEventFileHandler"])
def test_no_call_imports(tmp_path, kind, compress, pure):
    """No call imports a module: if a signal handler's exception leaves an import, those of all threads wait.

    `importlib` takes the lock of all imports before it can be sure to release it.
    """
    done = subprocess.run(
        [sys.executable, "-c", CALLS, kind, str(tmp_path / "x.log"), str(compress)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "CHORA_LOGGING_PURE": pure},
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.split() == []

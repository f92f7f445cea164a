"""The public names of `chora_logging`, and the cost of importing them."""

from __future__ import annotations

import ast
import doctest
import importlib
import importlib.util
import logging
import pathlib
import pickle
import subprocess
import sys

import pytest

import chora_logging

ROOT = pathlib.Path(chora_logging.__file__).parent.parent

#: The names and modules that existing users import, with the prefix changed.
IMPORTS = [
    "from chora_logging.telemetry import EventEmitter, emit_event, get_emitter, TelemetryEvent",
    "from chora_logging.telemetry import ContentGeneratedEvent, ArtifactAssembledEvent",
    "from chora_logging.telemetry import ValidationCompletedEvent",
    "from chora_logging.telemetry.event_emitter import EventEmitter, emit_event, get_emitter",
    "from chora_logging.telemetry.event_schemas import TelemetryEvent, ContentGeneratedEvent",
    "from chora_logging.telemetry.event_schemas import ArtifactAssembledEvent, ValidationCompletedEvent",
    "from chora_logging.orchestrator import log_orchestrator_event, stream_orchestrator_events",
    "from chora_logging.orchestrator import get_orchestrator_events, get_request_logger",
    "from chora_logging.orchestrator import setup_orchestrator_logging, setup_logging",
    "from chora_logging.orchestrator import get_logging_config",
    "from chora_logging.config import get_logging_config, setup_logging",
    "from chora_logging.context import trace_context, get_trace_id, set_trace_id, child_env",
]

#: The paths that configurations and pickles of earlier versions may have, and the public name of each.
EARLIER = [
    "chora_logging.buffered.BufferedEventFileHandler",
    "chora_logging.filters.TraceIdFilter",
    "chora_logging.formatter.EventFormatter",
    "chora_logging.handler.EventFileHandler",
    "chora_logging.queue_handler.EventQueueHandler",
]

#: The names that need an extra.
OF_EXTRAS = ("TraceMiddleware", "create_app", "include", "routes")


def run(code, cwd=None):
    """Return the output of *code* in its own interpreter."""
    env = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, env=env, cwd=cwd
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


class TestNames:
    def test_all_is_sorted_and_has_no_name_twice(self):
        """The list of public names is in order."""
        assert chora_logging.__all__ == sorted(set(chora_logging.__all__))

    @pytest.mark.parametrize("name", chora_logging.__all__)
    def test_every_name_is_there(self, name):
        """Each public name can be imported from the package."""
        assert getattr(chora_logging, name) is not None

    def test_every_name_is_known_to_type_checkers(self):
        """Every name that is loaded on first use, those of extras too, is imported for type checkers."""
        tree = ast.parse(pathlib.Path(chora_logging.__file__).read_text(encoding="utf-8"))
        imported = {
            alias.name
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and str(node.module).startswith("chora_logging")
            for alias in node.names
        }

        assert imported == {*chora_logging.__all__, *OF_EXTRAS}

    @pytest.mark.parametrize("name", OF_EXTRAS)
    def test_names_of_extras_can_be_had_too(self, name):
        """A name that needs an extra is available too, but not to a star import."""
        assert getattr(chora_logging, name) is not None
        assert name not in chora_logging.__all__

    def test_a_missing_extra_is_named(self, tmp_path):
        """Without the extra, the error names the extra to install."""
        code = (
            "import sys; sys.modules['starlette'] = None\n"
            "import chora_logging as c\n"
            "try: c.create_app\n"
            "except ImportError as error: print(error)"
        )

        assert " ".join(run(code)) == "starlette is not installed: pip install 'chora_logging[web]'"

    def test_a_star_import_gives_them_all(self):
        """`from chora_logging import *` works and gives the public names."""
        namespace: dict = {}
        exec("from chora_logging import *", namespace)

        assert set(chora_logging.__all__) <= set(namespace)

    def test_dir_lists_them(self):
        """dir() lists the names and the modules before they are loaded."""
        listed = run("import chora_logging; print(*dir(chora_logging))")

        assert {*chora_logging.__all__, *OF_EXTRAS, "telemetry", "orchestrator", "config"} <= set(listed)

    def test_modules_are_attributes(self):
        """After `import chora_logging` its modules are attributes without a further import."""
        code = "import chora_logging as c; print(c.orchestrator.__name__, c.telemetry.__name__)"

        assert run(code) == ["chora_logging.orchestrator", "chora_logging.telemetry"]

    def test_an_unknown_name(self):
        """An unknown name is an AttributeError that names it."""
        with pytest.raises(AttributeError, match="module 'chora_logging' has no attribute 'nothing'"):
            _ = chora_logging.nothing

    @pytest.mark.parametrize("statement", IMPORTS, ids=lambda text: text.split("import ")[-1][:40])
    def test_imports_of_existing_users(self, statement):
        """Every import of existing users works with the prefix changed."""
        exec(statement, {})

    @pytest.mark.parametrize("name", ["telemetry", "orchestrator"])
    def test_all_of_the_modules_that_users_import(self, name):
        """These modules list their public names too."""
        module = importlib.import_module(f"chora_logging.{name}")

        assert module.__all__ == sorted(module.__all__)
        assert all(hasattr(module, public) for public in module.__all__)

    def test_names_are_the_same_objects_everywhere(self):
        """A name of the package is the same object as in its module, so isinstance and pickling work."""
        from chora_logging.telemetry.event_schemas import TelemetryEvent

        assert chora_logging.TelemetryEvent is TelemetryEvent
        assert pickle.loads(pickle.dumps(chora_logging.EventFormatter)) is chora_logging.EventFormatter


class TestEarlierPaths:
    """Paths of earlier versions lead to the public names, with warnings as errors."""

    @pytest.mark.parametrize("path", EARLIER)
    @pytest.mark.parametrize(
        "statement",
        [
            "found = getattr(importlib.import_module('{module}'), '{name}')",
            "import {module}; found = {module}.{name}",
            "from {module} import {name} as found",
            "found = logging.config.BaseConfigurator({{}}).resolve('{module}.{name}')",
            "found = pickle.loads(b'c{module}\\n{name}\\n.')",
            "found = pkgutil.resolve_name('{module}:{name}')",
        ],
        ids=["import_module", "import", "from", "dictConfig", "pickle", "resolve_name"],
    )
    def test_leads_to_the_public_name(self, path, statement):
        """Every way to look a path up in a fresh interpreter finds the class of the public name."""
        module, _, name = path.rpartition(".")
        code = (
            "import importlib, logging.config, pickle, pkgutil\n"
            f"{statement.format(module=module, name=name)}\n"
            f"import chora_logging; print(found is chora_logging.{name})"
        )

        assert run(code) == ["True"]

    @pytest.mark.parametrize("path", EARLIER)
    def test_has_nothing_else(self, path):
        """A missing name is an AttributeError, including names that Python looks up in every module."""
        module = importlib.import_module(path.rpartition(".")[0])

        assert not hasattr(module, "nothing")
        assert not hasattr(module, "__file__")
        assert importlib.util.find_spec(module.__name__).name == module.__name__


class TestCost:
    HEAVY = ("pydantic", "asyncio", "starlette", "opentelemetry")

    def test_the_import_loads_the_standard_library_only(self):
        """`import chora_logging` loads no other package, and little of the standard library."""
        code = (
            "import sys; before = set(sys.modules); import chora_logging;"
            "print(*sorted(set(sys.modules) - before))"
        )
        loaded = {name.split(".")[0] for name in run(code)} - {"chora_logging"}

        assert loaded <= set(sys.stdlib_module_names)
        assert not loaded & {"asyncio", "logging", "concurrent"}

    def test_the_logging_parts_load_nothing_heavy(self):
        """The three logging parts load no pydantic, asyncio, starlette or opentelemetry."""
        code = (
            "import sys, chora_logging as c; c.EventFormatter, c.EventFileHandler, c.TraceIdFilter;"
            f"print(*[name for name in {self.HEAVY!r} if name in sys.modules])"
        )

        assert run(code) == []

    def test_orchestrator_events_load_nothing_heavy(self, tmp_path):
        """Logging an event loads no pydantic and no asyncio."""
        code = (
            "import sys, chora_logging as c; c.log_orchestrator_event('a');"
            f"print(*[name for name in {self.HEAVY!r} if name in sys.modules])"
        )

        assert run(code, cwd=tmp_path) == []

    @pytest.mark.parametrize("module", ["telemetry", "orchestrator", "config", "eventlog", "context"])
    def test_importing_touches_nothing(self, tmp_path, module):
        """Importing creates no file, folder or handler, and changes no level."""
        code = (
            f"import logging, chora_logging.{module};"
            "names = ('orchestrator_events', 'chora_events', 'chora_logging');"
            "loggers = [logging.getLogger(), *map(logging.getLogger, names)];"
            "print(*[(l.handlers, l.level, l.propagate) for l in loggers])"
        )

        said = " ".join(run(code, cwd=tmp_path))

        assert said == " ".join(["([], 30, True)"] + ["([], 0, True)"] * 3)
        assert list(tmp_path.iterdir()) == []


class TestExamples:
    """The examples in the docstrings of public names."""

    @pytest.mark.parametrize("name", sorted({*chora_logging.__all__, *OF_EXTRAS} - {"__version__"}))
    def test_each_name_has_one_that_runs(self, name, tmp_path, monkeypatch):
        """Each public name shows its use, and the example gives what it says."""
        monkeypatch.chdir(tmp_path)
        value = getattr(chora_logging, name)
        names = {public: getattr(chora_logging, public) for public in (*chora_logging.__all__, *OF_EXTRAS)}
        (example,) = doctest.DocTestFinder(recurse=False).find(
            value, name, globs={**names, "logging": logging}
        )
        printed = []

        doctest.DocTestRunner(verbose=False).run(example, out=printed.append)

        assert example.examples, f"{name} has no example"
        assert not printed, "".join(printed)

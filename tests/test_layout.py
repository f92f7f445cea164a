"""The layout of the package: allowed imports, module sizes and module names.

Only source text is read; nothing is imported. A new module needs a line in `LAYERS`.
"""

from __future__ import annotations

import ast
import functools
import pathlib
import sys
from collections.abc import Iterator

from tests.checkout import ROOT, files_of

PACKAGE = ROOT / "chora_logging"

#: Every module, or folder of modules, and its layer. Imports point to lower layers.
LAYERS = {
    "_version": 0,
    "compressed_files": 0,
    "errors": 0,
    "foreign_loggers": 0,
    "freezing": 0,
    "schema": 0,
    "trace_ids": 1,
    "console": 1,
    "log_files": 1,
    "options": 1,
    "eventlog": 2,
    "settings": 2,
    "speedups": 2,
    "context": 3,
    "formatting": 3,
    "binding": 4,
    "optimizing": 4,
    "web": 4,
    "wsgi": 4,
    "writing": 4,
    "attaching": 5,
    "filtering": 5,
    "hosts": 5,
    "shipping": 5,
    "testing": 5,
    "config": 6,
    "jetstream": 6,
    "otlp": 6,
    "pytest_plugin": 6,
    "telemetry": 6,
    "orchestrator": 7,
    "__init__": 8,
    "cli": 8,
    "__main__": 9,
}

WRITE_SIDE = {"speedups", "formatting", "writing"}
READ_SIDE = {"eventlog"}

#: Packages that need an extra or are slow to import, and the modules or folders that may import them.
OPTIONAL = {
    "backports": {"compressed_files"},
    "starlette": {"web"},
    "uvicorn": {"web", "cli"},
    "prometheus_client": {"web"},
    "click": {"cli"},
    "duckdb": {"cli"},
    "rich": {"cli"},
    "tomli_w": {"cli"},
    "yaml": {"cli"},
    "nats": {"jetstream"},
    "google": {"otlp"},
    "opentelemetry": {"context", "otlp"},
    "pydantic": {"telemetry"},
    "pytest": {"pytest_plugin"},
    "requests": {"otlp"},
}

LONGEST = 400
VAGUE = {"utils", "util", "helpers", "helper", "manager", "managers", "base", "common", "misc"}
TOP_LEVEL = {"setup.cfg", "setup.py", "chora_logging", "tests", "examples", "README.md"}

#: Not the hooks, which PyInstaller runs as programs.
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path.parent.name != "pyinstaller")
TESTS = sorted(path for path in (ROOT / "tests").rglob("test_*.py"))


def name_of(path: pathlib.Path) -> str:
    """The dotted name of a file below the root, including `__init__`."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def room(name: str) -> str:
    """The module or folder directly below the package that a dotted name belongs to."""
    parts = name.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


NAMES = {name_of(path) for path in MODULES}
FOLDERS = {name.removesuffix(".__init__") for name in NAMES if name.endswith(".__init__")}


def named(node: ast.Import | ast.ImportFrom, importer: str) -> Iterator[str]:
    """The dotted names of an import statement, relative ones made absolute."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
        return
    start = importer.split(".")[: -node.level] if node.level else []
    source = ".".join([*start, *([node.module] if node.module else [])])
    for alias in node.names:
        full = f"{source}.{alias.name}"
        yield full if full in NAMES | FOLDERS else source


@functools.cache
def imports(path: pathlib.Path) -> list[str]:
    """Every name that a module imports, at its top and inside functions."""
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    statements = (node for node in nodes if isinstance(node, ast.Import | ast.ImportFrom))
    return [name for node in statements for name in named(node, name_of(path))]


def imports_on_load(path: pathlib.Path) -> list[str]:
    """The names that are imported with the module, except those for type checkers."""
    found = []
    waiting: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            waiting += node.orelse
        elif isinstance(node, ast.Import | ast.ImportFrom):
            found += named(node, name_of(path))
        else:
            waiting += ast.iter_child_nodes(node)
    return found


def own(path: pathlib.Path) -> set[str]:
    """The modules or folders of the package that a module imports from, except its own."""
    rooms = {room(name) for name in imports(path) if name.split(".")[0] == "chora_logging"}
    return rooms - {room(name_of(path))}


def foreign(path: pathlib.Path) -> set[str]:
    """The third-party packages that a module imports."""
    roots = {name.split(".")[0] for name in imports(path)}
    return roots - {"chora_logging"} - set(sys.stdlib_module_names)


def for_each(paths):
    """Make a check of a path one test of all paths: parameters would take longer than the checks."""

    def made(check):
        def test(self):
            for path in paths:
                check(self, path)

        test.__name__, test.__doc__ = check.__name__, check.__doc__
        return test

    return made


every_module = for_each(MODULES)


class TestImports:
    @every_module
    def test_every_module_has_a_layer(self, path):
        """Every module is in the table of layers."""
        assert room(name_of(path)) in LAYERS

    @every_module
    def test_imports_point_to_lower_layers(self, path):
        """A module imports from its own folder and from lower layers only."""
        here = room(name_of(path))

        assert own(path) <= {there for there, layer in LAYERS.items() if layer < LAYERS[here]}

    def test_no_circle(self):
        """The modules have an order in which each imports only earlier ones."""
        needs = {}
        for path in MODULES:
            here = name_of(path)
            needs[here] = {name if name in NAMES else f"{name}.__init__" for name in imports(path)} - {here}
        while ready := [here for here, others in needs.items() if not others & needs.keys()]:
            for here in ready:
                del needs[here]

        assert needs == {}

    @every_module
    def test_the_sides_do_not_meet(self, path):
        """The write side and the read side do not import each other."""
        here = room(name_of(path))
        if here in WRITE_SIDE:
            assert not own(path) & READ_SIDE
        if here in READ_SIDE:
            assert not own(path) & WRITE_SIDE

    @every_module
    def test_optional_dependencies_stay_in_their_room(self, path):
        """A package of an extra is imported only in the modules of that extra."""
        here = room(name_of(path))
        strays = {name for name in foreign(path) if name in OPTIONAL and here not in OPTIONAL[name]}

        assert strays == set()

    def test_the_package_imports_the_standard_library_only(self):
        """`import chora_logging` imports no third-party module, and of its own only the version."""
        strays = {
            name
            for name in imports_on_load(PACKAGE / "__init__.py")
            if name.split(".")[0] not in sys.stdlib_module_names
        }

        assert strays <= {"chora_logging._version"}

    @every_module
    def test_no_module_imports_from_the_package_itself(self, path):
        """Names are imported from the module that defines them, not from the package itself."""
        assert name_of(path).endswith("__main__") or "__init__" not in own(path)


class TestShape:
    @every_module
    def test_no_module_is_too_long(self, path):
        """A module can be read in one sitting."""
        length = len(path.read_text(encoding="utf-8").splitlines())

        assert length <= LONGEST

    @every_module
    def test_no_vague_name(self, path):
        """No module has a vague name."""
        parts = set(path.relative_to(PACKAGE).with_suffix("").parts)

        assert not parts & VAGUE
        assert not {word for part in parts for word in part.split("_")} & VAGUE

    @every_module
    def test_no_module_is_named_like_what_it_wraps(self, path):
        """No module or folder has the name of a package that it imports."""
        parts = set(path.relative_to(PACKAGE).with_suffix("").parts)

        assert not parts & (foreign(path) | OPTIONAL.keys())

    @for_each(TESTS)
    def test_every_test_states_its_fact(self, path):
        """Each test has a docstring that states its fact."""
        nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        functions = [node for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
        silent = [
            node.name for node in functions if node.name.startswith("test_") and not ast.get_docstring(node)
        ]

        assert silent == []

    def test_the_top_level(self):
        """The repository's top level has only the agreed entries and hidden ones."""
        entries = {name.split("/")[0] for name in files_of()}

        assert {name for name in entries if not name.startswith(".")} <= TOP_LEVEL

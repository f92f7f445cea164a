"""The wheel and the sdist are complete, and the wheel works without any extra."""

from __future__ import annotations

import ast
import configparser
import importlib
import importlib.util
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile

import pytest

from tests.checkout import ROOT, files_of
from tests.lowest import constraints
from tests.needs import NODE_FOLDER, need, node_command

#: If the build requirements are installed, nothing is downloaded; otherwise pip and build download them.
ISOLATED = importlib.util.find_spec("setuptools") is None


def run(*command, cwd, check=True, **variables):
    """Run a command; if it must not fail, a failure shows its output."""
    environment = {name: value for name, value in os.environ.items() if name != "CHORA_LOGGING_PURE"}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**environment, **variables},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done


def stated_version():
    """The version in `_version.py`."""
    space: dict[str, str] = {}
    exec((ROOT / "chora_logging" / "_version.py").read_text(), space)
    return space["__version__"]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A folder with the sdist, and the wheel built from that sdist."""
    source = tmp_path_factory.mktemp("source")
    # A copy, since setuptools writes into the source folder and several Pythons may build at the same time.
    for name in files_of():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, source / name)
    target = tmp_path_factory.mktemp("built")
    options = [] if ISOLATED else ["--no-isolation"]
    run(sys.executable, "-m", "build", *options, "--outdir", target, source, cwd=target)
    return target


@pytest.fixture(scope="module")
def wheel(built):
    """The wheel."""
    (path,) = built.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def sdist(built):
    """The sdist."""
    (path,) = built.glob("*.tar.gz")
    return path


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """The programs of a new environment with the wheel, without extras."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder)
    programs = folder / "bin"
    run(sys.executable, "-m", "pip", f"--python={folder}", "install", "--quiet", wheel, cwd=folder)
    return programs


def test_the_wheel_is_whole(wheel):
    """The wheel has every file of the package, including data and py.typed, and no other files."""
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}

    assert {name for name in names if not name.endswith(".so")} == files_of("chora_logging")
    assert "chora_logging/py.typed" in names


def test_the_sdist_is_whole(sdist):
    """The sdist has every file of the repository except those of git and of its CI, and no others."""
    with tarfile.open(sdist) as archive:
        names = {member.name.partition("/")[2] for member in archive if member.isfile()}
    names = {name for name in names if ".egg-info/" not in name and name != "PKG-INFO"}

    assert names == {name for name in files_of() if not name.startswith((".git", ".ci/"))}


def test_the_tests_run_from_the_sdist(sdist, tmp_path):
    """Tests that read all files of the repository pass in the unpacked sdist, which is not a checkout."""
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
    (unpacked,) = tmp_path.iterdir()
    tests = ["tests/test_layout.py", "tests/test_context.py"]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "pytest_timeout", "-p", "no:cacheprovider"]
    done = run(*command, *tests, cwd=unpacked, PYTEST_DISABLE_PLUGIN_AUTOLOAD="1")

    assert re.search(r"^\d{2,} passed", done.stdout, re.MULTILINE), done.stdout


def test_the_licence(wheel, sdist):
    """The licence is in wheel and sdist, and the metadata names it."""
    with zipfile.ZipFile(wheel) as archive:
        assert archive.read("chora_logging/LICENSE").startswith(b"MIT License\n")
        (metadata,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        assert "License-File: " in archive.read(metadata).decode()
    with tarfile.open(sdist) as archive:
        assert any(name.endswith("/chora_logging/LICENSE") for name in archive.getnames())


@pytest.mark.whole
def test_pip_installs_the_sdist(sdist, tmp_path):
    """pip builds and installs the sdist, and the installed package has the version."""
    options = [] if ISOLATED else ["--no-build-isolation"]
    target = tmp_path / "target"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", *options]
    run(*pip, "--target", target, sdist, cwd=tmp_path)

    program = (
        f"import sys; sys.path.insert(0, {str(target)!r})\n"
        "import chora_logging as c; print(c.__file__, c.__version__)"
    )
    done = run(sys.executable, "-c", program, cwd=tmp_path)

    assert done.stdout.split() == [str(target / "chora_logging" / "__init__.py"), stated_version()]


def test_the_wheel_has_the_compiled_part(wheel, installed, tmp_path):
    """With a compiler the wheel is for this Python, and the installed package uses the compiled part."""
    need("a C compiler", "Python's headers")
    with zipfile.ZipFile(wheel) as archive:
        compiled = [name for name in archive.namelist() if name.endswith(".so")]

    assert len(compiled) == 1
    assert in_use(installed / "python", tmp_path) == "True"


@pytest.mark.whole
def test_the_compiled_part_compiles_without_warnings(sdist, tmp_path):
    """With every warning as an error the extension, which may fail to compile, is still built."""
    need("a C compiler", "Python's headers")
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
    (unpacked,) = tmp_path.iterdir()
    run(
        sys.executable, "setup.py", "build_ext", "--inplace", cwd=unpacked, CFLAGS="-O2 -Wall -Wextra -Werror"
    )

    assert len(list(unpacked.glob("chora_logging/speedups/*.so"))) == 1


@pytest.mark.whole
@pytest.mark.parametrize(
    ("variable", "value"), [("CC", "false"), ("CHORA_LOGGING_PURE", "1")], ids=["no compiler", "not wanted"]
)
def test_the_package_without_the_compiled_part(sdist, tmp_path, variable, value):
    """Without a compiler, or with `CHORA_LOGGING_PURE`, pip installs the same package in pure Python."""
    options = [] if ISOLATED else ["--no-build-isolation"]
    pip = [sys.executable, "-m", "pip", "install", "--no-cache-dir", "--no-deps", *options]
    target = tmp_path / "target"
    run(*pip, "--target", target, sdist, cwd=tmp_path, **{variable: value})

    assert list(target.rglob("*.so")) == []
    folder = pathlib.Path("chora_logging", "speedups")
    sources, installed = ({path.name for path in (root / folder).glob("*.[ch]")} for root in (ROOT, target))
    assert installed == sources
    # In development mode the package's finder provides the modules that `target` lacks.
    alone = "sys.meta_path = [finder for finder in sys.meta_path if 'editable' not in str(finder).lower()]"
    before = f"import sys; sys.path.insert(0, {str(target)!r}); {alone}"
    assert in_use(sys.executable, tmp_path, before) == "False"


def in_use(python, folder, before="pass"):
    """Whether an installed package says that its compiled part is in use."""
    program = f"{before}\nfrom chora_logging import EventFormatter, speedups; print(speedups.in_use)"
    return run(python, "-c", program, cwd=folder).stdout.strip()


#: The modules with public names.
PUBLIC = (
    "",
    ".eventlog",
    ".telemetry",
    ".orchestrator",
    ".web",
    ".wsgi",
    ".context",
    ".testing",
    ".jetstream",
)


def public_names():
    """The full names of the public classes and functions: where they are imported from, and defined."""
    for module in (importlib.import_module(f"chora_logging{name}") for name in PUBLIC):
        names = getattr(module, "__all__", None) or [name for name in vars(module) if name[0] != "_"]
        for name in names:
            found = getattr(module, name)
            yield f"{module.__name__}.{name}"
            if getattr(found, "__module__", "").startswith("chora_logging"):
                yield f"{found.__module__}.{found.__qualname__}"


@pytest.mark.whole
@pytest.mark.timeout(400)
def test_the_types_of_public_names_are_complete(wheel, tmp_path):
    """pyright knows the type of every public name and of all its members, without inferring it."""
    need("Node.js and clients from npm")
    venv.create(tmp_path / "venv")
    into = f"--python={tmp_path / 'venv'}"
    run(sys.executable, "-m", "pip", into, "install", "--quiet", f"{wheel}[web,nats]", cwd=tmp_path)
    (tmp_path / "pyrightconfig.json").write_text(json.dumps({"venvPath": str(tmp_path), "venv": "venv"}))
    checker = str(NODE_FOLDER / "node_modules" / "pyright" / "index.js")
    options = ["--verifytypes", "chora_logging", "--ignoreexternal", "--outputjson", "-p", str(tmp_path)]
    done = subprocess.run(
        [*node_command(), checker, *options],
        env={**os.environ, "PATH": f"{tmp_path / 'venv' / 'bin'}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
    )
    symbols = json.loads(done.stdout)["typeCompleteness"]["symbols"]
    incomplete = [each for each in symbols if not each["isTypeKnown"] or each["isTypeAmbiguous"]]
    public = tuple(public_names())

    assert len(symbols) > 3000
    assert [
        (each["name"], [diagnostic["message"] for diagnostic in each["diagnostics"]])
        for each in incomplete
        if each["name"] in public or each["name"].startswith(tuple(f"{name}." for name in public))
    ] == []


def test_the_version_is_said_once(wheel):
    """The wheel has the package's version in its name."""
    assert wheel.name.startswith(f"chora_logging-{stated_version()}-")


def test_the_package_imports_without_extras(installed, tmp_path):
    """Every public name that needs no extra can be imported after a plain install."""
    program = (
        "import chora_logging as c\n"
        "c.EventFormatter, c.EventFileHandler, c.TraceIdFilter, c.emit_event\n"
        "print(c.__version__)"
    )

    done = run(installed / "python", "-W", "error", "-c", program, cwd=tmp_path)

    assert done.stdout.strip() == stated_version()


@pytest.mark.parametrize(
    "command", [["chora-logging"], ["python", "-m", "chora_logging"]], ids=["script", "module"]
)
def test_the_command_without_its_extra_says_what_to_install(installed, tmp_path, command):
    """Without the extra `cli` the command prints the pip command, with status 2 and no traceback."""
    program, *arguments = command

    done = run(installed / program, *arguments, "demo", cwd=tmp_path, check=False)

    assert done.returncode == 2
    assert "pip install 'chora_logging[cli]'" in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_the_supported_pythons_are_those_of_the_test_command():
    """The classifiers, pip's lower bound and the README name the Pythons that `tests/run.py` tests."""
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    supported = ast.literal_eval(
        re.search(r"^SUPPORTED = (.*)$", (ROOT / "tests/run.py").read_text(), re.MULTILINE)[1]
    )

    named = re.findall(r":: Python :: (3\.\d+)$", parser["metadata"]["classifiers"], re.MULTILINE)
    assert named == [*supported]
    assert parser["options"]["python_requires"] == f">={supported[0]}"
    assert f"Python {supported[0]} to {supported[-1]}, POSIX systems" in (ROOT / "README.md").read_text()
    assert f"Needs a Python {supported[0]} to {supported[-1]} " in (ROOT / "tests/run.py").read_text()


def test_every_dependency_has_a_lower_bound_and_no_other():
    """Each has the bound that `tests/lowest.py` tests, and none excludes versions that are to come."""
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    extras = parser["options.extras_require"]
    wanted = [parser["options"]["install_requires"]]
    wanted += [text for name, text in extras.items() if name not in ("all", "test")]

    lines = [line.partition(";")[0] for text in wanted for line in text.strip().splitlines()]
    assert [re.sub(r"\[\w+\]|", "", line).replace(">=", "==") for line in lines] == constraints()


def test_all_gathers_every_extra():
    """The extra `all` includes all other extras except the one for tests."""
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    extras = dict(parser["options.extras_require"])

    named = extras.pop("all").strip().removeprefix("chora_logging[").removesuffix("]").split(",")

    assert sorted(named) == sorted(set(extras) - {"test"})

"""What users install: the wheel and the sdist are whole, and the wheel works without any extra."""

from __future__ import annotations

import configparser
import importlib.util
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile

import pytest

from tests.needs import need

ROOT = pathlib.Path(__file__).resolve().parent.parent
#: With the build parts at hand nothing is fetched; without them pip and build fetch them.
ISOLATED = importlib.util.find_spec("setuptools") is None


def run(*command, cwd, check=True, **variables):
    """Run a command; if it must not fail, a failure shows what it wrote."""
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


def files_of(folder=""):
    """The files of the repository below a folder: those that git has or would take."""
    listed = run("git", "ls-files", "-co", "--exclude-standard", "-z", "--", folder or ".", cwd=ROOT)
    return {name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()}


def stated_version():
    """The version that the one place says."""
    space: dict[str, str] = {}
    exec((ROOT / "chora_logging" / "_version.py").read_text(), space)
    return space["__version__"]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A folder with the sdist, and the wheel built from that sdist."""
    source = tmp_path_factory.mktemp("source")
    # A copy: setuptools writes into the source folder, and several Pythons may build at the same time.
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
    """The programs of a fresh environment in which the wheel is installed without extras."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=True)
    programs = folder / "bin"
    run(programs / "python", "-m", "pip", "install", "--quiet", wheel, cwd=folder)
    return programs


def test_the_wheel_is_whole(wheel):
    """The wheel has every file of the package, data and py.typed included, and no other files."""
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}

    assert {name for name in names if not name.endswith(".so")} == files_of("chora_logging")
    assert "chora_logging/py.typed" in names


def test_the_sdist_is_enough_to_build_from(sdist):
    """The sdist has the package and all that its build reads."""
    with tarfile.open(sdist) as archive:
        names = {member.name.partition("/")[2] for member in archive if member.isfile()}

    assert files_of("chora_logging") | {"setup.py", "setup.cfg", "README.md"} <= names


def test_pip_installs_the_sdist(sdist, tmp_path):
    """pip builds and installs the sdist, and what it installs says the version."""
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


def test_the_wheel_has_the_compiled_lanes(wheel, installed, tmp_path):
    """Where there is a compiler the wheel is for this Python, and what it installs uses them."""
    need("a C compiler")
    need("Python's headers")
    with zipfile.ZipFile(wheel) as archive:
        compiled = [name for name in archive.namelist() if name.endswith(".so")]

    assert len(compiled) == 1
    assert in_use(installed / "python", tmp_path) == "True"


@pytest.mark.parametrize(
    ("variable", "value"), [("CC", "false"), ("CHORA_LOGGING_PURE", "1")], ids=["no compiler", "not wanted"]
)
def test_the_package_without_compiled_lanes(sdist, tmp_path, variable, value):
    """Without a compiler, or when it is said so, pip installs the same package in Python alone."""
    options = [] if ISOLATED else ["--no-build-isolation"]
    pip = [sys.executable, "-m", "pip", "install", "--no-cache-dir", "--no-deps", *options]
    target = tmp_path / "target"
    run(*pip, "--target", target, sdist, cwd=tmp_path, **{variable: value})

    assert list(target.rglob("*.so")) == []
    assert (target / "chora_logging" / "_speedups.c").exists()
    # Of a package in development mode its finder gives what `target` lacks.
    alone = "sys.meta_path = [finder for finder in sys.meta_path if 'editable' not in str(finder).lower()]"
    before = f"import sys; sys.path.insert(0, {str(target)!r}); {alone}"
    assert in_use(sys.executable, tmp_path, before) == "False"


def in_use(python, folder, before="pass"):
    """Whether an installed package says that its compiled lanes are in use."""
    program = f"{before}\nfrom chora_logging import EventFormatter, speedups; print(speedups.in_use)"
    return run(python, "-c", program, cwd=folder).stdout.strip()


def test_the_version_is_said_once(wheel):
    """The wheel is named for the version that the package says."""
    assert wheel.name.startswith(f"chora_logging-{stated_version()}-")


def test_the_package_imports_without_extras(installed, tmp_path):
    """Every public name that needs no extra can be used after a plain install."""
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
    """Without the extra `cli` the command names the pip command, with status 2 and no traceback."""
    program, *arguments = command

    done = run(installed / program, *arguments, "demo", cwd=tmp_path, check=False)

    assert done.returncode == 2
    assert "pip install 'chora_logging[cli]'" in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_all_gathers_every_extra():
    """The extra `all` brings what the other extras bring, the one for tests left out."""
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    extras = dict(parser["options.extras_require"])

    named = extras.pop("all").strip().removeprefix("chora_logging[").removesuffix("]").split(",")

    assert sorted(named) == sorted(set(extras) - {"test"})

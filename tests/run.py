"""The one test command: `python3 tests/run.py`.

Needs a Python 3.10 to 3.13 with venv and git; each Python found on the machine (the running one, pyenv's,
those on PATH) gets an environment under `.venvs/`, kept until setup.cfg changes. Programs that tests need
are installed as Debian packages where that is permitted (root, apt-get). Then:

    checks      ruff check, ruff format --check, mypy --strict, once
    core        everything but what is in `LONG` and `ALONE`, on every Python; on the main one (the
                running one if it is supported) the write side also without its compiled part
    long        what is in `LONG`, on the main Python; it and the core run two at a time
    script      `tests/test_orchestrator_logging.py` run as its users run it
    alone       what is in `ALONE`, on the main Python and alone on the machine
    sanitizers  with --whole: the tests of the C code under the sanitizers, see `tests/sanitizers.py`

A failed step never hides the next one. Exit status: 0 if everything passed, 1 if anything failed, 7 if
nothing failed but some tests could not be tried here: the end names each of them and what it needs.
Interrupting the run ends every process that it started. What follows the options is handed to pytest, and
then only that is run:

    python3 tests/run.py --python 3.12 tests/formatting/test_formatter.py -k surrogate
    python3 tests/run.py --python 3.11 --cov
"""

from __future__ import annotations

import argparse
import concurrent.futures
import hashlib
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import leftovers
from needs import NOT_TRIED

ROOT = pathlib.Path(__file__).resolve().parent.parent
VENVS = ROOT / ".venvs"
SUPPORTED = ("3.10", "3.11", "3.12", "3.13")
AT_A_TIME = 2
#: Seconds after which a step is ended: none takes half of it.
LIMIT = 900
#: Seconds that an interrupted step has to clean up before it is killed.
GRACE = 20
#: The closing line of pytest, with and without -q.
SUMMARY = re.compile(r"(=+ )?(\d+ \w+(, )?)+ in [\d.]+s")
#: Not on every Python: they take long, or look at what is the same for all.
LONG = (
    "tests/cli/test_demo.py",
    "tests/eventlog/test_between_looks.py",
    "tests/faults/test_description.py",
    "tests/faults/test_reader_histories.py",
    "tests/faults/test_readers_logrotate.py",
    "tests/test_benchmarks.py",
    "tests/test_benchmarks_read.py",
    "tests/test_benchmarks_serve.py",
    "tests/test_coming_from.py",
    "tests/test_installing.py",
    "tests/test_layout.py",
    "tests/test_leftovers.py",
    "tests/test_pictures.py",
)
#: Beside nothing else: they measure time, put the whole machine to work, or count its processes.
ALONE = ("tests/faults", "tests/browser", "tests/terminal")
#: What the compiled part has nothing to do with.
READING = ("tests/cli", "tests/eventlog", "tests/web")
#: The whole run is to end.
INTERRUPTED = threading.Event()


class Step:
    """One command of the run: what it is called, how it ended, what it wrote."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        live: bool = False,
        variables: Mapping[str, str] = {},
        limit: float = LIMIT,
    ) -> None:
        self.name = name
        self.command = list(command)
        self.live = live
        self.variables = variables
        self.limit = limit
        self.seconds = 0.0
        self.status = 0
        self.lines: list[str] = []

    def run(self) -> Step:
        """Run the command; what it writes is shown at once, or at the end if it fails.

        Every process that it started has ended on return.
        """
        if INTERRUPTED.is_set():
            self.status = 128 + signal.SIGINT
            return self
        if self.live:
            say(f"----   {self.name}: {' '.join(self.command)}")
        began = time.monotonic()
        mark = leftovers.mark_below(f"step-{os.getpid()}-{id(self)}")
        process = subprocess.Popen(
            self.command,
            cwd=ROOT,
            env={**environment(), leftovers.VARIABLE: mark, **self.variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,  # Ctrl-C reaches it once, from here
        )
        # A thread reads, because a process that outlives the command would keep the pipe open for ever.
        reader = threading.Thread(target=self.read, args=(process.stdout,), daemon=True)
        reader.start()
        try:
            self.status = self.wait(process)
        finally:
            leftovers.end_all(lambda: leftovers.started_under(mark))
        reader.join(5)
        self.seconds = time.monotonic() - began
        if self.failed and not self.live:
            say("\n".join([f"----   {self.name}: {' '.join(self.command)}", *self.lines]))
        say(self.line)
        return self

    def wait(self, process: subprocess.Popen[str]) -> int:
        """Return the exit status of the command, which is interrupted when its time or the run is over."""
        deadline = time.monotonic() + self.limit
        while process.poll() is None and time.monotonic() < deadline and not INTERRUPTED.wait(0.05):
            pass
        if process.poll() is None:
            self.lines.append(
                "interrupted" if INTERRUPTED.is_set() else f"interrupted after {self.limit:g} s"
            )
            process.send_signal(signal.SIGINT)
            try:
                process.wait(GRACE)
            except subprocess.TimeoutExpired:
                process.kill()
            return process.wait() or 128 + signal.SIGINT
        return process.returncode

    def read(self, pipe: Iterable[str]) -> None:
        """Keep what the command writes, and show it if the step is live."""
        for line in pipe:
            self.lines.append(line.rstrip("\n"))
            if self.live:
                say(self.lines[-1])

    @property
    def failed(self) -> bool:
        """Whether it ended with an error; tests that could not be tried are none."""
        return self.status not in (0, NOT_TRIED)

    @property
    def not_tried(self) -> list[str]:
        """The tests that could not be tried, each with what it needs."""
        if self.status != NOT_TRIED:
            return []
        begin = "not tried: "
        return [line.removeprefix(begin) for line in self.lines if line.startswith(begin)]

    @property
    def line(self) -> str:
        """How it ended, in one line; a pytest run says its own summary too."""
        summary = self.pytest_summary.strip("= ")
        state = f"FAILED ({self.status})" if self.failed else "not all" if self.status else "ok"
        return f"{state:<10} {self.seconds:6.1f} s  {self.name}{': ' + summary if summary else ''}"

    @property
    def pytest_summary(self) -> str:
        """The closing line of pytest, or nothing if this was no pytest run."""
        for line in reversed(self.lines):
            if SUMMARY.match(line):
                return line
        return ""


def say(text: str) -> None:
    """Print at once: a log of a run that hangs shows where."""
    print(text, flush=True)


def environment() -> dict[str, str]:
    """The variables of a step: those of the caller without what would mix Pythons."""
    mixing = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__")
    kept = {name: value for name, value in os.environ.items() if name not in mixing}
    return {**kept, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PYTHONUNBUFFERED": "1"}


def find_pythons() -> dict[str, str]:
    """Every supported Python of this machine that can make environments: version → program."""
    candidates = [sys.executable]
    roots = [os.environ.get("PYENV_ROOT"), str(pathlib.Path.home() / ".pyenv"), "/opt/pyenv"]
    for root in filter(None, roots):
        for version in SUPPORTED:
            folders = pathlib.Path(root, "versions").glob(f"{version}.*")
            programs = [folder / "bin" / "python" for folder in folders]
            candidates += [str(path) for path in sorted(programs, key=patch, reverse=True)]
    candidates += [f"python{version}" for version in SUPPORTED]
    found: dict[str, str] = {}
    for program in candidates:
        version = version_of(program)
        if version in SUPPORTED:
            found.setdefault(version, program)
    return {version: found[version] for version in SUPPORTED if version in found}


def patch(program: pathlib.Path) -> tuple[int, ...]:
    """The version that pyenv's folder of a program is named for."""
    return tuple(int(part) for part in program.parent.parent.name.split(".") if part.isdigit())


def version_of(program: str) -> str | None:
    """The version ("3.12") of a Python that can make environments; None for anything else."""
    question = "import ensurepip, sys, venv; print('%d.%d' % sys.version_info[:2])"
    try:
        answer = subprocess.run(
            [program, "-c", question], capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None


def python_of(version: str) -> str:
    """The Python of an environment."""
    return str(VENVS / version / "bin" / "python")


def stamp(program: str) -> str:
    """What an environment was made from: while it is the same, the environment is kept."""
    made_from = [ROOT / "setup.cfg", ROOT / "setup.py", *sorted(ROOT.glob("chora_logging/speedups/*.[ch]"))]
    parts = [path.read_bytes() for path in made_from]
    parts += [str(ROOT).encode(), os.path.realpath(shutil.which(program) or program).encode()]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def prepare(version: str, program: str) -> list[Step]:
    """Make the environment of a Python unless it is there already."""
    mark = VENVS / version / "stamp"
    wanted = stamp(program)
    if mark.exists() and mark.read_text() == wanted:
        return []
    # Of what is installed most is never imported, and what is gets compiled then.
    install = [python_of(version), "-m", "pip", "install", "--quiet", "--no-compile"]
    steps = [Step(f"venv {version}", [program, "-m", "venv", "--clear", str(VENVS / version)])]
    # The build parts are needed by test_packaging and, with --no-build-isolation, spare a download for
    # each build; Pythons from 3.12 on no longer bring them.
    steps.append(Step(f"build parts {version}", [*install, "--upgrade", "pip", "setuptools", "wheel"]))
    steps.append(Step(f"install {version}", [*install, "--no-build-isolation", "-e", ".[test]"]))
    done = []
    for step in steps:
        done.append(step.run())
        if step.failed:
            return done
    mark.write_text(wanted)
    return done


def install_packages(pythons: Iterable[str]) -> list[Step]:
    """Install the Debian packages that are missing for tests of these Pythons, where that is permitted."""
    missing: set[str] = set()
    for program in pythons:
        asked = [program, str(ROOT / "tests" / "needs.py")]
        missing.update(subprocess.run(asked, capture_output=True, text=True, check=True).stdout.split())
    if not missing:
        return []
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        say(f"not installed here, and some tests need them: {' '.join(sorted(missing))}")
        return []
    # Servers that packages bring are not started.
    quiet = {"DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *sorted(missing)]
    # A stale package list is no failure as long as the packages come.
    update = Step("apt-get update", ["apt-get", "update", "-qq"], variables=quiet).run()
    done = Step(f"apt-get install {' '.join(sorted(missing))}", install, variables=quiet).run()
    return [update, done] if done.failed else [done]


def pytest_step(name: str, version: str, arguments: Iterable[str], **options: Any) -> Step:
    """A pytest run that shares no cache with another one at the same time."""
    cache = ["-o", f"cache_dir={VENVS / version / f'pytest_cache {name}'}"]
    command = [python_of(version), "-m", "pytest", *cache, *arguments]
    return Step(f"{name} {version}", command, **options)


def at_once(steps: Iterable[Step]) -> list[Step]:
    """Run steps side by side, as many as two cores bear."""
    with concurrent.futures.ThreadPoolExecutor(AT_A_TIME) as pool:
        return list(pool.map(Step.run, steps))


def without(*paths: str) -> list[str]:
    """Options of pytest that leave out paths."""
    return [f"--ignore={path}" for path in paths]


def cores(versions: Iterable[str]) -> list[Step]:
    """The core tests, on each Python."""
    return [pytest_step("core", version, without(*LONG, *ALONE)) for version in versions]


def everything(main: str, others: Sequence[str], *, whole: bool) -> list[Step]:
    """The checks, the core tests on every Python, the script, the rest on the main one (or on all)."""
    python = python_of(main)
    done = at_once(
        [
            Step("ruff check", [python, "-m", "ruff", "check", "."]),
            Step("ruff format", [python, "-m", "ruff", "format", "--check", "."]),
            Step("mypy --strict", [python, "-m", "mypy"]),
        ]
    )
    core = without(*LONG, *ALONE)
    versions = [main, *others] if whole else [main]
    done += at_once(
        [
            *(pytest_step("long", version, LONG) for version in versions),
            *cores([main, *others]),
            pytest_step(
                "core in Python alone",
                main,
                [*core, *without(*READING)],
                variables={"CHORA_LOGGING_PURE": "1"},
            ),
        ]
    )
    done.append(Step("script", [python, "tests/test_orchestrator_logging.py"]).run())
    for version in versions:
        done.append(pytest_step("alone", version, [*ALONE, *without(*LONG)], live=True).run())
    if whole:
        done.append(Step("sanitizers", [python, "-m", "tests.sanitizers"]).run())
        as_user = [sys.executable, "tests/bare_root.py", "--user"]
        done.append(Step("bare root, as a user", as_user, live=True, limit=4 * LIMIT).run())
    return done


def parse(arguments: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """The options, and what is pytest's."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--python", action="append", choices=SUPPORTED, default=[], metavar="3.12")
    parser.add_argument("--core", action="store_true", help="the core tests alone, on every Python")
    parser.add_argument(
        "--whole", action="store_true", help="every test on every Python, and as a user in a bare root"
    )
    return parser.parse_known_args(arguments)


def main(arguments: Sequence[str]) -> int:
    """Run it all and return the exit status."""
    began = time.monotonic()
    options, for_pytest = parse(arguments)
    asked = options.python
    pythons = find_pythons()
    absent = sorted(set(asked) - set(pythons))
    if absent or not pythons:
        say(f"no Python {' or '.join(absent or SUPPORTED)} with venv and ensurepip on this machine")
        say("install one, for example: apt-get install python3-venv, or: pyenv install 3.12")
        return 2
    versions = asked or list(pythons)
    running = ".".join(map(str, sys.version_info[:2]))
    chosen = running if running in versions else versions[-1]
    say("Pythons: " + ", ".join(f"{version} ({pythons[version]})" for version in versions))
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: INTERRUPTED.set())
    done = install_packages(pythons[version] for version in versions)
    # One after the other: an editable install writes into the source folder.
    for version in versions:
        done += prepare(version, pythons[version])
    if not any(step.failed for step in done):
        others = [version for version in versions if version != chosen]
        if for_pytest:
            done += [pytest_step("tests", version, for_pytest, live=True).run() for version in versions]
        elif options.core:
            done += at_once(cores(versions))
        else:
            done += everything(chosen, others, whole=options.whole)
    return close(done, time.monotonic() - began)


def close(done: Sequence[Step], seconds: float) -> int:
    """Print how each step ended and return the exit status; the last lines are pytest's own."""
    failed = [step.name for step in done if step.failed]
    not_tried = sorted({line for step in done for line in step.not_tried})
    say("\nsummary")
    for step in done:
        say(step.line)
    if not_tried:
        say("\nnot tried here:")
        say("\n".join(not_tried) + "\n")
    if failed:
        verdict = f"FAILED: {', '.join(failed)}"
    elif not_tried:
        verdict = f"passed, but for {len(not_tried)} tests that could not be tried here"
    else:
        verdict = "everything passed"
    say(f"{verdict} ({len(done)} steps, {seconds:.0f} s)")
    for step in done:
        if step.pytest_summary:
            say(step.pytest_summary)
    return 1 if failed else NOT_TRIED if not_tried else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

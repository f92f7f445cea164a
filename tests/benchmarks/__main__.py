"""`python -m tests.benchmarks`: measures, prints tables, and writes them to `tests/benchmarks/README.md`.

A run that is smaller than usual (`--quick`, `--rounds`, `--events`), or that may lack rivals (`--here`), only
prints. The rivals have an environment of their own, `.venvs/benchmarks`, which is made at the first run.
"""

from __future__ import annotations

import argparse
import importlib
import os
import pathlib
import re
import subprocess
import sys
from collections.abc import Sequence

from tests.benchmarks import readers, servers
from tests.benchmarks.table import machine
from tests.benchmarks.worker import ROOT

#: Where the rivals are installed.
ENVIRONMENT = ROOT / ".venvs" / "benchmarks"
#: The page with the tables, those of each scenario between two marks.
PAGE = pathlib.Path(__file__).parent / "README.md"
#: The module of each scenario; imported only where the package and its rivals are installed.
SCENARIOS = {
    "calls": "calls",
    "tails": "tails",
    "growth": "growth",
    "emit": "emit",
    "processes": "processes",
    "import": "import_cost",
    "read": "read",
    "scale": "scale",
    "follow": "follow",
    "serve": "serve",
    "shipping": "shipping",
    "otlp": "otlp",
}
#: The dependencies of the package, and its rivals, on which neither the package nor its tests depend.
REQUIREMENTS = (
    "python-json-logger>=4",
    "msgspec>=0.19",
    "pydantic>=2",
    "orjson>=3.10",
    "concurrent-log-handler>=0.9.31",
    "opentelemetry-api>=1.20",
    "opentelemetry-exporter-otlp-proto-http>=1.35",
    "structlog>=25",
    "loguru>=0.7",
    "eliot>=1.17",
    "nats-py[nkeys]>=2.9",
    "click>=8.2",
    "rich>=14",
    "pyyaml>=6",
    "tomli-w>=1",
    *readers.REQUIREMENTS,
    *servers.REQUIREMENTS,
)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("scenario", nargs="*", help=f"any of: {', '.join(SCENARIOS)} (all)")
    parser.add_argument("--quick", action="store_true", help="a short run of a minute, not for citing")
    parser.add_argument("--rounds", type=int, help="the number of rounds")
    parser.add_argument("--events", type=int, help="the number of events in a round")
    parser.add_argument(
        "--here", action="store_true", help="use the running Python as it is; rivals may be missing"
    )
    options = parser.parse_args(arguments)
    unknown = sorted(set(options.scenario) - set(SCENARIOS))
    if unknown:
        parser.error(f"scenario must be one of {', '.join(SCENARIOS)}, got {', '.join(unknown)}")
    return options


def environment() -> str:
    """Return the Python of the environment with all rivals; create the environment if it is incomplete."""
    python = ENVIRONMENT / "bin" / "python"
    mark = ENVIRONMENT / "stamp"
    made_from = [ROOT / "setup.cfg", ROOT / "setup.py", *sorted(ROOT.glob("chora_logging/speedups/*.[ch]"))]
    wanted = "\n".join([sys.version, *REQUIREMENTS, *(path.read_text() for path in made_from)])
    if not mark.exists() or mark.read_text() != wanted:
        print(f"installing the rivals into {ENVIRONMENT}", file=sys.stderr, flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", ENVIRONMENT], check=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        # The package too, so that its fast path is compiled for this Python.
        done = subprocess.run([*pip, *REQUIREMENTS, "-e", str(ROOT)], capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(done.stderr)
        mark.write_text(wanted)
    return str(python)


def put(name: str, text: str, page: pathlib.Path = PAGE) -> None:
    """Write the tables of a scenario between its marks on the page.

    Raises:
        ValueError: The page does not have the two marks once, in order.
    """
    begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->\n"
    written = page.read_text(encoding="utf-8")
    parts = re.split(f"^({begin}|{end})", written, flags=re.MULTILINE)
    if parts[1::2] != [begin, end]:
        raise ValueError(f"{page} must have the marks of {name} once, in order")
    page.write_text(f"{parts[0]}{begin}{text.strip()}\n{end}{parts[-1]}", encoding="utf-8")


def main(arguments: Sequence[str]) -> int:
    """Run the requested scenarios in the environment that has the rivals."""
    options = parse(arguments)
    if not options.here and pathlib.Path(sys.prefix) != ENVIRONMENT:
        python = environment()
        os.chdir(ROOT)
        os.execv(python, [python, "-m", "tests.benchmarks", *arguments])
    is_whole = not (options.here or options.quick or options.rounds or options.events)
    for name in options.scenario or SCENARIOS:
        scenario = importlib.import_module(f"tests.benchmarks.{SCENARIOS[name]}")
        before = machine()
        text = scenario.run(quick=options.quick, rounds=options.rounds, events=options.events)
        print(f"{before}\n\n{text}", flush=True)
        if is_whole:
            put(name, f"{before}\n\n{text}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

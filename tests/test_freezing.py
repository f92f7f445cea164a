"""A program that PyInstaller has frozen has all of the package that it uses."""

from __future__ import annotations

import json
import os
import shutil
import sys

import pytest

from tests.checkout import ROOT, files_of
from tests.needs import need
from tests.test_packaging import run

PROGRAM = """
import asyncio, logging, sys
import httpx
from chora_logging import create_app, setup_logging, speedups
from chora_logging.cli import main

async def status_of(path):
    transport = httpx.ASGITransport(app=create_app({"app": "app.jsonl"}), client=("127.0.0.1", 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        return (await client.get(path)).status_code

setup_logging(log_file="app.jsonl", console=False)
logging.info("frozen")
pages = ["/", "/viewer/main.js", "/viewer/list.css", "/api/v1/openapi.json", "/api/v1/app/events"]
print(speedups.in_use, [asyncio.run(status_of(page)) for page in pages], flush=True)
sys.exit(main(["query", "--json", "--log", "app.jsonl"]))
"""


#: Parts of this environment that PyInstaller would freeze too, in minutes, and that the program does not use.
ABSENT = (
    "celery",
    "django",
    "duckdb",
    "fastapi",
    "hypothesis",
    "nats",
    "numpy",
    "opentelemetry",
    "pyarrow",
    "pytest",
    "setuptools",
)


@pytest.mark.whole
@pytest.mark.timeout(600)
def test_a_frozen_program(tmp_path):
    """Logging with the compiled part, the viewer with its files, and a command work in a frozen program."""
    need("a C compiler", "Python's headers")
    # The installed package: PyInstaller does not find one in development mode.
    source, installed, frozen = tmp_path / "source", tmp_path / "installed", tmp_path / "frozen"
    for name in files_of():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, source / name)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    run(*pip, "--target", installed, source, cwd=tmp_path)
    (tmp_path / "program.py").write_text(PROGRAM)
    absent = [f"--exclude-module={name}" for name in ABSENT]
    build = [sys.executable, "-m", "PyInstaller", "--log-level", "WARN", "--distpath", frozen, *absent]
    run(*build, "program.py", cwd=tmp_path, PYTHONPATH=str(installed))

    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = run(frozen / "program" / "program", cwd=tmp_path, **environment)

    status, event, *_ = done.stdout.splitlines()
    assert status == "True [200, 200, 200, 200, 200]"
    assert json.loads(event)["message"] == "frozen"

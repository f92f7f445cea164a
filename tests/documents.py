"""Parses the pages of documentation: programs, tables, names."""

from __future__ import annotations

import functools
import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "chora_logging"

_FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
_STAMP = re.compile(r'"timestamp":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z"')


class Document:
    """A page in Markdown.

    Args:
        name: Its path below the root of the repository.
    """

    def __init__(self, name):
        self.name = name
        self.text = (ROOT / name).read_text(encoding="utf-8")
        #: Language and text of each block of code.
        self.fences = _FENCE.findall(self.text)
        #: The text outside of the blocks, and its names in code formatting.
        self.prose = _FENCE.sub("", self.text)
        self.spans = sorted(set(_SPAN.findall(self.prose)))

    def __repr__(self):
        return self.name

    def programs(self):
        """Each Python block, with the log and the output that the page shows after it."""
        found = []
        for language, text in self.fences:
            if language == "python":
                found.append((text, {}))
            elif language in ("json", "text"):
                assert language not in found[-1][1]
                found[-1][1][language] = text
        return found

    def blocks(self, language):
        """The blocks of a language."""
        return [text for found, text in self.fences if found == language]

    def headings(self, level):
        """The headings of a level, in order."""
        return re.findall(rf"^{'#' * level} (.*)$", self.prose, re.MULTILINE)

    def heading_of(self, program):
        """The heading that a block stands under."""
        return re.findall(r"^#+ (.*)$", self.text[: self.text.index(program)], re.MULTILINE)[-1]

    def section(self, heading):
        """The text under a heading, up to the next heading of any level."""
        (found,) = re.findall(
            rf"^#+ {re.escape(heading)}\n(.*?)(?=^#+ |\Z)", self.text, re.MULTILINE | re.DOTALL
        )
        return found

    def rows(self, heading):
        """The rows of all tables under a heading, without the header rows: lists of cells."""
        rows = []
        for table in re.findall(r"^\|.*\n\|[-|]+\n((?:\|.*\n)+)", self.section(heading), re.MULTILINE):
            rows += [[cell.strip() for cell in line.strip("|").split(" |")] for line in table.splitlines()]
        return rows


README = Document("README.md")
EXAMPLES = Document("examples/README.md")
TESTS = Document("tests/README.md")
SPEED = Document("tests/benchmarks/README.md")
ALL = (README, EXAMPLES, TESTS, SPEED)


def names_in(cell):
    """The names in code formatting in a cell."""
    return _SPAN.findall(cell)


def same_times(lines):
    """The lines with equal timestamps."""
    return _STAMP.sub('"timestamp":""', lines)


def start(arguments, folder, **variables):
    """Run a Python with warnings as errors in *folder*."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
    command = [sys.executable, "-W", "error", *arguments]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=60)


@functools.cache
def words():
    """Every word of the package, its tests, examples and configuration."""
    folders = [PACKAGE, ROOT / "tests", ROOT / "examples"]
    files = [path for folder in folders for path in folder.rglob("*") if path.suffix in (".py", ".ini")]
    ours = ("test_readme.py", "test_coming_from.py")
    text = "".join(path.read_text("utf-8") for path in [*files, ROOT / "setup.cfg"] if path.name not in ours)
    return frozenset(re.findall(r"\w+", text)) | {path.stem for path in files}

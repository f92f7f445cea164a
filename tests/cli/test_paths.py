"""The logs that are named on the command line: FILE, globs, backups and stdin."""

from __future__ import annotations

import gzip
import json
import os
import shlex
import subprocess

import pytest

from chora_logging.cli import paths
from tests.cli.calling import write_events
from tests.cli.running import COMMAND, DEADLINE, environment


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The working directory, with two logs of two files each."""
    monkeypatch.chdir(tmp_path)
    for name, first in (("a", 0), ("b", 4)):
        for number, suffix in enumerate((".1", "")):
            events = [{"n": first + 2 * number + n, "trace_id": name} for n in range(2)]
            write_events(tmp_path / "logs" / f"{name}.jsonl{suffix}", *events)
    return tmp_path


def numbers(lines):
    return [json.loads(line)["n"] for line in lines.splitlines()]


def in_shell(line, folder, **more):
    """Run a line of bash in which `chora-logging` is this package: its status, stdout and stderr."""
    program = folder / "bin" / "chora-logging"
    program.parent.mkdir(exist_ok=True)
    program.write_text(f'#!/bin/sh\nexec {shlex.join(COMMAND)} "$@"\n')
    program.chmod(0o755)
    done = subprocess.run(
        ["bash", "-c", line],
        cwd=folder,
        env=environment(PATH=f"{program.parent}{os.pathsep}{os.environ['PATH']}"),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        **more,
    )
    return done.returncode, done.stdout, done.stderr


class TestFiles:
    @pytest.mark.parametrize(
        ("files", "expected"),
        [
            (["logs/a.jsonl"], range(4)),
            (["logs/a.jsonl", "logs/b.jsonl"], range(8)),
            (["logs/a.jsonl", "--log", "logs/b.jsonl"], range(8)),
            (["logs/a.jsonl.1"], range(2)),
            (["logs/a.jsonl", "logs/a.jsonl.1"], range(4)),
            (["logs/a.jsonl*"], range(4)),
            (["logs/*"], range(8)),
            (["**/*.jsonl"], range(8)),
            (["--log", "logs/?.jsonl"], range(8)),
        ],
    )
    def test_names_and_globs(self, folder, call, files, expected):
        """Each log is read once with its backups, whether the shell has expanded a glob or not."""
        status, output, errors = call("query", "--json", *files)

        assert (status, errors) == (0, "")
        assert sorted(numbers(output)) == [*expected]

    @pytest.mark.parametrize(
        "command", [["tail", "-n", "99"], ["query"], ["stats"], ["check"], ["trace", "a"]]
    )
    def test_every_command(self, folder, call, command):
        """Each command that reads logs takes their paths as arguments."""
        named = call(*command, "--json", "--log", "logs/a.jsonl")

        assert named[0] == 0
        assert call(*command, "--json", "logs/a.jsonl") == named

    def test_a_name_with_the_characters_of_a_glob(self, folder, call):
        """A path that exists is not a glob."""
        write_events(folder / "[x].jsonl", {"n": 1})

        assert numbers(call("query", "--json", "[x].jsonl")[1]) == [1]

    def test_many_backups_are_listed_once(self, folder, monkeypatch):
        """The folder is not listed again for each backup that is named."""
        names = ["app.log", *(f"app.log.{number}" for number in range(1, 300))]
        for name in names:
            (folder / name).touch()
        listed = []
        listing = os.listdir
        monkeypatch.setattr(os, "listdir", lambda path: listed.append(path) or listing(path))

        assert paths.without_backups(names) == ["app.log"]
        assert len(listed) == 1

    @pytest.mark.parametrize("glob", ["logs/*", "logs/*.jsonl", "log[s]/a.jsonl"])
    @pytest.mark.parametrize("suffix", [".1", ".12.gz"])
    def test_a_glob_in_the_middle_of_a_rotation(self, folder, call, glob, suffix):
        """A log of which there are only backups, as between the two steps of a rotation, is matched."""
        logs = folder / "logs"
        (logs / "a.jsonl").unlink()
        text = (logs / "a.jsonl.1").read_bytes()
        (logs / "a.jsonl.1").unlink()
        (logs / f"a.jsonl{suffix}").write_bytes(gzip.compress(text) if suffix.endswith("gz") else text)

        assert sorted(numbers(call("query", "--json", "--trace", "a", glob)[1])) == [0, 1]

    def test_a_glob_and_files_with_numbers(self, folder, call):
        """A number in the name of a file is no sign of a log that is not there."""
        write_events(folder / "logs" / "c.2025.jsonl", {"n": 8})
        (folder / "logs" / "d.1").mkdir()

        assert sorted(numbers(call("query", "--json", "logs/*")[1])) == [*range(9)]

    def test_one_that_is_rotated_meanwhile(self, folder, call, monkeypatch):
        """A log whose file is moved away between two looks at it is read all the same."""
        access = os.access

        def rotated(path, *args, **more):
            if path == "logs/a.jsonl" and os.path.exists(path):
                os.rename(path + ".1", path + ".2")
                os.rename(path, path + ".1")
            return access(path, *args, **more)

        monkeypatch.setattr(os, "access", rotated)

        assert numbers(call("query", "--json", "logs/a.jsonl")[1]) == [*range(4)]


class TestPipes:
    @pytest.mark.parametrize(
        ("line", "expected"),
        [
            ("cat logs/a.jsonl* | chora-logging query --json", [0, 1, 2, 3]),
            ("cat logs/a.jsonl | chora-logging query --json -", [2, 3]),
            ("cat logs/a.jsonl | chora-logging query --json --log - logs/b.jsonl", [2, 3, 4, 5, 6, 7]),
            ("chora-logging query --json < logs/a.jsonl", [2, 3]),
            ("chora-logging query --json - < logs/a.jsonl", [2, 3]),
            ("chora-logging query --json <(cat logs/a.jsonl) <(cat logs/b.jsonl)", [2, 3, 6, 7]),
            ("mkfifo f; cat logs/b.jsonl > f & chora-logging query --json f", [6, 7]),
            ("cat logs/*.jsonl | chora-logging query --json --trace b", [6, 7]),
            ("cat logs/*.jsonl | chora-logging query --json --newest-first", [7, 6, 3, 2]),
            ("cat logs/*.jsonl | chora-logging query --json --newest-first --limit 1", [7]),
            ("cat logs/*.jsonl | chora-logging query --json --limit 2", [2, 3]),
            ("cat logs/*.jsonl | chora-logging tail --json -n 3", [3, 6, 7]),
            ("cat logs/*.jsonl | chora-logging tail -f --json -n 1", [2, 3, 6, 7]),
            ('printf \'{"n": 1}\\n{"n": 2}\' | chora-logging tail --json', [1, 2]),
        ],
    )
    def test_events(self, folder, line, expected):
        """The events of a pipe are read, with filters; a last line without its newline is whole."""
        status, output, errors = in_shell(line, folder)

        assert (status, errors) == (0, "")
        assert sorted(numbers(output)) == sorted(expected)
        assert "--newest-first" not in line or numbers(output) == expected

    def test_trace_and_stats(self, folder):
        """A trace is found by a prefix although a pipe is read once, and its events are counted."""
        traced = in_shell("cat logs/*.jsonl | chora-logging trace b --json", folder)
        counted = in_shell("cat logs/*.jsonl | chora-logging stats --json", folder)

        assert (traced[0], json.loads(traced[1])["trace_id"], traced[2]) == (0, "b", "")
        assert (counted[0], json.loads(counted[1])["events"], counted[2]) == (0, 4, "")

    def test_without_input(self, folder):
        """A pipe that ends empty, as that of cron, and a file that was begun are not taken for a log."""
        write_events(folder / "app.log", {"n": 1})
        for line in (
            ": | LOG_FILE=app.log chora-logging query --json",
            "LOG_FILE=app.log chora-logging query --json < /dev/null",
            "LOG_FILE=app.log chora-logging query --json <&-",
            "while read x; do LOG_FILE=app.log chora-logging query --json; done < logs/a.jsonl | head -1",
        ):
            status, output, errors = in_shell(line, folder)

            assert (status, numbers(output), errors) == (0, [1], ""), line

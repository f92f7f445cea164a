"""The benchmarks run, with the packages installed here and few events."""

from __future__ import annotations

import json
import pathlib
import re
import subprocess
import sys

import pytest

from tests.benchmarks import calls, emit, follow, growth, processes, tails
from tests.benchmarks.__main__ import PAGE, SCENARIOS, put
from tests.benchmarks.rivals import RIVALS, expected, floor_line

ROOT = pathlib.Path(__file__).resolve().parent.parent


def benchmark(*arguments):
    """The tables that the command prints."""
    command = [sys.executable, "-m", "tests.benchmarks", "--here", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stderr
    return done.stdout


def row(text, start):
    """The cells of the only row that begins with a name."""
    (line,) = (line for line in text.splitlines() if line.startswith(f"| {start}"))
    return [cell.strip() for cell in line.strip("|").split("|")]


@pytest.mark.whole
def test_emit_prints_ours_and_the_floors():
    """The scenario `emit` has a row for our handler, with the logged fields, and one for the floors."""
    text = benchmark("--rounds=1", "--events=50", "emit")

    mine = row(text, RIVALS["ours"].name)
    assert float(mine[1]) > 0
    assert mine[5] == "same"
    assert row(text, "sum of the floors")[3:5] == ["1.00", "1.00"]
    assert all(rival.name in text for rival in RIVALS.values())


def test_processes_counts_what_is_missing(monkeypatch):
    """The scenario `processes` has a row for our handler at both sizes, and it lost no event."""
    monkeypatch.setattr(processes, "WRITERS", 2)
    text = processes.run(rounds=1, events=100)

    rows = [line for line in text.splitlines() if line.startswith(f"| {RIVALS['ours'].name}")]
    assert len(rows) == len(processes.SIZES)
    assert all([cell.strip() for cell in line.split("|")][3:6] == ["0", "0", "0"] for line in rows)


@pytest.mark.whole
def test_calls_are_held_against_the_first_of_their_kind():
    """The scenario `calls` has a row for each call, relative to the first of its kind."""
    text = benchmark("--rounds=1", "--events=40", "calls")

    for title, group in calls.GROUPS.items():
        cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()]
        ratios = {cell[0]: cell[3] for cell in cells if cell[-1:] == [title]}
        assert list(ratios) == list(group)
        assert ratios[next(iter(group))] == "1.00"


@pytest.mark.whole
def test_tails_shows_what_rotations_cost():
    """The scenario `tails` has the times of our calls, the slowest last, and of our rotations."""
    text = benchmark("--rounds=1", "--events=700", "tails")

    mine = row(text, RIVALS["ours"].name)
    times = [float(cell.replace(",", "")) for cell in mine[1:5]]
    assert times == sorted(times)
    assert int(mine[5]) > 0
    assert row(text, RIVALS["floor_record"].name)[5] == "0"


def test_shares_of_calls():
    """A percentile is a measured time; the 100th is the slowest."""
    assert tails.percentiles([3.0, 1.0, 2.0, 4.0], [0.5, 0.99]) == [3.0, 4.0]


@pytest.mark.whole
def test_growth_has_a_row_for_each_number(monkeypatch):
    """The scenario `growth` has rows for numbers of threads, of earlier events and of processes."""
    monkeypatch.setattr(growth, "PROCESSES", (1, 2))
    text = growth.run(rounds=1, events=100)

    labels = [f"{count} thread" for count in growth.THREADS] + ["after 0", "after 10,000"]
    ratios = {label: row(text, label)[3] for label in labels}
    assert ratios["1 thread"] == ratios["after 0"] == "1.00"
    assert all(map(float, ratios.values()))
    assert all(row(text, f"{count} process")[1] for count in growth.PROCESSES)


def test_import_prints_the_ratio():
    """The scenario `import` compares with the package's dependencies."""
    text = benchmark("--rounds=1", "import")

    assert row(text, "`import logging.handlers, pythonjsonlogger.msgspec`")[3] == "1.00"
    assert float(row(text, "**chora_logging**: import it and touch")[3]) > 0


@pytest.mark.parametrize(("kind", "count"), [("async", 3), ("sync", 1), ("tail", 1)])
def test_followers_get_every_event(kind, count):
    """Each follower in the scenario `follow` records the delay of each event."""
    outcome = follow.once(kind, count, 5, 0.01)

    assert len(outcome.delays) == 5 * count
    assert min(outcome.delays) > 0
    assert len(follow.row("ours", [outcome])) == 5


def test_it_starts_where_nothing_is_installed():
    """The command creates the environment that it needs, so it can be started with any Python."""
    command = [sys.executable, "-S", "-m", "tests.benchmarks", "--help"]

    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)

    assert (done.returncode, done.stderr) == (0, "")


def test_an_unknown_scenario_is_wrong_use():
    """An unknown scenario ends with status 2 and the names of the known ones."""
    command = [sys.executable, "-m", "tests.benchmarks", "--here", "emitt"]

    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)

    assert done.returncode == 2
    assert f"must be one of {', '.join(SCENARIOS)}, got emitt" in done.stderr


GOOD = [json.dumps(expected(7, number)).encode() for number in range(emit.COMPARED)]
CASES = {
    "same": (GOOD, "same"),
    "fewer": (GOOD[1:], "49 lines for 50 events"),
    "swapped": ([*GOOD[:-2], GOOD[-1], GOOD[-2]], "other values: number"),
    "no JSON": ([b"{", *GOOD[1:]], "line 1: "),
}


@pytest.mark.parametrize(("lines", "verdict"), CASES.values(), ids=CASES)
def test_a_rival_that_wrote_something_else_is_reported(lines, verdict):
    """Lines that lack an event, a field or a value are reported as different."""
    assert emit.judge(lines, RIVALS["ours"]).startswith(verdict)


def test_losses_are_counted():
    """Lost, doubled and torn events are each counted, whichever file they are in."""
    lines = [json.dumps(expected(writer, 0)).encode() for writer in range(processes.WRITERS)]
    files = [lines[1:], [lines[2], b'{"writer": 1', b"[]"]]

    outcome = processes.count(files, RIVALS["ours"], 1, 1.0)

    assert (outcome.lost, outcome.doubled, outcome.torn, outcome.files) == (1, 1, 2, 2)


def test_the_floor_writes_a_whole_line():
    """The line of the floor is JSON with the six fields, as long as a real line."""
    line = json.loads(floor_line())

    assert floor_line().count(b"\n") == 1
    assert {name: line[name] for name in expected(0, 10000)} == expected(0, 10000)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_scenario_has_its_place(scenario, tmp_path):
    """A scenario's new tables go between its marks; the rest of the page is unchanged."""
    text = PAGE.read_text(encoding="utf-8")
    copy = tmp_path / "README.md"
    copy.write_text(text, encoding="utf-8")
    before, begin, rest = text.partition(f"<!-- {scenario} -->\n")
    _, end, after = rest.partition(f"<!-- /{scenario} -->\n")

    put(scenario, "a machine\n\na table\n\n", copy)

    assert begin and end
    assert copy.read_text(encoding="utf-8") == f"{before}{begin}a machine\n\na table\n{end}{after}"


def test_a_page_without_marks_is_left_alone(tmp_path):
    """A page with missing or repeated marks of a scenario is an error and is not changed."""
    page = tmp_path / "README.md"
    for text in ("", "<!-- /emit -->\n<!-- emit -->\n", "<!-- emit -->\n<!-- /emit -->\n" * 2):
        page.write_text(text)
        with pytest.raises(ValueError, match="must have the marks of emit once"):
            put("emit", "a table", page)
        assert page.read_text() == text


def test_the_page_has_what_the_scenarios_print():
    """Each rival of `emit` and `processes` has its row on the page; ours lost no event."""
    text = PAGE.read_text(encoding="utf-8")
    _, _, emitted = text.partition("<!-- emit -->")
    emitted, _, _ = emitted.partition("<!-- /emit -->")

    assert [rival.name for rival in RIVALS.values() if f"| {rival.name} |" not in emitted] == []
    _, _, shared = text.partition("<!-- processes -->")
    rows = re.findall(rf"^\| {re.escape(RIVALS['ours'].name)} \| (.*)$", shared, re.MULTILINE)
    assert [row.split(" | ")[1:4] for row in rows] == [["0", "0", "0"]] * len(processes.SIZES)


def test_numbers_stand_in_the_tables_only():
    """The text between the tables has no number that a new measurement could make wrong."""
    prose = re.sub(r"<!-- (\w+) -->\n.*?<!-- /\1 -->", "", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)

    assert re.findall(r"\d[\d.,]* ?(?:µs|ms|s|MB|kB|%|times|events)\b", prose) == []

"""The fields that are shown: --fields and --hide."""

from __future__ import annotations

import json

import pytest

from tests.cli.calling import write_events

EVENT = {
    "timestamp": "2026-03-01T12:00:00.5",
    "level": "INFO",
    "event": "made",
    "message": "hello",
    "http": {"status": 500, "path": "/"},
    "user": "anna",
    "n": 1,
}


@pytest.fixture
def log(tmp_path):
    """A log of two events."""
    return write_events(tmp_path / "app.log", EVENT, {**EVENT, "n": 2, "message": None, "user": None})


def test_lines(log, call):
    """A line keeps time, level and name, and has only these fields, in this order."""
    lines = call("tail", log, "--fields", "n,http.status", width="")[1].splitlines()

    assert [line.split()[2:] for line in lines] == [
        ["INFO", "made", "n=1", "http.status=500"],
        ["INFO", "made", "n=2", "http.status=500"],
    ]
    lines = call("tail", log, "--hide", "http,user", "--hide", "message", width="")[1].splitlines()
    assert [line.split()[2:] for line in lines] == [["INFO", "made", "n=1"], ["INFO", "made", "n=2"]]


def test_a_message_without_a_name(tmp_path, call):
    """A message that is the title stays."""
    log = write_events(tmp_path / "b.log", {"msg": "hello", "n": 1, "m": 2})

    assert call("tail", log, "--fields", "n", width="")[1].split() == ["hello", "n=1"]


@pytest.mark.parametrize("command", ["tail", "query"])
def test_json(log, call, command):
    """JSON has exactly these fields; one that an event does not have is left out."""
    lines = call(command, log, "--json", "--fields", "user,http.status,nope")[1].splitlines()
    assert lines == ['{"user":"anna","http.status":500}', '{"user":null,"http.status":500}']

    lines = call(command, log, "--json", "--hide", "http,message,user,level,event,timestamp")[1].splitlines()
    assert [json.loads(line) for line in lines] == [{"n": 1}, {"n": 2}]


def test_tables(log, call, tmp_path):
    """CSV has exactly these columns, in this order; a table has the columns that show them."""
    csv = "n,http.status,event\n1,500,made\n2,500,made\n"
    fields = ("--fields", "n,http.status,event")

    assert call("query", log, "--format", "csv", *fields)[1] == csv
    assert call("query", log, "--to", tmp_path / "x.csv", *fields)[0] == 0
    assert (tmp_path / "x.csv").read_text() == csv
    assert [line.split() for line in call("query", log, *fields)[1].splitlines()] == [
        ["event", "n", "http.status"],
        ["made", "1", "500"],
        ["made", "2", "500"],
    ]
    assert call("query", log, "--hide", "http,timestamp,user")[1].split("\n")[0].split() == [
        *("level", "event", "message", "n"),
    ]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--fields", "a,,b"), "'--fields': must be names with commas between them, got 'a,,b'"),
        (("--hide", ""), "'--hide': must be names with commas between them, got ''"),
        (("--fields", "a", "--count"), "--fields, --hide and --full cannot be used with --count or --by"),
    ],
)
def test_wrong_use(log, call, options, said):
    """Names that are none are an error with status 2."""
    status, output, errors = call("query", log, *options)

    assert (status, output) == (2, "")
    assert said in errors

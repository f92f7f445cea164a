"""Lines of the fast path are the same as those of the slow path, and the cache of plans is bounded."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chora_logging.formatting.formatter import EventFormatter
from chora_logging.formatting.plans import _REMEMBERED_PLANS
from tests.records import line_of, record_of


class Careful(EventFormatter):
    """Takes the slow path for every record, because it overrides a hook."""

    def process_log_record(self, log_data):
        return log_data


OPTIONS = [
    {},
    {"static_fields": {"service": "s", "task_id": "ours"}},
    {"rename_fields": {"level": "severity", "task_id": "n", "message": "text"}},
    {"defaults": {"env": "dev", "task_id": "-", "n": 0}},
    {"reserved_attrs": ["n", "msg", "args"]},
    {"timestamp": "n"},
    {"timestamp_format": "epoch", "rename_fields": {"timestamp": "n"}},
    {"fmt": "%(message)s"},
    {"fmt": "%(levelname)s %(missing)s", "timestamp": True, "static_fields": {"n": "s"}},
    {"fmt": ["message", "msg", "args", "n"], "rename_fields": {"n": "levelname"}},
    {"fmt": ["name"], "reserved_attrs": []},
    {"fmt": []},
]
names = st.sampled_from(
    ["event", "task_id", "trace_id", "level", "timestamp", "n", "severity", "env", "_x", "service"]
) | st.text(st.characters(codec="utf-8"), min_size=1, max_size=3)
values = st.none() | st.integers() | st.text(max_size=3) | st.lists(st.integers(), max_size=2)


class TestSameLines:
    """A plan changes the speed and nothing else."""

    @settings(max_examples=200)
    @given(
        options=st.sampled_from(OPTIONS),
        extra=st.dictionaries(names, values, max_size=6),
        logger=st.sampled_from(["app", "orchestrator_events"]),
        arguments=st.sampled_from([(), (1, "two")]),
    )
    def test_as_the_slow_path(self, options, extra, logger, arguments):
        """Fields, their order and their values are the same for all options and extras."""
        record = record_of("%s-%s" if arguments else "m", *arguments, name=logger)
        record.__dict__.update(extra)
        planned = EventFormatter(**options)
        lines = [planned.format(record) for _ in range(3)]

        assert [*map(json.loads, lines)] == [json.loads(Careful(**options).format(record))] * 3
        assert len(set(lines)) == 1

    def test_a_field_without_a_name(self):
        """A field whose name is empty has its own value."""
        formatter = EventFormatter()
        record = record_of()
        record.__dict__[""] = 5
        lines = [json.loads(formatter.format(record)) for _ in range(3)]

        assert [line[""] for line in lines] == [5, 5, 5]

    @pytest.mark.parametrize("name", ["exc_info", "exc_text", "stack_info"])
    @pytest.mark.parametrize("value", [False, 0, "", ()])
    def test_no_exception_said_in_another_way(self, name, value):
        """Falsy values of exception and stack are written alike when these attributes are fields."""
        record = record_of()
        setattr(record, name, value)
        for options in OPTIONS:
            formatter = EventFormatter(**options)

            assert len({formatter.format(record) for _ in range(4)}) == 1

    def test_the_plan_is_used(self):
        """From the second record with the same attributes on there is a plan."""
        formatter = EventFormatter()
        for _ in range(2):
            formatter.format(record_of(a=1))

        assert len(formatter._plans.known[False]) == 1

    def test_the_same_formatter_for_many_kinds_of_records(self):
        """Alternating records with and without fields do not get each other's plan."""
        formatter = EventFormatter()
        for _ in range(3):
            for extra in ({}, {"a": 1}, {"b": 2}, {"a": 1, "b": 2}, {"b": 1, "a": 2}):
                line = json.loads(formatter.format(record_of(**extra)))
                assert list(line)[4:] == list(extra)


class TestMemory:
    """The cache is bounded."""

    def test_names_without_end(self):
        """A program that makes up new field names does not fill the memory."""
        formatter = EventFormatter()
        for number in range(3 * _REMEMBERED_PLANS):
            for _ in range(2):
                assert line_of(record_of(**{f"field{number}": number}), formatter)

        assert len(formatter._plans.known[False]) <= _REMEMBERED_PLANS
        assert len(formatter._plans._seen) <= _REMEMBERED_PLANS

    @pytest.mark.parametrize("name", ['a"b', "a\\b", "a\nb", "\udc80"])
    def test_names_that_no_struct_can_have(self, name):
        """Such records take the slow path each time."""
        formatter = EventFormatter()
        record = record_of()
        record.__dict__[name] = 1

        assert 1 in line_of(record, formatter).values()
        assert formatter._plans.known[False] == {tuple(record.__dict__): None}

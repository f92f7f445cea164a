"""Lines that would be too long, and encoders that refuse."""

from __future__ import annotations

import json

import pytest

from chora_logging import encoding
from chora_logging.encoding import LineEncoder
from chora_logging.formatter import EventFormatter
from chora_logging.formatting.values import TOO_DEEP
from tests.records import line_of, record_of


class TestMaxBytes:
    """Lines that would be too long."""

    @pytest.mark.parametrize("limit", [512, 1000, 20_000])
    @pytest.mark.parametrize(
        "extra",
        [
            {"a": "x" * 100_000},
            {"a": "é\n" * 50_000, "b": "y" * 100_000},
            {"a": {"b": ["z" * 1000] * 300}},
            {f"field{number}": number for number in range(5000)},
            {"k" * 10_000: 1},
            {"a": list(range(50_000))},
            {"trace_id": "t" * 50_000},
            {},
        ],
        ids=range(8),
    )
    def test_are_cut_to_a_valid_line(self, limit, extra):
        """The line fits, is valid, says `truncated`, and has its identity and event."""
        record = record_of("m" * 100_000, event="e", **extra)
        text = EventFormatter(max_bytes=limit).format(record)
        line = json.loads(text)

        assert len(text.encode()) <= limit
        assert line["truncated"] is True
        assert (line["level"], line["logger"], line["event"]) == ("INFO", "app", "e")
        assert line["message"].startswith("m")

    def test_uses_the_room_there_is(self):
        """A long text keeps what fits."""
        text = EventFormatter(max_bytes=10_000).format(record_of("m", a="x" * 100_000, n=1))

        assert len(text) > 9_900
        assert json.loads(text)["n"] == 1

    def test_short_lines_are_left_alone(self):
        """A line that fits has no `truncated`."""
        assert "truncated" not in line_of(record_of("m", a=1), EventFormatter(max_bytes=512))

    def test_long_exception(self):
        """A traceback of thousands of lines is cut, and the record is not lost."""
        record = record_of("failed")
        record.exc_text = "line\n" * 10_000

        line = line_of(record, EventFormatter(max_bytes=2000, exc_info_as_array=True))

        assert line["truncated"] is True
        assert line["exception"][0] == "line"

    def test_callers_truncated(self):
        """A caller's own `truncated` gives way to the line's."""
        line = line_of(record_of("m" * 1000, truncated="mine"), EventFormatter(max_bytes=512))

        assert (line["truncated"], line["truncated_"]) == (True, "mine")


class TestEncoder:
    """The encoder by itself."""

    def test_integers_that_the_encoder_refuses(self, monkeypatch):
        """Where msgspec takes 64 bits only, larger integers are written all the same."""

        class Old:
            def __call__(self, value):
                raise OverflowError("can't serialize ints >= 2**64")

        encoder = LineEncoder()
        encoder.quick = Old()
        monkeypatch.setattr(encoding, "_encode_plain", Old())

        assert encoder.encode({"a": 2**64}) == b'{"a":18446744073709551616}'

    def test_no_stack_left_for_what_nests(self, monkeypatch):
        """Where nesting has no room any more what does not nest is still written."""
        calls = []

        def shallow(value):
            calls.append(value)
            if any(isinstance(item, (dict, list)) for item in value.values()):
                raise RecursionError
            return json.dumps(value).encode()

        monkeypatch.setattr(encoding, "_encode_plain", shallow)
        line = LineEncoder().encode({"a": 1, "b": [1], 5: {}, "c": "\ud800"})

        assert json.loads(line) == {"a": 1, "b": TOO_DEEP, "5": TOO_DEEP, "c": "\\ud800"}
        assert len(calls) == 2

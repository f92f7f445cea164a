"""The JSON form of each kind of value, including hostile ones."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import datetime
import decimal
import enum
import json
import math
import sys
import threading
import uuid
from unittest import mock

import msgspec
import pytest

from chora_logging.formatting import values
from chora_logging.formatting.formatter import EventFormatter
from chora_logging.formatting.values import CIRCULAR, TOO_DEEP, UNENCODABLE, LineEncoder, plain
from tests.records import Raises, line_of, record_of, strict

FORMATTERS = [EventFormatter(), EventFormatter("%(levelname)s %(message)s", timestamp=True)]


def written(value, formatter=None):
    """Return what *value* becomes as an extra field, as an element and as a dict's value."""
    formatter = formatter or FORMATTERS[0]
    results = []
    for _ in range(3):
        fields = strict(formatter.format(record_of(bare=value, listed=[value], keyed={"k": value})))
        results.append(fields["bare"])
        assert fields["message"] == "hi", "the rest of the record is lost"
    assert all(result == results[0] for result in results)
    return results[0]


class NoItems(dict):
    def items(self):
        raise ValueError("no")

    __iter__ = keys = values = items


class NoIter(list):
    def __iter__(self):
        raise ValueError("no")


class Text(str):
    def __str__(self):
        raise ValueError("no")

    encode = __str__


class Colour(enum.Enum):
    RED = "red"
    NOTHING = None
    ODD = float("nan")


class Key(str, enum.Enum):
    LEVEL = "level"
    EVENT = "event"


class OddText(str):
    """Text that differs, as a key, from the same plain text."""

    __hash__ = object.__hash__
    __eq__ = object.__eq__


@dataclasses.dataclass
class Job:
    name: str
    rate: float = math.nan
    parent: object = None


@dataclasses.dataclass
class Slots:
    __slots__ = ("left", "right")
    left: int
    right: int


class SelfString:
    def __str__(self):
        return str(self)


class ClassRaises:
    @property
    def __class__(self):
        raise ValueError("no")


class NotText:
    def __str__(self):
        return 5


class Group(Exception):
    def __str__(self):
        raise ValueError("no")


def made(value):
    """Return an instance of the classes that are too hostile for pytest's own tables."""
    return value() if value in (Raises, ClassRaises) else value


def deep(levels, kind):
    value = None
    for _ in range(levels):
        value = [value] if kind is list else {"k": value}
    return value


class TestValues:
    """The JSON form of each kind of value."""

    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            (math.nan, None),
            (math.inf, None),
            (-math.inf, None),
            (-0.0, -0.0),
            (1e300, 1e300),
            (2**53 + 1, 2**53 + 1),
            (2**64, 2**64),
            (-(10**4000), -(10**4000)),
            (b"\x00\xff", "AP8="),
            (bytearray(b"ab"), "YWI="),
            (memoryview(b"ab"), "YWI="),
            ("\udc80", "\\udc80"),
            ("a\ud800b", "a\\ud800b"),
            ("\x00\x1b\x7f\x85\u2028\u2029\x0b\x0c\r\n", "\x00\x1b\x7f\x85\u2028\u2029\x0b\x0c\r\n"),
            ({1, 1.0}, [1]),
            (frozenset(), []),
            ((1, (2,)), [1, [2]]),
            (Colour.RED, "red"),
            (Colour.NOTHING, None),
            (Colour.ODD, None),
            (Colour, ["red", None, None]),
            (Key.LEVEL, "level"),
            (Job("a"), {"name": "a", "rate": None, "parent": None}),
            (Slots(1, 2), {"left": 1, "right": 2}),
            (Job, "Job"),
            (ValueError("x"), "ValueError: x"),
            (Group(), "Group: Group()"),
            (datetime.date(2025, 1, 2), "2025-01-02"),
            (datetime.datetime(2025, 1, 2, 3, 4, 5), "2025-01-02T03:04:05"),
            (uuid.UUID(int=5), "00000000-0000-0000-0000-000000000005"),
            (decimal.Decimal("NaN"), "NaN"),
            (collections.OrderedDict(a=1), {"a": 1}),
            (collections.UserDict(a=1), "{'a': 1}"),
            (range(3), "range(0, 3)"),
            (1j, "1j"),
            (NoItems(a=1), {"a": 1}),
            (NoIter([1, 2]), [1, 2]),
            (Text("x"), "x"),
            (Raises, UNENCODABLE),
            (SelfString(), mock.ANY),
            (NotText(), mock.ANY),
            (ClassRaises, mock.ANY),
            (threading.Lock(), mock.ANY),
            (object(), mock.ANY),
            (mock.Mock(), mock.ANY),
            (mock.MagicMock(), mock.ANY),
            (sys.modules, mock.ANY),
            ({"k": float("nan"), "l": [math.inf]}, {"k": None, "l": [None]}),
            ({5: 1, "5": 2}, {"5": 1, "5_": 2}),
            ({None: 1, True: 2, "null": 3}, {"null": 1, "true": 2, "null_": 3}),
            ({(1, 2): 1, b"a": 2, 1.5: 3}, {"(1, 2)": 1, "YQ==": 2, "1.5": 3}),
            ({"\udc80": 1}, {"\\udc80": 1}),
            ({Key.LEVEL: 1}, {"level": 1}),
            ({OddText("level"): 1, "level": 2}, {"level": 1, "level_": 2}),
            ({10**5000: 1}, {hex(10**5000): 1}),
        ],
        ids=lambda value: type(value).__name__,
    )
    def test_becomes(self, value, expected):
        """Alone, in a list and in a dict, on every path through the formatter."""
        value = made(value)
        for formatter in FORMATTERS:
            result = written(value, formatter)
            assert result == expected
            assert type(result) is type(expected) or expected is mock.ANY

    def test_number_of_more_digits_than_python_prints(self):
        """An integer of more than 4300 digits is written in hexadecimal."""
        assert written(10**5000) == hex(10**5000)
        assert written([-(10**5000)]) == [hex(-(10**5000))]

    def test_subclasses_of_numbers_are_numbers(self):
        """numpy's floats are subclasses of float and stay numbers."""

        class Float(float):
            pass

        class Int(int):
            pass

        assert written([Float(1.5), Int(7), Float("nan")]) == [1.5, 7, None]

    def test_generators_are_not_consumed(self):
        """A generator in a field is left to the caller."""
        generator = (number for number in range(3))
        written(generator)

        assert list(generator) == [0, 1, 2]

    def test_cycles_are_cut_where_they_close(self):
        """A container that contains itself is written up to that point."""
        cycle = {"a": 1}
        cycle["self"] = cycle
        array = [1]
        array.append(array)
        job = Job("a")
        job.parent = job

        assert written(cycle) == {"a": 1, "self": CIRCULAR}
        assert written(array) == [1, CIRCULAR]
        assert written(job) == {"name": "a", "rate": None, "parent": CIRCULAR}

    def test_the_same_object_twice_is_no_cycle(self):
        """An object that occurs several times is written each time."""
        shared = {"x": {1: 1, "1": 2}}

        assert written([shared, shared]) == [{"x": {"1": 1, "1_": 2}}] * 2

    @pytest.mark.parametrize("kind", [list, dict])
    @pytest.mark.parametrize("levels", [50, 99, 150, 100_000])
    def test_depth(self, kind, levels):
        """100,000 levels give a line; 99 are all written; deeper ones are marked."""
        value = deep(levels, kind)
        text = EventFormatter().format(record_of(tree=value, other=1))
        fields = strict(text)

        assert fields["other"] == 1
        if levels < 100:
            assert fields["tree"] == value
        assert (TOO_DEEP in text) == (levels > 100)

    @pytest.mark.parametrize("inner", [[1, "[[{"], {"a": 1}])
    def test_many_are_not_deep(self, inner):
        """A thousand containers side by side are not deep."""
        text = EventFormatter().format(record_of(points=[inner] * 1000))

        assert strict(text)["points"] == [inner] * 1000

    def test_attribute_that_raises_costs_itself_only(self):
        """The other fields of a dataclass with one bad property are written."""

        @dataclasses.dataclass
        class Half:
            good: int
            bad: object

            def __getattribute__(self, name):
                if name == "bad":
                    raise ValueError("no")
                return super().__getattribute__(name)

        # Beside the cycle, so that the line takes the slow path.
        assert written([Half(1, 2)])[0]["good"] == 1

    def test_one_bad_field_costs_no_other(self):
        """All other fields are written, and the bad one is marked."""
        fields = strict(FORMATTERS[0].format(record_of(a=1, bad=Raises(), s="\ud800", z={"y": 2})))

        assert (fields["a"], fields["bad"], fields["s"], fields["z"]) == (
            1,
            UNENCODABLE,
            "\\ud800",
            {"y": 2},
        )

    def test_objects_with_fields_missing_or_raising(self):
        """The readable fields of a struct or dataclass are written; a cycle forces the slow path."""

        class Struct(msgspec.Struct):
            left: object = None
            gone: object = None

        @dataclasses.dataclass
        class Halves:
            good: object
            bad: object

            def __getattribute__(self, name):
                if name == "bad":
                    raise ValueError("no")
                return super().__getattribute__(name)

        struct, halves = Struct(), Halves(1, 2)
        struct.left, halves.good = [struct], [halves]
        del struct.gone

        assert plain(struct) == {"left": [CIRCULAR]}
        assert plain(halves) == {"good": [CIRCULAR], "bad": UNENCODABLE}

    def test_plain_with_no_stack_left(self):
        """Nothing is raised when the stack is nearly full."""
        results = []

        def dive():
            with contextlib.suppress(RecursionError):
                dive()
            if len(results) < 40:
                with contextlib.suppress(RecursionError):
                    results.append(plain([{"a": [1]}]))

        dive()

        assert results[-1] == [{"a": [1]}]

    def test_subclasses_and_keys_that_raise(self):
        """Subclasses count as their base type; objects that raise are marked."""

        class Key:
            def __str__(self):
                raise ValueError("no")

            __repr__ = __str__

        class Moment(datetime.datetime):
            pass

        class Worthless(enum.Enum):
            ONE = 1

            @property
            def value(self):
                raise ValueError("no")

        value = {Key(): 1, "text": Text("x\ud800"), "at": Moment(2025, 1, 2), "enum": [Worthless.ONE]}

        assert plain(value) == {
            UNENCODABLE: 1,
            "text": "x\\ud800",
            "at": "2025-01-02T00:00:00",
            "enum": [UNENCODABLE],
        }

    def test_traceback_is_text(self):
        """A traceback object is written as its lines."""
        try:
            raise ValueError
        except ValueError as error:
            assert "test_traceback_is_text" in written(error.__traceback__)

    def test_dict_that_changes_while_it_is_written(self):
        """A dict that grows while it is encoded does not lose the record."""
        grows = {}

        class Grower:
            def __str__(self):
                grows[f"k{len(grows)}"] = 1
                return "grown"

        grows.update({"a": Grower(), "b": Grower()})

        assert strict(FORMATTERS[0].format(record_of(d=grows)))["d"]["a"] == "grown"


class TestMaxBytes:
    """Lines over the length limit."""

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
        """The line fits, is valid, and has `truncated`, its level, logger, event and message."""
        record = record_of("m" * 100_000, event="e", **extra)
        text = EventFormatter(max_bytes=limit).format(record)
        line = json.loads(text)

        assert len(text.encode()) <= limit
        assert line["truncated"] is True
        assert (line["level"], line["logger"], line["event"]) == ("INFO", "app", "e")
        assert line["message"].startswith("m")

    def test_uses_the_room_there_is(self):
        """As much of a long text is kept as fits."""
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
        """A caller's own `truncated` is renamed."""
        line = line_of(record_of("m" * 1000, truncated="mine"), EventFormatter(max_bytes=512))

        assert (line["truncated"], line["truncated_"]) == (True, "mine")


class TestEncoder:
    """The encoder by itself."""

    def test_integers_that_the_encoder_refuses(self, monkeypatch):
        """Integers over 64 bits are written even if msgspec refuses them."""

        class Old:
            def __call__(self, value):
                raise OverflowError("can't serialize ints >= 2**64")

        encoder = LineEncoder()
        encoder.quick = Old()
        monkeypatch.setattr(values, "_encode_plain", Old())

        assert encoder.encode({"a": 2**64}) == b'{"a":18446744073709551616}'

    def test_no_stack_left_for_what_nests(self, monkeypatch):
        """If the stack is too full for nested values, flat ones are still written."""
        calls = []

        def shallow(value):
            calls.append(value)
            if any(isinstance(item, (dict, list)) for item in value.values()):
                raise RecursionError
            return json.dumps(value).encode()

        monkeypatch.setattr(values, "_encode_plain", shallow)
        line = LineEncoder().encode({"a": 1, "b": [1], 5: {}, "c": "\ud800"})

        assert json.loads(line) == {"a": 1, "b": TOO_DEEP, "5": TOO_DEEP, "c": "\\ud800"}
        assert len(calls) == 2

"""The compiled code writes a typed event as Python does, or leaves it to Python."""

from __future__ import annotations

import json
import logging
import warnings
from typing import Annotated, Any, Literal

import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
    computed_field,
    field_serializer,
    model_serializer,
    model_validator,
)

from chora_logging import speedups, trace_context
from chora_logging.telemetry import EventEmitter, TelemetryEvent
from tests.soaks import soak
from tests.test_speedups_trace import surrounded, surroundings


class Plain(TelemetryEvent):
    event_type: str = "test.plain"
    value: Any = None


class Frozen(Plain):
    model_config = ConfigDict(frozen=True)


class Aliased(Plain):
    model_config = ConfigDict(serialize_by_alias=True)
    other: int = Field(default=1, serialization_alias="Other")


class Unaliased(Plain):
    other: int = Field(default=1, serialization_alias="Other")


class Open(Plain):
    model_config = ConfigDict(extra="allow", ser_json_inf_nan="constants")


class OwnJson(Plain):
    def model_dump_json(self, **options: Any) -> str:
        return '{"own":true}'


class Indented(Plain):
    def model_dump_json(self, **options: Any) -> str:
        return super().model_dump_json(indent=1)


class Listed(Plain):
    @model_serializer
    def as_list(self) -> list[int]:
        return [1]


class Checked(Plain):
    model_config = ConfigDict(validate_assignment=True)
    trace_id: str | None = Field(default=None, max_length=3)


CLASSES = [Plain, Frozen, Aliased, Unaliased, Open, OwnJson, Indented, Listed, Checked]
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=4)
    | st.just("NaN {")
    | st.builds(object),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=3,
)
events = st.builds(
    lambda kind, status, **fields: (kind, {"timestamp": "2026-01-01T00:00:00Z", "status": status, **fields}),
    st.sampled_from(CLASSES),
    st.sampled_from(["success", "error"]),
    value=values,
    trace_id=st.sampled_from([None, None, "own"]),
)


class Typed(TelemetryEvent):
    event_type: Literal["test.typed"] = "test.typed"
    größe: int = Field(default=1, ge=0)
    flag: bool = False
    name: str | None = Field(default=None, alias="Name", max_length=9)
    mood: Annotated[Literal["good", "bad"] | None, AfterValidator(lambda value: value)] = None
    number: Literal[1, "1"] = 1


class TextsOnly(Typed):
    number: str = ""  # type: ignore[assignment]


class Named(TextsOnly):
    name: str | None = Field(default=None, max_length=9)


class Extra(Named):
    model_config = ConfigDict(extra="allow")


with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it is deprecated, and still works

    class Encoded(Named):
        model_config = ConfigDict(json_encoders={str: str.upper})


class Serialized(Named):
    other: Annotated[str, PlainSerializer(str.upper)] = "other"


class FieldSerialized(Named):
    @field_serializer("flag")
    def in_words(self, flag: bool) -> str:
        return f"flag is {flag}"


class Excluded(Named):
    secret: str = Field(default="secret", exclude=True)


class Computed(Named):
    @computed_field
    def double(self) -> int:
        return 2


class Validated(Named):
    @model_validator(mode="after")
    def check(self) -> Validated:
        return self


class Wrapped(Named):
    @model_serializer(mode="wrap")
    def wrapped(self, handler: Any) -> Any:
        return {"wrapped": True, **handler(self)}


TYPED = [
    Typed,
    TextsOnly,
    Named,
    Extra,
    Encoded,
    Serialized,
    FieldSerialized,
    Excluded,
    Computed,
    Validated,
    Wrapped,
]
texts = st.text(st.characters(), max_size=5) | st.sampled_from(
    ['"\\\b\f\n\r\t\0\x1f\x7f', "NaN {", "good", "größe"]
)


class OwnText(str):
    """A subclass of str."""


plain_values = (
    texts
    | st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.just(OwnText("own"))
    | st.just([1])
)
changes = st.dictionaries(
    st.sampled_from(["größe", "flag", "name", "mood", "number", "timestamp", "status", "trace_id", "more"]),
    plain_values,
    max_size=3,
)


def pure_emitter(path):
    """An emitter without compiled parts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(speedups, "in_use", False)
        return EventEmitter(path)


@settings(max_examples=soak(400))
@given(cases=st.lists(st.tuples(surroundings, events), min_size=1, max_size=5))
def test_the_same_lines(tmp_path_factory, cases):
    """The file and the event afterwards are the same for all classes, values and sources of trace ids."""
    folder = tmp_path_factory.mktemp("events")
    with pure_emitter(folder / "pure.jsonl") as reference, EventEmitter(folder / "app.jsonl") as emitter:
        for where, (kind, fields) in cases:
            with surrounded(*where):
                one, other = kind(**fields), kind(**fields)
                reference.emit(one)
                emitter.emit(other)
                assert one.trace_id == other.trace_id

    assert (folder / "app.jsonl").read_bytes() == (folder / "pure.jsonl").read_bytes()


def outcome(emit, event):
    """Return the exception that emitting raised."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pydantic's, for values of another type
            emit(event)
    except Exception as error:
        return type(error)
    return None


@settings(max_examples=soak(600))
@given(kind=st.sampled_from(TYPED), cases=st.lists(st.tuples(changes, st.booleans()), min_size=1, max_size=4))
def test_the_same_lines_of_typed_fields(tmp_path_factory, kind, cases):
    """The file is the same for any value set on an event's fields after validation."""
    folder = tmp_path_factory.mktemp("events")
    with pure_emitter(folder / "pure.jsonl") as reference, EventEmitter(folder / "app.jsonl") as emitter:
        for fields, turned in cases:
            one, other = (kind(timestamp="2026-01-01T00:00:00Z", status="success") for _ in "ab")
            for event in (one, other):
                event.__dict__.update(fields)
                if turned:
                    event.__dict__["flag"] = event.__dict__.pop("flag")
            assert outcome(reference.emit, one) == outcome(emitter.emit, other)

    lines = [path.read_bytes() for path in sorted(folder.glob("*.jsonl"))]
    assert lines == lines[:1] * len(lines)


def test_fields_that_are_allowed_beside(tmp_path):
    """Extra fields that a class allows are written, even after many events without any."""
    with EventEmitter(tmp_path / "events.jsonl") as emitter:
        for _ in range(3):
            emitter.emit(Extra(status="success"))
        emitter.emit(Extra(status="success", more=1))

        assert [event.get("more") for event in emitter.read_events()] == [None, None, None, 1]


def test_a_class_that_is_rebuilt(tmp_path, monkeypatch):
    """A class whose serializer changes while the program runs is written with the new one."""
    with EventEmitter(tmp_path / "events.jsonl") as emitter:
        emitter.emit(Named(status="success"))
        monkeypatch.setattr(Named, "__pydantic_serializer__", Excluded.__pydantic_serializer__)
        monkeypatch.setattr(Named, "__pydantic_core_schema__", Excluded.__pydantic_core_schema__)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            emitter.emit(Named(status="success", name="x"))

        assert emitter.read_events()[-1]["name"] == "x"


@pytest.mark.parametrize("trace_id", [None, "context"])
def test_an_ordinary_event_takes_the_fast_path(tmp_path, trace_id):
    """A flat event is written by the compiled code, with or without a trace id to fill in.

    Not before pydantic 2.11, whose `model_dump_json` and serializer write aliases in different ways.
    """
    with EventEmitter(tmp_path / "events.jsonl") as emitter:
        for _ in range(2):  # the sidecar learns of the file, then of its size
            emitter.emit(Plain(status="success"))
        writer = emitter._formatter.writer
        with surrounded(trace_id, None, {}):
            heard = writer and writer.write_event(emitter._log, Plain(status="success"))

    is_new = tuple(map(int, pydantic.VERSION.split(".")[:2])) >= (2, 11)
    assert (heard is not None) is (speedups.in_use and is_new)


def test_who_replaces_the_json_is_asked(tmp_path, monkeypatch):
    """A `model_dump_json` that is replaced while the program runs is called."""
    with EventEmitter(tmp_path / "events.jsonl") as emitter:
        emitter.emit(Plain(status="success"))
        monkeypatch.setattr(Plain, "model_dump_json", lambda self: '{"own":true}')
        emitter.emit(Plain(status="success"))

        assert emitter.read_events()[-1] == {"own": True}


def test_a_record_factory_that_knows_the_trace(tmp_path):
    """The trace id of a program's record factory wins over the context, the span and the environment."""
    usual = logging.getLogRecordFactory()

    def traced(*args, **kwargs):
        record = usual(*args, **kwargs)
        record.trace_id = "factory"
        return record

    with EventEmitter(tmp_path / "events.jsonl") as emitter, trace_context("context"):
        emitter.emit(Plain(status="success"))
        logging.setLogRecordFactory(traced)
        emitter.emit(Plain(status="success"))

        assert [event["trace_id"] for event in emitter.read_events()] == ["context", "factory"]


def test_records_for_others(tmp_path):
    """Handlers and filters of the tree see a record with event, level, trace id and caller."""
    logger = logging.getLogger("chora_events")
    seen = []
    with EventEmitter(tmp_path / "events.jsonl") as emitter, trace_context("context"):
        emitter.emit(Plain(status="success"))
        logger.addFilter(lambda record: not seen.append(record))
        emitter.emit(Plain(status="error"))
        logger.filters.clear()

    (record,) = seen
    assert (record.levelname, record.trace_id, record.funcName) == (
        "ERROR",
        "context",
        "test_records_for_others",
    )
    assert record.msg.trace_id == "context"


def test_an_id_that_the_event_refuses(tmp_path):
    """An event whose validation refuses the trace id is written with it, and is not changed."""
    event = Checked(status="success")
    with EventEmitter(tmp_path / "events.jsonl") as emitter, trace_context("too long"):
        for _ in range(2):
            emitter.emit(event)
        lines = (tmp_path / "events.jsonl").read_text().splitlines()

    assert [json.loads(line)["trace_id"] for line in lines] == ["too long"] * 2
    assert event.trace_id is None
    with pytest.raises(ValidationError):
        event.trace_id = "too long"

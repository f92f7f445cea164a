"""What the JSON of an event consists of, where its class leaves that to pydantic's rules for plain values.

Most events are texts, integers and flags under names. Their line can be put together field by field, which
takes a fraction of the time of the general serializer. The compiled part does so while the class and each
value are as this module found the class's schema to say; it compares nothing else, so what is not known
here for sure to be written in the plainest way is left to the serializer.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

#: The class attribute that keeps the layout for the compiled part.
ATTRIBUTE = "__chora_layout__"

#: The types that a value may have, as bits: what the compiled part writes.
TEXT, INTEGER, FLAG, NONE = 1, 2, 4, 8

_TYPES = {"str": TEXT, "int": INTEGER, "bool": FLAG}

# What surrounds a schema without a say in how it is written, unless it has a "serialization".
_CHECKS = ("default", "function-before", "function-after")

# What a field may have without being written in a way of its own.
_FIELD_KEYS = {"type", "schema", "metadata", "frozen", "validation_alias"}


def layout_of(event: type[BaseModel]) -> tuple[Any, ...]:
    """Find out the layout of a class of events, and keep it with the class.

    Returns:
        The class's serializer, then each field: its name, the text before its value, what its value may
        be, and the set of texts that it may be or `None`. No fields where the layout is another.
    """
    schema: Any = event.__pydantic_core_schema__
    layout = (event.__pydantic_serializer__, *_fields(schema))
    setattr(event, ATTRIBUTE, layout)
    return layout


def _fields(schema: Mapping[str, Any]) -> list[tuple[str, bytes, int, frozenset[str] | None]]:
    model = _unwrapped(schema)
    inner = _unwrapped(model.get("schema", {}))
    config = model.get("config", {})
    if model.get("type") != "model" or model.get("root_model") or _is_own(model):
        return []
    if inner.get("type") != "model-fields" or inner.get("computed_fields") or _is_own(inner):
        return []
    if "allow" in (config.get("extra_fields_behavior"), inner.get("extra_behavior")):
        return []
    found = list(_plain_fields(inner["fields"]))
    return found if len(found) == len(inner["fields"]) else []


def _plain_fields(
    fields: Mapping[str, Mapping[str, Any]],
) -> Iterator[tuple[str, bytes, int, frozenset[str] | None]]:
    lead = "{"
    for name, field in fields.items():
        kind, allowed = _value(field["schema"])
        if kind and not field.keys() - _FIELD_KEYS:
            yield name, f"{lead}{json.dumps(name, ensure_ascii=False)}:".encode(), kind, allowed
        lead = ","


def _value(schema: Mapping[str, Any]) -> tuple[int, frozenset[str] | None]:
    """Return what values of a field may be; 0 when they are not plain."""
    schema = _unwrapped(schema)
    if _is_own(schema):
        return 0, None
    if schema["type"] == "nullable":
        kind, allowed = _value(schema["schema"])
        return kind and kind | NONE, allowed
    if schema["type"] == "literal" and all(type(value) is str for value in schema["expected"]):
        return TEXT, frozenset(schema["expected"])
    return _TYPES.get(schema["type"], 0), None


def _unwrapped(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    while schema.get("type") in _CHECKS and not _is_own(schema):
        schema = schema["schema"]
    return schema


def _is_own(schema: Mapping[str, Any]) -> bool:
    return "serialization" in schema

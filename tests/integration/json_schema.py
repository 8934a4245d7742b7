"""A judge of JSON by JSON Schema, for the words that jobyard's schemas use. Any other word is an error, not ignored."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
    "array": (list,),
    "object": (dict,),
}
_KNOWN = {
    "$schema",
    "title",
    "description",
    "default",
    "type",
    "format",
    "enum",
    "const",
    "anyOf",
    "items",
    "properties",
    "required",
    "additionalProperties",
}


def mistakes(value: Any, schema: dict[str, Any], place: str = "$") -> Iterator[str]:
    """Every way in which ``value`` is not as the schema says; keys that it does not name are mistakes too."""
    assert set(schema) <= _KNOWN, f"{place}: this judge knows nothing of {set(schema) - _KNOWN}"
    if "const" in schema and value != schema["const"]:
        yield f"{place}: {value!r} is not {schema['const']!r}"
    if "enum" in schema and value not in schema["enum"]:
        yield f"{place}: {value!r} is none of {schema['enum']}"
    if "anyOf" in schema and all(any(mistakes(value, one, place)) for one in schema["anyOf"]):
        yield f"{place}: {value!r} fits none of the alternatives"
    if "type" in schema and not _is_one_of(value, schema["type"]):
        yield f"{place}: {value!r} is not of type {schema['type']}"
    elif schema.get("format") == "date-time" and isinstance(value, str):
        assert value.endswith("Z"), f"{place}: {value} is not in UTC"
        datetime.fromisoformat(value)
    yield from _within(value, schema, place)


def _is_one_of(value: Any, types: str | list[str]) -> bool:
    names = [types] if isinstance(types, str) else types
    return any(isinstance(value, _TYPES[name]) and (name == "boolean" or not isinstance(value, bool)) for name in names)


def _within(value: Any, schema: dict[str, Any], place: str) -> Iterator[str]:
    if isinstance(value, list) and "items" in schema:
        for index, item in enumerate(value):
            yield from mistakes(item, schema["items"], f"{place}[{index}]")
    if not isinstance(value, dict):
        return
    for key in schema.get("required", ()):
        if key not in value:
            yield f"{place}: {key} is missing"
    others = schema.get("additionalProperties", not schema.get("properties"))
    for key, item in value.items():
        if key in schema.get("properties", {}):
            yield from mistakes(item, schema["properties"][key], f"{place}.{key}")
        elif others is False:
            yield f"{place}.{key} is not in the schema"
        elif isinstance(others, dict):
            yield from mistakes(item, others, f"{place}.{key}")

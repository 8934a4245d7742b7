"""JSON Schemas of what jobctl prints, made from the types in ``shapes.py``. Knows the words of JSON Schema, no verb."""

from __future__ import annotations

import dataclasses
import types
import typing
from typing import Any, Literal, get_args, get_origin, get_type_hints

from . import shapes

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_PLAIN = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null"}


def names() -> list[str]:
    """What ``schema`` takes: documents without "jobctl." and number, then lines."""
    return [*map(short, shapes.DOCUMENTS), *shapes.LINES]


def short(document: str) -> str:
    """``jobs`` for ``jobctl.jobs/1``."""
    return document.removeprefix("jobctl.").partition("/")[0]


def schema(name: str) -> dict[str, Any]:
    """The schema of one document or line; raises KeyError."""
    found: dict[str, Any] = {"$schema": DIALECT, "title": name}
    if name in shapes.LINES:
        return found | _of(shapes.LINES[name])
    document = next((one for one in shapes.DOCUMENTS if name in (one, short(one))), None)
    if document is None:
        raise KeyError(name)
    body = _of(shapes.DOCUMENTS[document])
    body["properties"] = {"schema": {"const": document}, **body["properties"]}
    body["required"].insert(0, "schema")
    return found | {"title": document} | body


def _of(kind: Any) -> dict[str, Any]:
    if kind is Any:
        return {}
    if kind in _PLAIN:
        return {"type": _PLAIN[kind]}
    origin, args = get_origin(kind), get_args(kind)
    if origin is typing.Annotated:
        return {**_of(args[0]), "format": args[1]}
    if origin is Literal:
        return {"enum": list(args)}
    if origin in (typing.Union, types.UnionType):
        return _either([_of(arg) for arg in args])
    if origin is list:
        return {"type": "array", "items": _of(args[0])}
    if origin is dict:
        return {"type": "object", "additionalProperties": _of(args[1])}
    return _object(kind)


def _either(options: list[dict[str, Any]]) -> dict[str, Any]:
    """Plain types make one list of types; everything else is any of its parts."""
    if all(set(option) <= {"type", "format"} for option in options):
        merged = {key: value for option in options for key, value in option.items()}
        return {**merged, "type": [option["type"] for option in options]}
    return {"anyOf": options}


def _object(kind: Any) -> dict[str, Any]:
    """A TypedDict, or a dataclass that is printed field by field. A later version may add keys, so they are allowed."""
    hints = get_type_hints(kind, include_extras=True)
    fields = [field.name for field in dataclasses.fields(kind)] if dataclasses.is_dataclass(kind) else list(hints)
    return {
        "type": "object",
        "description": " ".join((kind.__doc__ or "").split()),
        "properties": {name: _of(hints[name]) for name in fields},
        "required": fields,
    }

"""Text from a command line to a value, by the annotation that the catalogue has for the parameter.

Reads annotations as text and evaluates nothing. A parameter without a usable annotation takes a JSON literal where the
text is one (``3``, ``true``, ``[1, 2]``), and text otherwise.
"""

from __future__ import annotations

import ast
import json
import math
import re
from collections.abc import Callable
from typing import Any

from ...protocol.errors import BadArguments
from ...protocol.options import duration

_NAME = re.compile(r"([\w.]+)(?:\[(.*)\])?\Z", re.DOTALL)
_TRUE, _FALSE, _NONE = (
    frozenset({"true", "yes", "on", "1"}),
    frozenset({"false", "no", "off", "0"}),
    frozenset({"none", "null"}),
)


def convert(text: str, annotation: str | None, where: str) -> Any:
    """The value that ``text`` stands for.

    Args:
        annotation: such as ``int``, ``list[str] | None`` or ``datetime.date``, as written in the source.
        where: names the argument in errors.

    Raises:
        BadArguments: ``text`` is not of that type.
    """
    members = _members(annotation) if annotation else ["Any"]
    # Text fits everything, so it is tried last, and None first.
    members.sort(key=lambda member: {"None": 0, "str": 2}.get(_simple(member)[0], 1))
    for member in members:
        name, inner = _simple(member)
        try:
            return _read(text, name, inner)
        except (ValueError, TypeError, ArithmeticError, SyntaxError, RecursionError):
            continue
    raise BadArguments(f"{where}: {_short(text)} is not {_wanted(members)}", hint=_hint(members))


def json_value(text: str, where: str) -> Any:
    """The value of a JSON text.

    Raises:
        BadArguments: not JSON.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadArguments(
            f"{where}: {_short(text)} is not JSON: {error}", hint="write text without ':', as name=text"
        ) from None


def _members(annotation: str) -> list[str]:
    """The alternatives of a union, flattened."""
    text = annotation.strip().strip("\"'")
    parts = _split(text, "|")
    if len(parts) > 1:
        return [member for part in parts for member in _members(part)]
    name, inner = _simple(text)
    if name == "Optional":
        return [*_members(inner), "None"]
    if name == "Union":
        return [member for part in _split(inner, ",") for member in _members(part)]
    if name in ("Annotated", "Final", "Required"):
        return _members(_split(inner, ",")[0])
    return [text]


def _split(text: str, separator: str) -> list[str]:
    """``text`` cut at the separators that are outside brackets and quotes."""
    parts, depth, quote, start = [], 0, "", 0
    for index, char in enumerate(text):
        if quote:
            quote = "" if char == quote else quote
        elif char in "\"'":
            quote = char
        elif char in "[(":
            depth += 1
        elif char in "])":
            depth -= 1
        elif char == separator and depth == 0:
            parts.append(text[start:index].strip())
            start = index + 1
    return [*parts, text[start:].strip()]


def _simple(member: str) -> tuple[str, str]:
    """Last word of the name and what stands in its brackets."""
    found = _NAME.match(member)
    return (found[1].rpartition(".")[2], found[2] or "") if found else ("", "")


def _read(text: str, name: str, inner: str) -> Any:
    if name == "Literal":
        return _literal(text, inner)
    if name in _CONTAINERS:
        accepted, build = _CONTAINERS[name]
        value = json.loads(text)
        if not isinstance(value, accepted):
            raise ValueError(name)
        return build(value)
    return _SCALARS.get(name, _untyped)(text)


def _untyped(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _bool(text: str) -> bool:
    word = text.strip().lower()
    if word not in _TRUE | _FALSE:
        raise ValueError(text)
    return word in _TRUE


def _none(text: str) -> None:
    if text.strip().lower() not in _NONE:
        raise ValueError(text)


def _float(text: str) -> float:
    value = float(text)
    if math.isinf(value) and "inf" not in text.lower():
        raise ValueError("too large")
    return value


def _literal(text: str, inner: str) -> Any:
    for part in _split(inner, ","):
        value = ast.literal_eval(part)
        if str(value) == text:
            return value
    raise ValueError(text)


def _datetime_class(name: str) -> Callable[[str], Any]:
    def read(text: str) -> Any:
        import datetime

        return getattr(datetime, name).fromisoformat(text.strip())

    return read


def _timedelta(text: str) -> Any:
    from datetime import timedelta

    return timedelta(seconds=duration(text))


def _decimal(text: str) -> Any:
    from decimal import Decimal

    return Decimal(text)


def _uuid(text: str) -> Any:
    from uuid import UUID

    return UUID(text)


def _path(text: str) -> Any:
    from pathlib import Path

    return Path(text)


_SCALARS: dict[str, Callable[[str], Any]] = {
    "str": str,
    "int": int,
    "float": _float,
    "bool": _bool,
    "None": _none,
    "NoneType": _none,
    "bytes": lambda text: text.encode("utf-8", "surrogateescape"),
    "date": _datetime_class("date"),
    "datetime": _datetime_class("datetime"),
    "time": _datetime_class("time"),
    "timedelta": _timedelta,
    "Decimal": _decimal,
    "UUID": _uuid,
    "Path": _path,
    "PathLike": _path,
}

_CONTAINERS: dict[str, tuple[type, Callable[[Any], Any]]] = {
    **dict.fromkeys(("list", "List", "Sequence", "Iterable", "Collection", "MutableSequence"), (list, list)),
    **dict.fromkeys(("dict", "Dict", "Mapping", "MutableMapping"), (dict, dict)),
    **dict.fromkeys(("tuple", "Tuple"), (list, tuple)),
    **dict.fromkeys(("set", "Set", "AbstractSet"), (list, set)),
}

_WORDS = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "date": "a date",
    "datetime": "a date and time",
    "time": "a time of day",
    "timedelta": "a duration",
    "Decimal": "a decimal number",
    "UUID": "a UUID",
    "None": "none",
}
_EXAMPLES = {
    "date": "2026-10-01",
    "datetime": "2026-10-01T12:00:00Z",
    "time": "12:30",
    "timedelta": "15m",
    "bool": "true",
}


def _wanted(members: list[str]) -> str:
    words = [_WORDS.get(_simple(member)[0], "") or f"of type {member}" for member in members]
    return " or ".join(words[1:] + words[:1] if words[0] == "none" else words)


def _hint(members: list[str]) -> str:
    for member in members:
        name, inner = _simple(member)
        if name in _EXAMPLES:
            return f"write it as {_EXAMPLES[name]}"
        if name in _CONTAINERS:
            return "give JSON, in quotes for the shell: " + (
                "'{\"a\": 1}'" if _CONTAINERS[name][0] is dict else "'[1, 2]'"
            )
        if name == "Literal":
            return f"one of {inner}"
    return ""


def _short(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:77] + "...")

"""Dataclasses to and from plain wire values, with every field checked.

Owns one rule: what arrives has exactly the fields and types that the dataclass declares. Knows nothing of verbs.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Callable, Hashable
from functools import cache
from typing import Any, TypeVar

from .errors import ProtocolError

T = TypeVar("T")
Check = Callable[[Any, str], Any]


def to_wire(message: Any) -> dict[str, Any]:
    """The fields of a dataclass as a dict of plain values."""
    return {name: _plain(getattr(message, name)) for name in _names(typing.cast(Hashable, type(message)))}


def from_wire(cls: type[T], wire: object, where: str = "") -> T:
    """An instance of dataclass ``cls`` from ``wire``.

    Raises:
        ProtocolError: a field is missing, unknown or of another type; says which.
    """
    return typing.cast(T, _check_for(typing.cast(Hashable, cls))(wire, where or cls.__name__))


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return to_wire(value)
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value


@cache
def _names(cls: Any) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(cls))


@cache
def _check_for(kind: Any) -> Check:
    if kind is Any:
        return lambda value, where: value
    if dataclasses.is_dataclass(kind):
        return _dataclass_check(typing.cast(type, kind))
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return _union_check(args)
    if origin in (list, tuple):
        return _list_check(_check_for(args[0]), origin)
    if origin is dict:
        return _dict_check(_check_for(args[0]), _check_for(args[1]))
    return _plain_check(kind)


def _plain_check(kind: type) -> Check:
    def check(value: Any, where: str) -> Any:
        if type(value) is kind:
            return value
        if kind is float and type(value) is int:
            return float(value)
        raise ProtocolError(f"{where} is {type(value).__name__}, not {kind.__name__}")

    return check


def _union_check(options: tuple[Any, ...]) -> Check:
    checks = [_check_for(option) for option in options if option is not type(None)]
    optional = type(None) in options

    def check(value: Any, where: str) -> Any:
        if value is None and optional:
            return None
        failure: ProtocolError | None = None
        for attempt in checks:
            try:
                return attempt(value, where)
            except ProtocolError as error:
                failure = error
        raise failure or ProtocolError(f"{where} has no value")

    return check


def _list_check(item_check: Check, kind: type) -> Check:
    def check(value: Any, where: str) -> Any:
        if not isinstance(value, list | tuple):
            raise ProtocolError(f"{where} is {type(value).__name__}, not a list")
        return kind(item_check(item, f"{where}[{index}]") for index, item in enumerate(value))

    return check


def _dict_check(key_check: Check, item_check: Check) -> Check:
    def check(value: Any, where: str) -> Any:
        if not isinstance(value, dict):
            raise ProtocolError(f"{where} is {type(value).__name__}, not a map")
        return {key_check(key, f"{where} key"): item_check(item, f"{where}[{key!r}]") for key, item in value.items()}

    return check


def _dataclass_check(cls: type) -> Check:
    hints = typing.get_type_hints(cls)
    checks = {name: _check_for(hints[name]) for name in _names(cls)}
    needed = {
        field.name
        for field in dataclasses.fields(cls)
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    }

    def check(value: Any, where: str) -> Any:
        if not isinstance(value, dict):
            raise ProtocolError(f"{where} is {type(value).__name__}, not a map")
        unknown = value.keys() - checks.keys()
        if unknown:
            raise ProtocolError(f"{where} has no field {min(map(str, unknown))!r}")
        missing = needed - value.keys()
        if missing:
            raise ProtocolError(f"{where} lacks the field {min(missing)!r}")
        return cls(**{name: checks[name](item, f"{where}.{name}") for name, item in value.items()})

    return check

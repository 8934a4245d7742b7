"""Dataclasses to and from plain wire values, with every field checked.

Owns one rule: what arrives has exactly the fields and types that the dataclass declares. Knows nothing of verbs.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Callable, Hashable, Set
from functools import cache
from typing import Any, TypeVar

from .errors import ProtocolError

T = TypeVar("T")
Pack = Callable[[Any], Any]
Check = Callable[[Any], Any]
SHAPES_MAX = 64  # of one dataclass that are remembered: senders use few, whatever they might send
_AS_IS = (str, int, float, bool, bytes, type(None))


def to_wire(message: Any) -> dict[str, Any]:
    """The fields of a dataclass as a dict of plain values; lists and dicts of plain values are not copied."""
    wire: dict[str, Any] = _pack_for(typing.cast(Hashable, type(message)))(message)
    return wire


def to_brief_wire(message: Any) -> dict[str, Any]:
    """As ``to_wire``, without the fields that have their default: the reader puts those in again."""
    wire: dict[str, Any] = {}
    for name, default, needs_packing in _brief_fields(typing.cast(Hashable, type(message))):
        value = getattr(message, name)
        if value != default:
            wire[name] = _plain(value) if needs_packing else value
    return wire


def from_wire(cls: type[T], wire: object, where: str = "") -> T:
    """An instance of dataclass ``cls`` from ``wire``.

    Raises:
        ProtocolError: a field is missing, unknown or of another type; says which.
    """
    try:
        return typing.cast(T, _check_for(typing.cast(Hashable, cls))(wire))
    except _Misfit as misfit:
        raise ProtocolError(f"{where or cls.__name__}{misfit.place} {misfit.what}") from None


# Both directions work with functions that are put together once for each type, out of those of its parts.

# -- to the wire -------------------------------------------------------------------------------------------------------


@cache
def _pack_for(cls: Any) -> Pack:
    hints = typing.get_type_hints(cls)
    packs = [(name, _needs_packing(hints[name])) for name in _names(cls)]

    def pack(message: Any) -> dict[str, Any]:
        return {
            name: _plain(getattr(message, name)) if needs_packing else getattr(message, name)
            for name, needs_packing in packs
        }

    return pack


def _needs_packing(kind: Any) -> bool:
    """Whether a value of this type may hold a dataclass."""
    args = [arg for arg in typing.get_args(kind) if arg is not ...]
    return any(map(_needs_packing, args)) if args else kind not in _AS_IS


def _plain(value: Any) -> Any:
    if type(value) in _AS_IS:
        return value
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return to_wire(value) if dataclasses.is_dataclass(value) else value


@cache
def _names(cls: Any) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(cls))


@cache
def _brief_fields(cls: Any) -> list[tuple[str, Any, bool]]:
    """Name, default, and whether a value needs packing. A default that is not there equals no value."""
    hints = typing.get_type_hints(cls)
    found = []
    for one in dataclasses.fields(cls):
        default = one.default if one.default_factory is dataclasses.MISSING else one.default_factory()
        found.append((one.name, default, _needs_packing(hints[one.name])))
    return found


# -- from the wire -----------------------------------------------------------------------------------------------------


class _Misfit(Exception):
    """A value that is not of its type. Its place is put together on the way out, so that a good value costs nothing."""

    def __init__(self, what: str) -> None:
        self.what = what
        self.place = ""

    def inside(self, part: str) -> _Misfit:
        self.place = part + self.place
        return self


@cache
def _check_for(kind: Any) -> Check:
    if kind is Any:
        return lambda value: value
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
    def check(value: Any) -> Any:
        if type(value) is kind:
            return value
        if kind is float and type(value) is int:
            return float(value)
        raise _Misfit(f"is {type(value).__name__}, not {kind.__name__}")

    return check


def _union_check(options: tuple[Any, ...]) -> Check:
    checks = [_check_for(option) for option in options if option is not type(None)]
    optional = type(None) in options

    def check(value: Any) -> Any:
        if value is None and optional:
            return None
        failure = _Misfit("has no value")
        for attempt in checks:
            try:
                return attempt(value)
            except _Misfit as misfit:
                failure = misfit
        raise failure

    return check


def _list_check(item_check: Check, kind: type) -> Check:
    def check(value: Any) -> Any:
        if not isinstance(value, list | tuple):
            raise _Misfit(f"is {type(value).__name__}, not a list")
        items: list[Any] = []
        try:
            for item in value:
                items.append(item_check(item))
        except _Misfit as misfit:
            raise misfit.inside(f"[{len(items)}]") from None
        return items if kind is list else kind(items)

    return check


def _dict_check(key_check: Check, item_check: Check) -> Check:
    def check(value: Any) -> Any:
        if not isinstance(value, dict):
            raise _Misfit(f"is {type(value).__name__}, not a map")
        items: dict[Any, Any] = {}
        part = ""
        try:
            for key, item in value.items():
                part = " key"
                checked = key_check(key)
                part = f"[{key!r}]"
                items[checked] = item_check(item)
        except _Misfit as misfit:
            raise misfit.inside(part) from None
        return items

    return check


def _dataclass_check(cls: type) -> Check:
    hints = typing.get_type_hints(cls)
    checks = {name: _check_for(hints[name]) for name in _names(cls)}
    plain = {name: _plain_kinds(hints[name]) for name in checks}  # most values are just of their type
    needed = {
        field.name
        for field in dataclasses.fields(cls)
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    }

    shapes: dict[tuple[Any, ...], list[str]] = {}  # names and types that are known to fit, but for these fields

    def check(value: Any) -> Any:
        if not isinstance(value, dict):
            raise _Misfit(f"is {type(value).__name__}, not a map")
        shape = (*value, *map(type, value.values()))
        doubtful = shapes.get(shape)
        if doubtful is None:
            if value.keys() != checks.keys():
                _compare(value.keys(), needed, checks.keys())
            doubtful = [name for name, item in value.items() if type(item) not in plain[name]]
            if len(shapes) < SHAPES_MAX:
                shapes[shape] = doubtful
        return cls(**{**value, **checked(value, doubtful)} if doubtful else value)

    def checked(value: dict[str, Any], names: list[str]) -> dict[str, Any]:
        fields: dict[str, Any] = {}
        name = ""
        try:
            for name in names:
                fields[name] = checks[name](value[name])
        except _Misfit as misfit:
            raise misfit.inside(f".{name}") from None
        return fields

    return check


def _plain_kinds(kind: Any) -> tuple[type, ...]:
    """The types of which a value of this kind may be and need not be looked into."""
    kinds = typing.get_args(kind) if typing.get_origin(kind) in (typing.Union, types.UnionType) else (kind,)
    return tuple(one for one in kinds if one in _AS_IS)


def _compare(given: Set[Any], needed: Set[str], known: Set[str]) -> None:
    unknown = given - known
    if unknown:
        raise _Misfit(f"has no field {min(map(str, unknown))!r}")
    missing = needed - given
    if missing:
        raise _Misfit(f"lacks the field {min(missing)!r}")

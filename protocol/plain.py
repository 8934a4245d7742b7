"""``dataclass`` for plain data of which there is much: a quarter of the time at import, and instances made faster.

Every ``jobctl`` defines some sixty such classes before it has done anything, and what takes time is the code that the
standard decorator does for each. Here equality and text are shared functions, ``__init__`` is written when the first
instance is made, ``__hash__`` when the first is hashed, and that instances are frozen is a promise that the type
checker holds people to, not code that runs for every attribute. Without ``slots`` a class that nobody uses costs
nothing at all; with them its instances, of which the supervisor holds many, take less memory.
"""

from __future__ import annotations

import dataclasses
from _thread import RLock  # threading takes its time to import
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

T = TypeVar("T")
_LOCK = RLock()

if TYPE_CHECKING:
    from dataclasses import dataclass
else:

    def dataclass(*, frozen: bool = False, slots: bool = False) -> Any:
        def make(cls: type[T]) -> type[T]:
            cls.__doc__ = cls.__doc__ or cls.__name__  # else the standard one writes a signature, slowly
            cls.__repr__, cls.__eq__ = _repr, _eq
            cls.__hash__ = None
            made = _processed(cls, slots) if slots else cls
            if not slots:
                made.__dataclass_fields__ = _Fields(made)
            made.__init__ = _first_init(made)
            if frozen:
                made.__hash__ = _first_hash(made)
            return made

        return make


def _processed(cls: type[T], slots: bool) -> type[T]:
    return dataclasses.dataclass(init=False, repr=False, eq=False, slots=slots)(cls)


class _Fields:
    """Stands where the standard decorator puts the fields, and has it do so when they are first asked for."""

    def __init__(self, owner: type[Any]) -> None:
        self._owner = owner

    def __get__(self, one: object, cls: type[Any]) -> dict[str, dataclasses.Field[Any]]:
        with _LOCK:  # done twice at a time, the second would find defaults gone that the first has taken out
            fields: Any = vars(self._owner)["__dataclass_fields__"]
            if fields is self:
                fields = _processed(self._owner, slots=False).__dataclass_fields__
        found: dict[str, dataclasses.Field[Any]] = fields
        return found


def _first_init(cls: type[Any]) -> Callable[..., None]:
    """An ``__init__`` that puts the true one in its place."""

    def init(self: Any, /, *args: Any, **kwargs: Any) -> None:
        fields = [(one.name, one.type, _again(one)) for one in dataclasses.fields(cls) if one.init]
        true = vars(_made(cls, fields, keys=False))["__init__"]
        type.__setattr__(cls, "__init__", true)
        true(self, *args, **kwargs)

    return init


def _first_hash(cls: type[Any]) -> Callable[..., int]:
    """A ``__hash__`` that puts the true one, and its fast ``__eq__``, in its place: keys of dicts are asked often."""

    def hash_(self: Any) -> int:
        true = _made(cls, [(one.name, one.type) for one in dataclasses.fields(cls)], keys=True)
        type.__setattr__(cls, "__eq__", true.__eq__)
        type.__setattr__(cls, "__hash__", true.__hash__)
        return hash(self)

    return hash_


def _made(cls: type[Any], fields: list[Any], keys: bool) -> type[Any]:
    """A standard dataclass, for the ``__init__`` that is written for it, or for what keys of dicts need.

    Without a text it would get one, slowly.
    """
    text = {"__doc__": cls.__doc__}
    return dataclasses.make_dataclass(
        cls.__name__, fields, namespace=text, init=not keys, repr=False, eq=keys, unsafe_hash=keys
    )


def _again(one: dataclasses.Field[Any]) -> Any:
    return dataclasses.field(default=one.default, default_factory=one.default_factory)


def _values(one: Any) -> tuple[Any, ...]:
    return tuple([getattr(one, name) for name in one.__dataclass_fields__ if hasattr(one, name)])


def _eq(self: Any, other: object) -> Any:
    return _values(self) == _values(other) if type(self) is type(other) else NotImplemented


def _repr(self: Any) -> str:
    shown = ", ".join(f"{field.name}={getattr(self, field.name)!r}" for field in dataclasses.fields(self))
    return f"{type(self).__name__}({shown})"


__all__ = ["dataclass"]

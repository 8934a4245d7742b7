"""``dataclass`` for plain data of which there is much: a quarter of the time at import, and instances made faster.

Every ``jobctl`` defines some sixty such classes before it has done anything, and what takes time is the code that the
standard decorator writes for each. Here equality and text are shared functions, ``__init__`` is written when the first
instance is made, and that instances are frozen is a promise that the type checker holds people to, not code that runs
for every attribute.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

T = TypeVar("T")

if TYPE_CHECKING:
    from dataclasses import dataclass
else:

    def dataclass(*, frozen: bool = False, slots: bool = False) -> Any:
        def make(cls: type[T]) -> type[T]:
            cls.__doc__ = cls.__doc__ or cls.__name__  # else the standard one writes a signature, slowly
            cls.__repr__, cls.__eq__ = _repr, _eq
            cls.__hash__ = _hash if frozen else None
            made = dataclasses.dataclass(cls, init=False, repr=False, eq=False, slots=slots)
            made.__init__ = _first(made)
            return made

        return make


def _first(cls: type[Any]) -> Callable[..., None]:
    """An ``__init__`` that puts the true one in its place."""

    def init(self: Any, /, *args: Any, **kwargs: Any) -> None:
        fields = [(one.name, one.type, _again(one)) for one in dataclasses.fields(cls) if one.init]
        true = vars(dataclasses.make_dataclass(cls.__name__, fields, repr=False, eq=False))["__init__"]
        type.__setattr__(cls, "__init__", true)
        true(self, *args, **kwargs)

    return init


def _again(one: dataclasses.Field[Any]) -> Any:
    return dataclasses.field(default=one.default, default_factory=one.default_factory)


def _values(one: Any) -> tuple[Any, ...]:
    return tuple([getattr(one, name) for name in one.__dataclass_fields__ if hasattr(one, name)])


def _eq(self: Any, other: object) -> Any:
    return _values(self) == _values(other) if type(self) is type(other) else NotImplemented


def _hash(self: Any) -> int:
    return hash(_values(self))


def _repr(self: Any) -> str:
    shown = ", ".join(f"{field.name}={getattr(self, field.name)!r}" for field in dataclasses.fields(self))
    return f"{type(self).__name__}({shown})"


__all__ = ["dataclass"]
